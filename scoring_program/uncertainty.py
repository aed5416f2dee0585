"""How sure the scores of these cases are: intervals, and the resampled scores for the organiser's board."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from cases import Cases, merge
from metric import Metric
from metrics import scorer
from resampling import (
    BLOCK_VALUES,
    CONFIDENCE,
    INTERVAL_RESAMPLES,
    LARGEST_BLOCK,
    SEED,
    Scores,
    influences,
    lower_tail,
    percentiles,
    prior_weight,
    resample_all,
)
from tasks import WITH_CLASSES

MOST_WEIGHTS = 2**27
FEWEST_RESAMPLES = 200
MOST_DRAWN = 2 * 10**9
"""Weights drawn for the organiser's board, some minutes at most: from 200,000 cases on, fewer resamples."""
FEWEST_FOR_PERCENTILES = 1_000
WITHOUT_INTERVAL = frozenset({"calibration_error"})
"""Chance alone makes the absolute distances in its bins too large, so that an interval lies above the true
value: it held that in 0 to 97 % of the data sets (benchmarks/COVERAGE.md). `calibration_error_l2` has one."""


def score_intervals(cases: Cases, metrics: Sequence[Metric]) -> dict[str, tuple[float, float]]:
    """The interval of each score that holds the true one with a probability of 95 %.

    Prior cases keep a flawless result from an interval without width. With probabilities or groups, the
    interval reaches as far as with or without them: alone they would put the true area under a curve above
    the interval of a nearly flawless one.

    Args:
        cases: What was scored.
        metrics: Those that have a score.

    Returns:
        (low, high) by name; a metric that is undefined in all resamples, or of WITHOUT_INTERVAL, has none.
    """
    metrics = [metric for metric in metrics if metric.name not in WITHOUT_INTERVAL]
    is_merged = cases.task.name in WITH_CLASSES and int(cases.groups.max()) + 1 == len(cases.groups)
    of_labels = [metric for metric in metrics if is_merged and not metric.needs]
    others = [metric for metric in metrics if metric not in of_labels]
    drawn: Scores = {}
    without: Scores = {}
    if of_labels:
        merged, counts = merge(cases, np.ones(len(cases.groups)))
        extended, prior = with_prior(merged)
        drawn |= resample_merged(extended, np.append(counts, prior), of_labels)
    if others:
        extended, prior = with_prior(cases)
        fitting = MOST_WEIGHTS // len(cases.groups)
        resamples = min(INTERVAL_RESAMPLES, max(FEWEST_RESAMPLES, fitting))
        drawn |= resample_all(scorer(others, extended), cases.groups, resamples, prior=prior)
        without |= resample_all(scorer(others, cases), cases.groups, resamples) if prior else {}
    found = {}
    tail = lower_tail(len(cases.groups) / prior_weight(cases.groups))
    for metric in metrics:
        low, high = _interval(drawn[metric.name], tail, metric)
        if metric.name in without:
            low_without, high_without = _interval(without[metric.name], tail, metric)
            low, high = min(low, low_without), max(high, high_without)
        found[metric.name] = low, high
    return {name: interval for name, interval in found.items() if not math.isnan(interval[0])}


