"""The metrics as functions of counts, so that thousands of resamples are scored at once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from challenge_bundle.settings import METRICS

DRAWN_AT_ONCE = 2**22
INDICATORS_AT_ONCE = 2**25
MEASURES = ("precision", "recall", "f1")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: an average over the classes of one measure.

    Args:
        weighted: Whether a class counts by its number of cases; otherwise all count alike (macro).
        measure: Of each class: "precision", "recall" or "f1".
    """

    weighted: bool
    measure: str

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise ValueError(f"expected one of {', '.join(MEASURES)}, but got {self.measure!r}")


def parse_metric(name: str) -> Metric:
    """Parse the name of a metric; accuracy equals the weighted recall.

    Raises:
        ValueError: Not one of METRICS.
    """
    if name not in METRICS:
        raise ValueError(f"expected one of {', '.join(METRICS)}, but got {name!r}")
    average, _, measure = ("weighted_recall" if name == "accuracy" else name).partition("_")
    if average not in ("weighted", "macro"):
        raise ValueError(f"expected a weighted or macro average but got {name!r}")
    return Metric(average == "weighted", measure)


def class_weights(support: np.ndarray, metric: Metric) -> np.ndarray:
    """The weight of each class in the average.

    Args:
        support: Cases of each class (..., K).
        metric: The metric.

    Returns:
        Weights (..., K) that sum to 1. As in scikit-learn, a class without cases counts in a macro average.
    """
    if metric.weighted:
        return np.asarray(support / support.sum(axis=-1, keepdims=True))
    return np.full(support.shape, 1.0 / support.shape[-1])


def class_scores(hits: np.ndarray, predicted: np.ndarray, support: np.ndarray, measure: str) -> np.ndarray:
    """Precision, recall or F1 of a class; 0 / 0 is 0.

    Args:
        hits: Number of cases of the class that were predicted as it.
        predicted: Number of cases that were predicted as it.
        support: Number of cases of it; the three shapes broadcast.
        measure: "precision", "recall" or "f1".

    Returns:
        Scores, float64, of the common shape.

    Source:
        scikit-learn, classification_report with zero_division=0.
    """
    if measure == "precision":
        return np.asarray(hits / np.maximum(predicted, 1.0), dtype=np.float64)
    if measure == "recall":
        return np.asarray(hits / np.maximum(support, 1.0), dtype=np.float64)
    if measure != "f1":
        raise ValueError(f"expected one of {', '.join(MEASURES)}, but got {measure!r}")
    return np.asarray(2.0 * hits / np.maximum(support + predicted, 1.0), dtype=np.float64)


def count_cells(reference: np.ndarray, predictions: np.ndarray, class_count: int) -> np.ndarray:
    """Count each entry's cases by reference and predicted class.

    Args:
        reference: Labels (N,).
        predictions: Labels (S, N).
        class_count: K.

    Returns:
        Counts (S, K, K), int64: rows the reference, columns the prediction.
    """
    cells = [
        np.bincount(reference * class_count + labels, minlength=class_count**2) for labels in predictions
    ]
    return np.array(cells).reshape(-1, class_count, class_count)


def score_counts(confusion: np.ndarray, metric: Metric) -> np.ndarray:
    """Score confusion matrices.

    Args:
        confusion: Counts (..., K, K).
        metric: The metric.

    Returns:
        Scores (...).
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    support = confusion.sum(axis=-1).astype(np.float64)
    predicted = confusion.sum(axis=-2).astype(np.float64)
    weights = class_weights(support, metric)
    return np.asarray((weights * class_scores(hits, predicted, support, metric.measure)).sum(axis=-1))


def draw_cases(cases: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draw N cases with replacement, many times, in blocks that fit into memory.

    Args:
        cases: N.
        resamples: Number of draws.
        seed: Same seed, same draws.

    Yields:
        (B, N), float32: how often each case was drawn in each resample of the block.
    """
    rng = np.random.default_rng(seed)
    block = max(1, DRAWN_AT_ONCE // cases)
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = rng.integers(cases, size=(count, cases))
        drawn += np.arange(count)[:, np.newaxis] * cases
        yield np.bincount(drawn.ravel(), minlength=count * cases).reshape(count, cases).astype(np.float32)


def resampled_scores(
    reference: np.ndarray, predictions: np.ndarray, class_count: int, name: str, resamples: int, seed: int
) -> np.ndarray:
    """Score every entry on the same resampled cases.

    A count is the sum over the cases of how often each was drawn times whether it has the class: a product of
    two matrices, so that all counts of all entries come from BLAS. They are whole numbers below 2**24, which
    float32 holds exactly.

    Args:
        reference: Labels (N,).
        predictions: Labels (S, N).
        class_count: K.
        name: Of METRICS.
        resamples: R.
        seed: Of the resamples; they do not depend on the entries.

    Returns:
        Scores (R, S).
    """
    metric = parse_metric(name)
    scores = np.empty((resamples, len(predictions)))
    at_once = max(1, INDICATORS_AT_ONCE // (len(reference) * class_count))
    for first in range(0, len(predictions), at_once):
        block = slice(first, first + at_once)
        indicators = _indicators(reference, predictions[block], class_count)
        start = 0
        for drawn in draw_cases(len(reference), resamples, seed):
            scores[start : start + len(drawn), block] = _score_block(drawn, reference, indicators, metric)
            start += len(drawn)
    return scores


def _indicators(reference: np.ndarray, predictions: np.ndarray, class_count: int) -> np.ndarray:
    """1 where an entry predicts a class for a case, else 0: (K, N, S), float32."""
    labels = np.arange(class_count)[:, np.newaxis, np.newaxis]
    return np.asarray(predictions.T[np.newaxis] == labels, dtype=np.float32)


def _score_block(
    drawn: np.ndarray, reference: np.ndarray, indicators: np.ndarray, metric: Metric
) -> np.ndarray:
    """Score one block of resamples: (B, S)."""
    members = [np.flatnonzero(reference == label) for label in range(len(indicators))]
    drawn_of_class = [drawn[:, cases] for cases in members]
    support = np.stack([cases.sum(axis=1, dtype=np.float64) for cases in drawn_of_class], axis=-1)
    weights = class_weights(support, metric)
    scores = np.zeros((len(drawn), indicators.shape[2]))
    for label, is_predicted in enumerate(indicators):
        hits = drawn_of_class[label] @ is_predicted[members[label]]
        # Recall does not need how often a class was predicted.
        predicted = hits if metric.measure == "recall" else drawn @ is_predicted
        of_class = class_scores(
            hits.astype(np.float64),
            predicted.astype(np.float64),
            support[:, label, np.newaxis],
            metric.measure,
        )
        scores += weights[:, label, np.newaxis] * of_class
    return scores
