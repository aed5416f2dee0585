"""Ranks, their intervals and the groups, against direct computations."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, classification_report

from challenge_bundle.leaderboard.exchange import pair_p_values
from challenge_bundle.leaderboard.ranking import (
    Ranking,
    find_rank_groups,
    rank_correlations,
    rank_entries,
    rank_scores,
)
from challenge_bundle.leaderboard.resampling import (
    Metric,
    class_scores,
    count_cells,
    draw_cases,
    parse_metric,
    score_counts,
)
from challenge_bundle.settings import METRICS

RESAMPLES = 100


def make_board(
    seed: int, cases: int, entries: int, class_count: int, worst: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Reference (N,) and predictions (S, N), the later entry the worse one."""
    rng = np.random.default_rng(seed)
    reference = rng.integers(class_count, size=cases)
    rates = np.linspace(0.1, worst, entries)[:, np.newaxis]
    guesses = rng.integers(class_count, size=(entries, cases))
    return reference, np.where(rng.random((entries, cases)) < rates, guesses, reference)


def sklearn_score(reference: np.ndarray, predictions: np.ndarray, class_count: int, metric: str) -> float:
    if metric == "accuracy":
        return float(accuracy_score(reference, predictions))
    report = classification_report(
        reference, predictions, labels=range(class_count), output_dict=True, zero_division=0.0
    )
    average, part = metric.split("_")
    return float(report[f"{average} avg"]["f1-score" if part == "f1" else part])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("class_count", [2, 5])
def test_scores_are_scikit_learns(metric: str, class_count: int) -> None:
    reference, predictions = make_board(1, 60, 4, class_count)
    # One entry never predicts a class, and one class has no case.
    predictions[1][predictions[1] == 1] = 0
    reference[reference == class_count - 1] = 0
    scores = score_counts(count_cells(reference, predictions, class_count), parse_metric(metric))
    for score, labels in zip(scores, predictions, strict=True):
        assert score == pytest.approx(sklearn_score(reference, labels, class_count, metric), abs=1e-12)


def direct_scores(reference: np.ndarray, predictions: np.ndarray, metric: str, seed: int) -> np.ndarray:
    """Score each resample by drawing its rows and asking scikit-learn: (R, S)."""
    drawn = np.concatenate(list(draw_cases(len(reference), RESAMPLES, seed))).astype(int)
    rows = [np.repeat(np.arange(len(reference)), counts) for counts in drawn]
    return np.array(
        [
            [sklearn_score(reference[cases], labels[cases], 3, metric) for labels in predictions]
            for cases in rows
        ]
    )


@pytest.mark.parametrize("metric", ["weighted_f1", "macro_precision", "accuracy"])
def test_resampling_is_that_of_rows(metric: str) -> None:
    # So few cases that some resamples hold a class not at all.
    reference, predictions = make_board(2, 12, 3, 3, worst=0.9)
    ranking = rank_entries(reference, predictions, 3, metric, RESAMPLES, seed=5)
    scores = direct_scores(reference, predictions, metric, seed=5)
    np.testing.assert_allclose(ranking.intervals, np.percentile(scores, [2.5, 97.5], axis=0).T, atol=1e-12)
    ranks = np.array([stats.rankdata(-row.round(10), method="min") for row in scores])
    bounds = np.percentile(ranks, [2.5, 97.5], axis=0, method="inverted_cdf").T
    np.testing.assert_array_equal(ranking.rank_intervals, bounds)
    winners = ranks == 1
    shares = (winners / winners.sum(axis=1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(ranking.first, shares)
    assert ranking.first.sum() == pytest.approx(1.0)


def test_intervals_are_those_of_other_draws() -> None:
    reference, predictions = make_board(3, 400, 4, 3)
    ranking = rank_entries(reference, predictions, 3, "macro_f1", 4000, seed=1)
    rng = np.random.default_rng(99)
    confusion = count_cells(reference, predictions[:1], 3)[0].ravel()
    drawn = rng.multinomial(400, confusion / 400, size=4000).reshape(-1, 3, 3)
    bounds = np.percentile(score_counts(drawn, parse_metric("macro_f1")), [2.5, 97.5])
    np.testing.assert_allclose(ranking.intervals[0], bounds, atol=0.005)


def test_draws_are_alike_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, predictions = make_board(4, 50, 5, 3)
    whole = rank_entries(reference, predictions, 3, "weighted_f1", RESAMPLES)
    monkeypatch.setattr("challenge_bundle.leaderboard.resampling.DRAWN_AT_ONCE", 50 * 7)
    monkeypatch.setattr("challenge_bundle.leaderboard.resampling.INDICATORS_AT_ONCE", 50 * 3 * 2)
    monkeypatch.setattr("challenge_bundle.leaderboard.ranking.PAIRS_AT_ONCE", 10 * 11)
    assert_same(rank_entries(reference, predictions, 3, "weighted_f1", RESAMPLES), whole)


def assert_same(first: Ranking, second: Ranking) -> None:
    for name in Ranking.__slots__:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), name)


