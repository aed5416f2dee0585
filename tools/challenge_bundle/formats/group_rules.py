"""A rule that names patient groups: a regular expression on names, or a column of a csv."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from challenge_bundle.errors import DataError, readable, shown
from challenge_bundle.formats.csv_columns import PREFIX, parse_columns, read_columns
from challenge_bundle.formats.source_options import add_options

LIKELY_PATTERNS = (
    r"(person\d+)_",
    r"(patient[-_]?\d+)[-_.]",
    r"(subject[-_]?\d+|sub-\w+?)[-_.]",
    r"(?:^|/)([^/]*?IM-\d+)-\d+",
    r"(?:^|/)(\d+)_\d+",
)
"""How data sets often write a patient into a name; each has one capture group."""

MIN_SHARE = 0.2
"""The share of the images that a likely pattern must fit."""

TABLE_FORM = "csv:FILE[?file=COLUMN&group=COLUMN]"

_COLUMNS = ("file", "group")


class GroupRule(Protocol):
    """Names the patient groups of images."""

    @property
    def text(self) -> str:
        """The rule, for messages."""

    def groups_of(self, images: Sequence[tuple[str, str]]) -> list[str | None]:
        """The patient group of each image, given as (origin, class name); None where the rule names none.

        Raises:
            DataError: One row of its table fits several images.
        """


@dataclass(frozen=True, slots=True)
class NamePattern:
    """What a regular expression captures of a name is the patient group.

    Args:
        text: The expression.
        compiled: It is searched for in the path below the class folder, else in the base name; the first of
            its capture groups that matched counts.
    """

    text: str
    compiled: re.Pattern[str]

    def groups_of(self, images: Sequence[tuple[str, str]]) -> list[str | None]:
        """See GroupRule."""
        found = [self.compiled.search(name_below(*image)) for image in images]
        return [next((text for text in match.groups() if text), None) if match else None for match in found]


@dataclass(frozen=True, slots=True)
class GroupTable:
    """A csv with one row per image names the patient group.

    Args:
        text: Where it is and what its columns are called.
        path: The file.
        groups: By the cell of the file's column: an image's path, or its last parts, at least the name.
    """

    text: str
    path: Path
    groups: Mapping[str, str]

    def groups_of(self, images: Sequence[tuple[str, str]]) -> list[str | None]:
        """See GroupRule."""
        keys = [self._key(origin) for origin, _ in images]
        uses = Counter(key for key in keys if key)
        ambiguous = next((key for key, count in uses.items() if count > 1), None)
        if ambiguous is not None:
            raise DataError(
                f"{shown(ambiguous)} is the name of {uses[ambiguous]} images",
                self.path,
                code="group-table-ambiguous",
                hint=f"write more of their paths, such as CLASS/{PurePosixPath(ambiguous).name}",
            )
        return [self.groups[key] if key else None for key in keys]

    def _key(self, origin: str) -> str | None:
        path = origin.replace("\\", "/")
        # Many tables leave the suffix out.
        for name in (path, path.removesuffix(PurePosixPath(path).suffix)):
            parts = name.split("/")
            tails = ("/".join(parts[start:]) for start in range(len(parts)))
            found = next((tail for tail in tails if tail in self.groups), None)
            if found:
                return found
        return None


def parse_group_rule(text: str, base: Path) -> GroupRule:
    """Parse a rule; the file of a table is read.

    Args:
        text: A regular expression with one capture group or more, or `csv:FILE[?file=COLUMN&group=COLUMN]`.
        base: What a relative FILE is relative to.

    Raises:
        DataError: It is neither, or the table is at fault.
    """
    if text.startswith(PREFIX):
        path, columns = _parse_table(text, base)
        return GroupTable(text, path, _read_table(path, columns))
    try:
        compiled = re.compile(text)
    except re.error as fault:
        raise DataError(
            f"--group '{readable(text)}' is not a regular expression ({fault})",
            code="group-rule",
            hint=f"give one, such as 'person(\\d+)_', or {TABLE_FORM}",
        ) from None
    if not compiled.groups:
        raise DataError(
            f"--group {shown(text)} has no capture group",
            code="group-rule",
            hint="put what names the patient in parentheses",
        )
    return NamePattern(text, compiled)


def guess_groups(images: Sequence[tuple[str, str]]) -> tuple[str, list[str | None]]:
    """Find patients by likely patterns in names.

    Args:
        images: (origin, class name) of each.

    Returns:
        A regular expression, empty if no name looks like a patient's; and the patient of each image, if any.
    """
    found = {text: _pattern(text).groups_of(images) for text in LIKELY_PATTERNS}
    used = "|".join(text for text, groups in found.items() if _looks_like_patients(groups))
    return used, _pattern(used).groups_of(images) if used else [None] * len(images)


def _looks_like_patients(groups: Sequence[str | None]) -> bool:
    """Some have several images, and none has most of them."""
    counts = Counter(group for group in groups if group)
    total = sum(counts.values())
    return (
        total >= MIN_SHARE * len(groups)
        and len(counts) >= 5
        and len(counts) < 0.95 * total
        and max(counts.values()) < 0.2 * total
    )


def _pattern(text: str) -> NamePattern:
    return NamePattern(text, re.compile(text))


def resolve_group(text: str, base: Path) -> str:
    """The rule with an absolute path, so that it is the same from any folder."""
    if not text.startswith(PREFIX):
        return text
    path, columns = _parse_table(text, base)
    return add_options(f"{PREFIX}{path}", columns)


def _parse_table(text: str, base: Path) -> tuple[Path, dict[str, str]]:
    """The file, and the names of its columns."""
    path, asked = parse_columns(text, base, _COLUMNS, f"a regular expression or {TABLE_FORM}")
    return path, {name: name for name in _COLUMNS} | asked


def _read_table(path: Path, columns: dict[str, str]) -> dict[str, str]:
    """Patient group by image, as a csv has them."""
    groups: dict[str, str] = {}
    for line, cells in read_columns(path, columns):
        image, group = cells["file"].replace("\\", "/").removeprefix("./"), cells["group"]
        if groups.setdefault(image, group) != group:
            raise DataError(
                f"{shown(image)} is in two patient groups, {shown(groups[image])} and {shown(group)}",
                path,
                line,
                code="group-table-conflict",
                hint="keep one row",
            )
    return groups


def name_below(origin: str, class_name: str) -> str:
    """The path below the class folder, else the base name: what is above differs by machine."""
    path = origin.replace("\\", "/")
    _, found, below = path.rpartition(f"/{class_name}/")
    return below if found else PurePosixPath(path).name
