"""Honest entries are seldom marked, duplicates are."""

import numpy as np
import pytest
from scipy import stats

from challenge_bundle.leaderboard.similarity import find_agreements, upper_tail

CLASS_COUNT = 6


def make_board(
    rng: np.random.Generator, cases: int, entries: int, rate: float, kinship: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Honest entries of differing skill; a few cases are hard for all of them, and mistaken for one class.

    Args:
        rng: Of all.
        cases: N.
        entries: S.
        rate: Mean share of errors.
        kinship: Share of the cases on which the second entry answers what the first does.

    Returns:
        Reference (N,), predictions (S, N).
    """
    reference = rng.integers(CLASS_COUNT, size=cases)
    difficulty = rng.beta(0.3, 0.3 * (1.0 - rate) / rate, size=cases)
    usual = (reference + rng.integers(1, CLASS_COUNT, size=cases)) % CLASS_COUNT
    other = (reference + rng.integers(1, CLASS_COUNT, size=(entries, cases))) % CLASS_COUNT
    wrong = np.where(rng.random((entries, cases)) < 0.7, usual, other)
    skill = np.exp(rng.normal(0.0, 0.4, size=(entries, 1)))
    predictions = np.where(rng.random((entries, cases)) < 1.0 - (1.0 - difficulty) ** skill, wrong, reference)
    predictions[1] = np.where(rng.random(cases) < kinship, predictions[0], predictions[1])
    return reference, predictions


@pytest.mark.parametrize(("cases", "entries", "rate"), [(100, 4, 0.2), (300, 12, 0.1), (1000, 20, 0.3)])
@pytest.mark.parametrize("kinship", [0.0, 0.5])
def test_honest_entries_are_not_marked(cases: int, entries: int, rate: float, kinship: float) -> None:
    rng = np.random.default_rng(1)
    marked = sum(
        any(pair.kind == "same errors" for pair in find_agreements(predictions, predictions != reference))
        for reference, predictions in (make_board(rng, cases, entries, rate, kinship) for _ in range(30))
    )
    assert marked == 0


def test_a_duplicate_with_a_few_rows_changed_is_marked() -> None:
    rng = np.random.default_rng(2)
    for _ in range(10):
        reference, predictions = make_board(rng, 2000, 15, 0.1)
        changed = rng.permutation(2000)[:100]
        predictions[7] = predictions[3]
        predictions[7, changed] = rng.integers(CLASS_COUNT, size=100)
        (pair,) = find_agreements(predictions, predictions != reference)
        assert (pair.first, pair.second, pair.kind) == (3, 7, "same errors")
        same = (predictions[3] == predictions[7]) & (predictions[3] != reference)
        assert pair.shared_errors == same.sum() > 1.2 * pair.expected_errors
        assert pair.p_value <= 0.01


def test_identical_entries_are_listed_each_pair_once() -> None:
    reference, predictions = make_board(np.random.default_rng(3), 200, 6, 0.2)
    predictions[4] = predictions[5] = predictions[0]
    found = find_agreements(predictions, predictions != reference)
    assert [(pair.first, pair.second, pair.kind) for pair in found] == [
        (0, 4, "identical"),
        (0, 5, "identical"),
        (4, 5, "identical"),
    ]
    assert {pair.shared_errors for pair in found} == {int((predictions[0] != reference).sum())}


def test_perfect_entries_are_not_listed() -> None:
    reference = np.arange(30) % 3
    assert find_agreements(np.stack([reference] * 5), np.zeros((5, 30), dtype=bool)) == []


@pytest.mark.parametrize("entries", [1, 2, 3])
def test_with_too_few_entries_only_identical_ones_are_found(entries: int) -> None:
    reference, predictions = make_board(np.random.default_rng(4), 500, 3, 0.2)
    predictions[1] = predictions[0]
    predictions[1, 0] = (predictions[1, 0] + 1) % CLASS_COUNT
    assert find_agreements(predictions[:entries], predictions[:entries] != reference) == []


def tail_by_convolution(chances: np.ndarray, at_least: int) -> float:
    """The tail as former versions computed it: the distribution, one event after the other."""
    distribution = np.ones(1)
    for chance in chances:
        distribution = np.convolve(distribution, [1.0 - chance, chance])
    return float(distribution[at_least:].sum())


@pytest.mark.parametrize("events", [1, 2, 5, 20, 100, 300])
def test_tail_is_that_of_the_convolution(events: int) -> None:
    rng = np.random.default_rng(events)
    for _ in range(20):
        chances = rng.beta(*rng.choice([[0.3, 3.0], [2.0, 2.0], [8.0, 2.0]]), size=events)
        at_least = int(rng.integers(events + 1))
        expected = tail_by_convolution(chances, at_least)
        found = upper_tail(chances, at_least)
        assert found == pytest.approx(expected, abs=1e-12)
        assert found == pytest.approx(expected, rel=1e-8)


def test_a_tail_far_below_rounding_has_digits() -> None:
    assert upper_tail(np.full(100, 0.1), 90) == pytest.approx(6.110236824190973e-78, rel=1e-9)


def test_tail_is_the_binomial_one_where_chances_are_equal() -> None:
    assert upper_tail(np.full(40, 0.3), 20) == pytest.approx(stats.binom.sf(19, 40, 0.3), rel=1e-9)
    assert upper_tail(np.array([0.5, 0.2]), 2) == pytest.approx(0.1)
    assert upper_tail(np.array([]), 0) == 1.0
