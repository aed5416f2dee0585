"""Who is first under each defensible way to rank: what of the first place is the organiser's choice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from challenge_bundle.leaderboard.metric_info import MetricInfo
from challenge_bundle.leaderboard.ranking import rank_scores


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way to rank the entries, and who is first under it.

    Args:
        name: For readers, such as "median of the cases' Brier score".
        metric: Name of the metric.
        kind: `score`, `median`, `rank` (the entries are ranked on each case, and the mean rank decides) or
            `missing` (a case without a value counts as the worst one).
        first: Indices of the entries that are first.
        ranks: Each entry's rank.
    """

    name: str
    metric: str
    kind: str
    first: tuple[int, ...]
    ranks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Choices:
    """What depends on how the entries are ranked.

    Args:
        schemes: The ways to rank.
    """

    schemes: tuple[Scheme, ...] = ()

    def first_count(self, entry: int) -> int:
        """Under how many schemes an entry is first, alone or with others."""
        return sum(entry in scheme.first for scheme in self.schemes)


def compare_schemes(
    metrics: Sequence[MetricInfo], scores: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray]
) -> Choices:
    """Rank the entries under each scheme that their scores and cases allow.

    - Each metric that every entry has.
    - Of each metric that is a mean over cases: the median instead of the mean; and ranks on each case first,
      then their mean. Where a case's value is one of two alone (right or wrong), the median says nothing and
      mean ranks order the entries as the mean does: both are left out.
    - Of each such metric that some cases lack: those cases as the worst possible value, where there is one.

    Args:
        metrics: In the order in which schemes are listed.
        scores: (S,) by metric, finite.
        values: (S, N) by metric, nan where undefined; a metric may lack them.

    Source:
        Maier-Hein et al. 2018, "Why rankings of biomedical image analysis competitions should be interpreted
        with care", Nature Communications 9:5217.
    """
    schemes = []
    for metric in metrics:
        if metric.name not in scores:
            continue
        schemes.append(_scheme(metric.title, metric, "score", scores[metric.name], metric.higher_is_better))
        if metric.name in values:
            schemes += _of_cases(metric, values[metric.name])
    return Choices(tuple(schemes))


def _of_cases(metric: MetricInfo, values: np.ndarray) -> list[Scheme]:
    found = []
    missing = np.isnan(values)
    complete = values[:, ~missing.any(axis=0)]
    # The first few cases of a graded metric show that it is one.
    if complete.shape[1] and not _has_two_values(complete):
        title = f"median of the cases' {metric.title}"
        medians = np.median(complete, axis=1)
        found.append(_scheme(title, metric, "median", medians, metric.higher_is_better))
        title = f"rank on each case by {metric.title}, then the mean rank"
        found.append(_scheme(title, metric, "rank", mean_ranks(complete, metric.higher_is_better), False))
    if missing.any() and np.isfinite(metric.worst):
        title = f"{metric.title}, cases without a value as the worst"
        means = np.where(missing, metric.worst, values).mean(axis=1, dtype=np.float64)
        found.append(_scheme(title, metric, "missing", means, metric.higher_is_better))
    return found


def mean_ranks(values: np.ndarray, higher_is_better: bool) -> np.ndarray:
    """Rank the entries on each case, equal ones with the mean of their ranks, then take the mean over cases.

    Args:
        values: (S, N), finite.
        higher_is_better: Whether the highest value has the rank 1.

    Returns:
        (S,), the best the lowest.
    """
    from scipy.stats import rankdata

    total = np.zeros(len(values))
    step = max(1, 2**22 // len(values))
    for start in range(0, values.shape[1], step):
        block = values[:, start : start + step].astype(np.float64)
        total += rankdata(-block if higher_is_better else block, axis=0).sum(axis=1)
    return np.asarray(total / values.shape[1])


def _has_two_values(values: np.ndarray) -> bool:
    return bool(((values == values.min()) | (values == values.max())).all())


def _scheme(title: str, metric: MetricInfo, kind: str, scores: np.ndarray, higher_is_better: bool) -> Scheme:
    ranks = rank_scores(np.asarray(scores, dtype=np.float64), higher_is_better)
    first = tuple(np.flatnonzero(ranks == 1).tolist())
    return Scheme(title, metric.name, kind, first, tuple(ranks.tolist()))
