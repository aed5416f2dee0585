"""Patients with images in two splits, as a rule, the import or the names before it tell them."""

import re
from collections import Counter
from pathlib import PurePosixPath

from tools.audit.base import (
    TESTING,
    TRAINING,
    UNKNOWN,
    AuditFinding,
    ImageTable,
    counted,
    left_out,
    repeated,
)
from tools.formats.groups import GroupRule

LIKELY_PATTERNS = (
    r"(person\d+)_",
    r"(patient[-_]?\d+)[-_.]",
    r"(subject[-_]?\d+|sub-\w+?)[-_.]",
    r"^(.*?IM-\d+)-\d+",
    r"^(\d+)_\d+",
)
"""How data sets often write a patient into a name; each has one capture group."""

MIN_SHARE = 0.2
"""Of the images, that a likely pattern must fit."""


def find_shared_groups(images: ImageTable, rule: GroupRule | None) -> list[AuditFinding]:
    """Find patients with images in two splits.

    Args:
        images: All images.
        rule: Tells the patients. None takes those that the import was told of; where it was told of none,
            likely patterns are tried on the names, and what they find is a warning, for they may be wrong.

    Raises:
        DataError: What the rule says of an image is not clear.
    """
    if rule is not None:
        keys = rule.groups_of([(images.origins[row], _class_name(images, row)) for row in range(len(images))])
        if not any(keys):
            what = (
                f"--group '{rule.text}' tells no image's patient, such as {_base_name(images.origins[0])!r}"
            )
            return [AuditFinding("groups", "error", what, "correct it")]
        return _findings(images, keys, "error", f"by '{rule.text}'")
    if any(images.groups):
        return _findings(images, list(images.groups), "error", "as imported")
    keys = [None] * len(images)
    used: list[str] = []
    for text in LIKELY_PATTERNS:
        found = [_key(re.compile(text), origin) for origin in images.origins]
        if _looks_like_patients(found):
            used.append(text)
            keys = [key or other for key, other in zip(keys, found, strict=True)]
    if not used:
        return [left_out("groups", "no name looks like a patient's; --group says which part is")]
    return _findings(images, keys, "warning", f"by the pattern '{'|'.join(used)}', a guess")


def _class_name(images: ImageTable, row: int) -> str:
    label = int(images.labels[row])
    return "" if label == UNKNOWN else images.class_names[label]


def _key(pattern: re.Pattern[str], origin: str) -> str | None:
    found = pattern.search(_base_name(origin))
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


def _findings(images: ImageTable, keys: list[str | None], severity: str, told: str) -> list[AuditFinding]:
    rows_of = repeated(key or row for row, key in enumerate(keys))
    shared = [rows for rows in rows_of if len({int(images.splits[row]) for row in rows}) > 1]
    patients = len({key for key in keys if key})
    if None in keys:
        told += f"; {counted(keys.count(None), 'image has', 'images have')} none"
    if not shared:
        what = f"{patients:,} patients ({told}), none of them in two splits"
        return [AuditFinding("groups", "note", what, "", patients)]
    leaking = [rows for rows in shared if {TRAINING, TESTING} <= {int(images.splits[row]) for row in rows}]
    tested = sum(int(images.splits[row]) == TESTING for rows in leaking for row in rows)
    # One image of each split shows a patient.
    examples = [_one_a_split(images, rows) for rows in (leaking or shared)]
    what = (
        f"{len(shared):,} of {patients:,} patients ({told}) have images in two splits;"
        f" {counted(tested, 'testing image is', 'testing images are')} of patients in training"
    )
    mend = "import class folders without train/ and test/ with --group, which cuts the splits by patient"
    severity = severity if leaking else "warning"
    return [AuditFinding("groups", severity, what, mend, len(shared), tuple(examples))]


def _one_a_split(images: ImageTable, rows: tuple[int, ...]) -> tuple[int, ...]:
    first: dict[int, int] = {}
    for row in rows:
        first.setdefault(int(images.splits[row]), row)
    return tuple(first[split] for split in sorted(first))
