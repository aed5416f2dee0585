"""Tests of pairs: exact where an exact answer exists, and the rate of false findings by simulation."""

import itertools

import numpy as np
import pytest

from challenge_bundle.leaderboard import significance
from challenge_bundle.leaderboard.significance import pair_tests


def compare_means(values: np.ndarray, higher_is_better: bool = True) -> np.ndarray:
    """The test of means of values (S, G)."""
    scores = values.mean(axis=1)
    return pair_tests(scores, None, values - scores[:, np.newaxis], higher_is_better)


def patients(rng: np.random.Generator, entries: int, groups: int, correlation: float, error: float = 0.1):
    """Shares of right images (S, G) of 6 a patient; errors within a patient are correlated."""
    if correlation == 0.0:
        chance = np.full((entries, groups), error)
    elif correlation == 1.0:
        chance = (rng.random((entries, groups)) < error).astype(float)
    else:
        total = (1.0 - correlation) / correlation
        chance = rng.beta(error * total, (1.0 - error) * total, size=(entries, groups))
    return 1.0 - rng.binomial(6, chance) / 6.0


def test_a_pairs_p_value_is_the_exchange_tests():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 7, size=(2, 14)).astype(float)
    difference = values[0] - values[1]
    signs = np.array(list(itertools.product([-1, 1], repeat=14)))
    exact = (np.abs(signs @ difference) >= abs(difference.sum()) - 1e-9).mean()
    assert compare_means(values)[0, 1] == pytest.approx(exact, abs=0.015)


def test_mcnemars_five_against_none_is_not_significant():
    values = np.ones((2, 100))
    values[1, :5] = 0.0
    assert compare_means(values)[0, 1] == pytest.approx(2 / 2**5, abs=0.008)
    values[1, :6] = 0.0
    assert compare_means(values)[0, 1] == pytest.approx(2 / 2**6, abs=0.006)


def test_p_values_are_symmetric_and_the_same_for_both_directions():
    values = np.random.default_rng(1).normal(size=(5, 60)) + np.arange(5)[:, np.newaxis] / 4.0
    p_values = compare_means(values)
    np.testing.assert_array_equal(p_values, p_values.T)
    np.testing.assert_array_equal(np.diag(p_values), 1.0)
    np.testing.assert_array_equal(compare_means(-values, higher_is_better=False), p_values)


def test_equal_entries_have_one():
    values = np.random.default_rng(2).normal(size=(3, 50))
    values[1] = values[0]
    assert compare_means(values)[0, 1] == 1.0


def test_a_tie_of_unlike_entries_has_one():
    values = np.array([[0.0, 1.0, 0.0, 1.0, 0.5, 0.0], [1.0, 0.0, 1.0, 0.0, 0.5, 0.0]])
    assert compare_means(values)[0, 1] == 1.0


def test_one_entry_or_nothing_to_test_with():
    np.testing.assert_array_equal(pair_tests(np.array([0.5]), np.zeros((1, 9)), None), [[1.0]])
    np.testing.assert_array_equal(pair_tests(np.array([0.5, 0.9]), None, None), np.ones((2, 2)))


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("entries", "groups", "boards"), [(2, 100, 400), (10, 50, 400)])
def test_equal_entries_are_seldom_told_apart(correlation, entries, groups, boards, monkeypatch):
    monkeypatch.setattr(significance, "FLIPS", 1000)
    rng = np.random.default_rng(3)
    false = sum(
        compare_means(patients(rng, entries, groups, correlation)).min() <= 0.05 for _ in range(boards)
    )
    # 5 %, and two and a half standard deviations of the simulation itself.
    assert false / boards <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / boards)


def test_images_instead_of_patients_would_tell_equal_entries_apart(monkeypatch):
    # What the test by patient protects from: each image as a group of its own.
    monkeypatch.setattr(significance, "FLIPS", 1000)
    rng = np.random.default_rng(4)
    false = sum(
        compare_means(np.repeat(patients(rng, 2, 100, 1.0), 6, axis=1)).min() <= 0.05 for _ in range(100)
    )
    assert false >= 25


def test_differences_are_found_and_set_aside():
    rng = np.random.default_rng(5)
    found = 0
    for _ in range(20):
        values = patients(rng, 10, 100, 0.5)
        values[0] = patients(rng, 1, 100, 0.5, error=0.28)[0]
        found += (compare_means(values)[0, 1:] <= 0.05).sum()
    assert found / 180 > 0.8


