"""The metrics: pure functions of labels and probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 2000
CALIBRATION_BINS = 15


def confusion_matrix(reference: np.ndarray, predictions: np.ndarray, class_count: int) -> np.ndarray:
    """Count the cases of each pair of classes.

    Args:
        reference: Labels (N,).
        predictions: Labels (N,).
        class_count: K.

    Returns:
        Counts (K, K), int64: rows the reference, columns the prediction.
    """
    cells = np.bincount(reference * class_count + predictions, minlength=class_count**2)
    return cells.reshape(class_count, class_count)


def classification_scores(
    confusion: np.ndarray, class_names: Sequence[str]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The numbers of scikit-learn's classification_report.

    It gets one case per cell, weighted by the cell's count: the same numbers, whatever the number of cases.

    Args:
        confusion: Counts (K, K).
        class_names: In label order.

    Returns:
        (scores by name, the headline three first; scores of each class by class name)
    """
    from sklearn.metrics import classification_report

    rows, columns = np.indices(confusion.shape)
    report: dict[str, Any] = classification_report(
        rows.ravel(),
        columns.ravel(),
        sample_weight=confusion.ravel(),
        labels=range(len(class_names)),
        target_names=[str(label) for label in range(len(class_names))],
        output_dict=True,
        zero_division=0.0,
    )
    scores = {
        f"{average}_{name}": float(report[f"{average} avg"][key])
        for average in ("weighted", "macro")
        for name, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score"))
    }
    scores["accuracy"] = float(confusion.trace() / confusion.sum())
    per_class = {
        class_name: {
            "precision": float(report[str(label)]["precision"]),
            "recall": float(report[str(label)]["recall"]),
            "f1": float(report[str(label)]["f1-score"]),
            "support": int(report[str(label)]["support"]),
        }
        for label, class_name in enumerate(class_names)
    }
    return scores, per_class


def weighted_scores(confusion: np.ndarray) -> np.ndarray:
    """Weighted precision, recall and F1 of many confusion matrices at once; nothing divided by nothing is 0.

    Args:
        confusion: Counts (..., K, K).

    Returns:
        Scores (..., 3).
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    support = confusion.sum(axis=-1)
    predicted = confusion.sum(axis=-2)
    precision = hits / np.maximum(predicted, 1)
    recall = hits / np.maximum(support, 1)
    f1 = 2.0 * hits / np.maximum(support + predicted, 1)
    weights = support / support.sum(axis=-1, keepdims=True)
    return np.stack([(weights * score).sum(axis=-1) for score in (precision, recall, f1)], axis=-1)


def bootstrap_intervals(confusion: np.ndarray, seed: int = 0) -> dict[str, list[float]]:
    """Percentile intervals of the headline scores over resampled cases.

    Drawing N cases with replacement and counting their cells is drawing the counts from a multinomial
    distribution, so the resamples are drawn as counts: the time does not grow with the number of cases.

    Args:
        confusion: Counts (K, K).
        seed: Of the resamples.

    Returns:
        [low, high] of each headline score, 95 %.

    Source:
        Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
    """
    total = int(confusion.sum())
    cells = confusion.ravel()
    filled = np.flatnonzero(cells)
    drawn = np.random.default_rng(seed).multinomial(total, cells[filled] / total, size=RESAMPLES)
    resampled = np.zeros((RESAMPLES, cells.size), dtype=np.int64)
    resampled[:, filled] = drawn
    scores = weighted_scores(resampled.reshape(RESAMPLES, *confusion.shape))
    tail = 100.0 * (1.0 - CONFIDENCE) / 2.0
    low, high = np.percentile(scores, [tail, 100.0 - tail], axis=0)
    names = ("weighted_precision", "weighted_recall", "weighted_f1")
    return {name: [float(low[column]), float(high[column])] for column, name in enumerate(names)}


def probability_scores(reference: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Scores of the probabilities.

    Args:
        reference: Labels (N,), each of 0..K-1 at least once.
        probabilities: (N, K), rows that sum to about 1.

    Returns:
        `weighted_auc` (one class against the rest, weighted by support), `log_loss` (natural logarithm) and
        `calibration_error` (expected, of the predicted class, 15 bins of equal width).

    Source:
        scikit-learn, roc_auc_score and log_loss; Guo et al. 2017, "On Calibration of Modern Neural
        Networks", equation 5.
    """
    from sklearn.metrics import log_loss, roc_auc_score

    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    labels = np.arange(probabilities.shape[1])
    if len(labels) == 2:
        auc = roc_auc_score(reference, probabilities[:, 1])
    else:
        auc = roc_auc_score(reference, probabilities, multi_class="ovr", average="weighted", labels=labels)
    return {
        "weighted_auc": float(auc),
        "log_loss": float(log_loss(reference, probabilities, labels=labels)),
        "calibration_error": calibration_error(reference, probabilities),
    }


def calibration_error(reference: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean distance, over bins of confidence, of confidence and accuracy, weighted by the bins' cases.

    Args:
        reference: Labels (N,).
        probabilities: (N, K), rows that sum to 1.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == reference
    edges = np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)
    bins = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, CALIBRATION_BINS - 1)
    gap = np.bincount(bins, weights=confidence - correct, minlength=CALIBRATION_BINS)
    return float(np.abs(gap).sum() / len(reference))
