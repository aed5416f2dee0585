"""Metrics of predicted values that are not means over the cases."""

from __future__ import annotations

import numpy as np

from cases import Cases
from value_metrics import column_sums
from weighted_sums import CaseSums, Scorer, ratio, running_sums

COUNT, MEAN_REFERENCE, MEAN_PREDICTION, VAR_REFERENCE, VAR_PREDICTION, COVARIANCE, SQUARED_ERROR = range(7)
"""What `moments` gives: the weight of all cases, means, variances (of the population), mean squared error."""


def moments(cases: Cases) -> Scorer:
    """Means, variances and covariance of reference and predictions.

    They are summed about a centre and in units of the values' own spread, so that a reference of 1e9 ± 1 or
    weights in single precision lose nothing; the variance of equal values is exactly 0.

    Returns:
        Weights (B, N) to (B, 7), float64, see `COUNT` and those beside it.
    """
    (reference, centre, unit), (predictions, other_centre, other_unit) = map(
        _standardised, (cases.reference, cases.predictions)
    )
    sums = column_sums(
        np.ones(len(reference)),
        reference,
        predictions,
        reference**2,
        predictions**2,
        reference * predictions,
        (cases.reference - cases.predictions) ** 2,
    )

    def measure(weights: np.ndarray) -> np.ndarray:
        total, *products = sums(weights)
        mean, other, square, other_square, product, error = (ratio(one, total, np.nan) for one in products)
        rounding = 64.0 * np.finfo(weights.dtype).eps
        found = np.stack(
            [
                total,
                centre + unit * mean,
                other_centre + other_unit * other,
                unit**2 * _variance(square, mean, rounding),
                other_unit**2 * _variance(other_square, other, rounding),
                unit * other_unit * (product - mean * other),
                error,
            ],
            axis=-1,
        )
        return found

    return measure


def _standardised(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Values (N,) about their mean in units of their standard deviation; the mean; the deviation."""
    if np.ptp(values) == 0.0:
        return np.zeros(len(values)), float(values[0]), 1.0
    centre, unit = float(values.mean()), float(values.std())
    return (values - centre) / unit, centre, unit


def _variance(square: np.ndarray, mean: np.ndarray, rounding: float) -> np.ndarray:
    """Variance (B,); 0 where it is no more than rounding, as of cases with one value in all."""
    variance = square - mean**2
    return np.where(variance > rounding * square, variance, 0.0)


def root_mean_squared_error(of_cases: np.ndarray) -> np.ndarray:
    """In the unit of the values, of moments (B, 7)."""
    root: np.ndarray = np.sqrt(of_cases[:, SQUARED_ERROR])
    return root


def r2(of_cases: np.ndarray) -> np.ndarray:
    """Share of the reference's variance that the predictions explain, of moments (B, 7)."""
    error, variance = of_cases[:, SQUARED_ERROR], of_cases[:, VAR_REFERENCE]
    of_constant = np.where(np.isnan(error), np.nan, np.where(error > 0.0, 0.0, 1.0))
    return np.where(variance > 0.0, 1.0 - ratio(error, variance), of_constant)


def pearson(of_cases: np.ndarray) -> np.ndarray:
    """Linear correlation, of moments (B, 7)."""
    return _correlation(of_cases[:, VAR_REFERENCE], of_cases[:, VAR_PREDICTION], of_cases[:, COVARIANCE])


def _correlation(reference: np.ndarray, predictions: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Of variances and covariance: 0 where the predictions do not vary, nan where the reference does not."""
    found = np.clip(ratio(covariance, np.sqrt(reference) * np.sqrt(predictions)), -1.0, 1.0)
    return np.where(reference > 0.0, found, np.nan)


def concordance_correlation(of_cases: np.ndarray) -> np.ndarray:
    """Agreement of the values themselves, of moments (B, 7).

    Source:
        Lin 1989, "A concordance correlation coefficient to evaluate reproducibility".
    """
    apart = (of_cases[:, MEAN_REFERENCE] - of_cases[:, MEAN_PREDICTION]) ** 2
    spread = of_cases[:, VAR_REFERENCE] + of_cases[:, VAR_PREDICTION] + apart
    of_equal = np.where(np.isnan(spread), np.nan, 1.0)
    return np.where(spread > 0.0, ratio(2.0 * of_cases[:, COVARIANCE], spread), of_equal)


def median_absolute_error(cases: Cases) -> Scorer:
    """The middle error: half of the weight is of smaller ones; of two in the middle their mean.

    Returns:
        Weights (B, N) to scores (B,), nan without any weight.
    """
    errors, places = np.unique(np.abs(cases.reference - cases.predictions), return_inverse=True)
    sums = CaseSums(places, np.arange(len(places)), (len(errors), len(places)))

    def score(weights: np.ndarray) -> np.ndarray:
        up_to = running_sums(sums(weights))
        half = 0.5 * up_to[-1]
        lower = errors[np.minimum((up_to < half).sum(axis=0), len(errors) - 1)]
        upper = errors[np.minimum((up_to <= half).sum(axis=0), len(errors) - 1)]
        return np.where(half > 0.0, 0.5 * (lower + upper), np.nan)

    return score


def spearman(cases: Cases) -> Scorer:
    """Linear correlation of the ranks, equal values each with the mean of theirs.

    Returns:
        Weights (B, N) to scores (B,): 0 where the predictions do not vary, nan where the reference does not.
    """
    ranks = [_Ranks(cases.reference), _Ranks(cases.predictions)]

    def score(weights: np.ndarray) -> np.ndarray:
        by_case = weights.T
        reference, predictions = (ranked(weights) for ranked in ranks)
        weighted = by_case * reference
        covariance = np.einsum("nb,nb->b", weighted, predictions).astype(np.float64)
        own = np.einsum("nb,nb->b", weighted, reference).astype(np.float64)
        other = np.einsum("nb,nb,nb->b", by_case, predictions, predictions).astype(np.float64)
        return _correlation(own, other, covariance)

    return score


class _Ranks:
    """Weights (B, N) to the ranks of the values (N, B): shares of all weight, from -0.5 to 0.5, of mean 0.

    Equal values have exactly 0, whatever their weights.
    """

    def __init__(self, values: np.ndarray) -> None:
        distinct, self._places = np.unique(values, return_inverse=True)
        self._sums = CaseSums(self._places, np.arange(len(values)), (len(distinct), len(values)))

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        of_value = self._sums(weights)
        up_to = running_sums(of_value)
        total = np.where(up_to[-1] > 0, up_to[-1], 1)
        middle = (up_to - 0.5 * of_value) / total - weights.dtype.type(0.5)
        ranks: np.ndarray = middle[self._places]
        return ranks
