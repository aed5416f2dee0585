"""Patients with images in two splits, as a rule, the import or the names before it tell them."""

from challenge_bundle.audit.base import (
    TESTING,
    TRAINING,
    AuditFinding,
    ImageTable,
    counted,
    left_out,
    repeated,
)
from challenge_bundle.formats.group_rules import GroupRule, guess_groups


def find_shared_groups(images: ImageTable, rule: GroupRule | None) -> list[AuditFinding]:
    """Find patients with images in two splits.

    Args:
        images: All images.
        rule: Tells the patients. None takes those that the import was told of; on the names of images of
            which it was told none, likely patterns are tried, and what they find is a warning, for they may
            be wrong.

    Raises:
        DataError: What the rule says of an image is not clear.
    """
    names = [(images.origins[row], images.class_name(row) or "") for row in range(len(images))]
    if rule is not None:
        keys = rule.groups_of(names)
        if not any(keys):
            what = f"--group '{rule.text}' tells no image's patient, such as {images.origin_name(0)!r}"
            return [AuditFinding("groups", "error", what, "correct it")]
        return _findings(images, keys, "error", f"by '{rule.text}'{_rest(keys)}")
    without = [row for row, group in enumerate(images.groups) if group is None]
    pattern, guessed = guess_groups([names[row] for row in without])
    keys = [None] * len(images)
    for row, key in zip(without, guessed, strict=True):
        keys[row] = key
    told = f"by the pattern '{pattern}', a guess{_rest(guessed)}"
    guesses = _findings(images, keys, "warning", told) if pattern else []
    if len(without) == len(images):
        return guesses or [left_out("groups", "no name looks like a patient's; --group says which part is")]
    recorded = _findings(images, list(images.groups), "error", "as imported")
    return [*recorded, *_missing(images, without), *guesses]


def _rest(keys: list[str | None]) -> str:
    return f"; {counted(keys.count(None), 'image has', 'images have')} none" if None in keys else ""


def _missing(images: ImageTable, without: list[int]) -> list[AuditFinding]:
    """Say how many images have no patient though others have: of them nothing is known."""
    if not without:
        return []
    what = (
        f"{counted(len(without), 'image has', 'images have')} no patient, though the import was told those of"
        f" {len(images) - len(without):,}, such as {images.origin_name(without[0])!r}; whether their"
        " patients are in two splits is not known"
    )
    mend = "import with a --group that tells the patients of all"
    return [AuditFinding("groups", "warning", what, mend, len(without), ((without[0],),))]


def _findings(images: ImageTable, keys: list[str | None], severity: str, told: str) -> list[AuditFinding]:
    rows_of = repeated(key or row for row, key in enumerate(keys))
    shared = [rows for rows in rows_of if len({int(images.splits[row]) for row in rows}) > 1]
    patients = len({key for key in keys if key})
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
