"""Ranks of entries, and their uncertainty over the choice of the cases."""

from dataclasses import dataclass

import numpy as np

from challenge_bundle.leaderboard.exchange import holm, pair_p_values
from challenge_bundle.leaderboard.resampling import count_cells, parse_metric, resampled_scores, score_counts

CONFIDENCE = 0.95
LEVEL = 0.05
RESAMPLES = 10_000
TIE = 1e-12
PAIRS_AT_ONCE = 2**23


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Where each entry stands; arrays are in the order in which the entries were given.

    Args:
        metric: Name of the score.
        cases: N, number of cases.
        resamples: R, number of resamples of the cases.
        scores: (S,), the score on all cases.
        intervals: (S, 2), 95 % percentile interval of the score.
        ranks: (S,), from 1; equal scores share a rank, and the next rank counts them all (1, 2, 2, 4).
        rank_intervals: (S, 2), whole ranks that hold 95 % of the resamples' ranks.
        first: (S,), share of the resamples in which the entry is first; a tie is shared. They sum to 1.
        rank_groups: (S,), from 1 at the top: no entry beats another of its group (see `find_rank_groups`).
        p_values: (S, S), of each pair, adjusted by Holm's method; 1 on the diagonal.
        wins: (S, S), whether the row's entry beats the column's.
        tau: Mean of Kendall's tau-b between the resamples' rankings and the ranking on all cases.
        tau_interval: Its 95 % percentile interval (low, high).
    """

    metric: str
    cases: int
    resamples: int
    scores: np.ndarray
    intervals: np.ndarray
    ranks: np.ndarray
    rank_intervals: np.ndarray
    first: np.ndarray
    rank_groups: np.ndarray
    p_values: np.ndarray
    wins: np.ndarray
    tau: float
    tau_interval: tuple[float, float]


def rank_entries(
    reference: np.ndarray,
    predictions: np.ndarray,
    class_count: int,
    metric: str,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Ranking:
    """Rank entries by a metric, with the uncertainty that a limited number of cases leaves.

    The cases are drawn with replacement, the same draws for all entries, which are ranked again on each draw.

    Args:
        reference: Labels (N,), of 0..K-1.
        predictions: Labels (S, N), of 0..K-1; the same cases for every entry, none missing.
        class_count: K.
        metric: Of manifest.METRICS.
        resamples: R.
        seed: Same seed, same result.

    Returns:
        The ranking.

    Raises:
        ValueError: An unknown metric, no entry, no case, or shapes that do not fit.

    Source:
        Wiesenfarth et al. 2021, "Methods and open-source toolkit for analyzing and visualizing challenge
        results", Scientific Reports 11:2369 (bootstrap of the ranking, Kendall's tau).
    """
    _check(reference, predictions, class_count)
    # Entries with equal predictions share all figures: computed once, and not tested against each other.
    distinct, place = np.unique(predictions, axis=0, return_inverse=True)
    place = place.reshape(-1)
    scores = score_counts(count_cells(reference, distinct, class_count), parse_metric(metric))[place]
    drawn = resampled_scores(reference, distinct, class_count, metric, resamples, seed)[:, place]
    p_values = np.ones((len(distinct), len(distinct)))
    pairs = np.triu_indices(len(distinct), 1)
    p_values[pairs] = holm(pair_p_values(reference, distinct, class_count, metric)[pairs])
    p_values = np.minimum(p_values, p_values.T)[np.ix_(place, place)]
    wins = (p_values <= LEVEL) & (scores[:, np.newaxis] > scores + TIE)
    ranks = rank_scores(scores)
    drawn_ranks = rank_scores(drawn)
    winners = drawn_ranks == 1
    taus = rank_correlations(ranks, drawn_ranks)
    tails = 100.0 * np.array([(1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0])
    low, high = np.percentile(taus, tails)
    return Ranking(
        metric=metric,
        cases=len(reference),
        resamples=resamples,
        scores=scores,
        intervals=np.percentile(drawn, tails, axis=0).T,
        ranks=ranks,
        rank_intervals=np.percentile(drawn_ranks, tails, axis=0, method="inverted_cdf").T,
        first=(winners / winners.sum(axis=1, keepdims=True)).mean(axis=0),
        rank_groups=find_rank_groups(ranks, wins),
        p_values=p_values,
        wins=wins,
        tau=float(taus.mean()),
        tau_interval=(float(low), float(high)),
    )


def rank_scores(scores: np.ndarray) -> np.ndarray:
    """Rank scores, the highest first; scores equal to within 1e-12 share the best of their ranks.

    Args:
        scores: (..., S).

    Returns:
        Ranks (..., S), int64, from 1.
    """
    order = np.argsort(-scores, axis=-1, kind="stable")
    falling = np.take_along_axis(scores, order, axis=-1)
    positions = np.broadcast_to(np.arange(1, scores.shape[-1] + 1), scores.shape).copy()
    positions[..., 1:][falling[..., :-1] - falling[..., 1:] <= TIE] = 1
    ranks = np.empty(scores.shape, dtype=np.int64)
    np.put_along_axis(ranks, order, np.maximum.accumulate(positions, axis=-1), axis=-1)
    return ranks


def rank_correlations(ranks: np.ndarray, drawn_ranks: np.ndarray) -> np.ndarray:
    """Kendall's tau-b between one ranking and many others.

    Args:
        ranks: (S,).
        drawn_ranks: (R, S).

    Returns:
        (R,), each in -1..1. If both rankings consist of ties alone, 1; if only one does, 0.

    Source:
        Kendall 1945, Biometrika 33:239.
    """
    first, second = np.triu_indices(len(ranks), 1)
    signs = np.sign(ranks[first] - ranks[second]).astype(np.float32)
    untied = float(np.count_nonzero(signs))
    taus = np.empty(len(drawn_ranks))
    # A quarter of the memory traffic; no board has 32,768 entries.
    compact = drawn_ranks.astype(np.int16)
    block = max(1, PAIRS_AT_ONCE // max(len(first), 1))
    for start in range(0, len(compact), block):
        rows = compact[start : start + block]
        drawn_signs = np.sign(rows[:, first] - rows[:, second]).astype(np.float32)
        both = np.sqrt(untied * np.count_nonzero(drawn_signs, axis=1))
        agreed = (drawn_signs @ signs).astype(np.float64)
        alike = np.where((untied == 0.0) & ~drawn_signs.any(axis=1), 1.0, 0.0)
        taus[start : start + block] = np.divide(agreed, both, out=alike, where=both > 0)
    return taus


def find_rank_groups(ranks: np.ndarray, wins: np.ndarray) -> np.ndarray:
    """Divide the ranking into groups in which no entry beats another.

    From the top down, an entry joins the group unless a member of the group beats it: then it opens the next
    group. Entries that share a rank stay together. One number per entry can be read without an explanation,
    unlike the overlapping letters of other displays. The price: two neighbours on either side of a border
    need not differ, since the border may come from a member further up; `wins` has the pairs.

    Args:
        ranks: (S,).
        wins: (S, S).

    Returns:
        Groups (S,), from 1.
    """
    groups = np.zeros(len(ranks), dtype=np.int64)
    group = 1
    for rank in np.unique(ranks):
        members = np.flatnonzero(ranks == rank)
        if wins[np.ix_(groups == group, members)].any():
            group += 1
        groups[members] = group
    return groups


def _check(reference: np.ndarray, predictions: np.ndarray, class_count: int) -> None:
    if predictions.ndim != 2 or not predictions.size or reference.shape != predictions.shape[1:]:
        raise ValueError(
            f"reference {reference.shape} and predictions {predictions.shape}; expected (N,) and (S, N)"
            " with at least one case and one entry"
        )
    for name, labels in (("reference", reference), ("predictions", predictions)):
        if labels.min() < 0 or labels.max() >= class_count:
            raise ValueError(f"{name}: labels {labels.min()}..{labels.max()}; expected 0..{class_count - 1}")