def resampled_metrics(cases: Cases, metrics: Sequence[Metric], resamples: int) -> tuple[Scores, Scores]:
    """What the organiser's board needs.

    Args:
        cases: What was scored.
        metrics: Those that have a score.
        resamples: R, at most.

    Returns:
        (scores (R,) of the drawn weights by name, if they are defined in every draw; influences (G,) by name)
    """
    extended, prior = with_prior(cases)
    # By the cases alone, so that all submissions are resampled alike.
    resamples = min(resamples, max(FEWEST_RESAMPLES, MOST_DRAWN // len(cases.groups)))
    drawn = resample_all(scorer(metrics, extended), cases.groups, resamples, prior=prior)
    drawn = {name: scores for name, scores in drawn.items() if np.isfinite(scores).all()}
    moved: Scores = {}
    for is_quantile in (False, True):
        some = [metric for metric in metrics if is_quantile_metric(metric) == is_quantile]
        added = math.sqrt(int(cases.groups.max()) + 1) if is_quantile else -1.0
        if some:
            moved |= influences(scorer(some, cases), cases.groups, added)
    return drawn, moved


def is_quantile_metric(metric: Metric) -> bool:
    """Whether one case more or less hardly moves the score, as of a median."""
    return metric.name.startswith("median_")


def with_prior(cases: Cases) -> tuple[Cases, list[float]]:
    """Add prior cases, which stand for what may occur but has not: each pair of reference and prediction.

    Without them a flawless result would have an interval without width. Their probabilities are the mean of
    those cases with the same prediction. Values (regression) have no prior cases.

    Args:
        cases: N.

    Returns:
        (N + P cases, the prior ones last; shapes of their weights' gamma distributions (P,), which sum to 1)

    Source:
        Perks 1947, Journal of the Institute of Actuaries 73:285 (1/P for each of P cells).
    """
    if cases.task.name == "regression":
        return cases, []
    if cases.task.name == "multilabel":
        # All labels alike: right or wrong, positive or negative.
        pairs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=bool)
        reference, predictions = np.repeat(
            pairs[:, :, np.newaxis], cases.reference.shape[1], axis=2
        ).swapaxes(0, 1)
        # A label that is always there, or never, stays so: a mean over labels must not gain one.
        reference = (reference & cases.reference.any(axis=0)) | cases.reference.all(axis=0)
        predictions = predictions & (cases.reference | cases.predictions).any(axis=0)
    else:
        # Only classes that the reference has: a mean over the present classes must not gain one.
        present = np.unique(cases.reference)
        reference, predictions = np.repeat(present, len(present)), np.tile(present, len(present))
    extended = replace(
        cases,
        names=[""] * (len(cases.groups) + len(reference)),
        groups=np.append(cases.groups, np.full(len(reference), cases.groups.max() + 1)),
        reference=np.concatenate([cases.reference, reference]),
        predictions=np.concatenate([cases.predictions, predictions]),
        probabilities=_with_usual_probabilities(cases, predictions),
    )
    return extended, [1.0 / len(reference)] * len(reference)


def _with_usual_probabilities(cases: Cases, predictions: np.ndarray) -> np.ndarray | None:
    """The probabilities, and those of the prior cases: (N + P, K)."""
    if cases.probabilities is None:
        return None
    if cases.task.name == "multilabel":
        likely = predictions.astype(np.float64)
        for is_set in (False, True):
            members = cases.predictions == is_set
            usual = np.where(members, cases.probabilities, 0.0).sum(axis=0) / np.maximum(
                members.sum(axis=0), 1
            )
            rows = predictions == is_set
            likely = np.where(rows & members.any(axis=0), usual, likely)
    else:
        likely = np.eye(cases.probabilities.shape[1])[predictions]
        for label in np.intersect1d(predictions, cases.predictions):
            likely[predictions == label] = cases.probabilities[cases.predictions == label].mean(axis=0)
    return np.concatenate([cases.probabilities, likely])


def resample_merged(cases: Cases, counts: np.ndarray, metrics: Sequence[Metric]) -> Scores:
    """Score drawn weights of merged cases: n exponential weights sum to a gamma-distributed one of shape n.

    Args:
        cases: M.
        counts: How many cases each stands for (M,), with the prior's.
        metrics: Of labels.

    Returns:
        Scores (INTERVAL_RESAMPLES,) by name.
    """
    score, rng = scorer(metrics, cases), np.random.default_rng(SEED)
    size = max(8, min(LARGEST_BLOCK, BLOCK_VALUES // len(counts)))
    parts = []
    for start in range(0, INTERVAL_RESAMPLES, size):
        shape = (len(counts), min(size, INTERVAL_RESAMPLES - start))
        parts.append(score(rng.standard_gamma(counts[:, np.newaxis], size=shape).T))
    return {metric.name: np.concatenate([part[metric.name] for part in parts]) for metric in metrics}


def _interval(drawn: np.ndarray, tail: float, metric: Metric) -> tuple[float, float]:
    """The interval of one metric's resampled scores, within the metric's range."""
    if len(drawn) >= FEWEST_FOR_PERCENTILES or not np.isfinite(drawn).any():
        low, high = percentiles(drawn, tail)
    else:
        # With so many cases that few resamples fit into the time, the score is normal.
        middle = float(np.nanmean(drawn))
        reach = NormalDist().inv_cdf((1.0 + CONFIDENCE) / 2.0) * float(np.nanstd(drawn))
        low, high = middle - reach, middle + reach
    # Rounding may leave a mean of ones a little above 1.
    return max(low, metric.low), min(high, metric.high)
