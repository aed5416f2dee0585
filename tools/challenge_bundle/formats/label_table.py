"""The csv with one class per image (`file,class`) that sources, training, inference and scoring exchange."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from challenge_bundle.errors import DataError, SubmissionError, shown
from challenge_bundle.formats.csv_lines import base_name, cells_of, lines_of, rows_of
from challenge_bundle.guarded import At

HEADER = ("file", "class")
PROBABILITY_PREFIX = "probability_"
SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class LabelTable:
    """A csv that was read and is valid by itself.

    Args:
        class_of: Class name of each image, keyed by the image's base name, in the order of the rows.
        file_of: The path as written in the csv, keyed by base name.
        row_of: The line of each base name.
        probability_classes: The classes that have a `probability_` column, in the order of the columns.
    """

    class_of: dict[str, str]
    file_of: dict[str, str]
    row_of: dict[str, int]
    probability_classes: tuple[str, ...]


def most_rows(images: int) -> int:
    """How many rows of a csv of predictions are read: one with more is refused before it fills the memory."""
    return 2 * images + 16


def read_label_table(path: Path, error: type[DataError] = DataError, most: int | None = None) -> LabelTable:
    """Read a csv of classes; the same faults are refused as by the scoring program.

    Args:
        path: The csv, UTF-8 with or without a byte-order mark, each row on one line that ends in LF or CR LF.
        error: The type to raise; SubmissionError for a participant's file.
        most: So many rows are taken; None takes any number.

    Raises:
        DataError: Not UTF-8, empty, a wrong header, a row with another number of columns than the header,
            a line over 64 KiB, a line break within a row, a lone quotation mark, an empty name or class, a
            base name that appears twice, too many rows.
    """
    with path.open("rb") as opened:
        lines = lines_of(opened, path, error)
        number, text = next(lines, (0, ""))
        if not number:
            raise error(
                "the file is empty",
                path,
                code="csv-empty",
                hint="write the header 'file,class' and one row per image",
            )
        header = cells_of(text, number, path, error) if number == 1 else []
        probability_classes = _check_header(header, path, error)
        class_of: dict[str, str] = {}
        file_of: dict[str, str] = {}
        row_of: dict[str, int] = {}
        for line, text in lines:
            row = cells_of(text, line, path, error)
            name = _check_row(row, len(header), row_of, path, line, error)
            if most is not None and len(row_of) >= most:
                raise error(
                    f"more than {most:,} rows",
                    path,
                    line,
                    code="csv-too-many-rows",
                    hint="write exactly one row for each test image",
                )
            file_of[name], class_of[name] = row[0], row[1]
            row_of[name] = line
    if not row_of:
        raise error("no row after the header", path, code="csv-empty", hint="write one row per image")
    return LabelTable(class_of, file_of, row_of, probability_classes)


def count_predictions(path: str, image_names: list[str], class_names: list[str]) -> Iterator[At | list[Any]]:
    """Yield (images, the result of check_probabilities) of a participant's csv; for a guarded process."""
    yield At(path)
    table = check_predictions(Path(path), set(image_names), class_names)
    yield [len(table.class_of), check_probabilities(Path(path), table, class_names)]


def check_predictions(path: Path, image_names: set[str], class_names: Sequence[str]) -> LabelTable:
    """Check a participant's csv as the scoring program does, without the reference.

    Args:
        path: The csv.
        image_names: Base names of the images that inference reads.
        class_names: The bundle's classes.

    Raises:
        SubmissionError: As read_label_table, or an unknown class, an image that is missing or one too many.
    """
    table = read_label_table(path, SubmissionError, most_rows(len(image_names)))
    for name, row in table.row_of.items():
        if name not in image_names:
            raise SubmissionError(
                f"{shown(name)} is not among the test images",
                path,
                row,
                code="csv-unknown-image",
                hint="write the name of a test image, with its suffix, or remove the row",
            )
        if table.class_of[name] not in class_names:
            raise SubmissionError(
                f"unknown class {shown(table.class_of[name])}; expected one of {', '.join(class_names)}",
                path,
                row,
                code="csv-unknown-class",
                hint="correct the class",
            )
    missing = sorted(image_names - table.row_of.keys())
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise SubmissionError(
            f"no row for '{missing[0]}'{more}",
            path,
            code="csv-missing-image",
            hint="write exactly one row for each test image",
        )
    return table


