"""The csvs: read and checked row by row, or, where they are plain, column by column.

Both ways accept the same csvs and give the same columns. Only the row-by-row reader reports what is
wrong: where the other one meets anything that it is not sure of, or pyarrow is not installed, the file is
left to that.
"""

from __future__ import annotations

import csv
import math
import mmap
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from findings import Finding, InputError, shown

MAX_LINE_BYTES = 65_536
PROBABILITY_PREFIX = "probability_"
"""Of optional columns of numbers; the cells of all other optional columns are texts."""

_BLOCK_BYTES = 1 << 24
_CELL = r'(?:"[^"]*(?:""[^"]*)*"|[^",]*)'
_QUOTED = re.compile(rf"{_CELL}(?:,{_CELL})*")
_NUMBER = re.compile(r"[ \t]*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t]*")


@dataclass(frozen=True)
class Header:
    """The columns that a csv must and may have, besides `file`.

    Args:
        texts: Columns of texts, in this order right after `file`; no cell of them is empty.
        numbers: Columns of numbers: after `file` and the texts, in any order.
        optional: Further columns that may follow, by name or, ending with `_`, by prefix; their cells may be
            empty.
        expected: The header in words, for messages.
    """

    texts: tuple[str, ...]
    numbers: tuple[str, ...]
    optional: tuple[str, ...]
    expected: str

    def fault(self, header: Sequence[str]) -> str:
        """The code of what is wrong with a header; empty if nothing is."""
        if tuple(header[: 1 + len(self.texts)]) != ("file", *self.texts):
            return "csv-header"
        rest = header[1 + len(self.texts) :]
        if not all(name in self.numbers or self._is_optional(name) for name in rest):
            return "csv-header"
        if len(set(header)) != len(header):
            return "csv-column-twice"
        return "csv-header" if set(self.numbers) - set(rest) else ""

    def _is_optional(self, name: str) -> bool:
        return any(name.startswith(one) if one.endswith("_") else name == one for one in self.optional)


@dataclass(frozen=True)
class Table:
    """A csv that was read and is valid by itself.

    Args:
        path: Where it was read.
        header: Its columns.
        names: Base names of the cases, in the order of the rows (N,): a list, or an Arrow column.
        columns: The texts of each column but `file`, likewise; columns of numbers may be arrays (N,).
        lines: The line of each row, or None where the columns were read at once.
    """

    path: Path
    header: list[str]
    names: Any
    columns: dict[str, Any]
    lines: Sequence[int] | None

    def place(self, row: int) -> int | None:
        """The line of a row."""
        return self.lines[row] if self.lines is not None else None


def is_number(cell: str) -> bool:
    """Whether a cell is a finite decimal number, as every reader of csvs understands it."""
    return _NUMBER.fullmatch(cell) is not None and math.isfinite(float(cell))


def read_columns(path: Path, header: Header) -> Table | None:
    """Read a plain csv column by column.

    Args:
        path: The csv.
        header: The columns it must have.

    Returns:
        The table, its texts as Arrow columns and its numbers as float64 arrays; None if pyarrow is missing or
        the csv has quotes, over-long lines, empty cells or anything else that the row-by-row reader should
        look at.
    """
    try:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.csv
    except ImportError:
        return None
    try:
        with path.open("rb") as opened:
            names = opened.readline(MAX_LINE_BYTES).decode("utf-8-sig").rstrip("\r\n").split(",")
            if header.fault(names) or not is_plain(opened.fileno()):
                return None
        numbers = set(header.numbers) | {name for name in names if name.startswith(PROBABILITY_PREFIX)}
        table = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(column_names=names, skip_rows=1),
            parse_options=pyarrow.csv.ParseOptions(quote_char=False),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.float64() if name in numbers else pa.string() for name in names},
                null_values=[],
            ),
        )
    except (OSError, ValueError):  # Arrow's own errors are ValueErrors
        return None
    files = table["file"]
    if pc.any(pc.match_substring(files, "/")).as_py():
        files = pc.replace_substring_regex(files, "^.*/", "")
    odd = pc.any(pc.is_in(files, pc.cast(["", "."], "string"))).as_py()
    if not len(table) or odd or any(pc.any(pc.equal(table[name], "")).as_py() for name in header.texts):
        return None
    columns = {name: table[name].to_numpy() if name in numbers else table[name] for name in names[1:]}
    if any(not np.isfinite(columns[name]).all() for name in numbers):
        return None
    return Table(path, names, files, columns, None)


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


