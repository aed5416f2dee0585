"""What the network's output means: model.json's task, and the rows of a csv that follow from it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

# Of each task what turns the network's output into probabilities or values, and how a row is answered: what
# model.json says or, in one that is silent, the first of each.
ACTIVATIONS = {
    "classification": ("softmax",),
    "ordinal": ("softmax",),
    "multilabel": ("sigmoid",),
    "regression": ("identity",),
}
DECISIONS = {
    "classification": ("most_probable", "expected_rank"),
    "ordinal": ("expected_rank", "most_probable"),
    "multilabel": ("probabilities",),
    "regression": ("value",),
}
VALUE_DIGITS = 6  # of a regression: a standard deviation is written in so many more


@dataclass(frozen=True, slots=True)
class Answer:
    """What the network's output means."""

    task: str
    class_names: tuple[str, ...]  # of logit k; none of a regression
    decision: str  # one of the task's DECISIONS
    target_mean: float = 0.0  # of a regression, in its unit
    target_deviation: float = 1.0  # likewise

    @property
    def outputs(self) -> int:
        """How many numbers the network gives per image."""
        return len(self.class_names) or 1

    def header(self) -> list[str]:
        """The csv's first row."""
        if self.task == "regression":
            return ["file", "value"]
        if self.task == "multilabel":
            return ["file", *self.class_names]
        return ["file", "class", *(f"probability_{name}" for name in self.class_names)]

    def cells(self, row: np.ndarray) -> list[str]:
        """What an image's row has after its name; row: probabilities (K,), or one value (1,)."""
        if self.task == "regression":
            digits = max(VALUE_DIGITS - math.floor(math.log10(self.target_deviation)), 0)
            return [f"{row[0]:.{digits}f}"]
        probabilities = [f"{value:.6f}" for value in row]
        if self.task == "multilabel":
            return probabilities
        label = int(row.argmax())
        if self.decision == "expected_rank":
            # The class of the least expected squared distance in ranks.
            label = math.floor(float(row @ np.arange(len(row))) + 0.5)
        return [self.class_names[label], *probabilities]

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """Turn the network's output (B, K), float64, into probabilities or values of the same shape."""
        if self.task == "regression":
            values: np.ndarray = logits * self.target_deviation + self.target_mean
            return values
        with np.errstate(invalid="ignore", over="ignore"):
            if self.task == "multilabel":
                probabilities: np.ndarray = 1.0 / (1.0 + np.exp(-logits))
                return probabilities
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            probabilities = powers / powers.sum(axis=1, keepdims=True)
        return probabilities


def parse_answer(card: dict[str, Any]) -> Answer:
    """Parse what model.json says about the output; one without a task is of a classification.

    Raises:
        ValueError, KeyError, TypeError: It is at fault.
    """
    task = card.get("task", "classification")
    if task not in DECISIONS:
        raise ValueError(f"expected a task of {', '.join(DECISIONS)} but got {task!r}")
    decision = card.get("decision", DECISIONS[task][0])
    for key, value, known in (
        ("activation", card.get("activation", ACTIVATIONS[task][0]), ACTIVATIONS[task]),
        ("decision", decision, DECISIONS[task]),
    ):
        if value not in known:
            raise ValueError(f"expected {' or '.join(known)} as {key!r} of a {task} but got {value!r}")
    if task == "regression":
        mean, deviation = (float(card["target"][key]) for key in ("mean", "standard_deviation"))
        if not (math.isfinite(mean) and 0.0 < deviation < math.inf):
            raise ValueError(f"expected finite numbers as 'target' but got {card['target']}")
        return Answer(task, (), decision, mean, deviation)
    names = card["class_names"]
    if not isinstance(names, list) or not names:
        raise ValueError("'class_names' names 0 classes")
    return Answer(task, tuple(names), decision)
