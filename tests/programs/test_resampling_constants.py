"""The resampling's numbers: a confidence of 0.90 for 0.95, or a tenth of the resamples, would pass unseen."""

import numpy as np
import pytest
from scipy import stats


@pytest.fixture
def resampling(program_module):
    return program_module("scoring_program", "resampling")


def test_confidence_and_counts(resampling):
    assert resampling.SEED == 0
    assert resampling.CONFIDENCE == 0.95
    assert resampling.RESAMPLES == 10_000
    assert resampling.INTERVAL_RESAMPLES == 4_000
    assert resampling.MOST_INFLUENCES == 20_000


@pytest.mark.parametrize("groups", [12, 30, 100, 1000])
def test_the_tail_is_students_widened(resampling, groups):
    quantile = stats.t.ppf(0.975, groups - 1) * np.sqrt((groups + 1) / (groups - 1))
    assert resampling.lower_tail(groups) == pytest.approx(stats.norm.sf(quantile), rel=0.02)


def test_two_groups_tell_nothing_and_three_something(resampling):
    assert resampling.lower_tail(2.99) == 0.0
    assert resampling.lower_tail(3.0) > 0.0


def test_both_tails_are_of_one_size(resampling):
    scores = np.random.default_rng(0).permutation(np.arange(10_001) / 10_000)
    low, high = resampling.percentile_interval(scores, np.arange(500))
    assert low == pytest.approx(1 - high, abs=1e-9)
    assert low == pytest.approx(resampling.lower_tail(500.0), abs=1e-4)


@pytest.mark.parametrize("sizes", [[1, 1, 1, 1], [6] * 10, [1, 5, 2, 2]])
def test_the_prior_weighs_as_a_group(resampling, sizes):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    expected = sum(size * size for size in sizes) / sum(sizes)
    assert resampling.prior_weight(groups) == pytest.approx(expected)


def test_blocks_sum_to_the_resamples_and_fit_the_cache(resampling):
    for cases, resamples in ((50, 10_000), (50, 7), (100_000, 50)):
        plan = resampling._Plan(np.arange(cases), 0, ())
        counts = [count for _, count in plan.blocks(resamples)]
        assert sum(counts) == resamples
        assert max(counts) <= plan.size <= 256
        assert plan.size * cases <= max(2**20, 8 * cases)


def test_the_files_and_their_names(resampling, tmp_path):
    folder = tmp_path / "new"
    resampling.write_private(
        folder,
        ["a", "b"],
        np.array([0, 1]),
        {"m": [0.5, float("nan")]},
        {"m": np.array([1.0, 2.0, 3.0])},
        {"m": np.array([0.1, -0.1])},
    )
    assert (folder / "cases.csv").read_text() == "case,group,m\na,,0.5\nb,,\n"
    with np.load(folder / "resamples.npz") as arrays:
        assert sorted(arrays.files) == ["draws", "influence/m", "m"]
        assert str(arrays["draws"]) == resampling.draws_id(["a", "b"], np.array([0, 1]), 3)
    assert sorted(path.name for path in folder.iterdir()) == ["cases.csv", "resamples.npz"]


def test_influences_are_of_two_groups_to_twenty_thousand(resampling):
    def mean(weights):
        return {"mean": weights @ np.arange(weights.shape[1]) / weights.sum(axis=1)}

    assert resampling.influences(mean, np.zeros(4, int)) == {}
    found = resampling.influences(mean, np.arange(2))["mean"]
    np.testing.assert_allclose(found, [-0.5, 0.5])
    found = resampling.influences(mean, np.arange(5))["mean"]
    np.testing.assert_allclose(found, np.arange(5) - 2.0)
    assert resampling.influences(mean, np.arange(20_001)) == {}


def test_students_expansion_term_by_term(resampling):
    # At 1,000 degrees of freedom a coefficient that is off by one shows, and the term left out does not.
    tail = resampling.lower_tail(1001.0)
    student = stats.norm.isf(tail) / np.sqrt(1002.0 / 1000.0)
    assert student == pytest.approx(stats.t.isf(0.025, 1000), abs=3e-12)


def test_cases_out_of_their_groups_order(resampling):
    order = np.random.default_rng(3).permutation(40)
    sorted_draws = np.concatenate(list(resampling.draw_weights(np.arange(40), 30)))
    draws = np.concatenate(list(resampling.draw_weights(order, 30)))
    np.testing.assert_array_equal(draws, sorted_draws[:, order])


def test_no_python_object_is_written_for_others_to_load(resampling, tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        resampling.write_private(
            tmp_path, ["a"], np.array([0]), {}, {}, {"mean": np.array([None], dtype=object)}
        )
