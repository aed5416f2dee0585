"""Patients with images in two splits; patients come from a rule, the import or the original names."""

from challenge_bundle.audit.base import (
    TESTING,
    TRAINING,
    AuditFinding,
    ImageTable,
    counted,
    left_out,
    repeated,
)
from challenge_bundle.findings import ERROR, NOTE, WARNING, Finding
from challenge_bundle.formats.group_rules import GroupRule, guess_groups


def find_shared_groups(images: ImageTable, rule: GroupRule | None) -> list[AuditFinding]:
    """Find patients with images in two splits.

    Args:
        images: All images.
        rule: Gives the patients. None takes those of the import; for images without one, likely patterns of
            names are tried, and what they find is a warning, since they may be wrong.

    Raises:
        DataError: The rule is ambiguous for an image.
    """
    names = [(images.origins[row], images.class_name(row) or "") for row in range(len(images))]
    if rule is not None:
        keys = rule.groups_of(names)
        if not any(keys):
            what = (
                f"--group '{rule.text}' finds no image's patient, such as that of {images.origin_name(0)!r}"
            )
            return [AuditFinding("groups", Finding("group-rule", ERROR, "", what, "correct the rule"))]
        return _findings(images, keys, ERROR, f"by '{rule.text}'{_rest(keys)}")
    without = [row for row, group in enumerate(images.groups) if group is None]
    pattern, guessed = guess_groups([names[row] for row in without])
    keys = [None] * len(images)
    for row, key in zip(without, guessed, strict=True):
        keys[row] = key
    source = f"by the pattern '{pattern}', a guess{_rest(guessed)}"
    guesses = _findings(images, keys, WARNING, source) if pattern else []
    if len(without) == len(images):
        return guesses or [
            left_out(
                "groups", "no file name seems to hold a patient's; `--group RULE` finds patients in names"
            )
        ]
    recorded = _findings(images, list(images.groups), ERROR, "as imported")
    return [*recorded, *_missing(images, without), *guesses]


def _rest(keys: list[str | None]) -> str:
    return f"; {counted(keys.count(None), 'image has', 'images have')} none" if None in keys else ""


def _missing(images: ImageTable, without: list[int]) -> list[AuditFinding]:
    """The finding of images without a patient among others that have one."""
    if not without:
        return []
    what = (
        f"{counted(len(without), 'image has', 'images have')} no patient, such as"
        f" {images.origin_name(without[0])!r}, but {len(images) - len(without):,} have one: whether the"
        " patients of those without are in two splits is not known"
    )
    finding = Finding("patients-unknown", WARNING, "", what, "import with a --group that matches all images")
    return [AuditFinding("groups", finding, len(without), ((without[0],),))]


def _findings(images: ImageTable, keys: list[str | None], severity: str, source: str) -> list[AuditFinding]:
    rows_of = repeated(key or row for row, key in enumerate(keys))
    shared = [rows for rows in rows_of if len({int(images.splits[row]) for row in rows}) > 1]
    patients = len({key for key in keys if key})
    if not shared:
        what = f"{patients:,} patients ({source}), none of them in two splits"
        return [AuditFinding("groups", Finding("patients-in-one-split", NOTE, "", what), patients)]
    leaking = [rows for rows in shared if {TRAINING, TESTING} <= {int(images.splits[row]) for row in rows}]
    tested = sum(int(images.splits[row]) == TESTING for rows in leaking for row in rows)
    # One image of each split is an example.
    examples = [_one_per_split(images, rows) for rows in (leaking or shared)]
    what = (
        f"{len(shared):,} of {patients:,} patients ({source}) have images in two splits,"
        f" {counted(tested, 'testing image is', 'testing images are')} of patients in training"
    )
    hint = "import class folders without train/ and test/ with --group, which splits by patient"
    finding = Finding("patients-in-two-splits", severity if leaking else WARNING, "", what, hint)
    return [AuditFinding("groups", finding, len(shared), tuple(examples))]


def _one_per_split(images: ImageTable, rows: tuple[int, ...]) -> tuple[int, ...]:
    first: dict[int, int] = {}
    for row in rows:
        first.setdefault(int(images.splits[row]), row)
    return tuple(first[split] for split in sorted(first))
