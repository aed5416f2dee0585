"""How often a metric's interval held the true score in trials, where that is not 93 to 97 %."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from cases import Cases
from tasks import WITH_CLASSES

TABLE_PATH = Path(__file__).with_name("interval_notes.json")
"""{task: {balance: {metric: {cases: [least, most]}}}} in percent, over results of several qualities; written
by benchmarks/coverage.py, with benchmarks/COVERAGE.md."""

LOW, HIGH = 93, 97
RARE = 0.13
"""Classes were of 33 %, or the rarest of 5 %: a rarest share below their geometric mean is nearer to 5 %."""


def interval_notes(cases: Cases, metrics: Iterable[str]) -> dict[str, str]:
    """A sentence for every metric whose interval covers too seldom or too often with so few cases.

    Args:
        cases: What was scored; groups count like cases.
        metrics: Names of those that have an interval.

    Returns:
        By metric; nothing of metrics that were not measured.
    """
    table = json.loads(TABLE_PATH.read_text(encoding="utf-8")).get(cases.task.name, {})
    measured = table.get(balance_of(cases), next(iter(table.values()), {}))
    groups = int(cases.groups.max()) + 1
    notes = {}
    for name in metrics:
        # The nearest number of cases, by ratio.
        counts = sorted(measured.get(name, {}), key=lambda count: abs(math.log(int(count) / groups)))
        if counts:
            least, most = measured[name][counts[0]]
            if least < LOW or most > HIGH:
                share = f"{least} %" if least == most else f"{least} to {most} %"
                notes[name] = f"covers {share} with {counts[0]} cases in trials"
    return notes


def balance_of(cases: Cases) -> str:
    """Which trials are the nearest: `balanced` or `unbalanced`; empty of values."""
    if cases.task.name in WITH_CLASSES:
        sizes = np.bincount(cases.reference)
        return "unbalanced" if sizes[sizes > 0].min() < RARE * len(cases.reference) else "balanced"
    return "unbalanced" if cases.task.name == "multilabel" else ""
