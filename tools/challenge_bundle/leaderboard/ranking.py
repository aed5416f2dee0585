"""Ranks of entries, and their uncertainty over the choice of the cases, from resampled scores."""

from dataclasses import dataclass

import numpy as np

from challenge_bundle.leaderboard.significance import find_method, pair_tests

CONFIDENCE = 0.95
LEVEL = 0.05
TIE = 1e-12
"""Scores that differ by less are equal; of scores beyond 1 or -1, by less than this share of them."""

TAILS = (100.0 * (1.0 - CONFIDENCE) / 2.0, 100.0 * (1.0 + CONFIDENCE) / 2.0)
VALUES_AT_ONCE = 2**22
PAIRS_AT_ONCE = 2**23
PAIRWISE_ENTRIES = 200
"""With more entries, sorting each ranking is faster than comparing all pairs at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Where each entry stands; arrays are in the order in which the entries were given.

    Args:
        metric: Name of the score.
        higher_is_better: Whether a higher score is better.
        resamples: R, number of resamples of the cases; 0 if no entry has any.
        scores: (S,), the score on all cases.
        paired: (S,), whether the entry has resampled scores; the others are ranked by their score alone.
        intervals: (S, 2), 95 % interval of the score; nan where none is known.
        ranks: (S,), from 1; equal scores share a rank, and the next rank counts them all (1, 2, 2, 4).
        rank_intervals: (S, 2), ranks that the pair tests leave possible: with a chance of at least 95 % these
            hold the true ranks of all entries at once. 1 to S for an entry without resamples.
        drawn_ranks: (S, 2), whole ranks that hold 95 % of the resamples' ranks, among the paired entries; 0
            for the others.
        first: (S,), share of the resamples in which the entry is first of the paired ones; a tie is shared.
            They sum to 1; nan for an entry without resamples.
        rank_groups: (S,), from 1 at the top: no entry beats another of its group (see `find_rank_groups`).
        p_values: (S, S), of each pair, adjusted for the number of pairs; 1 on the diagonal.
        wins: (S, S), whether the row's entry beats the column's.
        tau: Mean of Kendall's tau-b between the resamples' rankings and the ranking on all cases; nan without
            resamples.
        tau_interval: Its 95 % percentile interval (low, high).
        tested: Whether the pairs were tested; if not, nobody beats anybody, and each rank may be any.
    """

    metric: str
    higher_is_better: bool
    resamples: int
    scores: np.ndarray
    paired: np.ndarray
    intervals: np.ndarray
    ranks: np.ndarray
    rank_intervals: np.ndarray
    drawn_ranks: np.ndarray
    first: np.ndarray
    rank_groups: np.ndarray
    p_values: np.ndarray
    wins: np.ndarray
    tau: float
    tau_interval: tuple[float, float]
    tested: bool = True


def rank_entries(
    metric: str,
    scores: np.ndarray,
    resamples: np.ndarray,
    higher_is_better: bool = True,
    influences: np.ndarray | None = None,
    intervals: np.ndarray | None = None,
    groups: int | None = None,
) -> Ranking:
    """Rank entries by a metric, with the uncertainty that a limited number of cases leaves.

    All entries were scored on the same resamples of the cases. They are ranked again on each.

    Args:
        metric: Name of the score.
        scores: (S,), on all cases, finite.
        resamples: (S, R), finite; a row of nan for an entry that has none. R may be 0.
        higher_is_better: Whether a higher score is better.
        influences: (S, G), by how much each group of cases moves the score, for the pair tests; a row of nan
            where it is not known. None if no entry has it.
        intervals: (S, 2), 95 % intervals that are known already; nan where the resamples are to give them.
        groups: G, for the pair tests of entries without influences; None if it is not known.

    Returns:
        The ranking.

    Raises:
        ValueError: No entry, shapes that do not fit, or a score that is not finite.

    Source:
        Wiesenfarth et al. 2021, "Methods and open-source toolkit for analyzing and visualizing challenge
        results", Scientific Reports 11:2369 (resampled rankings, Kendall's tau); Mogstad et al. 2024,
        "Inference for ranks with applications to mobility across neighbourhoods and academic achievement
        across countries", Review of Economic Studies 91:476 (intervals of ranks from tests of pairs).
    """
    paired = _check(scores, resamples, influences, intervals)
    count = len(scores)
    ranks = rank_scores(scores, higher_is_better)
    if influences is not None and np.isnan(influences[paired]).any():
        influences = None
    p_values = _pair_p_values(scores, resamples, influences, paired, higher_is_better, groups)
    shares = None if influences is None else influences[paired]
    wins = (p_values <= LEVEL) & _better(scores, higher_is_better)
    drawn_ranks = np.zeros((count, 2), dtype=np.int64)
    first = np.full(count, np.nan)
    tau, tau_interval = np.nan, (np.nan, np.nan)
    if paired.any():
        drawn = _rank_resamples(resamples if paired.all() else resamples[paired], higher_is_better)
        drawn_ranks[paired] = np.percentile(drawn, TAILS, axis=0, method="inverted_cdf").T
        winners = drawn == 1
        first[paired] = (winners / winners.sum(axis=1, keepdims=True)).mean(axis=0)
        taus = rank_correlations(rank_scores(scores[paired], higher_is_better), drawn)
        tau = float(taus.mean())
        low, high = np.percentile(taus, TAILS)
        tau_interval = (float(low), float(high))
    return Ranking(
        metric=metric,
        higher_is_better=higher_is_better,
        resamples=resamples.shape[1] if paired.any() else 0,
        scores=scores,
        paired=paired,
        intervals=score_intervals(resamples, intervals),
        ranks=ranks,
        rank_intervals=np.stack([1 + wins.sum(axis=0), count - wins.sum(axis=1)], axis=1),
        drawn_ranks=drawn_ranks,
        first=first,
        rank_groups=find_rank_groups(ranks, wins),
        p_values=p_values,
        wins=wins,
        tau=tau,
        tau_interval=tau_interval,
        tested=bool(paired.any() and find_method(resamples[paired], shares, groups)),
    )


