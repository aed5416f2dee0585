"""Which images belong together, as a person says it: a regular expression on names, or a column of a csv."""

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import parse_qsl, urlencode

from tools.errors import DataError, shown

TABLE_FORM = "csv:FILE[?file=COLUMN&group=COLUMN]"

_PREFIX = "csv:"
_KEYS = ("file", "group")


class GroupRule(Protocol):
    """Tells the groups of images."""

    @property
    def text(self) -> str:
        """The rule, for messages."""

    def groups_of(self, images: Sequence[tuple[str, str]]) -> list[str | None]:
        """The group of each image, given as (origin, class name); None for one of which it tells none.

        Raises:
            DataError: What it says of an image is not clear.
        """


@dataclass(frozen=True, slots=True)
class NamePattern:
    """What a regular expression captures of a name is the group.

    Args:
        text: The expression.
        compiled: It is searched for in the path below the class folder, else in the base name; the first of
            its groups that matched counts.
    """

    text: str
    compiled: re.Pattern[str]

    def groups_of(self, images: Sequence[tuple[str, str]]) -> list[str | None]:
        """See GroupRule."""
        found = [self.compiled.search(_name_below(*image)) for image in images]
        return [next((part for part in match.groups() if part), None) if match else None for match in found]


@dataclass(frozen=True, slots=True)
class GroupTable:
    """A csv with a row an image says the group.

    Args:
        text: Where it is and what its columns are called.
        path: The file.
        groups: By what stands in the file's column: an image's path, or its last parts, at least the name.
    """

    text: str
    path: Path
    groups: Mapping[str, str]

    def groups_of(self, images: Sequence[tuple[str, str]]) -> list[str | None]:
        """See GroupRule."""
        keys = [self._key(origin) for origin, _ in images]
        uses = Counter(key for key in keys if key)
        doubtful = next((key for key, count in uses.items() if count > 1), None)
        if doubtful is not None:
            raise DataError(
                f"{shown(doubtful)} is the name of {uses[doubtful]} images; write more of their paths, such"
                f" as CLASS/{PurePosixPath(doubtful).name}",
                self.path,
            )
        return [self.groups[key] if key else None for key in keys]

    def _key(self, origin: str) -> str | None:
        parts = origin.replace("\\", "/").split("/")
        tails = ("/".join(parts[start:]) for start in range(len(parts)))
        return next((tail for tail in tails if tail in self.groups), None)


def parse_group_rule(text: str, base: Path) -> GroupRule:
    """Parse a rule; the file of a table is read.

    Args:
        text: A regular expression with one capture group or more, or `csv:FILE[?file=COLUMN&group=COLUMN]`.
        base: What a relative FILE is relative to.

    Raises:
        DataError: It is neither, or the table is at fault.
    """
    if text.startswith(_PREFIX):
        path, columns = _parse_table_form(text, base)
        return GroupTable(text, path, _read_table(path, columns))
    try:
        compiled = re.compile(text)
    except re.error as fault:
        raise DataError(
            f"--group {shown(text)} is not a regular expression ({fault}); expected one, such as"
            f" 'person(\\d+)_', or {TABLE_FORM}"
        ) from None
    if not compiled.groups:
        raise DataError(
            f"--group {shown(text)} has no capture group; put what names the patient in parentheses"
        )
    return NamePattern(text, compiled)


def resolve_group(text: str, base: Path) -> str:
    """The same rule with an absolute path, so that it means the same wherever it is read."""
    if not text.startswith(_PREFIX):
        return text
    path, columns = _parse_table_form(text, base)
    return f"{_PREFIX}{path}?{urlencode(columns)}"


def _parse_table_form(text: str, base: Path) -> tuple[Path, dict[str, str]]:
    """The file, and the names of its columns by _KEYS."""
    place, _, query = text.removeprefix(_PREFIX).partition("?")
    asked = dict(parse_qsl(query, keep_blank_values=True))
    if not place or asked.keys() - set(_KEYS) or (query and not asked):
        raise DataError(f"--group {shown(text)} is not understood; expected {TABLE_FORM}")
    return (base / Path(place).expanduser()).resolve(), {key: key for key in _KEYS} | asked


def _read_table(path: Path, columns: Mapping[str, str]) -> dict[str, str]:
    """Group by image, as they stand in a csv."""
    groups: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            rows = csv.DictReader(opened)
            absent = [name for name in columns.values() if name not in (rows.fieldnames or ())]
            if absent:
                raise DataError(
                    f"has no column {shown(absent[0])}; name two of {', '.join(rows.fieldnames or ())}:"
                    f" {TABLE_FORM}",
                    path,
                )
            for row in rows:
                image, group = ((row[columns[key]] or "").strip() for key in _KEYS)
                image = image.replace("\\", "/").removeprefix("./")
                if not image or not group:
                    raise DataError("has an empty cell where image and group are named", path, rows.line_num)
                if groups.setdefault(image, group) != group:
                    raise DataError(
                        f"{shown(image)} is in two groups, {shown(groups[image])} and {shown(group)}",
                        path,
                        rows.line_num,
                    )
    except FileNotFoundError:
        raise DataError("no such file; name the csv that tells the groups", path) from None
    except (UnicodeDecodeError, csv.Error) as fault:
        raise DataError(f"is not a csv in UTF-8 ({fault})", path) from None
    return groups


def _name_below(origin: str, class_name: str) -> str:
    """The path below the class folder, else the base name: what lies above differs by machine."""
    path = origin.replace("\\", "/")
    _, found, below = path.rpartition(f"/{class_name}/")
    return below if found else PurePosixPath(path).name
