"""Program 3, scoring: reference and predictions in, scores out.

    python score.py [INPUT OUTPUT] [--show-cases]

Reads INPUT/ref/testing_solution.csv and the one csv in INPUT/res/. Writes OUTPUT/scores.txt (a `key: value`
a line), scores.json (the same and all the rest) and detailed_results.html (a page to look at). A fault in
either csv is one line on stderr that names file and row, exit status 1, and no file in OUTPUT.

Platforms show OUTPUT to the participant, so the images that went wrong are listed only when they are asked
for: with one csv that says "A" everywhere, such a list would tell the true class of every image.
"""

import argparse
import contextlib
import csv
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from metrics import bootstrap_intervals, classification_scores, confusion_matrix, probability_scores

HEADER = ["file", "class"]
PROBABILITY_PREFIX = "probability_"
REFERENCE_NAME = "testing_solution.csv"
OUTPUT_NAMES = ("scores.txt", "scores.json", "detailed_results.html")
MAX_LINE_BYTES = 65_536
SHOWN_CHARACTERS = 80
SUM_TOLERANCE = 1e-3


class InputError(Exception):
    """A csv is at fault; the message names file and row."""


@dataclass(frozen=True, slots=True)
class Table:
    """A csv of classes.

    Args:
        path: Where it was read.
        class_of: Class name of each image, by base name.
        row_of: Line of each image, by base name.
        probability_names: The classes with a probability column, in the order of the columns.
        probabilities: The cells of those columns, by base name.
    """

    path: Path
    class_of: dict[str, str]
    row_of: dict[str, int]
    probability_names: list[str]
    probabilities: dict[str, list[str]]


def main(in_dir: Path, out_dir: Path, show_cases: bool = False) -> int:
    """Score a submission.

    Args:
        in_dir: Holds `ref/` and `res/`.
        out_dir: Gets OUTPUT_NAMES; made if it is not there.
        show_cases: Whether to list the images that went wrong, with their true classes.

    Returns:
        Exit status: 0 done, 1 the input is at fault (said on stderr).
    """
    try:
        reference = read_table(in_dir / "ref" / REFERENCE_NAME)
        predictions = read_table(find_predictions(in_dir / "res"))
        class_names = sorted(set(reference.class_of.values()))
        compare(reference, predictions, class_names)
        open_output(out_dir)
    except InputError as fault:
        with contextlib.suppress(OSError):
            remove_outputs(out_dir)
        print(fault, file=sys.stderr)
        return 1
    result = score(reference, predictions, class_names, show_cases)
    write_results(result, out_dir)
    for name in ("weighted_precision", "weighted_recall", "weighted_f1"):
        low, high = result["intervals"][name]
        print(f"{name.replace('_', ' ')} {result[name]:.4f} (95 % interval {low:.4f} to {high:.4f})")
    return 0


def open_output(out_dir: Path) -> None:
    """Make the output folder, without what an earlier run left.

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
    """Remove what an earlier run left, so that nobody takes it for this one's."""
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


def read_table(path: Path) -> Table:
    """Read a csv of classes: UTF-8, with or without a byte-order mark, any line end.

    Raises:
        InputError: See the messages.
    """
    if not path.is_file():
        raise InputError(f"{path}: not found; the reference lies there")
    table = Table(path, {}, {}, [], {})
    with path.open("rb") as opened:
        reader = csv.reader(decoded_lines(opened, path), strict=True)
        try:
            header = next(reader, None)
            if header is None:
                raise InputError(
                    f"{path}: the file is empty; expected the header 'file,class' and a row an image"
                )
            table.probability_names.extend(check_header(header, path))
            for row in reader:
                if row:
                    add_row(table, row, len(header), f"{path}:{reader.line_num}", reader.line_num)
        except csv.Error as fault:
            raise InputError(f"{path}:{reader.line_num}: not a valid csv line: {fault}") from None
    if not table.row_of:
        raise InputError(f"{path}: no row after the header; expected one row an image")
    return table


def decoded_lines(opened: BinaryIO, path: Path) -> Iterator[str]:
    """The lines as text, none longer than MAX_LINE_BYTES in memory."""
    row = 0
    while line := opened.readline(MAX_LINE_BYTES + 1):
        row += 1
        if len(line) > MAX_LINE_BYTES:
            raise InputError(
                f"{path}:{row}: the line is longer than {MAX_LINE_BYTES:,} bytes; expected 'file,class' rows"
            )
        try:
            yield line.decode("utf-8-sig" if row == 1 else "utf-8")
        except UnicodeDecodeError as fault:
            raise InputError(f"{path}:{row}: not UTF-8 ({fault.reason}); save the csv as UTF-8") from None


def check_header(header: list[str], path: Path) -> list[str]:
    """The classes of the probability columns, of a header that is `file,class` and at most those."""
    extra = header[2:]
    if header[:2] != HEADER or not all(name.startswith(PROBABILITY_PREFIX) for name in extra):
        raise InputError(
            f"{path}:1: the header is {shown(','.join(header))}; expected exactly 'file,class', then at most"
            f" '{PROBABILITY_PREFIX}<class>' columns"
        )
    if len(set(extra)) != len(extra):
        raise InputError(f"{path}:1: a probability column appears twice in the header; name each class once")
    return [name.removeprefix(PROBABILITY_PREFIX) for name in extra]