def test_a_copy_changes_nobody_else() -> None:
    reference, predictions = make_board(5, 200, 4, 3)
    alone = rank_entries(reference, predictions, 3, "weighted_f1", RESAMPLES)
    copied = rank_entries(reference, predictions[[0, 1, 2, 3, 3]], 3, "weighted_f1", RESAMPLES)
    np.testing.assert_array_equal(copied.p_values[:4, :4], alone.p_values)
    np.testing.assert_array_equal(copied.rank_intervals[:4], alone.rank_intervals)
    assert copied.p_values[3, 4] == 1.0
    assert copied.ranks[3] == copied.ranks[4] == 4


def test_ranks_share_ties() -> None:
    np.testing.assert_array_equal(rank_scores(np.array([0.5, 0.9, 0.7, 0.7 + 1e-14, 0.1])), [4, 1, 2, 2, 5])
    scores = np.random.default_rng(0).integers(5, size=(50, 8)) / 7
    expected = [stats.rankdata(-row, method="min") for row in scores]
    np.testing.assert_array_equal(rank_scores(scores), expected)


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


def test_groups_open_where_a_member_is_beaten() -> None:
    wins = np.zeros((5, 5), dtype=bool)
    wins[0, 3] = wins[0, 4] = wins[1, 4] = True
    # The third and the fourth share a rank, and so the group, though only the fourth is beaten.
    np.testing.assert_array_equal(find_rank_groups(np.array([1, 2, 3, 3, 5]), wins), [1, 1, 2, 2, 2])
    np.testing.assert_array_equal(find_rank_groups(np.array([1, 2, 3, 4, 5]), wins), [1, 1, 1, 2, 2])


def test_clear_differences_are_ranked_apart() -> None:
    reference, predictions = make_board(6, 3000, 3, 4, worst=0.9)
    ranking = rank_entries(reference, predictions, 4, "macro_f1", RESAMPLES)
    np.testing.assert_array_equal(ranking.ranks, [1, 2, 3])
    np.testing.assert_array_equal(ranking.rank_groups, [1, 2, 3])
    np.testing.assert_array_equal(ranking.wins, np.triu(np.ones((3, 3), dtype=bool), 1))
    np.testing.assert_array_equal(ranking.rank_intervals, [[1, 1], [2, 2], [3, 3]])
    assert ranking.tau == 1.0


@pytest.mark.parametrize("metric", METRICS)
def test_one_entry_one_case(metric: str) -> None:
    ranking = rank_entries(np.array([1]), np.array([[0]]), 2, metric, RESAMPLES)
    assert ranking.ranks[0] == ranking.rank_groups[0] == 1
    assert ranking.first[0] == ranking.tau == 1.0
    np.testing.assert_array_equal(ranking.intervals, [[0.0, 0.0]])


@pytest.mark.parametrize("metric", METRICS)
def test_all_alike(metric: str) -> None:
    reference, predictions = make_board(7, 25, 1, 2)
    ranking = rank_entries(reference, np.repeat(predictions, 4, axis=0), 2, metric, RESAMPLES)
    np.testing.assert_array_equal(ranking.ranks, 1)
    np.testing.assert_array_equal(ranking.rank_intervals, 1)
    np.testing.assert_allclose(ranking.first, 0.25)
    np.testing.assert_array_equal(ranking.rank_groups, 1)
    assert not ranking.wins.any()


def test_perfect_and_never_right_entries_are_finite() -> None:
    reference = np.repeat([0, 1], 15)
    predictions = np.stack([reference, 1 - reference, np.zeros(30, dtype=int)])
    for metric in METRICS:
        ranking = rank_entries(reference, predictions, 2, metric, RESAMPLES)
        assert all(
            np.isfinite(np.asarray(getattr(ranking, name), dtype=float)).all()
            for name in ("scores", "intervals", "first", "p_values", "tau")
        )
        assert ranking.wins[0].tolist() == [False, True, True]


