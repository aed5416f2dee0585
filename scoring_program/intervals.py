"""The 95 % interval of each score, by what the metric is made of; see benchmarks/COVERAGE.md for how well."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cases import Cases
from metrics import Metric, scorer
from prior import every_cell, with_prior
from resampling import INTERVAL_RESAMPLES, SEED, percentile_interval, resample_all
from tasks import WITH_CLASSES

MOST_WEIGHTS = 4e8
"""Of all resamples of all cases that need each case: about ten seconds."""

FEWEST_RESAMPLES = 200


def score_intervals(cases: Cases, metrics: Sequence[Metric]) -> dict[str, list[float]]:
    """The 95 % interval of each metric that has one.

    Args:
        cases: Reference and predictions.
        metrics: Those that apply.

    Returns:
        [low, high] by name.
    """
    are_groups = len(np.unique(cases.groups)) < len(cases.groups)
    by_cells = [
        metric
        for metric in metrics
        if cases.task.name in WITH_CLASSES and not metric.needs and not are_groups
    ]
    drawn = resample_cells(cases, by_cells) if by_cells else {}
    others = [metric for metric in metrics if metric not in by_cells]
    if others:
        extended, prior = with_prior(cases)
        resamples = int(np.clip(MOST_WEIGHTS / len(cases.groups), FEWEST_RESAMPLES, INTERVAL_RESAMPLES))
        drawn |= resample_all(scorer(others, extended), cases.groups, resamples, prior=prior)
    intervals = {metric.name: percentile_interval(drawn[metric.name], cases.groups) for metric in metrics}
    return {name: list(bounds) for name, bounds in intervals.items() if np.isfinite(bounds).all()}


def resample_cells(cases: Cases, metrics: Sequence[Metric]) -> dict[str, np.ndarray]:
    """Resample cases without groups by the cells of their confusion matrix.

    The weights of n cases of one cell sum to a draw from a gamma distribution of shape n, so that the time
    does not grow with the number of cases.

    Returns:
        Scores (R,) by name.
    """
    cells, counts = every_cell(cases)
    shapes = counts + 1.0 / len(counts)
    weights = np.random.default_rng(SEED).standard_gamma(shapes, size=(INTERVAL_RESAMPLES, len(counts)))
    return scorer(metrics, cells)(weights)