def test_step_down_finds_more_than_one_round(monkeypatch):
    rng = np.random.default_rng(6)
    # Half of the entries differ clearly from all others: without their pairs, fewer are left to adjust for.
    values = rng.normal(size=(12, 100)) + np.append(np.arange(8) * 5.0, [0.0, 0.0, 0.0, 0.45])[:, np.newaxis]
    stepped = compare_means(values)
    monkeypatch.setattr(significance, "MOST_ROUNDS", 1)
    at_once = compare_means(values)
    assert (stepped <= at_once).all()
    assert (stepped < at_once).any()
    assert (stepped[at_once <= 0.05] == at_once[at_once <= 0.05]).all()


def test_resamples_alone_serve_with_many_cases():
    rng = np.random.default_rng(7)
    values = rng.normal(size=(3, 1000)) + np.array([[0.0], [0.02], [0.4]])
    weights = rng.standard_exponential((4000, 1000))
    resamples = (weights @ values.T / weights.sum(axis=1, keepdims=True)).T
    p_values = pair_tests(values.mean(axis=1), resamples, None, groups=1000)
    assert p_values[0, 2] <= 0.001
    assert p_values[1, 2] <= 0.001
    assert p_values[0, 1] == pytest.approx(compare_means(values)[0, 1], abs=0.05)


def test_influences_that_do_not_explain_the_resamples_are_not_used():
    rng = np.random.default_rng(8)
    resamples = np.array([[0.5], [0.52]]) + rng.normal(size=(2, 2000)) * 0.05
    p_values = pair_tests(np.array([0.5, 0.52]), resamples, np.zeros((2, 30)), groups=1000)
    assert p_values[0, 1] > 0.5


def test_the_largest_gap_of_each_draw():
    rng = np.random.default_rng(9)
    drawn = rng.normal(size=(50, 7)).astype(np.float32)
    inverse = rng.random((7, 7)).astype(np.float32)
    inverse = np.triu(inverse, 1) + np.triu(inverse, 1).T
    expected = (np.abs(drawn[:, :, np.newaxis] - drawn[:, np.newaxis]) * inverse).max(axis=(1, 2))
    np.testing.assert_allclose(significance._largest_gaps(drawn, inverse), expected, rtol=1e-6)


def test_equal_scores_of_unlike_entries_are_not_told_apart(program_module, monkeypatch):
    # A strict and a lax entry of one weighted precision: their predictions cannot be exchanged, and a test
    # that only exchanges them finds a difference in 99 of 100 boards of 20,000 cases.
    resampling = program_module("scoring_program", "resampling")
    monkeypatch.setattr(significance, "FLIPS", 1000)
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(60):
        reference = np.arange(600) % 10 < 3
        rates = np.where(reference, [[0.5], [0.1]], [[0.01], [0.19973]])
        predictions = (rng.random((2, 600)) < rates) != reference
        scores, shares = [], []
        for labels in predictions:
            score = weighted_precision(np.eye(4)[2 * reference + labels])
            scores.append(score(np.ones((1, 600)))["precision"][0])
            shares.append(resampling.influences(score, np.arange(600))["precision"])
        false += pair_tests(np.array(scores), None, np.array(shares))[0, 1] <= 0.05
    assert false <= 7


def weighted_precision(cells):
    """Of two classes, from the indicators of reference and prediction (N, 4)."""

    def score(weights):
        right_0, wrong_1, wrong_0, right_1 = (weights @ cells).T
        of_0, of_1 = right_0 / (right_0 + wrong_0), right_1 / (right_1 + wrong_1)
        support_0, support_1 = right_0 + wrong_1, right_1 + wrong_0
        return {"precision": (of_0 * support_0 + of_1 * support_1) / (support_0 + support_1)}

    return score


def resample_means(rng, values, draws=1_000):
    weights = rng.standard_exponential((draws, values.shape[1]))
    return (weights @ values.T / weights.sum(axis=1, keepdims=True)).T


@pytest.mark.parametrize("entries", [2, 10])
def test_resamples_alone_hold_their_level_from_so_many_groups_on(entries):
    rng, groups, boards = np.random.default_rng(12), significance.FEWEST_GROUPS, 200
    false = 0
    for _ in range(boards):
        values = patients(rng, entries, groups, 0.5)
        false += (
            pair_tests(values.mean(axis=1), resample_means(rng, values), None, True, groups).min() <= 0.05
        )
    assert false / boards <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / boards)


