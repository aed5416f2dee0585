"""Metrics that are means of a value of each case, or functions of such means."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cases import Cases
from weighted_sums import CaseSums, Scorer, ratio

CALIBRATION_BINS = 15


def mean_of(values: Callable[[Cases], np.ndarray]) -> Callable[[Cases], Scorer]:
    """The mean over the cases that have a value.

    Args:
        values: Cases to values (N,), nan where a case has none.
    """

    def measure(cases: Cases) -> Scorer:
        of_cases = values(cases)
        sums = column_sums(np.where(np.isnan(of_cases), 0.0, of_cases), ~np.isnan(of_cases))

        def mean(weights: np.ndarray) -> np.ndarray:
            total, count = sums(weights)
            return ratio(total, count, empty=np.nan)

        return mean

    return measure


def column_sums(*columns: np.ndarray) -> Scorer:
    """Weights (B, N) to the weighted sums of the columns (C, B), float64."""
    table = np.stack([np.asarray(column, dtype=np.float64) for column in columns])
    rows, cases = np.nonzero(table)
    sums = CaseSums(rows, cases, table.shape, table[rows, cases])
    return lambda weights: sums(weights).astype(np.float64)


def hit_values(cases: Cases) -> np.ndarray:
    """Whether each case is right (N,), 1 or 0; of a multilabel task, in every label."""
    right: np.ndarray = np.equal(cases.reference, cases.predictions).astype(np.float64)
    return right if right.ndim == 1 else np.asarray(right.min(axis=1))


def rank_distances(cases: Cases) -> np.ndarray:
    """How many ranks each prediction is off (N,)."""
    return absolute_errors(cases).astype(np.float64)


def probabilities_of(cases: Cases) -> np.ndarray:
    """Probabilities (N, K), which metrics that need them can expect."""
    if cases.probabilities is None:
        raise ValueError("expected predictions with probabilities")
    return cases.probabilities


def brier_values(cases: Cases) -> np.ndarray:
    """Half the squared distance of each case's probabilities from its class (N,), 0 to 1."""
    off = probabilities_of(cases).copy()
    off[np.arange(len(off)), cases.reference] -= 1.0
    halves: np.ndarray = 0.5 * np.square(off).sum(axis=1)
    return halves


def log_losses(cases: Cases) -> np.ndarray:
    """Minus the logarithm of the probability of each case's class (N,), which counts as 2.2e-16 at least."""
    of_class = probabilities_of(cases)[np.arange(len(cases.reference)), cases.reference]
    smallest = np.finfo(np.float64).eps
    losses: np.ndarray = -np.log(np.clip(of_class, smallest, 1.0 - smallest))
    return losses


def absolute_errors(cases: Cases) -> np.ndarray:
    """How far off each predicted value is (N,)."""
    errors: np.ndarray = np.abs(cases.reference - cases.predictions)
    return errors


def calibration_bins(cases: Cases) -> Scorer:
    """Sums over the cases of each bin of confidence, the probability of the most probable class.

    The bins are of equal width, from above their lower edge up to their upper one.

    Returns:
        Weights (B, N) to (B, 3, `CALIBRATION_BINS`), float64: confidence minus hits, hits, cases.
    """
    probabilities = probabilities_of(cases)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == cases.reference
    edges = np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)
    bins = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, CALIBRATION_BINS - 1)
    columns = np.arange(len(confidence))
    sums = CaseSums(
        np.concatenate([bins, bins + CALIBRATION_BINS, bins + 2 * CALIBRATION_BINS]),
        np.tile(columns, 3),
        (3 * CALIBRATION_BINS, len(confidence)),
        np.concatenate([confidence - right, right, np.ones(len(confidence))]),
    )
    return lambda weights: sums(weights).astype(np.float64).T.reshape(len(weights), 3, CALIBRATION_BINS)


def calibration_error(bins: np.ndarray) -> np.ndarray:
    """Mean distance of confidence and accuracy in each bin, by its cases, of sums (B, 3, bins).

    Source:
        Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 5.
    """
    gaps, _, count = np.moveaxis(bins, 1, 0)
    return ratio(np.abs(gaps).sum(axis=-1), count.sum(axis=-1), empty=np.nan)


def calibration_error_l2(bins: np.ndarray) -> np.ndarray:
    """Root of the mean squared distance in each bin, less what chance adds to it, of sums (B, 3, bins).

    A bin with fewer than two cases says nothing about chance and counts as 0, as does a mean below 0.

    Source:
        Kumar et al. 2019, "Verified Uncertainty Calibration", definition 4.1 (their bins: of equal counts).
    """
    gaps, hits, count = np.moveaxis(bins, 1, 0)
    accuracy = ratio(hits, count)
    chance = ratio(accuracy * (1.0 - accuracy), count - 1.0)
    squares = np.where(count >= 2.0, ratio(gaps, count) ** 2 - chance, 0.0)
    mean = ratio((squares * count).sum(axis=-1), count.sum(axis=-1), empty=np.nan)
    root: np.ndarray = np.sqrt(np.maximum(mean, 0.0))
    return root
