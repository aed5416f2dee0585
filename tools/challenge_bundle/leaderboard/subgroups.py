"""The scores of each entry in parts of the test set: by site, sex, scanner or another attribute."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from challenge_bundle.leaderboard.case_means import draw_group_weights
from challenge_bundle.leaderboard.metric_info import MetricInfo
from challenge_bundle.leaderboard.ranking import LEVEL

RESAMPLES = 2000
MOST_VALUES = 20
"""An attribute with more values is a measurement or a name, and makes no table."""


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The cases that share a value of an attribute.

    Args:
        value: Such as `north`; empty for cases that lack it.
        cases: How many.
        groups: How many groups (patients) they are of.
        scores: Mean of each entry's cases; nan where none has a value.
        intervals: Of each entry, (low, high); those of all subgroups hold together with 95 %.
    """

    value: str
    cases: int
    groups: int
    scores: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class SubgroupTable:
    """The entries in each subgroup of one attribute.

    Args:
        attribute: Such as `site`.
        metric: Whose values of cases are averaged.
        subgroups: In the order of their values.
        worst: Of each entry, the index of the subgroup in which it scores worst.
    """

    attribute: str
    metric: MetricInfo
    subgroups: tuple[Subgroup, ...]
    worst: tuple[int, ...]


def make_tables(
    attributes: Mapping[str, Sequence[str]], groups: np.ndarray, values: np.ndarray, metric: MetricInfo
) -> list[SubgroupTable]:
    """Make a table for each attribute that divides the cases into 2 to MOST_VALUES subgroups.

    Args:
        attributes: By name, the value of each case, N texts.
        groups: (N,), int64, of 0..G-1.
        values: (S, N), of each entry's cases; nan where undefined.
        metric: Their metric.
    """
    tables = []
    for attribute, texts in sorted(attributes.items()):
        found = sorted(set(texts))
        if not 2 <= len(found) <= MOST_VALUES:
            continue
        kept = np.array(texts)
        subgroups = [_subgroup(one, kept == one, groups, values, metric, len(found)) for one in found]
        scores = np.array([one.scores for one in subgroups])
        badness = np.where(np.isnan(scores), -math.inf, -scores if metric.higher_is_better else scores)
        worst = tuple(badness.argmax(axis=0).tolist())
        tables.append(SubgroupTable(attribute, metric, tuple(subgroups), worst))
    return tables


def _subgroup(
    value: str, members: np.ndarray, groups: np.ndarray, values: np.ndarray, metric: MetricInfo, count: int
) -> Subgroup:
    """Score one subgroup; `count` subgroups share the level."""
    present, own = np.unique(groups[members], return_inverse=True)
    kept = values[:, members].astype(np.float64)
    scores = _means(kept)
    intervals = mean_intervals(kept, own, metric, LEVEL / count)
    return Subgroup(
        value,
        int(members.sum()),
        len(present),
        tuple(scores.tolist()),
        tuple((float(low), float(high)) for low, high in intervals),
    )


def mean_intervals(values: np.ndarray, groups: np.ndarray, metric: MetricInfo, level: float) -> np.ndarray:
    """Intervals of the mean over cases, which are drawn again by group.

    Where the metric has a least and a greatest value, half a case of each is added: otherwise five cases that
    are all right would have an interval without width.

    Args:
        values: (S, N), nan where undefined.
        groups: (N,), int64, of 0..G-1.
        metric: Their metric.
        level: Chance that an interval misses.

    Returns:
        (S, 2), nan for an entry without a value.
    """
    count = int(groups.max()) + 1
    stated = ~np.isnan(values)
    sums = np.stack([np.bincount(groups, row, count) for row in np.where(stated, values, 0.0)])
    sizes = np.stack([np.bincount(groups, row, count) for row in stated.astype(np.float64)])
    # As much as one group weighs.
    one = float((np.bincount(groups).astype(np.float64) ** 2).sum() / len(groups))
    is_bounded = math.isfinite(metric.low) and math.isfinite(metric.high)
    rng = np.random.default_rng(0)
    drawn = np.empty((len(values), RESAMPLES))
    start = 0
    for weights in draw_group_weights(len(groups), count, RESAMPLES):
        block = slice(start, start + weights.shape[1])
        least, most = rng.standard_gamma(0.5, (2, weights.shape[1])) * one if is_bounded else (0.0, 0.0)
        low, high = (metric.low, metric.high) if is_bounded else (0.0, 0.0)
        below = sizes @ weights + least + most
        with np.errstate(invalid="ignore"):
            drawn[:, block] = (sums @ weights + least * low + most * high) / below
        start = block.stop
    drawn[~stated.any(axis=1)] = math.nan
    return np.asarray(np.percentile(drawn, [50.0 * level, 100.0 - 50.0 * level], axis=1).T)


def _means(values: np.ndarray) -> np.ndarray:
    stated = ~np.isnan(values)
    counts = stated.sum(axis=1)
    sums = np.where(stated, values, 0.0).sum(axis=1)
    return np.asarray(np.divide(sums, counts, out=np.full(len(values), math.nan), where=counts > 0))
