"""Ranks, their intervals and the groups, against direct computations."""

import numpy as np
import pytest
from scipy import stats

from challenge_bundle.leaderboard import ranking as module
from challenge_bundle.leaderboard.ranking import (
    Ranking,
    find_rank_groups,
    rank_correlations,
    rank_entries,
    rank_scores,
    score_intervals,
)
from challenge_bundle.leaderboard.significance import pair_tests

RESAMPLES = 100
HIGHER = pytest.mark.parametrize("higher", [True, False])


def make_board(
    seed: int, cases: int, entries: int, worst: float = 0.5, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Accuracies (S,), resampled ones (S, R) and influences (S, G) of entries, the later the worse."""
    rng = np.random.default_rng(seed)
    rates = np.linspace(0.1, worst, entries)[:, np.newaxis]
    right = (rng.random((entries, cases)) >= rates).astype(np.float64)
    return score_cases(right, rng.standard_exponential((resamples, cases)))


def score_cases(right: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores = right.mean(axis=1)
    drawn = (right @ weights.T) / weights.sum(axis=1)
    return scores, drawn, right - scores[:, np.newaxis]


def average(values: np.ndarray, share: float) -> float:
    """The smallest value that at least a share of all do not exceed."""
    ordered = sorted(values.tolist())
    for place, value in enumerate(ordered, start=1):
        if place / len(ordered) >= share - 1e-12:
            return float(value)
    raise AssertionError


@HIGHER
def test_each_resample_is_ranked_by_itself(higher: bool) -> None:
    # So few cases that scores are often equal.
    scores, drawn, influences = make_board(2, 12, 4, worst=0.7)
    drawn = np.round(drawn * 12) / 12
    ranking = rank_entries("m", scores, drawn, higher, influences)
    ranks = [[0] * 4 for _ in range(RESAMPLES)]
    first = [0.0] * 4
    for draw in range(RESAMPLES):
        column = drawn[:, draw].tolist()
        for entry in range(4):
            better = [one for one in column if (one > column[entry] if higher else one < column[entry])]
            ranks[draw][entry] = 1 + sum(abs(one - column[entry]) > 1e-9 for one in better)
        winners = [entry for entry in range(4) if ranks[draw][entry] == 1]
        for entry in winners:
            first[entry] += 1 / len(winners) / RESAMPLES
    np.testing.assert_allclose(ranking.first, first)
    assert ranking.first.sum() == pytest.approx(1.0)
    columns = np.array(ranks).T
    bounds = [[average(one, 0.025), average(one, 0.975)] for one in columns]
    np.testing.assert_array_equal(ranking.drawn_ranks, bounds)
    own = stats.rankdata(-scores if higher else scores, method="min")
    np.testing.assert_array_equal(ranking.ranks, own)
    taus = [stats.kendalltau(own, row).statistic for row in ranks]
    expected = np.nan_to_num(taus)  # a resample on which all are equal agrees with no order
    assert ranking.tau == pytest.approx(expected.mean())
    np.testing.assert_allclose(ranking.tau_interval, np.percentile(expected, [2.5, 97.5]))
    np.testing.assert_allclose(ranking.intervals, np.percentile(drawn, [2.5, 97.5], axis=1).T)


@HIGHER
def test_lower_is_better_is_the_same_with_the_other_sign(higher: bool) -> None:
    scores, drawn, influences = make_board(4, 200, 6)
    one = rank_entries("m", scores, drawn, higher, influences)
    other = rank_entries("m", -scores, -drawn, not higher, -influences)
    for name in ("ranks", "rank_intervals", "drawn_ranks", "first", "rank_groups", "wins", "tau"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    np.testing.assert_allclose(one.intervals, -other.intervals[:, ::-1])
    np.testing.assert_allclose(one.p_values, other.p_values, atol=2e-3)


def test_possible_ranks_follow_from_the_tests() -> None:
    scores, drawn, influences = make_board(6, 300, 8)
    ranking = rank_entries("m", scores, drawn, True, influences)
    assert 0 < ranking.wins.sum() < 28
    for entry in range(8):
        beaten_by = sum(bool(ranking.wins[other, entry]) for other in range(8))
        beats = sum(bool(ranking.wins[entry, other]) for other in range(8))
        assert ranking.rank_intervals[entry].tolist() == [1 + beaten_by, 8 - beats]
    p_values = pair_tests(scores, drawn, influences, True)
    np.testing.assert_array_equal(ranking.p_values, p_values)
    for one in range(8):
        for other in range(8):
            wins = bool(p_values[one, other] <= 0.05 and scores[one] > scores[other])
            assert bool(ranking.wins[one, other]) == wins


def test_a_flawless_entry_is_neither_first_for_sure_nor_without_width() -> None:
    right = np.ones((3, 60))
    right[1, 0] = right[2, :2] = 0.0
    scores, drawn, influences = score_cases(right, np.random.default_rng(0).standard_exponential((500, 60)))
    ranking = rank_entries("m", scores, drawn, True, influences)
    assert ranking.ranks.tolist() == [1, 2, 3]
    assert ranking.rank_intervals.tolist() == [[1, 3]] * 3
    # All of its resamples are 1: how wide its interval is nobody knows from them.
    assert np.isnan(ranking.intervals[0]).all()
    assert (ranking.intervals[1:, 0] < ranking.intervals[1:, 1]).all()


@pytest.mark.parametrize("seed", range(3))
def test_true_ranks_lie_in_the_intervals(seed: int) -> None:
    """Forty boards of four equally good entries: at most a few have a rank interval without rank 1."""
    rng = np.random.default_rng(seed)
    wrong = 0
    for _ in range(40):
        right = (rng.random((4, 80)) < 0.8).astype(np.float64)
        scores, drawn, influences = score_cases(right, rng.standard_exponential((200, 80)))
        ranking = rank_entries("m", scores, drawn, True, influences)
        wrong += bool((ranking.rank_intervals != [1, 4]).any())
    assert wrong <= 6  # 40 x 0.05 = 2; seven or more have a chance below 0.4 %


def test_stated_intervals_come_first() -> None:
    drawn = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 0.0, 1.0], [np.nan] * 4])
    known = np.array([[0.0, 0.9], [np.nan, np.nan], [np.nan, 0.3], [0.2, 0.3]])
    found = score_intervals(drawn, known)
    np.testing.assert_array_equal(found[[0, 3]], known[[0, 3]])
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[2], np.percentile(drawn[2], [2.5, 97.5]))
    assert np.isnan(score_intervals(np.empty((2, 0)))).all()


@HIGHER
def test_entries_without_resamples_are_ranked_by_their_scores_alone(higher: bool) -> None:
    scores, drawn, influences = make_board(3, 400, 5, worst=0.9)
    if not higher:
        scores, drawn, influences = -scores, -drawn, -influences
    whole = rank_entries("m", scores[[0, 1, 3, 4]], drawn[[0, 1, 3, 4]], higher, influences[[0, 1, 3, 4]])
    drawn[2], influences[2] = np.nan, np.nan
    ranking = rank_entries("m", scores, drawn, higher, influences)
    assert ranking.paired.tolist() == [True, True, False, True, True]
    assert ranking.ranks.tolist() == [1, 2, 3, 4, 5]
    assert ranking.rank_intervals[2].tolist() == [1, 5]
    assert np.isnan(ranking.first[2])
    assert np.isnan(ranking.intervals[2]).all()
    assert ranking.drawn_ranks[2].tolist() == [0, 0]
    assert (ranking.p_values[2] == 1.0).all()
    assert not ranking.wins[2].any()
    kept = [0, 1, 3, 4]
    np.testing.assert_array_equal(ranking.p_values[np.ix_(kept, kept)], whole.p_values)
    np.testing.assert_array_equal(ranking.first[kept], whole.first)
    np.testing.assert_array_equal(ranking.drawn_ranks[kept], whole.drawn_ranks)
    # Among five, the one that cannot be paired leaves one more rank open.
    np.testing.assert_array_equal(ranking.rank_intervals[kept, 0], whole.rank_intervals[:, 0])
    np.testing.assert_array_equal(ranking.rank_intervals[kept, 1], whole.rank_intervals[:, 1] + 1)


def test_without_any_resamples_nothing_is_promised() -> None:
    ranking = rank_entries("m", np.array([0.5, 0.9, 0.5]), np.empty((3, 0)))
    assert ranking.ranks.tolist() == [2, 1, 2]
    assert ranking.resamples == 0
    assert ranking.rank_intervals.tolist() == [[1, 3]] * 3
    assert np.isnan(ranking.tau)
    assert not ranking.wins.any()
    assert ranking.rank_groups.tolist() == [1, 1, 1]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, drawn, influences = make_board(4, 50, 5)
    whole = rank_entries("m", scores, drawn, True, influences)
    monkeypatch.setattr(module, "VALUES_AT_ONCE", 5 * 7)
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", 10 * 11)
    assert_same(rank_entries("m", scores, drawn, True, influences), whole)


def assert_same(first: Ranking, second: Ranking) -> None:
    for name in Ranking.__slots__:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), name)


def test_a_copy_changes_nobody_else() -> None:
    scores, drawn, influences = make_board(5, 200, 4)
    alone = rank_entries("m", scores, drawn, True, influences)
    rows = [0, 1, 2, 3, 3]
    copied = rank_entries("m", scores[rows], drawn[rows], True, influences[rows])
    np.testing.assert_array_equal(copied.p_values[:4, :4], alone.p_values)
    np.testing.assert_array_equal(copied.drawn_ranks[:4], alone.drawn_ranks)
    assert copied.p_values[3, 4] == 1.0
    assert copied.ranks[3] == copied.ranks[4] == 4


@HIGHER
def test_ranks_share_ties(higher: bool) -> None:
    sign = 1 if higher else -1
    scores = sign * np.array([0.5, 0.9, 0.7, 0.7 + 1e-14, 0.1])
    np.testing.assert_array_equal(rank_scores(scores, higher), [4, 1, 2, 2, 5])
    many = np.random.default_rng(0).integers(5, size=(50, 8)) / 7
    expected = [stats.rankdata(-row, method="min") for row in many]
    np.testing.assert_array_equal(rank_scores(sign * many, higher), expected)


def test_large_scores_tie_by_their_size() -> None:
    # 1e-12 of a million is 1e-6; the next digit that differs is no tie.
    assert rank_scores(np.array([1e6, 1e6 + 5e-7, 1e6 + 1e-5])).tolist() == [2, 2, 1]
    assert rank_scores(np.array([1e-3, 1e-3 + 5e-13, 1e-3 + 1e-11]), False).tolist() == [1, 1, 3]
    scores = np.array([1e6, 1e6 + 5e-7])
    drawn = scores[:, np.newaxis] + np.array([[0.0, 1.0, 2.0], [0.0, 2.0, 1.0]])
    assert not rank_entries("m", scores, drawn).wins.any()


def test_tau_is_scipys() -> None:
    rng = np.random.default_rng(1)
    ranks = rng.integers(1, 6, size=9)
    drawn = rng.integers(1, 6, size=(40, 9))
    expected = [stats.kendalltau(ranks, row).statistic for row in drawn]
    np.testing.assert_allclose(rank_correlations(ranks, drawn), expected, atol=1e-12)


def test_tau_of_nothing_but_ties() -> None:
    ties, other = np.ones(3, dtype=int), np.array([1, 2, 3])
    np.testing.assert_array_equal(rank_correlations(ties, np.array([ties, other])), [1.0, 0.0])
    np.testing.assert_array_equal(rank_correlations(other, np.array([ties, other])), [0.0, 1.0])


def test_tau_of_many_entries_is_that_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    ranks, drawn = rng.integers(1, 9, size=30), rng.integers(1, 9, size=(20, 30))
    drawn[0] = 1
    whole = rank_correlations(ranks, drawn)
    monkeypatch.setattr(module, "PAIRWISE_ENTRIES", 5)
    np.testing.assert_allclose(rank_correlations(ranks, drawn), whole, atol=1e-12)
    assert rank_correlations(np.ones(9, dtype=int), np.ones((1, 9), dtype=int)).tolist() == [1.0]


def test_groups_open_where_a_member_is_beaten() -> None:
    wins = np.zeros((5, 5), dtype=bool)
    wins[0, 3] = wins[0, 4] = wins[1, 4] = True
    # The third and the fourth share a rank, and so the group, though only the fourth is beaten.
    np.testing.assert_array_equal(find_rank_groups(np.array([1, 2, 3, 3, 5]), wins), [1, 1, 2, 2, 2])
    np.testing.assert_array_equal(find_rank_groups(np.array([1, 2, 3, 4, 5]), wins), [1, 1, 1, 2, 2])


@HIGHER
def test_clear_differences_are_ranked_apart(higher: bool) -> None:
    scores, drawn, influences = make_board(6, 3000, 3, worst=0.9)
    if not higher:
        scores, drawn, influences = 1 - scores, 1 - drawn, -influences
    ranking = rank_entries("m", scores, drawn, higher, influences)
    np.testing.assert_array_equal(ranking.ranks, [1, 2, 3])
    np.testing.assert_array_equal(ranking.rank_groups, [1, 2, 3])
    np.testing.assert_array_equal(ranking.wins, np.triu(np.ones((3, 3), dtype=bool), 1))
    np.testing.assert_array_equal(ranking.rank_intervals, [[1, 1], [2, 2], [3, 3]])
    np.testing.assert_array_equal(ranking.drawn_ranks, [[1, 1], [2, 2], [3, 3]])
    assert ranking.tau == 1.0


def test_one_entry() -> None:
    ranking = rank_entries("m", np.array([0.25]), np.array([[0.2, 0.3]]))
    assert ranking.ranks[0] == ranking.rank_groups[0] == 1
    assert ranking.first[0] == ranking.tau == 1.0
    assert ranking.rank_intervals.tolist() == [[1, 1]]


def test_all_alike() -> None:
    scores, drawn, influences = make_board(7, 25, 1)
    rows = [0, 0, 0, 0]
    ranking = rank_entries("m", scores[rows], drawn[rows], True, influences[rows])
    np.testing.assert_array_equal(ranking.ranks, 1)
    np.testing.assert_array_equal(ranking.rank_intervals, [[1, 4]] * 4)
    np.testing.assert_array_equal(ranking.drawn_ranks, 1)
    np.testing.assert_allclose(ranking.first, 0.25)
    np.testing.assert_array_equal(ranking.rank_groups, 1)
    assert not ranking.wins.any()


def test_what_does_not_fit_is_refused() -> None:
    scores, drawn, influences = make_board(8, 10, 2)
    broken = drawn.copy()
    broken[0, 3] = np.nan
    infinite = drawn.copy()
    infinite[0, 3] = np.inf
    for arguments in (
        (scores[:1], drawn),
        (scores[:0], drawn[:0]),
        (scores, drawn[0]),
        (scores, drawn, True, influences[:1]),
        (scores, drawn, True, influences, np.zeros((2, 3))),
    ):
        with pytest.raises(ValueError, match="expected"):
            rank_entries("m", *arguments)
    for arguments in ((np.array([0.5, np.nan]), drawn), (scores, broken), (scores, infinite)):
        with pytest.raises(ValueError, match="is not finite"):
            rank_entries("m", *arguments)


def test_a_pair_that_one_test_tells_apart_is_not_told_apart_among_many() -> None:
    # 3 against 12 cases of its own: by itself McNemar's p is 0.035.
    right = np.ones((2, 400))
    right[0, :3] = right[1, 3:15] = 0.0
    weights = np.random.default_rng(0).standard_exponential((400, 400))
    scores, drawn, influences = score_cases(right, weights)
    alone = rank_entries("m", scores, drawn, True, influences)
    assert alone.p_values[0, 1] == pytest.approx(stats.binomtest(3, 15).pvalue, abs=0.01)
    assert alone.wins.tolist() == [[False, True], [False, False]]
    assert alone.rank_groups.tolist() == [1, 2]
    more = np.ones((5, 400))
    more[:2] = right
    for entry, start in ((2, 15), (3, 22), (4, 29)):
        more[entry, start : start + 7] = 0.0
    scores, drawn, influences = score_cases(more, weights)
    among = rank_entries("m", scores, drawn, True, influences)
    assert among.p_values[0, 1] > alone.p_values[0, 1]
    assert not among.wins.any()
    assert among.rank_groups.tolist() == [1] * 5


def test_few_groups_without_influences_are_not_tested() -> None:
    rng = np.random.default_rng(3)
    drawn = np.array([[0.9], [0.1]]) + 0.01 * rng.normal(size=(2, 500))
    scores = np.array([0.9, 0.1])
    for groups in (None, 999):
        few = rank_entries("m", scores, drawn, groups=groups)
        assert not few.tested
        assert not few.wins.any()
        assert few.rank_intervals.tolist() == [[1, 2], [1, 2]]
    many = rank_entries("m", scores, drawn, groups=1_000)
    assert many.tested
    assert many.wins.tolist() == [[False, True], [False, False]]
