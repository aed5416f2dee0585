"""The figures by which trivial methods are compared: each task's usual ones, for many sets of weights.

The weights are those of a bootstrap, which says how far two figures differ by chance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from challenge_bundle.formats.tasks import CLASSIFICATION, MULTILABEL, ORDINAL, REGRESSION

DRAWS = 200
_DRAWS_AT_ONCE = 25

Array = NDArray[Any]
Figure = Callable[[Array, Array, Array], NDArray[np.float64]]
"""Targets (N, ...), predictions (N, ...) and weights (B, N) to the figure (B,), nan where it is undefined."""


def accuracy(targets: Array, predicted: Array, weights: Array) -> NDArray[np.float64]:
    """Share of right classes or, of label sets, of images with all labels right."""
    right = targets == (predicted >= 0.5 if targets.ndim == 2 else predicted)
    right = right.all(axis=1) if right.ndim == 2 else right
    return np.asarray(weights @ right / weights.sum(axis=1))


def weighted_f1(targets: Array, predicted: Array, weights: Array) -> NDArray[np.float64]:
    """F1 of each class, as often as the class is there."""
    classes = int(max(targets.max(), predicted.max())) + 1
    hit = targets == predicted
    scores = np.empty(len(weights))
    for draw, one in enumerate(weights):
        hits = np.bincount(targets[hit], one[hit], classes)
        support = np.bincount(targets, one, classes)
        both = support + np.bincount(predicted, one, classes)
        f1 = np.divide(2.0 * hits, both, out=np.zeros(classes), where=both > 0)
        scores[draw] = f1 @ support / support.sum()
    return scores


def quadratic_kappa(targets: Array, predicted: Array, weights: Array) -> NDArray[np.float64]:
    """Agreement beyond chance, mistakes by the square of their distance.

    Source:
        Cohen 1968, "Weighted kappa".
    """
    total = weights.sum(axis=1)
    one, other = targets.astype(np.float64), predicted.astype(np.float64)
    observed = weights @ np.square(one - other) / total
    # E(a - b)^2 of independent a, b is E a^2 + E b^2 - 2 E a E b.
    means = weights @ one / total, weights @ other / total
    squares = weights @ np.square(one) / total + weights @ np.square(other) / total
    chance = squares - 2.0 * means[0] * means[1]
    by_chance = chance > 1e-12
    return np.asarray(1.0 - np.divide(observed, chance, out=np.zeros(len(weights)), where=by_chance))


def absolute_error(targets: Array, predicted: Array, weights: Array) -> NDArray[np.float64]:
    """Mean distance of value and prediction, or of their ranks."""
    return np.asarray(weights @ np.abs(targets - predicted) / weights.sum(axis=1))


def r_squared(targets: Array, predicted: Array, weights: Array) -> NDArray[np.float64]:
    """Share of the values' variance that the predictions explain; negative if the mean is better."""
    total = weights.sum(axis=1)
    means = weights @ targets / total
    spread = weights @ np.square(targets) / total - np.square(means)
    rest = weights @ np.square(targets - predicted) / total
    defined = spread > 1e-12 * (1.0 + np.square(means))
    return np.asarray(1.0 - np.divide(rest, spread, out=np.full(len(weights), np.nan), where=defined))


def hamming_loss(targets: Array, predicted: Array, weights: Array) -> NDArray[np.float64]:
    """Share of wrong answers over all images and labels, from a probability of 0.5 on."""
    wrong = (targets != (predicted >= 0.5)).mean(axis=1)
    return np.asarray(weights @ wrong / weights.sum(axis=1))


def macro_auc(targets: Array, predicted: Array, weights: Array) -> NDArray[np.float64]:
    """Area under the ROC curve, mean over the labels that some images have and some lack."""
    areas = [_auc(targets[:, label], predicted[:, label], weights) for label in range(targets.shape[1])]
    defined = np.array([np.isfinite(area) for area in areas]).reshape(len(areas), -1)
    sums = np.nan_to_num(np.array(areas).reshape(len(areas), -1)).sum(axis=0)
    count = defined.sum(axis=0)
    means = np.full(len(weights), np.nan)
    return np.divide(sums, count, out=means, where=count > 0) if len(areas) else means


def _auc(there: Array, predicted: Array, weights: Array) -> NDArray[np.float64]:
    order = np.argsort(predicted, kind="stable")
    starts = np.flatnonzero(np.diff(predicted[order], prepend=np.nan) != 0)
    positive = np.add.reduceat(weights[:, order] * there[order], starts, axis=1)
    negative = np.add.reduceat(weights[:, order] * ~there[order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    won = (positive * (below + 0.5 * negative)).sum(axis=1)
    return np.asarray(np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0))


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """The figures of a task.

    Args:
        names: Of all, the one that counts last; higher is better there.
        figures: Each.
        article: Before the last one's name, in a sentence.
    """

    names: tuple[str, ...]
    figures: tuple[Figure, ...]
    article: str = "a"


FIGURES = {
    CLASSIFICATION: TaskFigures(("accuracy", "weighted F1"), (accuracy, weighted_f1)),
    ORDINAL: TaskFigures(
        ("accuracy", "mean absolute error", "quadratic kappa"), (accuracy, absolute_error, quadratic_kappa)
    ),
    MULTILABEL: TaskFigures(
        ("all labels right", "Hamming loss", "macro AUC"), (accuracy, hamming_loss, macro_auc)
    ),
    REGRESSION: TaskFigures(("mean absolute error", "R²"), (absolute_error, r_squared), "an"),
}


def spread_by_chance(figure: Figure, targets: Array, predicted: Array, groups: Sequence[object]) -> float:
    """Standard deviation of a figure over bootstrap samples of the groups.

    Args:
        figure: What is measured.
        targets: (N, ...).
        predicted: (N, ...).
        groups: (N,) equal for images of one patient; images of one group are drawn together.

    Returns:
        0 or more; nan where the figure is undefined in all samples but one.
    """
    places = np.unique(np.array([str(group) for group in groups]), return_inverse=True)[1]
    count = int(places.max()) + 1
    generator = np.random.default_rng(0)
    drawn: list[NDArray[np.float64]] = []
    for _ in range(0, DRAWS, _DRAWS_AT_ONCE):
        weights = generator.multinomial(count, np.full(count, 1.0 / count), _DRAWS_AT_ONCE)[:, places]
        kept = weights.sum(axis=1) > 0
        drawn.append(figure(targets, predicted, weights[kept].astype(np.float64)))
    scores = np.concatenate(drawn)
    scores = scores[np.isfinite(scores)]
    return float(scores.std(ddof=1)) if len(scores) > 1 else float("nan")