def add_row(table: Table, row: list[str], columns: int, where: str, line: int) -> None:
    """Check a row by itself and against those before it."""
    if len(row) != columns:
        raise InputError(
            f"{where}: {len(row)} columns where the header has {columns}; write one value a column"
        )
    name = PurePosixPath(row[0]).name
    if not name or not row[1]:
        raise InputError(f"{where}: the file or the class is empty; each row needs both")
    if name in table.row_of:
        raise InputError(
            f"{where}: {shown(name)} appears twice (first in line {table.row_of[name]});"
            " each test image needs exactly one row"
        )
    table.class_of[name] = row[1]
    table.row_of[name] = line
    table.probabilities[name] = row[2:]


def compare(reference: Table, predictions: Table, class_names: Sequence[str]) -> None:
    """Check that the predictions have one row for each image of the reference, and its classes only.

    Raises:
        InputError: An unknown class, an image that is missing or one too many.
    """
    if len(class_names) < 2:
        raise InputError(f"{reference.path}: one class only; a classification needs two or more")
    for name, row in predictions.row_of.items():
        if name not in reference.row_of:
            raise InputError(
                f"{predictions.path}:{row}: {shown(name)} is not among the test images; remove the row"
            )
        if predictions.class_of[name] not in class_names:
            raise InputError(
                f"{predictions.path}:{row}: unknown class {shown(predictions.class_of[name])};"
                f" expected one of {', '.join(class_names)}"
            )
    missing = sorted(reference.row_of.keys() - predictions.row_of.keys())
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InputError(
            f"{predictions.path}: no row for '{missing[0]}'{more}; each test image needs exactly one row"
        )


def score(
    reference: Table, predictions: Table, class_names: Sequence[str], show_cases: bool
) -> dict[str, Any]:
    """Compute all scores.

    Args:
        reference: The true classes, of N images.
        predictions: The predicted ones, of the same images.
        class_names: In label order.
        show_cases: Whether to list the images that went wrong.

    Returns:
        The content of scores.json: scores by name at the top, as a platform's board reads them, then the
        rest.
    """
    label_of = {class_name: label for label, class_name in enumerate(class_names)}
    names = sorted(reference.row_of)
    reference_labels = np.array([label_of[reference.class_of[name]] for name in names])
    predicted_labels = np.array([label_of[predictions.class_of[name]] for name in names])
    scores, per_class = classification_scores(reference_labels, predicted_labels, class_names)
    probabilities = read_probabilities(predictions, names, class_names)
    if isinstance(probabilities, np.ndarray):
        scores |= probability_scores(reference_labels, probabilities)
        note = "used"
    else:
        note = probabilities
    confusion = confusion_matrix(reference_labels, predicted_labels, len(class_names))
    wrong_count = int(confusion.sum() - confusion.trace())
    wrong_cases = [
        {"file": name, "reference": reference.class_of[name], "prediction": predictions.class_of[name]}
        for name in names
        if show_cases and reference.class_of[name] != predictions.class_of[name]
    ]
    return scores | {
        "cases": len(names),
        "intervals": bootstrap_intervals(confusion),
        "class_names": list(class_names),
        "per_class": per_class,
        "confusion_matrix": confusion.tolist(),
        "wrong": wrong_count,
        "wrong_cases": wrong_cases if show_cases else None,
        "probabilities": note,
    }


def read_probabilities(
    predictions: Table, names: Sequence[str], class_names: Sequence[str]
) -> np.ndarray | str:
    """The probability columns, or why they are not used.

    Args:
        predictions: Whose cells are read.
        names: The images, in the order wanted.
        class_names: In label order.

    Returns:
        Probabilities (N, K), or a text. They are optional, so a fault in them refuses nothing.
    """
    if not predictions.probability_names:
        return "not given"
    if set(predictions.probability_names) != set(class_names):
        return f"not used: the header needs one '{PROBABILITY_PREFIX}<class>' column for each class"
    order = [predictions.probability_names.index(class_name) for class_name in class_names]
    rows: list[list[float]] = []
    for name in names:
        cells = predictions.probabilities[name]
        try:
            values = [float(cells[column]) for column in order]
        except ValueError:
            return f"not used: line {predictions.row_of[name]} has a value that is not a number"
        if not all(math.isfinite(value) and 0.0 <= value <= 1.0 for value in values):
            return f"not used: line {predictions.row_of[name]} has a value that is not from 0 to 1"
        if abs(sum(values) - 1.0) > SUM_TOLERANCE:
            return f"not used: line {predictions.row_of[name]} does not sum to 1"
        rows.append(values)
    return np.array(rows)


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
    """The page to look at: one file, no script, every foreign text escaped."""
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


def shown(text: str) -> str:
    """Quote a foreign text for a message: control characters escaped, long ones cut."""
    return repr(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "...")


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
