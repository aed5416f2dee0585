"""Cases to score, made without any csv: random ones and those that are hard for a metric."""

from types import ModuleType
from typing import Any

import numpy as np

SITUATIONS = (
    "random",
    "ties",
    "two classes",
    "two classes, ties",
    "never predicted",
    "never in the reference",
    "one class only",
    "one class, others predicted",
    "constant predictions",
    "flawless",
)


def make(module: ModuleType, task: str, classes: int, reference: Any, predictions: Any, **more: Any) -> Any:
    """Cases of the module `cases`, each its own group, of classes `class0`, `class1`, ..."""
    names = tuple(f"class{label}" for label in range(classes))
    count = len(reference)
    return module.Cases(
        module.Task(task, names),
        [f"{row:06d}" for row in range(count)],
        np.arange(count),
        np.asarray(reference),
        np.asarray(predictions),
        **more,
    )


def labelled(module: ModuleType, task: str, situation: str, seed: int = 0, count: int = 60) -> Any:
    """Cases of classification or ordinal, with probabilities; the prediction is the most probable class."""
    rng = np.random.default_rng(seed)
    classes = 2 if situation.startswith("two") else 4
    allowed = {
        "never in the reference": [0, 1, 3],
        "one class only": [2],
        "one class, others predicted": [2],
    }.get(situation, list(range(classes)))
    reference = rng.choice(allowed, size=count)
    reference[: len(allowed)] = allowed
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), reference] += 1.0
    if situation == "never predicted":
        logits[:, 1] -= 9.0
    if situation in ("one class only", "constant predictions"):
        logits[:, 2] += 90.0
    if situation == "flawless":
        logits[np.arange(count), reference] += 90.0
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    if "ties" in situation:
        probabilities[:, :-1] = np.floor(probabilities[:, :-1] * 4.0) / 4.0
        probabilities[:, -1] = 1.0 - probabilities[:, :-1].sum(axis=1)
    if situation == "constant predictions":
        probabilities[:] = np.eye(classes)[2]
    return make(module, task, classes, reference, probabilities.argmax(axis=1), probabilities=probabilities)


def multilabel(module: ModuleType, seed: int = 0, count: int = 60, ties: bool = False) -> Any:
    """Cases of four labels: the third without a positive case, the fourth without a negative one."""
    rng = np.random.default_rng(seed)
    reference = rng.random((count, 4)) < [0.5, 0.2, 0.0, 1.1]
    reference[0, :2], reference[1, :2] = True, False
    probabilities = np.clip(rng.normal(0.35 + 0.3 * reference, 0.2), 0.0, 1.0)
    if ties:
        probabilities = np.round(probabilities, 1)
    return make(module, "multilabel", 4, reference, probabilities >= 0.5, probabilities=probabilities)


def regression(
    module: ModuleType, seed: int = 0, count: int = 60, ties: bool = False, events: bool = False
) -> Any:
    """Values about 50 with predictions that are 5 off; with events, a third of the values is censored."""
    rng = np.random.default_rng(seed)
    reference = rng.normal(50.0, 10.0, size=count)
    predictions = reference + rng.normal(2.0, 5.0, size=count)
    if ties:
        reference, predictions = np.round(reference, -1), np.round(predictions / 5.0) * 5.0
    reached = rng.random(count) < 0.7 if events else None
    return make(module, "regression", 0, reference, predictions, events=reached)


def repeated(module: ModuleType, cases: Any, times: np.ndarray) -> Any:
    """The same cases, each listed `times` times (N,)."""

    def rows(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else np.repeat(values, times, axis=0)

    names = np.repeat(np.asarray(cases.names), times)
    return module.Cases(
        cases.task,
        [f"{name}-{row}" for row, name in enumerate(names)],
        np.arange(len(names)),
        rows(cases.reference),
        rows(cases.predictions),
        rows(cases.probabilities),
        rows(cases.events),
    )