def test_resamples_alone_of_few_groups_test_nothing(monkeypatch):
    rng = np.random.default_rng(13)
    values = rng.normal(size=(2, 999)) + np.array([[0.0], [1.0]])
    resamples = resample_means(rng, values)
    for groups in (999, None):
        assert pair_tests(values.mean(axis=1), resamples, None, True, groups)[0, 1] == 1.0
        assert significance.find_method(resamples, None, groups) == significance.NONE
    assert pair_tests(values.mean(axis=1), resamples, None, True, 1_000)[0, 1] <= 0.002
    # Influences that explain nothing leave the resamples alone.
    assert significance.find_method(resamples, np.zeros((2, 999)), None) == significance.NONE
    assert significance.find_method(resamples, np.zeros((2, 1_000)), None) == significance.RESAMPLES
    # What that protects from: with 20 patients it would tell equal entries apart far too often.
    monkeypatch.setattr(significance, "FEWEST_GROUPS", 2)
    false = 0
    for _ in range(200):
        few = patients(rng, 10, 20, 0.0)
        false += pair_tests(few.mean(axis=1), resample_means(rng, few), None, True, 20).min() <= 0.05
    assert false >= 20


def test_p_values_of_many_entries_have_a_factor(monkeypatch):
    values = np.random.default_rng(14).normal(size=(4, 80))
    with_factor = compare_means(values)
    two = compare_means(values[:2])
    monkeypatch.setattr(significance, "SMALL_SAMPLE_FACTOR", 1.0)
    np.testing.assert_allclose(with_factor, np.minimum(1.15 * compare_means(values), 1.0))
    np.testing.assert_array_equal(compare_means(values[:2]), two)


@pytest.mark.parametrize(("entries", "smallest"), [(2, 1.0 / 10_001), (3, 1.15 / 10_001)])
def test_the_smallest_p_value_is_one_of_ten_thousand_signs(entries, smallest):
    values = np.random.default_rng(14).normal(size=(entries, 60)) + 9.0 * np.arange(entries)[:, np.newaxis]
    p_values = compare_means(values)[~np.eye(entries, dtype=bool)]
    np.testing.assert_allclose(p_values, smallest, rtol=1e-9)


@pytest.mark.parametrize(
    ("ratio", "method"), [(0.24, ""), (0.26, "random signs"), (3.9, "random signs"), (4.1, "")]
)
def test_influences_may_explain_a_quarter_to_four_times_the_variance(ratio, method):
    # The resamples differ by 1 or -1; with 40 groups influences have 40 times the variance of their mean.
    resamples = np.array([[1.0, -1.0] * 50, [0.0, 0.0] * 50])
    influences = np.sqrt(40.0 * ratio) * np.array([[1.0, -1.0] * 20, [0.0, 0.0] * 20])
    assert significance.find_method(resamples, influences, None) == method


def test_entries_without_any_spread_agree():
    assert significance.find_method(np.full((2, 9), 0.5), np.zeros((2, 30)), 30) == "random signs"


def test_a_later_round_goes_not_below_an_earlier_one():
    rng = np.random.default_rng(15)
    for _ in range(20):
        values = rng.normal(size=(5, 40)) + np.array([[0.0], [0.0], [0.5], [0.6], [0.7]])
        p_values = compare_means(values)
        gaps = np.abs(values.mean(axis=1)[:, np.newaxis] - values.mean(axis=1))
        deviations = (values[:, np.newaxis] - values).std(axis=2)
        statistics = gaps / np.where(deviations > 0.0, deviations, 1.0)
        order = np.argsort(-statistics, axis=None)
        assert (np.diff(p_values.ravel()[order]) >= -1e-3).all()


def test_a_sum_a_little_smaller_is_another_sum():
    # Of 64 sets of signs, two reach 50.00125; two more reach 49.99875, which does not count.
    difference = np.array([10.0, 10.0, 10.0, 10.0, 10.0, 0.00125])
    p_value = compare_means(np.stack([difference, np.zeros(6)]))[0, 1]
    assert p_value == pytest.approx(2 / 64, abs=0.006)
