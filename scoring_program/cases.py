"""What is scored: the test cases with their reference and predictions, whatever the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Task:
    """What a challenge asks for: the content of task.json.

    Args:
        name: `classification`, `multilabel`, `ordinal` or `regression`.
        class_names: In label order, K; of a multilabel task its labels, of a regression none.
        metric: The metric that ranks; empty takes the task's own default.
        options: Settings of metrics, such as `threshold`.
    """

    name: str
    class_names: tuple[str, ...] = ()
    metric: str = ""
    options: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Cases:
    """Reference and predictions, matched; row n is case n, in the order of the sorted names.

    Args:
        task: What was asked for.
        names: Base names of the cases (N,).
        groups: Which cases belong together, such as a patient's (N,), int64, of 0..G-1; each case by itself
            if the reference names no groups.
        reference: Classification and ordinal: labels (N,), int64. Multilabel: (N, K), bool. Regression:
            values (N,), float64.
        predictions: The same shape and type as the reference; of a multilabel task, whether each probability
            reaches the threshold.
        probabilities: (N, K), float64, rows that sum to 1 (multilabel: each 0 to 1 by itself), or None.
        events: Regression with censored times alone: whether the value was reached (N,), bool; else None.
    """

    task: Task
    names: Sequence[str]
    groups: np.ndarray
    reference: np.ndarray
    predictions: np.ndarray
    probabilities: np.ndarray | None = None
    events: np.ndarray | None = None


def merge(cases: Cases, weights: np.ndarray) -> tuple[Cases, np.ndarray]:
    """Make one case of all with the same labels: a million rows cost what K x K cases cost.

    Args:
        cases: Of classification or ordinal; N.
        weights: (N,).

    Returns:
        (M cases without probabilities; the sums of their weights (M,))
    """
    classes = len(cases.task.class_names)
    pairs = cases.reference * classes + cases.predictions
    # Counting takes a tenth of the time of sorting, unless there are more cells than cases.
    if classes**2 <= len(pairs):
        filled = np.flatnonzero(np.bincount(pairs, minlength=classes**2))
        sums = np.bincount(pairs, weights=weights, minlength=classes**2)[filled]
    else:
        filled, places = np.unique(pairs, return_inverse=True)
        sums = np.bincount(places, weights=weights)
    merged = replace(
        cases,
        names=[""] * len(filled),
        groups=np.arange(len(filled)),
        reference=filled // classes,
        predictions=filled % classes,
        probabilities=None,
    )
    return merged, sums