def check_probabilities(path: Path, table: LabelTable, class_names: Sequence[str]) -> str:
    """Why the scoring program would not use a csv's probability columns; empty if it would.

    Args:
        path: The csv, which was read and is valid.
        table: What was read.
        class_names: The bundle's classes.
    """
    if not table.probability_classes:
        return ""
    if set(table.probability_classes) != set(class_names):
        return "the probability columns are not those of the classes, so they will not be used"
    with path.open("rb") as opened:
        rows = rows_of(opened, path, SubmissionError)
        next(rows)
        for line, row in rows:
            values = [_to_float(cell) for cell in row[2:]]
            if not all(0.0 <= value <= 1.0 for value in values) or abs(sum(values) - 1.0) > SUM_TOLERANCE:
                return (
                    f"line {line} has probabilities that are not from 0 to 1 with sum 1, so none"
                    " will be used (no AUC, log loss and calibration error)"
                )
    return ""


def read_probabilities(path: Path) -> dict[str, list[float]]:
    """Read the probability columns of a csv that was read and is valid.

    Args:
        path: The csv.

    Returns:
        Probabilities (K,) of each base name, in the order of the columns; NaN for what is no number.
    """
    with path.open("rb") as opened:
        rows = rows_of(opened, path, SubmissionError)
        next(rows)
        return {base_name(row[0]): [_to_float(cell) for cell in row[2:]] for _, row in rows}


def cut_rows(path: Path, names: Collection[str]) -> Iterator[str]:
    """The header and the rows of some images, as they are written, each with a LF at its end.

    Written again, a row could become another one: longer by its quotation marks, for example.

    Args:
        path: The csv, which was read and is valid.
        names: Base names of the images.
    """
    with path.open("rb") as opened:
        lines = lines_of(opened, path, SubmissionError)
        yield next(lines)[1] + "\n"
        for number, line in lines:
            if base_name(cells_of(line, number, path, SubmissionError)[0]) in names:
                yield line + "\n"


def _to_float(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _check_header(header: list[str], path: Path, error: type[DataError]) -> tuple[str, ...]:
    extra = header[2:]
    if tuple(header[:2]) != HEADER or not all(name.startswith(PROBABILITY_PREFIX) for name in extra):
        raise error(
            f"expected the header 'file,class', then at most '{PROBABILITY_PREFIX}<class>' columns, but got"
            f" {shown(','.join(header))}",
            path,
            1,
            code="csv-header",
            hint="write it in the first line, with commas",
        )
    if len(set(extra)) != len(extra):
        raise error(
            "a probability column appears twice in the header",
            path,
            1,
            code="csv-column-twice",
            hint="name each class once",
        )
    return tuple(name.removeprefix(PROBABILITY_PREFIX) for name in extra)


def _check_row(
    row: list[str], columns: int, row_of: dict[str, int], path: Path, line: int, error: type[DataError]
) -> str:
    if len(row) != columns:
        raise error(
            f"{len(row)} columns where the header has {columns}",
            path,
            line,
            code="csv-cells",
            hint="write one value per column",
        )
    name = base_name(row[0])
    if not name or not row[1]:
        raise error(
            "the file or the class is empty", path, line, code="csv-empty-cell", hint="fill both in each row"
        )
    if name in row_of:
        raise error(
            f"{shown(name)} appears twice (first in line {row_of[name]})",
            path,
            line,
            code="csv-duplicate-row",
            hint="write exactly one row for each image",
        )
    return name
