"""Columns of a csv that somebody else made, by the names that a person gives: `csv:FILE?file=Image Index`."""

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from challenge_bundle.errors import DataError, shown
from challenge_bundle.formats.source_options import parse_options

PREFIX = "csv:"

_DELIMITERS = (",", ";", "\t")
"""The one that is most often in the header counts: spreadsheets use the one of their language."""


def parse_columns(text: str, base: Path, keys: Collection[str], form: str) -> tuple[Path, dict[str, str]]:
    """Parse `csv:FILE[?KEY=VALUE&...]`.

    Args:
        text: What was typed.
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
        needed: Name of the column in the file, by key; no cell of theirs may be empty.
        asked: The same, of columns whose cells may be empty.
        usual: Keys that are taken if there is a column of that name; cells may be empty.

    Yields:
        The line, and the cells without blanks at their ends, by key.

    Raises:
        DataError: No such file, no such column or two of one name, an empty cell, a row that is longer than
            the header, or no csv.
    """
    with _opened(path) as rows:
        header = list(rows.fieldnames or ())
        columns = {**needed, **(asked or {}), **{name: name for name in usual if name in header}}
        _check_header(header, columns.values(), path)
        for row in rows:
            # What is beyond the header has no name.
            if None in row:
                raise DataError(
                    f"has more cells than the header's {len(header)}",
                    path,
                    rows.line_num,
                    code="csv-cells",
                    hint="quote what has a delimiter in it",
                )
            cells = {key: (row[name] or "").strip() for key, name in columns.items()}
            empty = next((needed[key] for key in needed if not cells[key]), None)
            if empty is not None:
                raise DataError(
                    f"the cell of {shown(empty)} is empty",
                    path,
                    rows.line_num,
                    code="csv-empty-cell",
                    hint="fill it",
                )
            yield rows.line_num, cells


def read_header(path: Path) -> list[str]:
    """The names of a csv's columns; see read_columns for what is raised."""
    with _opened(path) as rows:
        return list(rows.fieldnames or ())


@contextmanager
def _opened(path: Path) -> Iterator["csv.DictReader[str]"]:
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DataError(
            "is a pipe or a device",
            path,
            code="csv-not-a-file",
            hint="write the csv into a file, and name that",
        )
    with _explained(path), path.open(encoding="utf-8-sig", newline="") as opened:
        first = opened.readline()
        opened.seek(0)
        yield csv.DictReader(opened, delimiter=max(_DELIMITERS, key=first.count))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what opening and reading a csv raises into a DataError."""
    try:
        yield
    except FileNotFoundError:
        raise DataError("no such file", path, code="csv-not-found", hint="name the csv") from None
    except IsADirectoryError:
        raise DataError("is a folder", path, code="csv-not-a-file", hint="name the csv in it") from None
    except UnicodeDecodeError as fault:
        raise DataError(
            f"is not a csv in UTF-8 ({fault})", path, code="csv-encoding", hint="save it as UTF-8"
        ) from None
    except csv.Error as fault:
        raise DataError(
            f"is not a csv ({fault})",
            path,
            code="csv-unreadable",
            hint="look for a quotation mark without its other one",
        ) from None


def _check_header(header: Sequence[str], names: Iterable[str], path: Path) -> None:
    for name in names:
        if name not in header:
            there = ", ".join(map(shown, header)) or "nothing"
            raise DataError(
                f"expected a column {shown(name)}, but got {there}",
                path,
                1,
                code="csv-column-missing",
                hint="name the columns, as in csv:FILE?file=COLUMN&class=COLUMN (or &group=COLUMN)",
            )
        if header.count(name) > 1:
            raise DataError(
                f"has {header.count(name)} columns {shown(name)}",
                path,
                1,
                code="csv-column-twice",
                hint="rename all but one",
            )
