"""Columns of a csv that somebody else made, by the names that a person gives: `csv:FILE?file=Image Index`."""

import csv
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import parse_qsl

from tools.errors import DataError, shown

PREFIX = "csv:"

_DELIMITERS = (",", ";", "\t")
"""Of which the one that is most often in the header counts: spreadsheets take what their country takes."""


def parse_columns(text: str, base: Path, keys: Collection[str], form: str) -> tuple[Path, dict[str, str]]:
    """Parse `csv:FILE[?KEY=VALUE&...]`.

    Args:
        text: It.
        base: What a relative FILE is relative to.
        keys: Those that are known.
        form: What was expected, for the message.

    Returns:
        The file, and the values by key.

    Raises:
        DataError: It is not in that form.
    """
    place, _, query = text.removeprefix(PREFIX).partition("?")
    asked = dict(parse_qsl(query, keep_blank_values=True))
    if not place or not all(asked.values()) or asked.keys() - set(keys) or (query and not asked):
        raise DataError(f"{shown(text)} is not understood; expected {form}")
    return (base / Path(place).expanduser()).resolve(), asked


def read_columns(
    path: Path, needed: dict[str, str], optional: dict[str, str] | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Read some columns of a csv, a row at a time.

    Args:
        path: The file, UTF-8 with or without a byte-order mark.
        needed: Names of columns by what they are here.
        optional: The same, of those that need not be there.

    Yields:
        The line, and the cells without blanks at their ends, by what they are here; only optional ones may be
        empty.

    Raises:
        DataError: No such file, no such column, an empty cell, or no csv.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            first = opened.readline()
            opened.seek(0)
            rows = csv.DictReader(opened, delimiter=max(_DELIMITERS, key=first.count))
            header = list(rows.fieldnames or ())
            absent = [name for name in needed.values() if name not in header]
            if absent:
                there = ", ".join(map(shown, header)) or "nothing"
                raise DataError(
                    f"has no column {shown(absent[0])}, but {there}; say which it is (?KEY=COLUMN)", path, 1
                )
            columns = needed | {key: name for key, name in (optional or {}).items() if name in header}
            for row in rows:
                cells = {key: (row[name] or "").strip() for key, name in columns.items()}
                empty = next((needed[key] for key in needed if not cells[key]), None)
                if empty is not None:
                    raise DataError(f"the cell of {shown(empty)} is empty; fill it", path, rows.line_num)
                yield rows.line_num, cells
    except FileNotFoundError:
        raise DataError("no such file; name the csv", path) from None
    except (UnicodeDecodeError, csv.Error) as fault:
        raise DataError(f"is not a csv in UTF-8 ({fault}); save it as one", path) from None