def test_what_does_not_fit_is_refused() -> None:
    reference, predictions = make_board(8, 10, 2, 3)
    with pytest.raises(ValueError, match="expected one of"):
        rank_entries(reference, predictions, 3, "auc")
    with pytest.raises(ValueError, match=r"\(9,\)"):
        rank_entries(reference[:9], predictions, 3, "accuracy")
    with pytest.raises(ValueError, match="at least one"):
        rank_entries(reference, predictions[:0], 3, "accuracy")
    with pytest.raises(ValueError, match=r"expected 0\.\.1"):
        rank_entries(reference, predictions, 2, "accuracy")


def mcnemar_entries(errors: list[int], cases: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Two classes; each entry errs on cases of its own, so that every pair is a binomial test by hand."""
    reference = np.arange(cases) % 2
    predictions = np.repeat(reference[np.newaxis], len(errors), axis=0)
    start = 0
    for entry, count in enumerate(errors):
        predictions[entry, start : start + count] = 1 - reference[start : start + count]
        start += count
    return reference, predictions


def test_a_pair_that_one_test_tells_apart_is_not_told_apart_among_three() -> None:
    # 3 against 12 errors: p = 0.0352 by itself, twice that or more among three pairs.
    alone = stats.binomtest(3, 15).pvalue
    assert 0.05 / 2 < alone < 0.05
    reference, predictions = mcnemar_entries([3, 12])
    ranking = rank_entries(reference, predictions, 2, "accuracy", RESAMPLES)
    assert ranking.p_values[0, 1] == ranking.p_values[1, 0] == pytest.approx(alone)
    assert ranking.wins.tolist() == [[False, True], [False, False]]
    assert ranking.rank_groups.tolist() == [1, 2]
    reference, predictions = mcnemar_entries([3, 12, 7])
    ranking = rank_entries(reference, predictions, 2, "accuracy", RESAMPLES)
    assert ranking.p_values[0, 1] == pytest.approx(3 * alone)
    assert not ranking.wins.any()
    assert ranking.rank_groups.tolist() == [1, 1, 1]


def test_p_values_of_a_board_are_adjusted_after_holm() -> None:
    errors = [0, 6, 16, 34]
    reference, predictions = mcnemar_entries(errors)
    first, second = np.triu_indices(4, 1)
    raw = pair_p_values(reference, predictions, 2, "accuracy")[first, second]
    # By the definition: the k-th smallest of m times (m - k + 1), none below the one before.
    expected, most = np.empty(6), 0.0
    for place, pair in enumerate(np.argsort(raw)):
        most = max(most, raw[pair] * (6 - place))
        expected[pair] = min(most, 1.0)
    ranking = rank_entries(reference, predictions, 2, "accuracy", RESAMPLES)
    np.testing.assert_allclose(ranking.p_values[first, second], expected, rtol=1e-9)
    np.testing.assert_array_equal(ranking.p_values, ranking.p_values.T)
    np.testing.assert_array_equal(np.diag(ranking.p_values), 1.0)
    np.testing.assert_array_equal(ranking.wins[first, second], expected <= 0.05)
    # Bonferroni would find three, no adjustment five.
    assert (expected <= 0.05).sum() == 4
    assert (6 * raw <= 0.05).sum() == 3


@pytest.mark.parametrize(
    ("p_value", "wins"),
    [(0.05, True), (np.nextafter(0.05, 1.0), False), (0.0501, False), (0.0999, False), (0.0499, True)],
)
def test_the_level_is_five_percent_with_its_edge(
    monkeypatch: pytest.MonkeyPatch, p_value: float, wins: bool
) -> None:
    reference, predictions = mcnemar_entries([3, 12])
    table = np.array([[1.0, p_value], [p_value, 1.0]])
    monkeypatch.setattr("challenge_bundle.leaderboard.ranking.pair_p_values", lambda *arguments: table.copy())
    ranking = rank_entries(reference, predictions, 2, "accuracy", RESAMPLES)
    assert bool(ranking.wins[0, 1]) == wins
    # The worse one never wins, whatever the test says.
    assert not ranking.wins[1, 0]


def test_intervals_are_of_95_percent() -> None:
    reference, predictions = make_board(9, 3000, 3, 3)
    ranking = rank_entries(reference, predictions, 3, "accuracy", 4000, seed=2)
    errors = (predictions != reference).mean(axis=1)
    half = 1.959964 * np.sqrt(errors * (1.0 - errors) / 3000)
    # Of 90 % they would be 16 % narrower, of 99 % 31 % wider.
    widths = (ranking.intervals[:, 1] - ranking.intervals[:, 0]) / (2.0 * half)
    assert np.all(np.abs(widths - 1.0) < 0.05)
    drawn = np.concatenate(list(draw_cases(3000, 4000, 2)))
    scores = drawn @ (predictions == reference).T / 3000
    np.testing.assert_allclose(
        ranking.intervals, np.percentile(scores, [2.5, 97.5], axis=0).T, rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(ranking.scores, (predictions == reference).mean(axis=1))


def test_tau_has_a_95_percent_interval() -> None:
    reference, predictions = make_board(10, 60, 6, 3)
    ranking = rank_entries(reference, predictions, 3, "accuracy", 400, seed=3)
    drawn = np.concatenate(list(draw_cases(60, 400, 3)))
    scores = (drawn @ (predictions == reference).T).round()
    taus = [stats.kendalltau(-ranking.scores.round(12), -row).statistic for row in scores]
    taus = np.nan_to_num(np.array(taus), nan=0.0)
    assert ranking.tau == pytest.approx(taus.mean(), abs=1e-6)
    assert ranking.tau_interval == pytest.approx(np.percentile(taus, [2.5, 97.5]), abs=1e-6)


@pytest.mark.parametrize(("gap", "is_tie"), [(0.0, True), (9e-13, True), (1.1e-12, False), (1e-3, False)])
def test_a_tie_is_a_difference_below_rounding(gap: float, is_tie: bool) -> None:
    assert rank_scores(np.array([0.5, 0.5 + gap])).tolist() == ([1, 1] if is_tie else [2, 1])


def test_one_case_of_thousands_is_no_tie() -> None:
    # 1 of 4000 is less than 1e-3, which is none.
    reference, predictions = mcnemar_entries([5, 6], cases=4000)
    ranking = rank_entries(reference, predictions, 2, "accuracy", RESAMPLES)
    assert ranking.ranks.tolist() == [1, 2]
    equal = rank_entries(*mcnemar_entries([6, 6], cases=4000), 2, "accuracy", RESAMPLES)
    assert equal.ranks.tolist() == [1, 1]
    assert equal.p_values[0, 1] == 1.0


@pytest.mark.parametrize("metric", METRICS)
def test_a_class_that_is_never_predicted_scores_nothing(metric: str) -> None:
    # Twelve cases of three classes; the first entry never says 2, the second is right.
    reference = np.repeat([0, 1, 2], 4)
    never = np.where(reference == 2, 0, reference)
    ranking = rank_entries(reference, np.stack([never, reference]), 3, metric, RESAMPLES)
    # Class 0: precision 4/8, recall 1; class 1: all right; class 2: nothing, and not left out of the mean.
    expected = {"precision": (0.5 + 1.0 + 0.0) / 3, "recall": 2 / 3, "f1": (2 / 3 + 1.0 + 0.0) / 3}
    measure = "recall" if metric == "accuracy" else metric.partition("_")[2]
    np.testing.assert_allclose(ranking.scores, [expected[measure], 1.0])
    assert ranking.ranks.tolist() == [2, 1]


def test_no_score_falls_back_to_another() -> None:
    for measure in ("auc", "", "F1", "precision "):
        with pytest.raises(ValueError, match="expected one of precision, recall, f1"):
            Metric(True, measure)
        with pytest.raises(ValueError, match="expected one of precision, recall, f1"):
            class_scores(np.ones(2), np.ones(2), np.ones(2), measure)
    for name in ("auc", "micro_f1", "weighted", "_f1", "weighted_auc", ""):
        with pytest.raises(ValueError, match="expected one of"):
            parse_metric(name)
    assert [parse_metric(name) for name in ("accuracy", "macro_f1")] == [
        Metric(True, "recall"),
        Metric(False, "f1"),
    ]


def test_a_name_that_only_the_list_knows_is_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("challenge_bundle.leaderboard.resampling.METRICS", ("micro_f1", "macro_auc"))
    for name in ("micro_f1", "macro_auc"):
        with pytest.raises(ValueError, match="a weighted or macro average|expected one of precision"):
            parse_metric(name)
