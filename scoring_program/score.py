"""Program 3, scoring: reference and predictions in, scores out.

    python score.py [INPUT OUTPUT] [--private DIR] [--parts FILE] [--show-cases]
    python score.py --check INPUT [OUTPUT]
    python score.py --compare OTHER.csv [--names MAP.json] INPUT OUTPUT

Reads INPUT/ref/ (testing_solution.csv and task.json) and the one csv in INPUT/res/. Writes OUTPUT/scores.txt
(`key: value` lines), scores.json (numbers at its top level, all else below `details`) and
detailed_results.html (a page to look at). A fault in either is one line on stderr that names file and row,
exit status 1, and no file in OUTPUT.

Platforms show OUTPUT to the participant, so the images that went wrong are listed only when they are asked
for: with a csv that predicts "A" everywhere, such a list would reveal the true class of every image. What
the organiser needs besides, a value per case and resampled scores, goes to the folder of --private.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from checking import check, compare
from files import (
    FINDINGS_NAME,
    REFERENCE_NAME,
    TASK_NAME,
    find_predictions,
    open_output,
    remove_outputs,
    write_json,
    write_text,
)
from findings import Finding, InputError
from predictions import Predictions, read_predictions
from reference import Reference, make_cases, part_of, read_reference
from tasks import read_task


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; returns the exit status: 0 done, 1 the input is at fault."""
    options = parse_arguments(arguments)
    try:
        if options.check:
            return check(options.in_dir, options.out_dir if options.out_dir_given else None)
        if options.compare:
            return compare(options.in_dir, options.out_dir, options.compare, options.names)
        return score(options)
    except InputError as fault:
        with contextlib.suppress(OSError):
            below = [path for path in options.out_dir.glob("*") if path.is_dir()] if options.parts else []
            for folder in (options.out_dir, *below):
                remove_outputs(folder)
        if options.private:
            write_json(options.private / FINDINGS_NAME, [found.document() for found in fault.findings])
        print(fault, file=sys.stderr)
        return 1


def score(options: argparse.Namespace) -> int:
    """Score predictions, whole or by parts.

    Raises:
        InputError: Reference or predictions are at fault.
    """
    # A check needs none of these, and runs where next to nothing is installed.
    from page import render_page
    from summary import HEADLINE, score_cases, write_organisers_files

    reference, predictions = read_input(options.in_dir)
    cases = make_cases(reference, predictions)
    parts = read_parts(options.parts) if options.parts else {"": None}
    scored = []
    for part, names in parts.items():
        of_part = (cases, reference) if names is None else part_of(cases, reference, names)
        scored.append((part, *of_part))
    for part, _, _ in scored:
        open_output(options.out_dir / part)
    for part, some, known in scored:
        result = score_cases(some, predictions.note, options.show_cases)
        if options.private:
            listed = result["details"]["metrics"]
            write_organisers_files(some, known, listed, options.private / part, options.resamples)
        write_results(result, render_page(some, result), options.out_dir / part)
        print_scores(result, HEADLINE, part)
    return 0


def read_input(in_dir: Path) -> tuple[Reference, Predictions]:
    """Read and match reference and predictions.

    Raises:
        InputError: Either is at fault.
    """
    task = read_task(in_dir / "ref" / TASK_NAME)
    reference = read_reference(in_dir / "ref" / REFERENCE_NAME, task)
    path = find_predictions(in_dir / "res")
    return reference, read_predictions(path, reference.task, reference.names)


def read_parts(path: Path) -> dict[str, Any]:
    """The names of the cases of each part.

    Raises:
        InputError: The file is not `{part: [names]}`.
    """
    try:
        parts = json.loads(path.read_text(encoding="utf-8"))
        if not all(part.isalnum() and isinstance(names, list) for part, names in parts.items()):
            raise ValueError("a part is a word, and has a list of names")
    except (OSError, ValueError, AttributeError) as fault:
        raise InputError(Finding("reference-invalid", str(path), f"not the parts ({fault})")) from None
    return dict(parts)


def print_scores(result: dict[str, Any], headline: Sequence[str], part: str) -> None:
    """Print the headline scores where there are classes, and the one that ranks."""
    details = result["details"]
    for name in dict.fromkeys([*(name for name in headline if name in result), details["metric"]]):
        # What ranks can be undefined, such as the AUC of labels without a positive case in this split.
        value = f"{result[name]:.4f}" if name in result else "is not defined for these cases"
        text = f"{part + ': ' if part else ''}{name.replace('_', ' ')} {value}"
        if name in details["intervals"]:
            low, high = details["intervals"][name]
            text += f" (95 % interval {low:.4f} to {high:.4f})"
        print(text)


def write_results(result: dict[str, Any], page: str, out_dir: Path) -> None:
    """Write the three files; scores.txt last, as the sign that they are complete."""
    scores = {key: value for key, value in result.items() if key != "details"}
    texts = {
        "detailed_results.html": page,
        "scores.json": json.dumps(result, indent=2, allow_nan=False) + "\n",
        "scores.txt": "".join(f"{key}: {value:.6f}\n" for key, value in scores.items()),
    }
    for name, text in texts.items():
        write_text(out_dir / name, text)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
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
    parser.add_argument(
        "--private",
        metavar="DIR",
        type=Path,
        help="folder for cases.csv and resamples.npz; never where participants see it",
    )
    parser.add_argument(
        "--parts", metavar="FILE", type=Path, help="JSON with the names of the cases of each part"
    )
    parser.add_argument("--resamples", type=int, default=10_000, help="number of resamples of --private")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument(
        "--check", action="store_true", help="only check the predictions; needs no reference, but the names"
    )
    modes.add_argument(
        "--compare", metavar="CSV", type=Path, help="only count the cases that differ from this csv"
    )
    parser.add_argument(
        "--names", metavar="FILE", type=Path, help="JSON with the case of each name in the csv of --compare"
    )
    parsed = parser.parse_args(arguments)
    parsed.out_dir_given = parsed.out_dir != Path("output") or not parsed.check
    if not parsed.check and parsed.in_dir != Path("input") and parsed.out_dir == Path("output"):
        parser.error("give both folders, IN_DIR and OUT_DIR, or neither")
    return parsed


if __name__ == "__main__":
    sys.exit(main())
