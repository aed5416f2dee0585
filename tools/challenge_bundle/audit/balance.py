"""How the classes are distributed: missing or rare ones, imbalance, different shares in the splits."""

import numpy as np
from numpy.typing import NDArray

from challenge_bundle.audit.base import TESTING, AuditFinding, Figures, ImageTable, left_out
from challenge_bundle.findings import ERROR, WARNING, Finding
from challenge_bundle.layout import SPLITS

MIN_IMAGES = 10
"""Of a class in a split; with fewer, one image is a tenth of its score."""
MAX_RATIO = 10.0
"""Of the most common class's images to the rarest's."""
MIN_ASSOCIATION = 0.1
"""Cramér's V between split and class, from which the shares count as different; 0 none, 1 all."""


def count_images(images: ImageTable) -> NDArray[np.int64]:
    """Images of each split and class, (3, K); the testing row is 0 where the classes are unknown."""
    counts = np.zeros((len(SPLITS), len(images.class_names)), np.int64)
    for split in range(len(SPLITS)):
        counts[split] = np.bincount(images.labels[images.of_split(split)], minlength=counts.shape[1])
    return counts


def find_imbalance(images: ImageTable) -> list[AuditFinding]:
    """Find classes that a split misses, or that have few images, and unequal shares."""
    counts = count_images(images)
    known = [split for split in range(len(SPLITS)) if counts[split].any()]
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
        rows = tuple(
            (name, *(f"{share:.1%}" for share in shares[:, label]))
            for label, name in enumerate(images.class_names)
        )
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
                figures=Figures(("class", *(SPLITS[split] for split in known)), rows),
            )
        )
    if TESTING not in known:
        findings.append(left_out("balance", "the classes of the testing images are not known here"))
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
