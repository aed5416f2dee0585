"""Program 3, scoring: reference and predictions in, scores out.

    python score.py [INPUT OUTPUT] [--show-cases]

Reads INPUT/ref/testing_solution.csv and the one csv in INPUT/res/. Writes OUTPUT/scores.txt (`key: value`
lines), scores.json (the same and all the rest) and detailed_results.html (a page to look at). A fault in
either csv is one line on stderr that names file and row, exit status 1, and no file in OUTPUT.

Platforms show OUTPUT to the participant, so the images that went wrong are listed only when they are asked
for: with a csv that predicts "A" everywhere, such a list would reveal the true class of every image.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metrics import bootstrap_intervals, classification_scores, confusion_matrix, probability_scores
from tables import Cases, InputError, match, shown

REFERENCE_NAME = "testing_solution.csv"
OUTPUT_NAMES = ("scores.txt", "scores.json", "detailed_results.html")


def main(in_dir: Path, out_dir: Path, show_cases: bool = False) -> int:
    """Score a submission.

    Args:
        in_dir: Holds `ref/` and `res/`.
        out_dir: Gets OUTPUT_NAMES; made if it is not there.
        show_cases: Whether to list the images that went wrong, with their true classes.

    Returns:
        Exit status: 0 done, 1 the input is at fault (one line on stderr).
    """
    try:
        cases = match(in_dir / "ref" / REFERENCE_NAME, find_predictions(in_dir / "res"))
        open_output(out_dir)
    except InputError as fault:
        with contextlib.suppress(OSError):
            remove_outputs(out_dir)
        print(fault, file=sys.stderr)
        return 1
    result = score(cases, show_cases)
    write_results(result, out_dir)
    for name in ("weighted_precision", "weighted_recall", "weighted_f1"):
        low, high = result["intervals"][name]
        print(f"{name.replace('_', ' ')} {result[name]:.4f} (95 % interval {low:.4f} to {high:.4f})")
    return 0


def open_output(out_dir: Path) -> None:
    """Make the output folder, and remove what an earlier run left.

    Raises:
        InputError: It cannot be written to.
    """
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        probe = out_dir / f".{os.getpid()}.probe"
        probe.touch()
        probe.unlink()
        remove_outputs(out_dir)
    except OSError as fault:
        user = f"user {os.getuid()}" if hasattr(os, "getuid") else "this user"
        raise InputError(
            f"{out_dir}: {user} cannot write there ({fault.strerror}); make the folder writable (chmod a+w),"
            " or run the container as yourself (--user $(id -u):$(id -g))"
        ) from None


def remove_outputs(out_dir: Path) -> None:
    """Remove what an earlier run left: it must not pass for the result of this one."""
    for name in OUTPUT_NAMES:
        (out_dir / name).unlink(missing_ok=True)


def find_predictions(folder: Path) -> Path:
    """The one csv of the submission.

    Raises:
        InputError: None there, or more than one.
    """
    found = sorted(folder.glob("*.csv")) if folder.is_dir() else []
    if len(found) != 1:
        names = ": " + ", ".join(shown(path.name) for path in found[:3]) if found else ""
        raise InputError(f"{folder}: {len(found) or 'no'} csv files{names}; expected exactly one")
    if found[0].is_symlink() or not found[0].is_file():
        # A link could lead to the reference, and score as a perfect submission.
        raise InputError(f"{found[0]}: a link or a folder; expected the csv itself")
    return found[0]


def score(cases: Cases, show_cases: bool) -> dict[str, Any]:
    """Compute all scores.

    Args:
        cases: Reference and predictions.
        show_cases: Whether to list the images that went wrong.

    Returns:
        The content of scores.json: scores by name at the top, as a platform's board reads them, then the
        rest.
    """
    confusion = confusion_matrix(cases.reference, cases.predictions, len(cases.class_names))
    scores, per_class = classification_scores(confusion, cases.class_names)
    if isinstance(cases.probabilities, np.ndarray):
        scores |= probability_scores(cases.reference, cases.probabilities)
    wrong = np.flatnonzero(cases.reference != cases.predictions)
    wrong_cases = [
        {
            "file": str(cases.names[case]),
            "reference": cases.class_names[cases.reference[case]],
            "prediction": cases.class_names[cases.predictions[case]],
        }
        for case in (wrong.tolist() if show_cases else ())
    ]
    return scores | {
        "cases": len(cases.names),
        "intervals": bootstrap_intervals(confusion),
        "class_names": cases.class_names,
        "per_class": per_class,
        "confusion_matrix": confusion.tolist(),
        "wrong": len(wrong),
        "wrong_cases": sorted(wrong_cases, key=lambda case: case["file"]) if show_cases else None,
        "probabilities": cases.probabilities if isinstance(cases.probabilities, str) else "used",
    }


def write_results(result: dict[str, Any], out_dir: Path) -> None:
    """Write the three files; scores.txt last, as the sign that they are complete."""
    scores = {key: value for key, value in result.items() if isinstance(value, float)}
    texts = {
        "detailed_results.html": render_page(result, scores),
        "scores.json": json.dumps(result, indent=2, allow_nan=False) + "\n",
        "scores.txt": "".join(f"{key}: {value:.6f}\n" for key, value in scores.items()),
    }
    for name, text in texts.items():
        temporary = out_dir / f".{name}.part"
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(out_dir / name)


def render_page(result: dict[str, Any], scores: dict[str, float]) -> str:
    """The page: one file, no script, every name in it escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).resolve().parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    confusion = np.array(result["confusion_matrix"])
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return environment.get_template("detailed_results.html.j2").render(
        result=result, scores=scores, shares=shares.tolist(), headline=list(result["intervals"])
    )


def parse_arguments(arguments: Sequence[str] | None = None) -> tuple[Path, Path, bool]:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Score the predictions of a submission.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("in_dir", nargs="?", default="input", type=Path, help="holds ref/ and res/")
    parser.add_argument("out_dir", nargs="?", default="output", type=Path, help="folder for the scores")
    parser.add_argument(
        "--show-cases",
        action="store_true",
        help="list the images that went wrong; never where participants see the result",
    )
    parsed = parser.parse_args(arguments)
    if parsed.in_dir != Path("input") and parsed.out_dir == Path("output"):
        parser.error("give both folders, IN_DIR and OUT_DIR, or neither")
    return parsed.in_dir, parsed.out_dir, parsed.show_cases


if __name__ == "__main__":
    sys.exit(main(*parse_arguments()))
