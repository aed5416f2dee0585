"""What trivial methods score: every score of the challenge is compared with these."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from challenge_bundle.audit.base import (
    SMALL_SIDE_PX,
    TESTING,
    TRAINING,
    VALIDATION,
    AuditFinding,
    Figures,
    ImageTable,
    left_out,
)
from challenge_bundle.findings import NOTE, WARNING, Finding
from challenge_bundle.layout import SPLITS

SOLVED = 0.95
"""Weighted F1 of a trivial method from which little is left to win."""

MAX_WORK = 4e11
"""Multiplications of a nearest-neighbour search, 5 s on two cores; beyond, fewer images are asked for."""
MAX_LEARNED = 10_000
"""Training images of the logistic regression."""
MIN_ASKED = 500
_ROWS_AT_ONCE = 1024
_QUERIES_AT_ONCE = 2500

Predict = Callable[[NDArray[np.int64]], NDArray[np.int64]]


def find_baselines(images: ImageTable) -> list[AuditFinding]:
    """Score the most common class, a nearest neighbour and a logistic regression.

    All learn from training; they are scored on validation and, where its classes are here, testing.

    Args:
        images: All images.

    Returns:
        One finding with the figures: a warning where a trivial method all but solves the task, on testing
        where its classes are here.
    """
    training = images.of_split(TRAINING)
    asked = [split for split in (VALIDATION, TESTING) if len(images.of_split(split))]
    if len(np.unique(images.labels[training])) < 2 or not asked:
        return [left_out("baselines", "trivial methods need two classes in training and a split to score")]
    rows: list[tuple[str | int | float, ...]] = []
    best = ("", 0.0)
    methods = _methods(images, training)
    for split in asked:
        queries = images.of_split(split)
        for name, limit, predict in methods:
            used = _some(queries, limit)
            accuracy, f1 = score(images.labels[used], predict(used))
            rows.append((name, SPLITS[split], round(accuracy, 4), round(f1, 4), len(used)))
            if split == asked[-1]:
                # Rounded as in the figures, so that both show the same.
                best = max(best, (name, round(f1, 4)), key=lambda found: found[1])
    figures = Figures(("method", "split", "accuracy", "weighted F1", "images"), tuple(rows))
    solved = best[1] >= SOLVED
    what = (
        f"the best trivial method, {best[0]}, reaches a weighted F1 of {best[1]:.3f} on {SPLITS[asked[-1]]}"
    )
    if solved:
        hint = "compare every score with these; only a harder task or split would separate methods"
        finding = Finding("trivial-task", WARNING, "", what, hint)
    else:
        finding = Finding("baselines", NOTE, "", what, "compare every score with these")
    findings = [AuditFinding("baselines", finding, figures=figures)]
    if TESTING not in asked:
        findings.append(
            left_out(
                "baselines",
                "the classes of the testing images are not known here: scored on validation alone",
            )
        )
    return findings


def score(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> tuple[float, float]:
    """Accuracy and weighted F1.

    Args:
        labels: (N,) true labels.
        predicted: (N,) a method's labels.

    Source:
        scikit-learn's f1_score(average="weighted"), as the scoring program's.
    """
    from sklearn.metrics import f1_score

    return float((labels == predicted).mean()), float(
        f1_score(labels, predicted, average="weighted", zero_division=0)
    )


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


def _methods(images: ImageTable, training: NDArray[np.int64]) -> list[tuple[str, int, Predict]]:
    """Each method's name, how many images it is asked for at most, and its predictions for rows."""
    labels = images.labels[training]
    common = np.bincount(labels).argmax()
    every = len(images)
    methods: list[tuple[str, int, Predict]] = [
        ("the most common class", every, lambda rows: np.full(len(rows), common))
    ]
    sets = [(f"a nearest neighbour on {SMALL_SIDE_PX} x {SMALL_SIDE_PX} pixels", images.small)]
    if images.full is not None:
        sets.append(("a nearest neighbour on all pixels", images.full))
    for name, pixels in sets:
        limit = max(MIN_ASKED, int(MAX_WORK / (len(training) * pixels.shape[1])))
        methods.append((name, limit, functools.partial(_predict_by_nearest, pixels, training, labels)))
    learned = _some(training, MAX_LEARNED)
    regression = _fit_regression(_halved(images.small[learned]), images.labels[learned])

    def predict_by_regression(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(regression.predict(_halved(images.small[rows])), np.int64)

    return [*methods, ("a logistic regression on 16 x 16 pixels", every, predict_by_regression)]


def _predict_by_nearest(
    pixels: NDArray[np.uint8],
    training: NDArray[np.int64],
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> NDArray[np.int64]:
    # A split's rows stand together, as a rule: then nothing is copied.
    together = training[-1] - training[0] + 1 == len(training)
    known = pixels[training[0] : training[-1] + 1] if together else pixels[training]
    # Some at a time: as floating-point numbers, and with their distances, they take much room.
    blocks = [rows[start : start + _QUERIES_AT_ONCE] for start in range(0, len(rows), _QUERIES_AT_ONCE)]
    predicted: NDArray[np.int64] = labels[np.concatenate([nearest(known, pixels[block]) for block in blocks])]
    return predicted


def _fit_regression(features: NDArray[np.float32], labels: NDArray[np.int64]) -> Any:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    # Its steps are so short that a team of threads costs more than it brings: 4 s where one takes 0.05 s.
    with warnings.catch_warnings(), threadpool_limits(1):
        # Whether it has converged does not matter to a baseline.
        warnings.simplefilter("ignore")
        return LogisticRegression(max_iter=100).fit(features, labels)


def _halved(small: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, 16 * 16), -1..1, of (N, 32 * 32) gray levels: means of 2 x 2."""
    half = SMALL_SIDE_PX // 2
    means = small.reshape(-1, half, 2, half, 2).mean(axis=(2, 4), dtype=np.float32)
    scaled: NDArray[np.float32] = means.reshape(len(small), -1) / np.float32(127.5) - np.float32(1.0)
    return scaled


def _some(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most so many of the rows, drawn without replacement and the same each time; in order."""
    if len(rows) <= count:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, count, replace=False))
