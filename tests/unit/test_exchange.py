"""Tests of pairs: exact where an exact answer exists, and the rate of false findings by simulation."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from challenge_bundle.leaderboard.exchange import (
    _drawn_amounts,
    _exchange_amounts,
    binomial_p_value,
    exchange_p_value,
    holm,
    pair_p_values,
)
from challenge_bundle.leaderboard.resampling import count_cells, parse_metric, score_counts

CLASS_COUNT = 4
MakeBoard = Callable[[np.random.Generator, int, int], tuple[np.ndarray, np.ndarray]]


@pytest.mark.parametrize(
    ("more", "less"), [(0, 0), (1, 0), (5, 5), (3, 9), (20, 0), (700, 611), (4000, 4400)]
)
def test_binomial_is_scipys(more: int, less: int) -> None:
    expected = stats.binomtest(more, more + less).pvalue if more + less else 1.0
    assert binomial_p_value(more, less) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("metric", ["accuracy", "weighted_recall"])
def test_accuracy_is_mcnemars_exact_test(metric: str) -> None:
    reference = np.zeros(200, dtype=int)
    first, second = reference.copy(), reference.copy()
    first[:10] = 1
    second[7:40] = 2
    amounts = _exchange_amounts(
        count_cells(reference, np.stack([first, second]), 3).mean(axis=0), parse_metric(metric)
    )
    found = exchange_p_value(reference, first, second, amounts, parse_metric(metric))
    assert found == pytest.approx(stats.binomtest(7, 37).pvalue)


@pytest.mark.parametrize("metric", ["weighted_f1", "macro_f1", "macro_precision", "macro_recall"])
def test_few_cases_are_tested_with_care(metric: str) -> None:
    # Of all 2**D exchanges of the D cases that differ, how many add up to as much?
    rng = np.random.default_rng(3)
    for _ in range(30):
        reference = rng.choice(3, size=24, p=[0.6, 0.3, 0.1])
        first = np.where(rng.random(24) < 0.1, rng.integers(3, size=24), reference)
        second = np.where(rng.random(24) < 0.5, rng.integers(3, size=24), reference)
        confusion = count_cells(reference, np.stack([first, second]), 3).mean(axis=0)
        amounts = _exchange_amounts(confusion, parse_metric(metric))
        added = (amounts[reference, first] - amounts[reference, second])[first != second]
        signs = np.array(list(itertools.product([-1, 1], repeat=len(added))))
        exact = (np.abs(signs @ added) >= abs(added.sum()) - 1e-12).mean()
        found = exchange_p_value(reference, first, second, amounts, parse_metric(metric))
        assert found >= min(exact, 0.05) * 0.999


@pytest.mark.parametrize(
    "metric", ["weighted_precision", "weighted_f1", "macro_precision", "macro_recall", "macro_f1"]
)
def test_amounts_are_derivatives(metric: str) -> None:
    confusion = np.random.default_rng(0).integers(5, 50, size=(3, 3)).astype(float)
    parsed, step = parse_metric(metric), 1e-4
    drawn = _drawn_amounts(confusion, parsed)
    exchanged = _exchange_amounts(confusion, parsed)
    for row, column, other in itertools.product(range(3), repeat=3):
        more = confusion.copy()
        more[row, column] += step
        slope = (score_counts(more, parsed) - score_counts(confusion, parsed)) / step
        assert drawn[row, column] == pytest.approx(slope, abs=1e-5)
        more[row, other] -= step
        slope = (score_counts(more, parsed) - score_counts(confusion, parsed)) / step
        assert exchanged[row, column] - exchanged[row, other] == pytest.approx(slope, abs=1e-5)


def test_holm_by_hand() -> None:
    # Sorted: 0.01 * 4, 0.015 * 3, 0.03 * 2, 0.04 * 1 (not below the one before).
    np.testing.assert_allclose(holm(np.array([0.03, 0.01, 0.04, 0.015])), [0.06, 0.04, 0.06, 0.045])
    np.testing.assert_allclose(holm(np.array([0.5, 0.6])), [1.0, 1.0])
    assert holm(np.array([])).size == 0


def independent(rng: np.random.Generator, cases: int, entries: int) -> tuple[np.ndarray, np.ndarray]:
    """All err alike often, each by itself; classes of unequal size."""
    reference = rng.choice(CLASS_COUNT, size=cases, p=[0.5, 0.25, 0.15, 0.1])
    wrong = (reference + rng.integers(1, CLASS_COUNT, size=(entries, cases))) % CLASS_COUNT
    return reference, np.where(rng.random((entries, cases)) < 0.15, wrong, reference)


def correlated(rng: np.random.Generator, cases: int, entries: int) -> tuple[np.ndarray, np.ndarray]:
    """Some cases are hard for all, and often mistaken for the same class."""
    reference = rng.integers(CLASS_COUNT, size=cases)
    usual = (reference + rng.integers(1, CLASS_COUNT, size=cases)) % CLASS_COUNT
    wrong = np.where(rng.random((entries, cases)) < 0.7, usual, (reference + 1) % CLASS_COUNT)
    return reference, np.where(
        rng.random((entries, cases)) < rng.beta(0.3, 1.7, size=cases), wrong, reference
    )


def unlike(rng: np.random.Generator, cases: int, entries: int) -> tuple[np.ndarray, np.ndarray]:
    """The same score by symmetry, from errors in different classes."""
    reference = rng.integers(CLASS_COUNT, size=cases)
    rates = np.linspace(0.0, 0.3, CLASS_COUNT)[(reference + np.arange(entries)[:, np.newaxis]) % CLASS_COUNT]
    return reference, np.where(rng.random((entries, cases)) < rates, (reference + 1) % CLASS_COUNT, reference)


@pytest.mark.parametrize("make", [independent, correlated, unlike])
@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
@pytest.mark.parametrize(("cases", "entries", "boards"), [(30, 2, 400), (100, 8, 100), (1000, 4, 150)])
def test_equal_entries_are_seldom_told_apart(
    make: MakeBoard, metric: str, cases: int, entries: int, boards: int
) -> None:
    rng = np.random.default_rng(1)
    pairs = np.triu_indices(entries, 1)
    false = sum(
        holm(pair_p_values(*make(rng, cases, entries), CLASS_COUNT, metric)[pairs]).min() <= 0.05
        for _ in range(boards)
    )
    # 5 %, and two and a half standard deviations of the simulation itself.
    assert false / boards <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / boards)


def test_equal_scores_of_unlike_entries_are_not_told_apart() -> None:
    # A strict and a lax entry of one weighted precision: here the exchange test alone finds a difference
    # in 99 of 100 boards.
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(100):
        reference = (rng.random(20_000) < 0.3).astype(int)
        rates = np.where(reference == 1, [[0.5], [0.1]], [[0.01], [0.19973]])
        predictions = np.where(rng.random((2, len(reference))) < rates, 1 - reference, reference)
        false += pair_p_values(reference, predictions, 2, "weighted_precision")[0, 1] <= 0.05
    assert false <= 11


def test_real_differences_are_found() -> None:
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(20):
        reference, predictions = independent(rng, 2000, 10)
        predictions[0] = np.where(rng.random(2000) < 0.1, (reference + 1) % CLASS_COUNT, reference)
        p_values = pair_p_values(reference, predictions, CLASS_COUNT, "weighted_f1")
        found += (p_values[0, 1:] * 45 <= 0.05).sum()
    assert found / 180 > 0.85
