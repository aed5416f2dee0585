"""Metrics that are functions of counts: of pairs of classes, or of each label's hits."""

from __future__ import annotations

import numpy as np

from cases import Cases
from weighted_sums import CaseSums, Scorer, ratio

HITS, SUPPORT, PREDICTED = range(3)
"""What `class_counts` counts of each class."""

_NOTHING = 1e-12
"""Sums of products in floating point that would be zero in exact arithmetic stay below this."""


def class_counts(cases: Cases) -> Scorer:
    """Count, for each class or label: hits, reference cases and predicted cases.

    Returns:
        Weights (B, N) to counts (B, 3, K), float64: `HITS`, `SUPPORT`, `PREDICTED`.
    """
    classes = len(cases.task.class_names)
    if cases.task.name == "multilabel":
        parts = [cases.reference & cases.predictions, cases.reference, cases.predictions]
        columns, rows = np.nonzero(np.concatenate(parts, axis=1))
        sums = CaseSums(rows, columns, (3 * classes, len(cases.reference)))
        return lambda weights: sums(weights).astype(np.float64).T.reshape(len(weights), 3, classes)
    pairs, cell_sums = _filled_cells(cases)
    reference, predictions = np.divmod(pairs, classes)
    cells = np.arange(len(pairs))
    hits = np.flatnonzero(reference == predictions)
    rows = np.concatenate(
        [reference[hits] + HITS * classes, reference + SUPPORT * classes, predictions + PREDICTED * classes]
    )
    of_cells = CaseSums(rows, np.concatenate([hits, cells, cells]), (3 * classes, len(cells)))

    def count(weights: np.ndarray) -> np.ndarray:
        filled = cell_sums(weights).astype(np.float64)
        return of_cells(filled.T).T.reshape(len(weights), 3, classes)

    return count


def confusion(cases: Cases) -> Scorer:
    """Count the cases of each pair of classes.

    Returns:
        Weights (B, N) to counts (B, K, K), float64: rows the reference, columns the prediction.
    """
    classes = len(cases.task.class_names)
    pairs, cell_sums = _filled_cells(cases)

    def count(weights: np.ndarray) -> np.ndarray:
        counts = np.zeros((len(weights), classes**2))
        counts[:, pairs] = cell_sums(weights).T
        return counts.reshape(len(weights), classes, classes)

    return count


def _filled_cells(cases: Cases) -> tuple[np.ndarray, CaseSums]:
    """The confusion matrix's cells that have a case (F,), and the sums of their weights.

    With 1,000 classes there are a million cells, and at most as many filled ones as cases.
    """
    pairs, places = np.unique(
        cases.reference * len(cases.task.class_names) + cases.predictions, return_inverse=True
    )
    count = len(cases.reference)
    return pairs, CaseSums(places, np.arange(count), (len(pairs), count))


def precision(counts: np.ndarray) -> np.ndarray:
    """Of each class, hits of predicted cases (B, K); 0 of none."""
    return ratio(counts[:, HITS], counts[:, PREDICTED])


def recall(counts: np.ndarray) -> np.ndarray:
    """Of each class, hits of reference cases (B, K); 0 of none."""
    return ratio(counts[:, HITS], counts[:, SUPPORT])


def f1(counts: np.ndarray) -> np.ndarray:
    """Of each class, the harmonic mean of precision and recall (B, K); 0 of a class without a hit."""
    return ratio(2.0 * counts[:, HITS], counts[:, SUPPORT] + counts[:, PREDICTED])