def score_intervals(resamples: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """95 % intervals of scores.

    Args:
        resamples: (S, R), rows of nan where there are none.
        known: (S, 2), intervals of the scoring program, which come first; nan where there is none.

    Returns:
        (S, 2); the percentile interval of the resamples where no other is known; nan without resamples, and
        where all resamples are equal: an interval without width would promise what no test set can.
    """
    intervals = np.full((len(resamples), 2), np.nan) if known is None else known.astype(np.float64)
    if resamples.shape[1]:
        for entry in np.flatnonzero(np.isnan(intervals).any(axis=1)):
            low, high = np.percentile(resamples[entry], TAILS)
            intervals[entry] = (low, high) if high - low > TIE * max(1.0, abs(high)) else np.nan
    return intervals


def rank_scores(scores: np.ndarray, higher_is_better: bool = True) -> np.ndarray:
    """Rank scores, the best first; scores that are equal to within TIE share the best of their ranks.

    Args:
        scores: (..., S).
        higher_is_better: Whether the highest is the best.

    Returns:
        Ranks (..., S), int64, from 1.
    """
    falling = -scores if higher_is_better else scores
    order = np.argsort(falling, axis=-1, kind="stable")
    falling = np.take_along_axis(falling, order, axis=-1)
    positions = np.broadcast_to(np.arange(1, scores.shape[-1] + 1), scores.shape).copy()
    gaps = falling[..., 1:] - falling[..., :-1]
    positions[..., 1:][gaps <= TIE * np.maximum(1.0, np.abs(falling[..., 1:]))] = 1
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
    if len(ranks) > PAIRWISE_ENTRIES:
        return np.array([_rank_correlation(ranks, row) for row in drawn_ranks])
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


def _rank_correlation(ranks: np.ndarray, others: np.ndarray) -> float:
    from scipy.stats import kendalltau

    is_tied, other_is_tied = (bool((one == one[0]).all()) for one in (ranks, others))
    if is_tied or other_is_tied:
        return 1.0 if is_tied and other_is_tied else 0.0
    return float(kendalltau(ranks, others).statistic)


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


def _rank_resamples(resamples: np.ndarray, higher_is_better: bool) -> np.ndarray:
    """Ranks of each resample (R, S), int16, in blocks that fit into memory."""
    count, draws = resamples.shape
    ranks = np.empty((draws, count), dtype=np.int16)
    block = max(1, VALUES_AT_ONCE // count)
    for start in range(0, draws, block):
        drawn = np.ascontiguousarray(resamples[:, start : start + block].T)
        ranks[start : start + block] = rank_scores(drawn, higher_is_better)
    return ranks


def _pair_p_values(
    scores: np.ndarray,
    resamples: np.ndarray,
    influences: np.ndarray | None,
    paired: np.ndarray,
    higher_is_better: bool,
    groups: int | None,
) -> np.ndarray:
    """Adjusted p-values (S, S); 1 where one of the two has no resamples.

    Entries that have the same score on every resample gave the same answers: they are tested once, and not
    against each other, so that a duplicate costs nobody a win.
    """
    p_values = np.ones((len(scores), len(scores)))
    if not paired.any():
        return p_values
    place_of: dict[bytes, int] = {}
    rows = np.flatnonzero(paired)
    places = [place_of.setdefault(_digest(scores[row], resamples[row]), len(place_of)) for row in rows]
    distinct = rows[np.unique(places, return_index=True)[1]]
    shares = None if influences is None else influences[distinct]
    tested = pair_tests(scores[distinct], resamples[distinct], shares, higher_is_better, groups)
    p_values[np.ix_(rows, rows)] = tested[np.ix_(places, places)]
    np.fill_diagonal(p_values, 1.0)
    return p_values


def _digest(score: np.floating, resamples: np.ndarray) -> bytes:
    import hashlib

    return hashlib.sha256(score.tobytes() + resamples.tobytes()).digest()


def _better(scores: np.ndarray, higher_is_better: bool) -> np.ndarray:
    """Whether the row's score is better than the column's, beyond a tie: (S, S)."""
    gaps = scores[:, np.newaxis] - scores
    if not higher_is_better:
        gaps = -gaps
    sizes = np.maximum(np.abs(scores)[:, np.newaxis], np.abs(scores))
    return np.asarray(gaps > TIE * np.maximum(1.0, sizes))


def _check(
    scores: np.ndarray,
    resamples: np.ndarray,
    influences: np.ndarray | None,
    intervals: np.ndarray | None,
) -> np.ndarray:
    """Whether each entry has resamples (S,)."""
    count = len(scores)
    if not count or scores.shape != (count,) or resamples.ndim != 2 or len(resamples) != count:
        raise ValueError(
            f"scores {scores.shape}, resamples {resamples.shape}; expected (S,) and (S, R), S >= 1"
        )
    if influences is not None and (influences.ndim != 2 or len(influences) != count):
        raise ValueError(f"influences {influences.shape}; expected ({count}, G)")
    if intervals is not None and intervals.shape != (count, 2):
        raise ValueError(f"intervals {intervals.shape}; expected ({count}, 2)")
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
    missing = np.isnan(resamples)
    paired = ~missing.all(axis=1) if resamples.shape[1] else np.zeros(count, dtype=bool)
    if missing[paired].any() or np.isinf(resamples).any():
        raise ValueError("a resampled score is not finite")
    return np.asarray(paired)
