"""How the labels of a multilabel task, or the values of a regression, are distributed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from challenge_bundle.audit.base import TRAINING, AuditFinding, Figures, ImageTable, counted
from challenge_bundle.findings import ERROR, NOTE, WARNING, Finding
from challenge_bundle.layout import SPLITS

MIN_IMAGES = 10
"""With a label in a split, and without it."""
MIN_DIFFERENCE = 0.1
"""Of the shares of images with a label in two splits, from which they count as different."""
MAX_P_VALUE = 0.001
SHOWN_SETS = 10


def share_figures(
    images: ImageTable, shares: NDArray[np.float64], known: Sequence[int], what: str
) -> Figures:
    """The share of images with each class or label, (S, K) of the known splits, as a table."""
    rows = tuple(
        (name, *(f"{share:.1%}" for share in shares[:, label]))
        for label, name in enumerate(images.class_names)
    )
    return Figures((what, *(SPLITS[split] for split in known)), rows)


def find_rare_labels(
    images: ImageTable, counts: NDArray[np.int64], known: Sequence[int]
) -> list[AuditFinding]:
    """Find labels that all images of a split have, or none, or few; other shares; and list the label sets.

    Args:
        images: Of a multilabel task.
        counts: (3, K) images with each label.
        known: The splits whose labels are known.
    """
    findings: list[AuditFinding] = []
    sizes = np.array([len(images.of_split(split)) for split in range(len(SPLITS))])
    for split in known:
        without = sizes[split] - counts[split]
        constant = np.flatnonzero((counts[split] == 0) | (without == 0))
        few = np.flatnonzero(np.minimum(counts[split], without) < MIN_IMAGES)
        few = np.setdiff1d(few, constant)
        if len(constant):
            names = ", ".join(images.class_names[label] for label in constant)
            what = f"in the {SPLITS[split]} split no image, or each, has the label {names}"
            hint = "add images, or leave the label out: it has no AUC, and is not in the mean"
            finding = Finding("label-constant", WARNING, "", what, hint)
            findings.append(AuditFinding("balance", finding, len(constant)))
        if len(few):
            names = ", ".join(f"{images.class_names[label]} ({counts[split, label]})" for label in few)
            what = f"the {SPLITS[split]} split has fewer than {MIN_IMAGES} images with, or without, {names}"
            hint = "add some: a label's score on so few images is mostly chance"
            findings.append(AuditFinding("balance", Finding("label-rare", WARNING, "", what, hint), len(few)))
    shares = counts[list(known)] / sizes[list(known), None]
    findings += _other_shares(images, shares, sizes[list(known)], known)
    return [*findings, _label_sets(images, known)]


def _other_shares(
    images: ImageTable, shares: NDArray[np.float64], sizes: NDArray[np.int64], known: Sequence[int]
) -> list[AuditFinding]:
    """The warning for labels whose share in a split is far from that in training, beyond chance."""
    from scipy.stats import norm

    if TRAINING not in known or len(known) < 2:
        return []
    training = shares[0]
    odd: set[int] = set()
    for other, size in zip(shares[1:], sizes[1:], strict=True):
        pooled = (training * sizes[0] + other * size) / (sizes[0] + size)
        spread = np.sqrt(pooled * (1 - pooled) * (1 / sizes[0] + 1 / size))
        distance = np.abs(other - training)
        p_values = 2 * norm.sf(np.divide(distance, spread, out=np.zeros(len(spread)), where=spread > 0))
        far = (distance >= MIN_DIFFERENCE) & (p_values * len(images.class_names) <= MAX_P_VALUE)
        odd |= set(np.flatnonzero(far).tolist())
    if not odd:
        return []
    names = ", ".join(images.class_names[label] for label in sorted(odd))
    what = f"the splits have different shares of images with {names}"
    hint = "assign the splits by label set, as `data import` does, or inform the participants"
    finding = Finding("label-shares-differ", WARNING, "", what, hint)
    figures = share_figures(images, shares, known, "label")
    return [AuditFinding("balance", finding, len(odd), figures=figures)]


def _label_sets(images: ImageTable, known: Sequence[int]) -> AuditFinding:
    """The note of which labels stand together."""
    rows = np.concatenate([images.of_split(split) for split in known] or [np.empty(0, np.int64)])
    counts = np.bincount(images.labels[rows], minlength=len(images.label_texts))
    order = np.argsort(-counts, kind="stable")[:SHOWN_SETS]
    table = tuple((images.label_texts[label] or "no label", int(counts[label])) for label in order)
    mean = float(images.targets(rows).sum() / max(1, len(rows)))
    what = f"{counted(len(images.label_texts), 'set', 'sets')} of labels, {mean:.2f} labels per image"
    return AuditFinding(
        "balance", Finding("label-sets", NOTE, "", what), figures=Figures(("labels", "images"), table)
    )


def find_odd_values(images: ImageTable, known: Sequence[int]) -> list[AuditFinding]:
    """Find a split whose values are all the same, or outside those of training; list their distribution."""
    findings: list[AuditFinding] = []
    rows: list[tuple[str | int | float, ...]] = []
    training = images.targets(images.of_split(TRAINING))
    for split in known:
        values = images.targets(images.of_split(split))
        quantiles = [float(f"{value:.6g}") for value in np.quantile(values, (0.0, 0.25, 0.5, 0.75, 1.0))]
        rows.append((SPLITS[split], *quantiles, float(f"{values.mean():.6g}"), len(values)))
        if values.min() == values.max():
            what = f"all images of the {SPLITS[split]} split have one value, {values[0]:g}"
            hint = "add images with other values: no method can be told from another"
            findings.append(AuditFinding("balance", Finding("value-constant", ERROR, "", what, hint), 1))
        if split == TRAINING or not len(training):
            continue
        outside = int(((values < training.min()) | (values > training.max())).sum())
        if outside > max(1.0, 0.05 * len(values)):
            what = (
                f"{counted(outside, 'value', 'values')} of {len(values):,} of the {SPLITS[split]} split lie"
                f" outside those of training ({training.min():g} to {training.max():g})"
            )
            hint = "assign the splits by value, as `data import` does, or inform the participants"
            finding = Finding("values-outside-training", WARNING, "", what, hint)
            findings.append(AuditFinding("balance", finding, outside))
    header = ("split", "least", "quarter", "median", "three quarters", "greatest", "mean", "images")
    note = Finding("values", NOTE, "", "distribution of the values of each split")
    return [*findings, AuditFinding("balance", note, figures=Figures(header, tuple(rows)))]
