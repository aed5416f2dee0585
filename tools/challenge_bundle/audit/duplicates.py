"""Exact duplicates: the same picture twice, in two splits, or under two classes (a label conflict)."""

from collections.abc import Sequence
from dataclasses import replace

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
from challenge_bundle.findings import ERROR, WARNING, Finding
from challenge_bundle.formats.tasks import CLASSIFICATION, MULTILABEL, ORDINAL, REGRESSION

LABEL_WORDS = {
    CLASSIFICATION: "classes",
    ORDINAL: "classes",
    MULTILABEL: "sets of labels",
    REGRESSION: "values",
}

_ACROSS = (
    (
        (TRAINING, TESTING),
        "testing image is in the training split too",
        Finding(
            "duplicates-training-testing",
            ERROR,
            "",
            "testing images are in the training split too",
            "remove them from the training split (`data import --drop-copies`): a model that memorises them"
            " is right there",
        ),
    ),
    (
        (TRAINING, VALIDATION),
        "validation image is in the training split too",
        Finding(
            "duplicates-training-validation",
            WARNING,
            "",
            "validation images are in the training split too",
            "remove them from the training split (`data import --drop-copies`): they make the validation"
            " score too high",
        ),
    ),
    (
        (VALIDATION, TESTING),
        "testing image is in the validation split too",
        Finding(
            "duplicates-validation-testing",
            WARNING,
            "",
            "testing images are in the validation split too",
            "remove them from the validation split (`data import --drop-copies`): a model chosen there has"
            " seen them",
        ),
    ),
)


def find_duplicates(images: ImageTable) -> list[AuditFinding]:
    """Find images with the same pixels, whatever their files are.

    Args:
        images: All images.

    Returns:
        An error for testing images in training; warnings for other splits and for duplicates in one split.
    """
    pictures = repeated(images.pixel_hashes)
    findings: list[AuditFinding] = []
    for (seen, asked), one, kind in _ACROSS:
        shared = [rows for rows in pictures if {seen, asked} <= {int(images.splits[row]) for row in rows}]
        count = sum(int(images.splits[row]) == asked for rows in shared for row in rows)
        if count:
            what = f"{counted(count, one, kind.message)}{_alike(images, shared)}"
            findings.append(AuditFinding("copies", replace(kind, message=what), count, tuple(shared)))
    inside = [rows for rows in pictures if len({int(images.splits[row]) for row in rows}) < len(rows)]
    extra = sum(len(rows) - len({int(images.splits[row]) for row in rows}) for rows in inside)
    if extra:
        findings.append(
            AuditFinding(
                "copies",
                Finding(
                    "duplicates-in-split",
                    WARNING,
                    "",
                    f"{counted(extra, 'image is a duplicate', 'images are duplicates')} of another one in the"
                    f" same split{_alike(images, inside)}",
                    "keep one of each (`data import --drop-copies`): duplicates count double in training and"
                    " in every score",
                ),
                extra,
                tuple(inside),
            )
        )
    return findings


def find_label_conflicts(images: ImageTable) -> list[AuditFinding]:
    """Find the same picture under two classes.

    Args:
        images: All images; those of unknown class are ignored.
    """
    conflicts = [
        rows
        for rows in repeated(images.pixel_hashes)
        if len({int(images.labels[row]) for row in rows} - {UNKNOWN}) > 1
    ]
    if not conflicts:
        return []
    kind = LABEL_WORDS[images.task]
    what = counted(len(conflicts), f"picture has two {kind}", f"pictures have two {kind}")
    hint = "find out which is right, and keep that one alone: no method can learn both"
    finding = Finding("label-conflict", ERROR, "", what, hint)
    return [AuditFinding("conflicts", finding, len(conflicts), tuple(conflicts))]


def _alike(images: ImageTable, pictures: Sequence[tuple[int, ...]]) -> str:
    """How far the duplicates agree."""
    same = all(len({images.file_hashes[row] for row in rows}) == 1 for rows in pictures)
    return ", byte for byte" if same else ", pixel for pixel (their files differ)"
