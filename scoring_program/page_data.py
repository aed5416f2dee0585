"""What the charts of the page show: how predictions agree with the reference, not what the reference is.

Participants see the page, and know their own predictions to the last digit. A plot of every case would hand
them the reference: a scatter plot shows the true value of each of their predictions, and a ROC curve with a
step for each case shows, from their highest prediction downwards, which case is positive. So what they see
is aggregated: curves through few points, histograms of few bins, counts below FEWEST not shown. That leaves
about what a confusion matrix gives away: a few cases in each submission, to somebody who tries. Every case
is drawn only where the organiser asks for the cases (`details.wrong_cases` is given).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from page_charts import FEWEST, nice_range

CURVE_STEPS = 20
CURVE_STEPS_WITH_CASES = 100
CALIBRATION_BINS = 10
GRID_BINS = 10
ERROR_BINS = 20
NORMAL_95 = 1.959963984540054
"""The 97.5th percentile of the standard normal distribution."""


def roc_points(positive: np.ndarray, score: np.ndarray, show_cases: bool) -> np.ndarray | None:
    """True positive rates at equally spaced false positive rates.

    Args:
        positive: Whether each case is positive (N,), bool.
        score: The predicted probability of that (N,).
        show_cases: Whether cases may be told apart; else each step has at least FEWEST negative cases.

    Returns:
        Points (P, 2) of false and true positive rate, P at most 102; None if all cases are
        positive, or none is.

    Source:
        Fawcett 2006, "An introduction to ROC analysis"; tied scores are one oblique step.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return None
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=np.inf) != 0)
    found = np.cumsum(positive[order])[ends]
    true_rate = np.concatenate([[0.0], found / positives])
    false_rate = np.concatenate([[0.0], (ends + 1 - found) / negatives])
    steps = CURVE_STEPS_WITH_CASES if show_cases else min(CURVE_STEPS, max(negatives // FEWEST, 1))
    rates = np.linspace(0.0, 1.0, steps + 1)
    # Of points above each other the highest counts; numpy's interp leaves open which it takes.
    after = np.minimum(np.searchsorted(false_rate, rates, side="right"), len(false_rate) - 1)
    width = false_rate[after] - false_rate[after - 1]
    share = np.divide(rates - false_rate[after - 1], width, out=np.ones_like(rates), where=width > 0)
    heights = true_rate[after - 1] + share * (true_rate[after] - true_rate[after - 1])
    points = np.column_stack([rates, heights])
    return np.round(np.concatenate([[[0.0, 0.0]], points]), 4 if show_cases else 2)


class CalibrationBin(NamedTuple):
    """Cases of similar probability: its mean, how often it came true, the 95 % interval of that, how many."""

    predicted: float
    observed: float
    low: float
    high: float
    cases: int


def calibration(predicted: np.ndarray, came_true: np.ndarray, show_cases: bool) -> list[CalibrationBin]:
    """Compare probabilities with how often they come true, in ten bins of equal width.

    Args:
        predicted: Probabilities (N,), 0 to 1.
        came_true: Whether it was so (N,), bool.
        show_cases: Whether bins with fewer than FEWEST cases are kept.

    Source:
        The interval is Wilson's (1927), of cases that are independent of each other.
    """
    bins = np.minimum((predicted * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    means = np.bincount(bins, weights=predicted, minlength=CALIBRATION_BINS)
    hits = np.bincount(bins, weights=came_true, minlength=CALIBRATION_BINS)
    found = []
    for number in np.flatnonzero(counts >= (1 if show_cases else FEWEST)).tolist():
        count = int(counts[number])
        low, high = wilson_interval(hits[number] / count, count)
        found.append(CalibrationBin(means[number] / count, hits[number] / count, low, high, count))
    return found


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `count` independent cases."""
    squared = NORMAL_95**2
    middle = (share + squared / (2 * count)) / (1 + squared / count)
    half = NORMAL_95 * np.sqrt(share * (1 - share) / count + squared / (4 * count**2)) / (1 + squared / count)
    return float(max(middle - half, 0.0)), float(min(middle + half, 1.0))


class Agreement(NamedTuple):
    """How values agree: mean and limits of the errors (prediction minus reference)."""

    bias: float
    low: float
    high: float


def agreement(errors: np.ndarray) -> Agreement:
    """The limits within which 95 % of the errors lie, if they are normally distributed.

    Source:
        Bland and Altman 1986, "Statistical methods for assessing agreement between two methods".
    """
    bias = float(errors.mean())
    spread = float(errors.std(ddof=1)) if len(errors) > 1 else 0.0
    return Agreement(bias, bias - NORMAL_95 * spread, bias + NORMAL_95 * spread)


def error_range(found: Agreement) -> tuple[float, float]:
    """Round bounds of an axis of errors, around zero and a margin beyond the limits of agreement."""
    margin = (found.high - found.low) / 4
    return nice_range(min(found.low - margin, 0.0), max(found.high + margin, 0.0))


def grid_counts(
    across: np.ndarray,
    upwards: np.ndarray,
    across_range: tuple[float, float],
    upwards_range: tuple[float, float],
) -> np.ndarray:
    """Count pairs of values in GRID_BINS x GRID_BINS cells; what lies beyond is counted in the outermost.

    Returns:
        Counts (columns, rows), from the lowest values on, int64.
    """
    columns = bin_numbers(across, across_range, GRID_BINS)
    rows = bin_numbers(upwards, upwards_range, GRID_BINS)
    return np.bincount(columns * GRID_BINS + rows, minlength=GRID_BINS**2).reshape(GRID_BINS, GRID_BINS)


def bin_numbers(values: np.ndarray, bounds: tuple[float, float], count: int) -> np.ndarray:
    """The bin of each value (N,), 0 to count - 1; what lies beyond the bounds is in the outermost ones."""
    shares = (values - bounds[0]) / (bounds[1] - bounds[0])
    return np.clip(np.floor(shares * count), 0, count - 1).astype(np.int64)
