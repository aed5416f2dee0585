"""Exact copies: the same picture twice, in two splits, or under two classes."""

from collections.abc import Sequence

from challenge_bundle.audit.base import (
    TESTING,
    TRAINING,
    UNKNOWN,
    VALIDATION,
    AuditFinding,
    ImageTable,
    counted,
    repeated,
)

_ACROSS = (
    (
        (TRAINING, TESTING),
        "error",
        "testing image is in the training split too",
        "testing images are in the training split too",
        "remove them from the training split (`data import --drop-copies`): who learns them by heart"
        " is right there",
    ),
    (
        (TRAINING, VALIDATION),
        "warning",
        "validation image is in the training split too",
        "validation images are in the training split too",
        "remove them from the training split (`data import --drop-copies`):"
        " the validation score is too good by them",
    ),
    (
        (VALIDATION, TESTING),
        "warning",
        "testing image is in the validation split too",
        "testing images are in the validation split too",
        "remove them from the validation split (`data import --drop-copies`):"
        " a model chosen there has seen them",
    ),
)


def find_copies(images: ImageTable) -> list[AuditFinding]:
    """Find images with the same pixels, whatever their files are.

    Args:
        images: All images.

    Returns:
        An error for testing images in training; warnings for other splits and for copies in one split.
    """
    pictures = repeated(images.pixel_hashes)
    findings: list[AuditFinding] = []
    for (seen, asked), severity, one, many, mend in _ACROSS:
        shared = [rows for rows in pictures if {seen, asked} <= {int(images.splits[row]) for row in rows}]
        count = sum(int(images.splits[row]) == asked for rows in shared for row in rows)
        if count:
            what = f"{counted(count, one, many)}{_alike(images, shared)}"
            findings.append(AuditFinding("copies", severity, what, mend, count, tuple(shared)))
    inside = [rows for rows in pictures if len({int(images.splits[row]) for row in rows}) < len(rows)]
    extra = sum(len(rows) - len({int(images.splits[row]) for row in rows}) for rows in inside)
    if extra:
        findings.append(
            AuditFinding(
                "copies",
                "warning",
                f"{counted(extra, 'image is a copy', 'images are copies')} of another one in the same split"
                f"{_alike(images, inside)}",
                "keep one of each (`data import --drop-copies`): copies count double in training and in"
                " every score",
                extra,
                tuple(inside),
            )
        )
    return findings


def find_conflicts(images: ImageTable) -> list[AuditFinding]:
    """Find the same picture under two classes.

    Args:
        images: All images; those of unknown class are passed over.
    """
    conflicts = [
        rows
        for rows in repeated(images.pixel_hashes)
        if len({int(images.labels[row]) for row in rows} - {UNKNOWN}) > 1
    ]
    if not conflicts:
        return []
    what = counted(len(conflicts), "picture has two classes", "pictures have two classes")
    mend = "find out which is right, and keep that one alone: no method can learn both"
    return [AuditFinding("conflicts", "error", what, mend, len(conflicts), tuple(conflicts))]


def _alike(images: ImageTable, pictures: Sequence[tuple[int, ...]]) -> str:
    """How far the copies agree."""
    same = all(len({images.file_hashes[row] for row in rows}) == 1 for rows in pictures)
    return ", byte for byte" if same else ", pixel for pixel (their files differ)"
