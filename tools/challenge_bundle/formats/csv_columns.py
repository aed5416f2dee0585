"""Columns of a csv that somebody else made, by the names that a person gives: `csv:FILE?file=Image Index`."""

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from challenge_bundle.errors import DataError, shown
from challenge_bundle.formats.source_options import parse_options

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
    place, asked = parse_options(text.removeprefix(PREFIX), keys, form)
    return (base / Path(place).expanduser()).resolve(), asked


def read_columns(
    path: Path, needed: Mapping[str, str], asked: Mapping[str, str] | None = None, usual: Collection[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Read some columns of a csv, a row at a time.

    Args:
        path: The file, UTF-8 with or without a byte-order mark.
        needed: Names of columns by what they are here; no cell of theirs may be empty.
        asked: The same, of columns whose cells may be empty.
        usual: What is taken under its own name if there is such a column; cells may be empty.

    Yields:
        The line, and the cells without blanks at their ends, by what they are here.

    Raises:
        DataError: No such file, no such column or two of one name, an empty cell, a row that is longer than
            the header, or no csv.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DataError("is a pipe or a device; write the csv into a file, and name that", path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            first = opened.readline()
            opened.seek(0)
            rows = csv.DictReader(opened, delimiter=max(_DELIMITERS, key=first.count))
            header = list(rows.fieldnames or ())
            columns = {**needed, **(asked or {}), **{name: name for name in usual if name in header}}
            _check_header(header, columns.values(), path)
            for row in rows:
                # What is beyond the header has no name.
                if None in row:
                    raise DataError(
                        f"has more cells than the header's {len(header)}; quote what has a delimiter in it",
                        path,
                        rows.line_num,
                    )
                cells = {key: (row[name] or "").strip() for key, name in columns.items()}
                empty = next((needed[key] for key in needed if not cells[key]), None)
                if empty is not None:
                    raise DataError(f"the cell of {shown(empty)} is empty; fill it", path, rows.line_num)
                yield rows.line_num, cells
    except FileNotFoundError:
        raise DataError("no such file; name the csv", path) from None
    except IsADirectoryError:
        raise DataError("is a folder; name the csv", path) from None
    except UnicodeDecodeError as fault:
        raise DataError(f"is not a csv in UTF-8 ({fault}); save it as one", path) from None
    except csv.Error as fault:
        raise DataError(
            f"is not a csv ({fault}); look for a quotation mark without its other one", path
        ) from None


def _check_header(header: Sequence[str], names: Iterable[str], path: Path) -> None:
    for name in names:
        if name not in header:
            there = ", ".join(map(shown, header)) or "nothing"
            raise DataError(
                f"has no column {shown(name)}, but {there}; say which it is (?KEY=COLUMN)", path, 1
            )
        if header.count(name) > 1:
            raise DataError(f"has {header.count(name)} columns {shown(name)}; rename all but one", path, 1)
