"""Metrics that are means of a value of each case, or functions of such means."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cases import Cases
from weighted_sums import CaseSums, Scorer, ratio


def mean_of(values: Callable[[Cases], np.ndarray]) -> Callable[[Cases], Scorer]:
    """The mean over the cases that have a value.

    Args:
        values: Cases to values (N,), nan where a case has none.
    """

    def measure(cases: Cases) -> Scorer:
        of_cases = values(cases)
        sums = _column_sums(np.where(np.isnan(of_cases), 0.0, of_cases), ~np.isnan(of_cases))

        def mean(weights: np.ndarray) -> np.ndarray:
            total, count = sums(weights)
            return ratio(total, count, empty=np.nan)

        return mean

    return measure


def _column_sums(*columns: np.ndarray) -> Scorer:
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
    distances: np.ndarray = np.abs(cases.reference - cases.predictions)
    return distances.astype(np.float64)
