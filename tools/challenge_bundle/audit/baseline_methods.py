"""The trivial methods: the most common answer, a nearest neighbour, and a linear model on tiny images."""

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from challenge_bundle.audit.base import SMALL_SIDE_PX, ImageTable
from challenge_bundle.formats.tasks import CLASSIFICATION, MULTILABEL, ORDINAL

MAX_WORK = 4e11
"""Multiplications of a nearest-neighbour search, 5 s on two cores; beyond, fewer images are asked for."""
MAX_LEARNED = 10_000
"""Training images of the linear models."""
MIN_ASKED = 500
RIDGE_PENALTY = 10.0
"""Of the squared coefficients, for pixels in -1..1: neither loose nor stiff with 1,000 images."""
_ROWS_AT_ONCE = 1024
_QUERIES_AT_ONCE = 2500

Predict = Callable[[NDArray[np.int64]], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Method:
    """A method that has learned from training.

    Args:
        name: For readers.
        limit: How many images it is asked for at most.
        predict: Rows of the table to predictions, in the form of ImageTable.targets; of a multilabel task
            scores for each label.
    """

    name: str
    limit: int
    predict: Predict


def learn_methods(images: ImageTable, training: NDArray[np.int64]) -> list[Method]:
    """Let each trivial method of the images' task learn.

    Args:
        images: All images.
        training: Rows to learn from.
    """
    targets = images.targets(training)
    every = len(images)
    methods = [
        Method(name, every, functools.partial(_repeat, value)) for name, value in _constants(images, targets)
    ]
    sets = [(f"a nearest neighbour on {SMALL_SIDE_PX} x {SMALL_SIDE_PX} pixels", images.small)]
    if images.full is not None:
        sets.append(("a nearest neighbour on all pixels", images.full))
    for name, pixels in sets:
        limit = max(MIN_ASKED, int(MAX_WORK / (len(training) * pixels.shape[1])))
        methods.append(Method(name, limit, functools.partial(_predict_by_nearest, pixels, training, targets)))
    learned = some(training, MAX_LEARNED)
    features, known = _halved(images.small[learned]), images.targets(learned)
    if images.task == CLASSIFICATION:
        name, fitted = "a logistic regression on 16 x 16 pixels", _fit_regression(features, known)
    else:
        name, fitted = "a ridge regression on 16 x 16 pixels", fit_ridge(features, known)
    top = len(images.class_names) - 1

    def predict(rows: NDArray[np.int64]) -> NDArray[Any]:
        predicted = fitted(_halved(images.small[rows]))
        # The nearest rank; half a rank is nobody's.
        if images.task == ORDINAL:
            return np.asarray(np.clip(np.rint(predicted), 0, top), np.int64)
        return np.asarray(predicted)

    return [*methods, Method(name, every, predict)]


def _constants(images: ImageTable, targets: NDArray[Any]) -> list[tuple[str, Any]]:
    """Answers that do not depend on the image."""
    if images.task == MULTILABEL:
        sets, counts = np.unique(targets, axis=0, return_counts=True)
        return [
            ("each label as often as in training", targets.mean(axis=0)),
            ("the most common set of labels", sets[counts.argmax()].astype(np.float64)),
        ]
    if images.task in (CLASSIFICATION, ORDINAL):
        found = [("the most common class", np.bincount(targets).argmax())]
        middle = np.sort(targets)[len(targets) // 2]
        return [*found, ("the median class", middle)] if images.task == ORDINAL else found
    return [("the median value", np.median(targets))]


def _repeat(value: Any, rows: NDArray[np.int64]) -> NDArray[Any]:
    return np.repeat(np.asarray(value)[None], len(rows), axis=0)


def fit_ridge(
    features: NDArray[np.float32], targets: NDArray[Any]
) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """Linear least squares with a penalty on the squared coefficients; the intercept is free.

    Args:
        features: (N, F).
        targets: (N,) or (N, K).

    Returns:
        Features (M, F) to predictions (M,) or (M, K).

    Source:
        Hoerl & Kennard 1970, "Ridge Regression", Technometrics 12:55.
    """
    centre, middle = features.mean(axis=0, dtype=np.float64), targets.mean(axis=0)
    moved = features - centre
    penalty = RIDGE_PENALTY * np.eye(features.shape[1])
    coefficients = np.linalg.solve(moved.T @ moved + penalty, moved.T @ (targets - middle))
    return lambda asked: np.asarray((asked - centre) @ coefficients + middle)


def nearest(
    known: NDArray[np.uint8], queries: NDArray[np.uint8], rows_at_once: int = _ROWS_AT_ONCE
) -> NDArray[np.int64]:
    """The nearest neighbour of each query, by Euclidean distance.

    Args:
        known: (N, P) gray levels.
        queries: (M, P).
        rows_at_once: Of `known`, as floating-point numbers; bounds the memory.

    Returns:
        (M,) rows of `known`; of equally near ones the first.
    """
    # Around 0, so that little is lost to rounding.
    asked = queries.astype(np.float32)
    asked -= 127.5
    best = np.full(len(queries), np.inf, np.float32)
    found = np.zeros(len(queries), np.int64)
    for start in range(0, len(known), rows_at_once):
        block = known[start : start + rows_at_once].astype(np.float32)
        block -= 127.5
        # The query's own length is the same for all.
        distances = asked @ block.T
        distances *= -2.0
        distances += np.einsum("ij,ij->i", block, block)
        place = distances.argmin(axis=1)
        least = distances[np.arange(len(asked)), place]
        nearer = least < best
        best[nearer], found[nearer] = least[nearer], start + place[nearer]
    return found


def _predict_by_nearest(
    pixels: NDArray[np.uint8],
    training: NDArray[np.int64],
    targets: NDArray[Any],
    rows: NDArray[np.int64],
) -> NDArray[Any]:
    # A split's rows stand together, as a rule: then nothing is copied.
    together = training[-1] - training[0] + 1 == len(training)
    known = pixels[training[0] : training[-1] + 1] if together else pixels[training]
    # Some at a time: as floating-point numbers, and with their distances, they take much room.
    blocks = [rows[start : start + _QUERIES_AT_ONCE] for start in range(0, len(rows), _QUERIES_AT_ONCE)]
    predicted: NDArray[Any] = targets[np.concatenate([nearest(known, pixels[block]) for block in blocks])]
    return predicted.astype(np.float64) if predicted.dtype == bool else predicted


def _fit_regression(features: NDArray[np.float32], labels: NDArray[np.int64]) -> Callable[[Any], Any]:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    # Its steps are so short that a team of threads costs more than it brings: 4 s where one takes 0.05 s.
    with warnings.catch_warnings(), threadpool_limits(1):
        # Whether it has converged does not matter to a baseline.
        warnings.simplefilter("ignore")
        fitted = LogisticRegression(max_iter=100).fit(features, labels)
    return lambda asked: np.asarray(fitted.predict(asked), np.int64)


def _halved(small: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, 16 * 16), -1..1, of (N, 32 * 32) gray levels: means of 2 x 2."""
    half = SMALL_SIDE_PX // 2
    means = small.reshape(-1, half, 2, half, 2).mean(axis=(2, 4), dtype=np.float32)
    scaled: NDArray[np.float32] = means.reshape(len(small), -1) / np.float32(127.5) - np.float32(1.0)
    return scaled


def some(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most so many of the rows, drawn without replacement and the same each time; in order."""
    if len(rows) <= count:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, count, replace=False))
