"""What a metric is: its name, direction, range and policy, and its score for many sets of weights at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cases import Cases
from value_metrics import mean_of
from weighted_sums import Scorer

Values = Callable[[Cases], np.ndarray]
Measure = Callable[[Cases], Scorer]


def _as_it_is(measured: np.ndarray) -> np.ndarray:
    return measured


@dataclass(frozen=True)
class Metric:
    """One number of how well predictions agree with the reference.

    Args:
        name: Its key in scores.json, in snake_case; never changed.
        title: What people read.
        tasks: The tasks it is defined for.
        policy: What it does where a class, a label or a variation that it needs is missing.
        source: Who defined it, or whose numbers it equals.
        measure: Cases to weights (B, N) to whatever `finish` takes; None if there are `values`.
        finish: What was measured to scores (B,), nan where undefined.
        values: Cases to the value of each case (N,), nan where it has none, if the score is their mean.
        higher_is_better: Its direction.
        low: The worst or least possible score, may be -inf.
        high: The greatest possible score, may be inf.
        unit: Of the score; empty for a number without one, `value` for that of the reference's values.
        needs: `probabilities`, `events`, or empty.
        undefined: Why a score may be nan.
    """

    name: str
    title: str
    tasks: tuple[str, ...]
    policy: str
    source: str
    measure: Measure | None = None
    finish: Callable[[np.ndarray], np.ndarray] = _as_it_is
    values: Values | None = None
    higher_is_better: bool = True
    low: float = 0.0
    high: float = 1.0
    unit: str = ""
    needs: str = ""
    undefined: str = "no case"

    def prepare(self, cases: Cases) -> Scorer:
        """What depends on the cases alone, done once: weights (B, N) to scores (B,), nan where undefined."""
        measured = self.measuring(cases)
        return lambda weights: self.finish(measured(weights))

    @property
    def measuring(self) -> Measure:
        """`measure`, or the mean of `values`."""
        if self.measure is not None:
            return self.measure
        if self.values is not None:
            return mean_of(self.values)
        raise TypeError(f"metric {self.name}: expected a measure or values")

    def score(self, cases: Cases, weights: np.ndarray) -> np.ndarray:
        """Scores (B,) of weights (B, N), nan where undefined; a weight of 2 is the case listed twice."""
        return self.prepare(cases)(weights)
