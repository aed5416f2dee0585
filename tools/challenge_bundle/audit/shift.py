"""Whether the splits differ in brightness and contrast, or in the values that are to be predicted."""

import numpy as np
from numpy.typing import NDArray

from challenge_bundle.audit.base import TRAINING, AuditFinding, Figures, ImageTable, left_out
from challenge_bundle.findings import NOTE, WARNING, Finding
from challenge_bundle.formats.tasks import REGRESSION
from challenge_bundle.layout import SPLITS

MIN_DISTANCE = 0.15
"""Greatest difference of the two cumulative distributions (Kolmogorov-Smirnov), 0..1. In a large set less is
beyond chance too, and harmless."""
MAX_P_VALUE = 0.001
MIN_IMAGES = 20

_MEASURES = ("mean", "standard deviation")


def find_shift(images: ImageTable) -> list[AuditFinding]:
    """Compare the images' mean gray level and its standard deviation between training and the other splits.

    Args:
        images: All images; classes are not needed.

    Returns:
        A warning for each split that differs by much and beyond chance, and a note with all figures.
    """
    training = images.brightness[images.splits == TRAINING]
    if len(training) < MIN_IMAGES:
        return [left_out("shift", f"a comparison of the splits needs {MIN_IMAGES} images or more in each")]
    findings: list[AuditFinding] = []
    table: list[tuple[str | int | float, ...]] = []
    for split in range(TRAINING + 1, len(SPLITS)):
        other = images.brightness[images.splits == split]
        if len(other) < MIN_IMAGES:
            findings.append(
                left_out("shift", f"the {SPLITS[split]} split has fewer than {MIN_IMAGES} images")
            )
            continue
        for column, measure in enumerate(_MEASURES):
            distance, p_value = compare_distributions(training[:, column], other[:, column])
            medians = [round(float(np.median(values[:, column])), 1) for values in (training, other)]
            table.append((SPLITS[split], measure, *medians, round(distance, 3), float(f"{p_value:.2g}")))
            if distance >= MIN_DISTANCE and p_value <= MAX_P_VALUE:
                what = (
                    f"the {SPLITS[split]} images differ from the training images in the {measure} of their"
                    f" gray levels (medians {medians[1]} and {medians[0]}, distance {distance:.2f} of 1)"
                )
                hint = "find out whether they come from another place or device, and inform participants"
                findings.append(
                    AuditFinding("shift", Finding("brightness-shift", WARNING, "", what, hint), len(other))
                )
    findings += _find_value_shift(images)
    what = "brightness and contrast of the splits, compared with training"
    figures = Figures(("split", "gray levels'", "training", "split's", "distance", "p"), tuple(table))
    note = AuditFinding("shift", Finding("brightness", NOTE, "", what), figures=figures)
    return [*findings, note] if table else findings


def _find_value_shift(images: ImageTable) -> list[AuditFinding]:
    """The warning for a split whose values (regression) are distributed otherwise than those of training."""
    if images.task != REGRESSION:
        return []
    findings: list[AuditFinding] = []
    training = images.targets(images.of_split(TRAINING))
    for split in range(TRAINING + 1, len(SPLITS)):
        other = images.targets(images.of_split(split))
        if min(len(training), len(other)) < MIN_IMAGES:
            continue
        distance, p_value = compare_distributions(training, other)
        if distance >= MIN_DISTANCE and p_value <= MAX_P_VALUE:
            medians = f"{np.median(other):.6g} and {np.median(training):.6g}"
            what = (
                f"the {SPLITS[split]} values differ from the training values"
                f" (medians {medians}, distance {distance:.2f} of 1)"
            )
            hint = "assign the splits by value, as `data import` does, or inform the participants"
            finding = Finding("value-shift", WARNING, "", what, hint)
            findings.append(AuditFinding("shift", finding, len(other)))
    return findings


def compare_distributions(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """Kolmogorov-Smirnov test of two samples.

    Args:
        one: (N,).
        other: (M,).

    Returns:
        The distance, 0..1, and its p-value (asymptotic).
    """
    from scipy.stats import ks_2samp

    found = ks_2samp(one, other, method="asymp")
    return float(found.statistic), float(found.pvalue)