def _weighted(scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean over classes (B,), each as often as the reference has it."""
    support = counts[:, SUPPORT]
    return ratio((scores * support).sum(axis=-1), support.sum(axis=-1), empty=np.nan)


def _macro(scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean over the classes (B,) that the reference or a prediction has."""
    present = counts[:, SUPPORT] + counts[:, PREDICTED] > 0
    return ratio((scores * present).sum(axis=-1), present.sum(axis=-1), empty=np.nan)


def weighted_precision(counts: np.ndarray) -> np.ndarray:
    """Precision, weighted by support, of counts (B, 3, K)."""
    return _weighted(precision(counts), counts)


def weighted_recall(counts: np.ndarray) -> np.ndarray:
    """Recall, weighted by support, of counts (B, 3, K)."""
    return _weighted(recall(counts), counts)


def weighted_f1(counts: np.ndarray) -> np.ndarray:
    """F1, weighted by support, of counts (B, 3, K)."""
    return _weighted(f1(counts), counts)


def macro_precision(counts: np.ndarray) -> np.ndarray:
    """Precision, mean over the classes, of counts (B, 3, K)."""
    return _macro(precision(counts), counts)


def macro_recall(counts: np.ndarray) -> np.ndarray:
    """Recall, mean over the classes, of counts (B, 3, K)."""
    return _macro(recall(counts), counts)


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """F1, mean over the classes, of counts (B, 3, K)."""
    return _macro(f1(counts), counts)


def micro_f1(counts: np.ndarray) -> np.ndarray:
    """F1 of the hits of all labels together, of counts (B, 3, K)."""
    return f1(counts.sum(axis=-1, keepdims=True))[:, 0]


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """Recall, mean over the classes that the reference has, of counts (B, 3, K)."""
    present = counts[:, SUPPORT] > 0
    return ratio(recall(counts).sum(axis=-1), present.sum(axis=-1), empty=np.nan)


def matthews_correlation(counts: np.ndarray) -> np.ndarray:
    """Correlation of reference and prediction as sets of indicators, of counts (B, 3, K).

    Source:
        Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient".
    """
    total = counts[:, SUPPORT].sum(axis=-1)
    shares = counts / total[:, np.newaxis, np.newaxis]
    reference, predicted = shares[:, SUPPORT], shares[:, PREDICTED]
    covariance = shares[:, HITS].sum(axis=-1) - (reference * predicted).sum(axis=-1)
    spreads = 1.0 - np.stack([(reference**2).sum(axis=-1), (predicted**2).sum(axis=-1)])
    spreads[spreads < _NOTHING] = 0.0
    return ratio(covariance, np.sqrt(spreads.prod(axis=0)))


def cohen_kappa(counts: np.ndarray) -> np.ndarray:
    """Agreement beyond chance, of counts (B, 3, K).

    Source:
        Cohen 1960, "A coefficient of agreement for nominal scales".
    """
    shares = counts / counts[:, SUPPORT].sum(axis=-1)[:, np.newaxis, np.newaxis]
    observed = 1.0 - shares[:, HITS].sum(axis=-1)
    chance = 1.0 - (shares[:, SUPPORT] * shares[:, PREDICTED]).sum(axis=-1)
    return _beyond_chance(observed, chance)


def quadratic_kappa(counts: np.ndarray) -> np.ndarray:
    """Agreement beyond chance, disagreement by the squared distance of the ranks, of counts (B, K, K).

    Source:
        Cohen 1968, "Weighted kappa".
    """
    return _kappa(counts, power=2)


def linear_kappa(counts: np.ndarray) -> np.ndarray:
    """Agreement beyond chance, disagreement by the distance of the ranks, of counts (B, K, K).

    Source:
        Cohen 1968, "Weighted kappa".
    """
    return _kappa(counts, power=1)


def _kappa(counts: np.ndarray, power: int) -> np.ndarray:
    ranks = np.arange(counts.shape[-1])
    distances = np.abs(ranks[:, np.newaxis] - ranks) ** power
    shares = counts / counts.sum(axis=(-2, -1), keepdims=True)
    observed = (shares * distances).sum(axis=(-2, -1))
    chance = np.einsum("bi,ij,bj->b", shares.sum(axis=-1), distances, shares.sum(axis=-2))
    return _beyond_chance(observed, chance)


def _beyond_chance(observed: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """One minus the disagreement found, compared with that by chance (B,).

    Without one by chance, reference and predictions are all of one and the same class: 1, not 0 / 0.
    """
    return 1.0 - ratio(observed, np.where(chance > _NOTHING, chance, 0.0))
