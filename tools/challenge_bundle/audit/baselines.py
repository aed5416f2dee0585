"""What trivial methods score: every score of the challenge is compared with these."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from challenge_bundle.audit.base import (
    TESTING,
    TRAINING,
    VALIDATION,
    AuditFinding,
    Figures,
    ImageTable,
    left_out,
)
from challenge_bundle.audit.baseline_methods import learn_methods, some
from challenge_bundle.audit.baseline_scores import FIGURES, TaskFigures, spread_by_chance
from challenge_bundle.findings import NOTE, WARNING, Finding
from challenge_bundle.layout import SPLITS

SOLVED = 0.95
"""The figure of a trivial method from which little is left to win."""
MIN_GAP = 0.05
"""Between validation and testing; in a large set less is beyond chance too, and harmless."""
MAX_P_VALUE = 0.01
"""That one of the methods has such a gap by chance."""


@dataclass(frozen=True, slots=True)
class _Result:
    """What one method scores on one split.

    Args:
        method: Its name.
        split: Place in SPLITS.
        figures: Each figure of the task; nan where it is undefined.
        spread: Standard deviation of the last one by chance.
        images: How many were asked for.
    """

    method: str
    split: int
    figures: tuple[float, ...]
    spread: float
    images: int


def find_baselines(images: ImageTable) -> list[AuditFinding]:
    """Score the most common answer, a nearest neighbour and a linear model.

    All learn from training; they are scored on validation and, where its labels are here, testing.

    Args:
        images: All images.

    Returns:
        One finding with the figures: a warning where a trivial method all but solves the task, on testing
        where its labels are here. A warning where a method's figures on validation and testing differ by more
        than chance allows.
    """
    training = images.of_split(TRAINING)
    asked = [split for split in (VALIDATION, TESTING) if len(images.of_split(split))]
    if len(np.unique(images.labels[training])) < 2 or not asked:
        return [left_out("baselines", "trivial methods need two labels in training and a split to score")]
    task = FIGURES[images.task]
    results = _score(images, task, training, asked)
    findings = [_summary(task, results, asked[-1]), *_gaps(task, results)]
    if TESTING not in asked:
        findings.append(
            left_out(
                "baselines",
                "the classes of the testing images are not known here: scored on validation alone",
            )
        )
    return findings


def _score(
    images: ImageTable, task: TaskFigures, training: NDArray[np.int64], asked: Sequence[int]
) -> list[_Result]:
    methods = learn_methods(images, training)
    results: list[_Result] = []
    for split in asked:
        queries = images.of_split(split)
        for method in methods:
            used = some(queries, method.limit)
            targets, predicted = images.targets(used), method.predict(used)
            one = np.ones((1, len(used)))
            figures = tuple(round(float(figure(targets, predicted, one)[0]), 4) for figure in task.figures)
            groups = [images.groups[row] or f"image {row}" for row in used]
            spread = spread_by_chance(task.figures[-1], targets, predicted, groups)
            results.append(_Result(method.name, split, figures, spread, len(used)))
    return results


def _summary(task: TaskFigures, results: Sequence[_Result], split: int) -> AuditFinding:
    """The finding with all figures; its message is of one split."""
    rows = tuple(
        (
            one.method,
            SPLITS[one.split],
            *("not defined" if math.isnan(figure) else figure for figure in one.figures),
            one.images,
        )
        for one in results
    )
    figures = Figures(("method", "split", *task.names, "images"), rows)
    defined = [one for one in results if one.split == split and not math.isnan(one.figures[-1])]
    if not defined:
        what = f"no trivial method has {task.article} {task.names[-1]} on {SPLITS[split]}"
        return AuditFinding("baselines", Finding("baselines", NOTE, "", what), figures=figures)
    best = max(defined, key=lambda one: one.figures[-1])
    score = best.figures[-1]
    what = (
        f"the best trivial method, {best.method}, reaches {task.article} {task.names[-1]} of {score:.3f} on"
        f" {SPLITS[split]}"
    )
    if score >= SOLVED:
        hint = "compare every score with these; only a harder task or split would separate methods"
        finding = Finding("trivial-task", WARNING, "", what, hint)
    else:
        finding = Finding("baselines", NOTE, "", what, "compare every score with these")
    return AuditFinding("baselines", finding, figures=figures)


def _gaps(task: TaskFigures, results: Sequence[_Result]) -> list[AuditFinding]:
    """The warning for methods that one split is easier for than the other."""
    on = {(one.method, one.split): one for one in results}
    methods = list(dict.fromkeys(one.method for one in results))
    rows: list[tuple[str, float, float, float, float]] = []
    for method in methods:
        validation, testing = on.get((method, VALIDATION)), on.get((method, TESTING))
        if validation is None or testing is None:
            continue
        one, other = validation.figures[-1], testing.figures[-1]
        p_value = gap_by_chance(one - other, validation.spread, testing.spread, len(methods))
        if abs(one - other) >= MIN_GAP and p_value <= MAX_P_VALUE:
            rows.append((method, one, other, round(one - other, 4), float(f"{p_value:.2g}")))
    if not rows:
        return []
    method, one, other, _, _ = max(rows, key=lambda row: abs(row[3]))
    what = (
        f"{method} reaches {task.article} {task.names[-1]} of {one:.3f} on validation and {other:.3f} on"
        " testing, more apart than chance allows"
    )
    hint = (
        "assign validation and testing from one pool of patients, as `data import` does: a score on"
        " validation does not predict the one on testing"
    )
    figures = Figures(("method", "validation", "testing", "difference", "p"), tuple(rows))
    finding = Finding("baseline-gap", WARNING, "", what, hint)
    return [AuditFinding("baselines", finding, len(rows), figures=figures)]


def gap_by_chance(gap: float, spread: float, other: float, methods: int) -> float:
    """Probability that one of several methods has such a gap or a larger one between two equal splits.

    Args:
        gap: Difference of the figures.
        spread: Standard deviation of one, by a bootstrap of the patient groups.
        other: Of the other.
        methods: How many gaps were looked at (Bonferroni).

    Returns:
        0..1; 1 where a figure is undefined or does not vary.
    """
    both = math.hypot(spread, other)
    if not both > 0.0 or math.isnan(gap):
        return 1.0
    return min(1.0, methods * 2.0 * NormalDist().cdf(-abs(gap) / both))
