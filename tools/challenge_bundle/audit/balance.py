"""How labels are distributed: missing or rare classes, imbalance, different shares in the splits, values."""

import numpy as np
from numpy.typing import NDArray

from challenge_bundle.audit.base import TESTING, AuditFinding, ImageTable, left_out
from challenge_bundle.audit.label_balance import find_odd_values, find_rare_labels, share_figures
from challenge_bundle.findings import ERROR, WARNING, Finding
from challenge_bundle.formats.tasks import MULTILABEL, REGRESSION, WITH_ONE_CLASS
from challenge_bundle.layout import SPLITS

MIN_IMAGES = 10
"""Of a class in a split; with fewer, one image is a tenth of its score."""
MAX_RATIO = 10.0
"""Of the most common class's images to the rarest's."""
MIN_ASSOCIATION = 0.1
"""Cramér's V between split and class, from which the shares count as different; 0 none, 1 all."""


def count_images(images: ImageTable) -> NDArray[np.int64]:
    """Images of each split that have each class or label, (3, K); 0 of a split whose labels are unknown."""
    counts = np.zeros((len(SPLITS), len(images.class_names)), np.int64)
    for split in range(len(SPLITS)):
        targets = images.targets(images.of_split(split))
        if images.task == MULTILABEL and len(targets):
            counts[split] = targets.sum(axis=0)
        elif images.task in WITH_ONE_CLASS:
            counts[split] = np.bincount(targets, minlength=counts.shape[1])
    return counts


def find_imbalance(images: ImageTable) -> list[AuditFinding]:
    """Find classes or labels that a split misses or has few images of, unequal shares, and odd values."""
    known = [split for split in range(len(SPLITS)) if len(images.of_split(split))]
    if images.task == REGRESSION:
        findings = find_odd_values(images, known)
    elif images.task == MULTILABEL:
        findings = find_rare_labels(images, count_images(images), known)
    else:
        findings = _find_class_imbalance(images, count_images(images), known)
    if TESTING not in known:
        findings.append(left_out("balance", "the classes of the testing images are not known here"))
    return findings


def _find_class_imbalance(
    images: ImageTable, counts: NDArray[np.int64], known: list[int]
) -> list[AuditFinding]:
    findings = _few(images, counts, known)
    totals = counts[0]
    if totals.size and totals.min() > 0 and totals.max() / totals.min() >= MAX_RATIO:
        ratio = totals.max() / totals.min()
        rare, common = images.class_names[int(totals.argmin())], images.class_names[int(totals.argmax())]
        findings.append(
            AuditFinding(
                "balance",
                Finding(
                    "class-imbalance",
                    WARNING,
                    "",
                    f"class {common} has {ratio:.0f} times the training images of {rare}",
                    "rank by a macro_ score (evaluation.metric), which weights all classes alike",
                ),
                int(totals.max()),
            )
        )
    association = cramers_v(counts[known])
    if association >= MIN_ASSOCIATION:
        shares = counts[known] / counts[known].sum(axis=1, keepdims=True)
        findings.append(
            AuditFinding(
                "balance",
                Finding(
                    "class-shares-differ",
                    WARNING,
                    "",
                    f"the splits have different shares of the classes (Cramér's V {association:.2f})",
                    "assign the splits class by class, as `data import` does, or inform the participants",
                ),
                figures=share_figures(images, shares, known, "class"),
            )
        )
    return findings


def cramers_v(counts: NDArray[np.int64]) -> float:
    """Strength of the association of rows and columns.

    Args:
        counts: (R, K) cases; no row is empty.

    Returns:
        0 (the shares are the same in every row) to 1.

    Source:
        Cramér 1946, "Mathematical Methods of Statistics", 21.9.
    """
    counts = counts[:, counts.sum(axis=0) > 0]
    if min(counts.shape) < 2:
        return 0.0
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    chi_squared = float((np.square(counts - expected) / expected).sum())
    return float(np.sqrt(chi_squared / counts.sum() / (min(counts.shape) - 1)))


def _few(images: ImageTable, counts: NDArray[np.int64], known: list[int]) -> list[AuditFinding]:
    findings: list[AuditFinding] = []
    for split in known:
        missing = [images.class_names[label] for label in np.flatnonzero(counts[split] == 0)]
        few = [
            f"{images.class_names[label]} ({counts[split, label]})"
            for label in np.flatnonzero((counts[split] > 0) & (counts[split] < MIN_IMAGES))
        ]
        if missing:
            what = f"the {SPLITS[split]} split has no image of {', '.join(missing)}"
            hint = "add some, or remove the class everywhere"
            absent = Finding("class-missing", ERROR, "", what, hint)
            findings.append(AuditFinding("balance", absent, len(missing)))
        if few:
            what = f"the {SPLITS[split]} split has fewer than {MIN_IMAGES} images of {', '.join(few)}"
            hint = "add some: a score on so few images is mostly chance"
            rare = Finding("class-rare", WARNING, "", what, hint)
            findings.append(AuditFinding("balance", rare, len(few)))
    return findings
