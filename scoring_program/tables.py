"""The csvs: read and checked row by row, or, where they are plain, column by column.

Both ways accept the same csvs and give the same columns. Only the row-by-row reader reports what is
wrong: where the other one meets anything that it is not sure of, it leaves the file to that.
"""

import csv
import math
import mmap
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

HEADER = ["file", "class"]
PROBABILITY_PREFIX = "probability_"
MAX_LINE_BYTES = 65_536
SHOWN_CHARACTERS = 80
SUM_TOLERANCE = 1e-3

NO_PROBABILITIES = "not given"
OTHER_PROBABILITIES = f"not used: the header needs one '{PROBABILITY_PREFIX}<class>' column for each class"

_BLOCK_BYTES = 1 << 24
_CELL = r'(?:"[^"]*(?:""[^"]*)*"|[^",]*)'
_QUOTED = re.compile(rf"{_CELL}(?:,{_CELL})*")


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


@dataclass(frozen=True, slots=True)
class Cases:
    """Reference and predictions, matched; row n is image n of the reference.

    Args:
        names: Base names, an array of N texts of any kind.
        class_names: In label order, K.
        reference: Labels (N,).
        predictions: Labels (N,).
        probabilities: (N, K), or the reason why there are none.
    """

    names: Sequence[Any]
    class_names: list[str]
    reference: np.ndarray
    predictions: np.ndarray
    probabilities: np.ndarray | str


def match(reference_csv: Path, predictions_csv: Path) -> Cases:
    """Read both csvs and match them by base name.

    Raises:
        InputError: Either is at fault, or they do not fit.
    """
    return match_columns(reference_csv, predictions_csv) or match_rows(reference_csv, predictions_csv)


def match_rows(reference_csv: Path, predictions_csv: Path) -> Cases:
    """Match row by row; see match."""
    reference = read_table(reference_csv)
    # One that has far more rows than it may is refused before it fills the memory.
    predictions = read_table(predictions_csv, 2 * len(reference.row_of) + 16)
    class_names = sorted(set(reference.class_of.values()))
    compare(reference, predictions, class_names)
    label_of = {class_name: label for label, class_name in enumerate(class_names)}
    names = list(reference.row_of)
    return Cases(
        names,
        class_names,
        np.array([label_of[reference.class_of[name]] for name in names]),
        np.array([label_of[predictions.class_of[name]] for name in names]),
        read_probabilities(predictions, names, class_names),
    )


def match_columns(reference_csv: Path, predictions_csv: Path) -> Cases | None:
    """Match column by column, or None if either csv is not plain, is at fault, or they do not fit."""
    import pyarrow.compute as pc

    reference, predictions = read_columns(reference_csv), read_columns(predictions_csv)
    if reference is None or predictions is None or len(reference) != len(predictions):
        return None
    names = reference["file"]
    class_names = sorted(reference["class"].unique().to_pylist())
    if len(class_names) < 2 or len(names.unique()) != len(names):
        return None
    labels = pc.index_in(predictions["class"], pc.cast(class_names, "string"))
    if labels.null_count:
        return None
    order = None
    if not predictions["file"].equals(names):
        # Where each row's image stands in the reference: all of them, each once.
        places = pc.index_in(predictions["file"], names)
        if places.null_count:
            return None
        order = np.argsort(places.to_numpy())
        if not np.array_equal(places.to_numpy()[order], np.arange(len(names))):
            return None
    probabilities = stack_probabilities(predictions, class_names)
    if probabilities is None:
        return None
    matched = labels.to_numpy().astype(np.int64)
    if order is not None:
        matched = matched[order]
        probabilities = probabilities if isinstance(probabilities, str) else probabilities[order]
    reference_labels = pc.index_in(reference["class"], pc.cast(class_names, "string"))
    return Cases(names, class_names, reference_labels.to_numpy().astype(np.int64), matched, probabilities)


