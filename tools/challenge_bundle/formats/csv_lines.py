"""Lines and cells of the csv files that programs exchange: one row on one line, read a line at a time."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from challenge_bundle.errors import DataError

MAX_LINE_BYTES = 65_536
"""A longer line is refused: it is read whole into memory before anything is known of it."""

_CELL = r'(?:"[^"]*(?:""[^"]*)*"|[^",]*)'
_QUOTED = re.compile(rf"{_CELL}(?:,{_CELL})*")


def base_name(file: str) -> str:
    """The name by which a file is matched: what follows the last `/`."""
    return PurePosixPath(file).name


def rows_of(opened: BinaryIO, path: Path, error: type[DataError]) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row."""
    for number, line in lines_of(opened, path, error):
        yield number, cells_of(line, number, path, error)


def lines_of(opened: BinaryIO, path: Path, error: type[DataError]) -> Iterator[tuple[int, str]]:
    """(number, text) of each line that is not blank, without its end; none is read that is too long.

    Args:
        opened: The csv, UTF-8 with or without a byte-order mark; each line ends in LF or CR LF.
        path: Of it, for messages.
        error: The type to raise; SubmissionError for a participant's file.

    Raises:
        DataError: Not UTF-8, or a line over 64 KiB.
    """
    number = 0
    while line := opened.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise error(
                f"the line is longer than {MAX_LINE_BYTES:,} bytes",
                path,
                number,
                code="csv-line-too-long",
                hint="write one short row per image",
            )
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as fault:
            raise error(
                f"not UTF-8 ({fault.reason})",
                path,
                number,
                code="csv-encoding",
                hint="save the csv as UTF-8",
            ) from None
        text = text.removesuffix("\n").removesuffix("\r")
        if text:
            yield number, text


def cells_of(line: str, number: int, path: Path, error: type[DataError]) -> list[str]:
    """The cells of a line.

    Readers of csvs do not agree on a row that goes over several lines, nor on a quotation mark within a cell
    that does not begin with one: such a row is refused.
    """
    fault = ""
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
    raise error(
        f"not a valid csv line: {fault}",
        path,
        number,
        code="csv-invalid-line",
        hint="write each row on one line",
    )