def read_rows(path: Path, header: Header, most: int | None = None) -> Table:
    """Read a csv row by row: UTF-8, with or without a byte-order mark, each row on one line.

    Args:
        path: The csv.
        header: The columns it must have.
        most: So many rows are accepted; None accepts any number.

    Raises:
        InputError: See the messages.
    """
    names: list[str] = []
    lines: list[int] = []
    row_of: dict[str, int] = {}
    with path.open("rb") as opened:
        decoded = decoded_lines(opened, path)
        line, text = next(decoded, (0, None))
        if text is None:
            raise _fault("csv-empty", path, f"the file is empty; expected the header {header.expected}")
        found = split_cells(text, path, line) if line == 1 else []
        _check_header(header, found, path)
        columns: list[list[str]] = [[] for _ in found[1:]]
        for line, text in decoded:
            cells = split_cells(text, path, line)
            name = _check_row(cells, found, header, row_of, path, line)
            row_of[name] = line
            names.append(name)
            lines.append(line)
            for column, cell in zip(columns, cells[1:]):
                column.append(cell)
            if most is not None and len(names) > most:
                raise _fault("csv-too-many-rows", path, f"more than {most:,} rows", line)
    if not names:
        raise _fault("csv-empty", path, "no row after the header")
    return Table(path, found, names, dict(zip(found[1:], columns)), lines)


def decoded_lines(opened: BinaryIO, path: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of each line that is not blank, without its end; none is read that is too long.

    Raises:
        InputError: A longer line, or one that is not UTF-8.
    """
    row = 0
    while line := opened.readline(MAX_LINE_BYTES + 1):
        row += 1
        if len(line) > MAX_LINE_BYTES:
            message = f"the line is longer than {MAX_LINE_BYTES:,} bytes"
            raise _fault("csv-line-too-long", path, message, row)
        try:
            text = line.decode("utf-8-sig" if row == 1 else "utf-8")
        except UnicodeDecodeError as fault:
            raise _fault("csv-encoding", path, f"not UTF-8 ({fault.reason})", row) from None
        text = text[:-1] if text.endswith("\n") else text
        text = text[:-1] if text.endswith("\r") else text
        if text:
            yield row, text


def split_cells(line: str, path: Path, row: int) -> list[str]:
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
    raise _fault("csv-invalid-line", path, f"not a valid csv line: {fault}", row)


def _check_header(header: Header, found: list[str], path: Path) -> None:
    code = header.fault(found)
    if code == "csv-column-twice":
        twice = next(name for name in found if found.count(name) > 1)
        raise _fault(code, path, f"the column {shown(twice)} appears twice in the header", 1)
    if code:
        message = f"expected the header {header.expected}, but got {shown(','.join(found))}"
        raise _fault(code, path, message, 1)


def _check_row(
    cells: list[str], found: list[str], header: Header, row_of: dict[str, int], path: Path, line: int
) -> str:
    """Check a row by itself and against those before it; gives its base name."""
    if len(cells) != len(found):
        message = f"{len(cells)} columns where the header has {len(found)}"
        raise _fault("csv-cells", path, message, line)
    name = PurePosixPath(cells[0]).name
    needed = cells[1 : 1 + len(header.texts)]
    if not name or not all(needed):
        what = " or the ".join(("file", *header.texts))
        raise _fault("csv-empty-cell", path, f"the {what} is empty", line)
    if name in row_of:
        message = f"{shown(name)} appears twice (first in line {row_of[name]})"
        raise _fault("csv-duplicate-row", path, message, line)
    return name


def _fault(code: str, path: Path, message: str, row: int | None = None) -> InputError:
    return InputError(Finding(code, str(path), message, row))


def labels_of(texts: Any, class_names: Sequence[str] | None) -> tuple[np.ndarray, list[str]]:
    """(label of each row, -1 for an unknown class; the classes, by default those that are there, sorted)."""
    if isinstance(texts, list):
        names = sorted(set(texts)) if class_names is None else list(class_names)
        label_of = {name: label for label, name in enumerate(names)}
        return np.array([label_of.get(text, -1) for text in texts], dtype=np.int64), names
    import pyarrow.compute as pc

    names = sorted(texts.unique().to_pylist()) if class_names is None else list(class_names)
    labels = pc.fill_null(pc.index_in(texts, pc.cast(names, "string")), -1)
    return labels.to_numpy().astype(np.int64), names


def numbers_of(table: Table, name: str, check: Callable[[str], bool]) -> np.ndarray:
    """A column of numbers (N,), float64.

    Raises:
        InputError: A cell is none; of predictions that was checked before.
    """
    cells = table.columns[name]
    if not isinstance(cells, list):
        cells = cells if isinstance(cells, np.ndarray) else cells.to_pylist()
    if isinstance(cells, np.ndarray) and check is is_number:
        return cells
    for row, cell in enumerate(cells):
        if not check(str(cell)):
            message = f"{shown(str(cell))} is no value for the column {shown(name)}"
            raise InputError(Finding("reference-invalid", str(table.path), message, table.place(row)))
    return np.array(cells, dtype=np.float64)