def read_columns(path: Path) -> Any:
    """Read a plain csv whole.

    Returns:
        An Arrow table: `file` (base names), `class` and the probability columns; None if the csv has quotes,
        over-long lines, empty cells or anything else that the row-by-row reader should look at.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv

    try:
        with path.open("rb") as opened:
            header = opened.readline(MAX_LINE_BYTES).decode("utf-8-sig").rstrip("\r\n").split(",")
            if header[:2] != HEADER or len(set(header)) != len(header) or not is_plain(opened.fileno()):
                return None
        probabilities = header[2:]
        if not all(name.startswith(PROBABILITY_PREFIX) for name in probabilities):
            return None
        types = {"file": pa.string(), "class": pa.string()} | dict.fromkeys(probabilities, pa.float64())
        table = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(column_names=header, skip_rows=1),
            parse_options=pyarrow.csv.ParseOptions(quote_char=False),
            convert_options=pyarrow.csv.ConvertOptions(column_types=types, null_values=[]),
        )
    except (OSError, ValueError):  # Arrow's own errors are ValueErrors
        return None
    names = table["file"]
    if pc.any(pc.match_substring(names, "/")).as_py():
        names = pc.replace_substring_regex(names, "^.*/", "")
        table = table.set_column(0, "file", names)
    odd = pc.is_in(names, pc.cast(["", "."], "string"))
    if not len(table) or pc.any(odd).as_py() or pc.any(pc.equal(table["class"], "")).as_py():
        return None
    return table


def is_plain(descriptor: int) -> bool:
    """Return whether a csv has no quotes, no lone carriage returns, no NUL and no over-long lines."""
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as content:
        if any(content.find(byte) >= 0 for byte in (b'"', b"\0")):
            return False
        last_end = -1
        for start in range(0, len(content), _BLOCK_BYTES):
            block = np.frombuffer(content[start : start + _BLOCK_BYTES], dtype=np.uint8)
            returns = np.flatnonzero(block == ord("\r")) + 1
            if len(returns) and (returns[-1] == len(block) or (block[returns] != ord("\n")).any()):
                return False
            ends = np.flatnonzero(block == ord("\n")) + start
            if len(ends) == 0 or np.diff(ends, prepend=last_end).max() > MAX_LINE_BYTES:
                return len(ends) == 0 and len(content) <= MAX_LINE_BYTES
            last_end = int(ends[-1])
        return len(content) - last_end <= MAX_LINE_BYTES


def stack_probabilities(table: Any, class_names: Sequence[str]) -> np.ndarray | str | None:
    """The probability columns (N, K), why there are none, or None if a value is at fault."""
    given = [name for name in table.column_names if name.startswith(PROBABILITY_PREFIX)]
    wanted = [PROBABILITY_PREFIX + name for name in class_names]
    if not given:
        return NO_PROBABILITIES
    if set(given) != set(wanted):
        return OTHER_PROBABILITIES
    values = np.stack([table[name].to_numpy() for name in wanted], axis=1)
    valid = (values >= 0.0).all() and (values <= 1.0).all()
    return values if valid and (np.abs(values.sum(axis=1) - 1.0) <= SUM_TOLERANCE).all() else None


def read_table(path: Path, most: int | None = None) -> Table:
    """Read a csv of classes: UTF-8, with or without a byte-order mark, each row on one line.

    Args:
        path: The csv.
        most: So many rows are accepted; None accepts any number.

    Raises:
        InputError: See the messages.
    """
    if not path.is_file():
        raise InputError(f"{path}: not found; the reference lies there")
    table = Table(path, {}, {}, [], {})
    with path.open("rb") as opened:
        lines = decoded_lines(opened, path)
        number, line = next(lines, (0, None))
        if line is None:
            raise InputError(
                f"{path}: the file is empty; expected the header 'file,class' and one row per image"
            )
        header = split_cells(line, f"{path}:{number}") if number == 1 else []
        table.probability_names.extend(check_header(header, path))
        for number, line in lines:
            where = f"{path}:{number}"
            add_row(table, split_cells(line, where), len(header), where, number)
            if most is not None and len(table.row_of) > most:
                raise InputError(f"{where}: more than {most:,} rows; each test image needs exactly one row")
    if not table.row_of:
        raise InputError(f"{path}: no row after the header; expected one row per image")
    return table


def decoded_lines(opened: BinaryIO, path: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of each line that is not blank, without its end; none is read that is too long.

    Raises:
        InputError: A longer line, or one that is not UTF-8.
    """
    row = 0
    while line := opened.readline(MAX_LINE_BYTES + 1):
        row += 1
        if len(line) > MAX_LINE_BYTES:
            raise InputError(
                f"{path}:{row}: the line is longer than {MAX_LINE_BYTES:,} bytes; expected 'file,class' rows"
            )
        try:
            text = line.decode("utf-8-sig" if row == 1 else "utf-8")
        except UnicodeDecodeError as fault:
            raise InputError(f"{path}:{row}: not UTF-8 ({fault.reason}); save the csv as UTF-8") from None
        text = text.removesuffix("\n").removesuffix("\r")
        if text:
            yield row, text


def split_cells(line: str, where: str) -> list[str]:
    """The cells of a line.

    Readers of csvs do not agree on a row that goes over several lines, nor on a quotation mark within a cell
    that does not begin with one: such a row is refused.

    Raises:
        InputError: It is one.
    """
    if "\0" in line:
        fault = "a NUL in it"
    elif "\r" in line:
        fault = "a carriage return in it"
    elif '"' not in line:
        return line.split(",")
    elif not _QUOTED.fullmatch(line):
        fault = "a quotation mark that opens no cell, or closes none on the same line"
    else:
        return next(csv.reader([line], strict=True))
    raise InputError(f"{where}: not a valid csv line: {fault}; write each row on one line")


def check_header(header: list[str], path: Path) -> list[str]:
    """The classes of the probability columns, of a header that is `file,class` and at most those.

    Raises:
        InputError: Another header, or a column that is there twice.
    """
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
    """Add a row to the table, checked by itself and against those before it.

    Args:
        table: Gets it.
        row: Its cells.
        columns: How many the header has.
        where: Of the row, for messages.
        line: Likewise, as a number from 1.

    Raises:
        InputError: Another number of cells, an empty file or class, or a base name that is there already.
    """
    if len(row) != columns:
        raise InputError(
            f"{where}: {len(row)} columns where the header has {columns}; write one value per column"
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
                f"{predictions.path}:{row}: {shown(name)} is not among the test images;"
                " write the name of a test image, with its suffix, or remove the row"
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
        return NO_PROBABILITIES
    if set(predictions.probability_names) != set(class_names):
        return OTHER_PROBABILITIES
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


def shown(text: str) -> str:
    """Quote a participant's text for a message: control characters escaped, long ones cut."""
    return repr(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "...")
