"""Which of two entries is better: a test of every pair, adjusted for the number of pairs."""

import math

import numpy as np

from challenge_bundle.leaderboard.resampling import (
    Metric,
    class_scores,
    class_weights,
    count_cells,
    parse_metric,
    score_counts,
)

_SQRT_2 = math.sqrt(2.0)


def pair_p_values(reference: np.ndarray, predictions: np.ndarray, class_count: int, name: str) -> np.ndarray:
    """Test for every pair of entries whether their scores differ.

    The larger p-value of two tests, since each alone fails where the other holds:

    - Exchange (`exchange_p_value`): under the null hypothesis each case's two predictions can be exchanged.
      Holds its level with any number of cases, however few of them differ.
    - Standard error over drawn cases (delta method): two entries may reach the same score through different
      errors; then their predictions cannot be exchanged, but with many cases the difference is normal.

    Args:
        reference: Labels (N,).
        predictions: Labels (S, N).
        class_count: K.
        name: Of METRICS.

    Returns:
        Two-sided p-values (S, S), symmetric, 1 on the diagonal.

    Source:
        Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapters 15 (exchange) and 21 (delta
        method).
    """
    metric = parse_metric(name)
    confusion = count_cells(reference, predictions, class_count)
    p_values = _drawn_cases_p_values(reference, predictions, confusion, metric)
    for first in range(len(predictions) - 1):
        tables = _exchange_amounts((confusion[first] + confusion[first + 1 :]) / 2.0, metric)
        for second, table in enumerate(tables, start=first + 1):
            p_value = exchange_p_value(reference, predictions[first], predictions[second], table, metric)
            p_values[first, second] = max(p_values[first, second], p_value)
            p_values[second, first] = p_values[first, second]
    return p_values


def exchange_p_value(
    reference: np.ndarray, first: np.ndarray, second: np.ndarray, amounts: np.ndarray, metric: Metric
) -> float:
    """Test whether two entries' predictions can be exchanged, case by case.

    The score is taken as linear around the mean of both entries' counts. No exchange changes that mean, so
    every case adds a fixed amount whose sign is random:

    - accuracy and weighted_recall: all amounts are equal, their sum is binomial, and this is McNemar's exact
      test.
    - the others: the sum over its standard deviation, with a correction for continuity (Edwards's, if all
      amounts are equal), against the normal distribution. Such a sum has lighter tails than the normal
      distribution: with few cases the test is conservative.

    Args:
        reference: Labels (N,).
        first: One entry's labels (N,).
        second: The other's (N,).
        amounts: What a case adds to the score (K, K), rows the reference, columns the prediction.
        metric: The metric.

    Returns:
        Two-sided p-value.

    Source:
        McNemar 1947, Psychometrika 12:153; Edwards 1948, Psychometrika 13:185; Bentkus & Dzindzalieta 2015,
        Bernoulli 21:1231 (tails of weighted random signs).
    """
    differ = np.flatnonzero(first != second)
    of_case = amounts[reference[differ]]
    rows = np.arange(len(differ))
    added = of_case[rows, first[differ]] - of_case[rows, second[differ]]
    if metric.weighted and metric.measure == "recall":
        return binomial_p_value(int((added > 0).sum()), int((added < 0).sum()))
    squares = added**2
    total = float(squares.sum())
    if total == 0.0:
        return 1.0
    # The square root of the effective number of cases: all of them, if their amounts are equal.
    carrying = total / math.sqrt(float((squares**2).sum()))
    deviation = abs(float(added.sum())) / math.sqrt(total) - 1.0 / carrying
    return math.erfc(max(deviation, 0.0) / _SQRT_2)


def binomial_p_value(more: int, less: int) -> float:
    """Two-sided p-value of `more` against `less` under a fair coin, as of `scipy.stats.binomtest`."""
    # bdtr is that test's tail without its checks: 2 microseconds a pair instead of 1 to 2 ms.
    from scipy.special import bdtr

    return min(1.0, 2.0 * float(bdtr(min(more, less), more + less, 0.5)))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjust p-values so that the chance of any false finding among all stays at the level.

    Args:
        p_values: (M,).

    Returns:
        Adjusted p-values (M,), at most 1.

    Source:
        Holm 1979, Scandinavian Journal of Statistics 6:65.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return adjusted


def _drawn_cases_p_values(
    reference: np.ndarray, predictions: np.ndarray, confusion: np.ndarray, metric: Metric
) -> np.ndarray:
    """Difference of scores over its standard error, against the normal distribution: (S, S)."""
    tables = _drawn_amounts(confusion.astype(np.float64), metric)
    of_case = np.stack([table[reference, labels] for table, labels in zip(tables, predictions, strict=True)])
    products = of_case @ of_case.T
    squares = np.diag(products)
    variance = np.maximum(squares[:, np.newaxis] + squares - 2.0 * products, 0.0)
    # What rounding leaves of two equal sums of squares is 0, and must not be divided by.
    variance[variance <= 1e-12 * (squares[:, np.newaxis] + squares)] = 0.0
    scores = score_counts(confusion, metric)
    gaps = np.abs(scores[:, np.newaxis] - scores)
    gaps[gaps <= 1e-12] = 0.0
    deviations = np.divide(gaps, np.sqrt(variance), out=np.where(gaps > 0.0, np.inf, 0.0), where=variance > 0)
    return np.asarray(np.vectorize(math.erfc, otypes=[float])(deviations / _SQRT_2))


def _exchange_amounts(confusion: np.ndarray, metric: Metric) -> np.ndarray:
    """What one more prediction in each cell adds to the score, the reference unchanged: (..., K, K)."""
    by_hit, by_predicted, _ = _slopes(confusion, metric.measure)
    weights = class_weights(confusion.sum(axis=-1), metric)
    of_answer = (weights * by_predicted)[..., np.newaxis, :]
    of_hit = (weights * by_hit)[..., np.newaxis] * np.eye(confusion.shape[-1])
    return np.asarray(of_answer + of_hit)


def _drawn_amounts(confusion: np.ndarray, metric: Metric) -> np.ndarray:
    """What one more drawn case of each cell adds to the score: (..., K, K)."""
    support = confusion.sum(axis=-1)
    weights = class_weights(support, metric)
    of_reference = weights * _slopes(confusion, metric.measure)[2]
    if metric.weighted:
        hits = np.diagonal(confusion, axis1=-2, axis2=-1)
        of_class = class_scores(hits, confusion.sum(axis=-2), support, metric.measure)
        score = (weights * of_class).sum(axis=-1, keepdims=True)
        of_reference = of_reference + (of_class - score) / support.sum(axis=-1, keepdims=True)
    return np.asarray(_exchange_amounts(confusion, metric) + of_reference[..., np.newaxis])


def _slopes(confusion: np.ndarray, measure: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Derivatives of each class's score by its hits, its predicted cases and its support: (..., K) each."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    support = confusion.sum(axis=-1)
    predicted = confusion.sum(axis=-2)
    none = np.zeros_like(support)
    if measure == "precision":
        below = np.maximum(predicted, 1.0)
        return 1.0 / below, -hits / below**2, none
    if measure == "recall":
        below = np.maximum(support, 1.0)
        return 1.0 / below, none, -hits / below**2
    below = np.maximum(support + predicted, 1.0)
    slope = -2.0 * hits / below**2
    return 2.0 / below, slope, slope
