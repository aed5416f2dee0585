"""Patients with images in two splits, told by the images' names before the import."""

import re
from collections import Counter
from pathlib import PurePosixPath

from tools.audit.base import TESTING, TRAINING, AuditFinding, ImageTable, counted, left_out, repeated
from tools.errors import DataError

LIKELY_PATTERNS = (
    r"(person\d+)_",
    r"(patient[-_]?\d+)[-_.]",
    r"(subject[-_]?\d+|sub-\w+?)[-_.]",
    r"^(.*?IM-\d+)-\d+",
    r"^(\d+)_\d+",
)
"""How data sets often write a patient into a name; each has one group."""

MIN_SHARE = 0.2
"""Of the images, that a likely pattern must fit."""


def parse_group(text: str | None) -> re.Pattern[str] | None:
    """A regular expression whose one group is the patient.

    Raises:
        DataError: It is none, or has not exactly one group.
    """
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as fault:
        raise DataError(
            f"--group '{text}' is not a regular expression: {fault}; try 'person(\\d+)_'"
        ) from None
    if pattern.groups != 1:
        raise DataError(f"--group '{text}' has {pattern.groups} groups; expected one, as in 'person(\\d+)_'")
    return pattern


def find_shared_groups(images: ImageTable, pattern: re.Pattern[str] | None) -> list[AuditFinding]:
    """Find patients with images in two splits.

    Args:
        images: All images.
        pattern: Searched for in the original base name (in the whole path if it has a `/`); its group is the
            patient. None tries likely ones, and what they find is a warning, for they may be wrong.
    """
    if pattern is not None:
        keys = [_key(pattern, origin) for origin in images.origins]
        if not any(keys):
            what = f"--group '{pattern.pattern}' fits no name, such as {_base_name(images.origins[0])!r}"
            return [AuditFinding("groups", "error", what, "correct it: it is searched for in base names")]
        return _findings(images, keys, "error", pattern.pattern, "")
    keys = [None] * len(images)
    used: list[str] = []
    for text in LIKELY_PATTERNS:
        found = [_key(re.compile(text), origin) for origin in images.origins]
        if _looks_like_patients(found):
            used.append(text)
            keys = [key or other for key, other in zip(keys, found, strict=True)]
    if not used:
        return [left_out("groups", "no name looks like a patient's; --group REGEX says which part is")]
    return _findings(images, keys, "warning", "|".join(used), ", a guess")


def _key(pattern: re.Pattern[str], origin: str) -> str | None:
    found = pattern.search(origin if "/" in pattern.pattern else _base_name(origin))
    return found.group(1) if found else None


def _base_name(origin: str) -> str:
    return PurePosixPath(origin.replace("\\", "/")).name


def _looks_like_patients(keys: list[str | None]) -> bool:
    """Some have several images, and none has most of them."""
    counts = Counter(key for key in keys if key)
    total = sum(counts.values())
    return (
        total >= MIN_SHARE * len(keys)
        and len(counts) >= 5
        and len(counts) < 0.95 * total
        and max(counts.values()) < 0.2 * total
    )


def _findings(
    images: ImageTable, keys: list[str | None], severity: str, pattern: str, doubt: str
) -> list[AuditFinding]:
    rows_of = repeated(key or row for row, key in enumerate(keys))
    shared = [rows for rows in rows_of if len({int(images.splits[row]) for row in rows}) > 1]
    patients = len({key for key in keys if key})
    if None in keys:
        doubt += f"; {counted(keys.count(None), 'name tells', 'names tell')} none"
    if not shared:
        what = f"{patients:,} patients by the pattern '{pattern}', none of them in two splits{doubt}"
        return [AuditFinding("groups", "note", what, "", patients)]
    leaking = [rows for rows in shared if {TRAINING, TESTING} <= {int(images.splits[row]) for row in rows}]
    tested = sum(int(images.splits[row]) == TESTING for rows in leaking for row in rows)
    # One image of each split shows a patient.
    examples = [_one_a_split(images, rows) for rows in (leaking or shared)]
    what = (
        f"{len(shared):,} of {patients:,} patients have images in two splits"
        f" (pattern '{pattern}'{doubt}); {counted(tested, 'testing image is', 'testing images are')} of"
        " patients in training"
    )
    mend = "cut the splits by patient, and import {train,val,test}/CLASS/IMAGE; --group REGEX makes sure"
    severity = severity if leaking else "warning"
    return [AuditFinding("groups", severity, what, mend, len(shared), tuple(examples))]


def _one_a_split(images: ImageTable, rows: tuple[int, ...]) -> tuple[int, ...]:
    first: dict[int, int] = {}
    for row in rows:
        first.setdefault(int(images.splits[row]), row)
    return tuple(first[split] for split in sorted(first))
