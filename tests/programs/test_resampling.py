"""Resampling: the draws, the intervals' coverage by simulation, influences, the organiser's files."""

import csv

import numpy as np
import pytest
from scipy import stats


@pytest.fixture
def resampling(program_module):
    return program_module("scoring_program", "resampling")


def mean_of(values):
    return lambda weights: {"mean": weights @ values / weights.sum(axis=1)}


def test_weights_are_exponential_and_shared_by_a_group(resampling):
    groups = np.array([0, 0, 1, 2, 2, 2])
    drawn = np.concatenate(list(resampling.draw_weights(groups, 5000)))
    assert drawn.shape == (5000, 6)
    np.testing.assert_array_equal(drawn, drawn[:, [0, 0, 2, 3, 3, 3]])
    assert stats.kstest(drawn[:, [0, 2, 3]].ravel(), "expon").pvalue > 0.01
    assert abs(np.corrcoef(drawn[:, [0, 2, 3]].T)[0, 1:]).max() < 0.05


def test_blocks_are_in_memory_case_by_case(resampling):
    for weights in resampling.draw_weights(np.arange(50), 300, prior=[0.5, 0.5]):
        assert weights.shape[1] == 52
        assert weights.T.flags.c_contiguous or len(weights) < 256


def test_a_draw_depends_neither_on_their_number_nor_on_the_prior(resampling):
    groups = np.arange(40)
    some = np.concatenate(list(resampling.draw_weights(groups, 300)))
    more = np.concatenate(list(resampling.draw_weights(groups, 700, prior=[0.25] * 4)))
    np.testing.assert_array_equal(some, more[:300, :40])
    other = np.concatenate(list(resampling.draw_weights(groups, 300, seed=1)))
    assert not np.isclose(some, other).any()


def test_workers_change_no_figure(resampling, monkeypatch):
    score = mean_of(np.arange(400) % 7.0)
    two = resampling.resample_all(score, np.arange(400), 1500)["mean"]
    monkeypatch.setattr(resampling, "WORKERS", 1)
    np.testing.assert_array_equal(resampling.resample_all(score, np.arange(400), 1500)["mean"], two)
    assert two.shape == (1500,)
    assert len(np.unique(two)) == 1500


def test_prior_cases_weigh_as_one_group(resampling):
    groups = np.repeat(np.arange(10), 6)
    assert resampling.prior_weight(groups) == 6.0
    assert resampling.prior_weight(np.array([0, 1, 1, 1])) == 2.5
    drawn = np.concatenate(list(resampling.draw_weights(groups, 20_000, prior=[0.25] * 4)))[:, 60:]
    assert drawn.sum(axis=1).mean() == pytest.approx(6.0, rel=0.03)
    assert stats.kstest(drawn[:, 1] / 6.0, stats.gamma(0.25).cdf).pvalue > 0.01


@pytest.mark.parametrize("groups", [10, 20, 50, 300, 10_000])
def test_tail_is_students_expanded(resampling, groups):
    expected = stats.norm.cdf(-np.sqrt((groups + 1) / (groups - 1)) * stats.t.ppf(0.975, groups - 1))
    assert resampling.lower_tail(groups) == pytest.approx(expected, rel=2e-3)


def test_interval_is_percentiles_and_leaves_out_what_is_undefined(resampling):
    scores = np.append(np.arange(1001.0), [np.nan, np.nan])
    low, high = resampling.percentile_interval(scores, np.arange(100_000))
    assert (low, high) == (pytest.approx(25.0, abs=0.1), pytest.approx(975.0, abs=0.1))
    assert np.isnan(resampling.percentile_interval(np.full(9, np.nan), np.arange(9))).all()


def coverage(resampling, make, truth, trials=500):
    """How many of the intervals hold the truth, fail below and fail above."""
    rng = np.random.default_rng(11)
    below = above = 0
    for trial in range(trials):
        values, groups, prior = make(rng)
        both = np.concatenate([values, [1.0, 0.0] if prior else []])
        shapes = [0.5, 0.5] if prior else []
        drawn = resampling.resample_all(mean_of(both), groups, 1000, seed=trial, prior=shapes)["mean"]
        low, high = resampling.percentile_interval(drawn, groups)
        below += high < truth
        above += low > truth
    return 1.0 - (below + above) / trials, below / trials, above / trials


def test_intervals_of_a_mean_cover(resampling):
    # 0.90 instead of 0.95, or a wrong tail, leaves these limits.
    held, below, above = coverage(resampling, lambda rng: (rng.normal(size=30), np.arange(30), False), 0.0)
    assert 0.935 <= held <= 0.97
    assert 0.01 <= below <= 0.045
    assert 0.01 <= above <= 0.045


def test_intervals_of_correlated_cases_cover(resampling):
    def patients(rng):
        share = np.repeat(rng.beta(0.5, 2.0, size=100), 6)
        return (rng.random(600) < share).astype(float), np.repeat(np.arange(100), 6), True

    assert 0.93 <= coverage(resampling, patients, 0.2)[0] <= 0.97


def test_intervals_of_a_nearly_flawless_score_cover(resampling):
    # Of percentile intervals without prior cases 63 % hold it, since 37 % of the results are flawless.
    def flawless(rng):
        return (rng.random(100) < 0.99).astype(float), np.arange(100), True

    assert 0.93 <= coverage(resampling, flawless, 0.99)[0] <= 0.985


def test_a_flawless_result_has_an_interval_with_width(resampling):
    scores = resampling.resample_all(
        mean_of(np.array([1.0] * 50 + [1.0, 0.0])), np.arange(50), 4000, prior=[0.5, 0.5]
    )["mean"]
    low, high = resampling.percentile_interval(scores, np.arange(50))
    # Jeffreys's interval of 50 of 50: the Beta distribution with 50.5 and 0.5.
    expected = stats.beta(50.5, 0.5).ppf(resampling.lower_tail(50))
    assert low == pytest.approx(expected, abs=0.004)
    assert 0.999 < high < 1.0


@pytest.mark.parametrize("groups", [np.arange(60), np.repeat(np.arange(12), 5), np.arange(60) % 13])
def test_influences_are_the_jackknife(resampling, groups):
    values = np.random.default_rng(0).gamma(2.0, size=60)

    def ratio(weights):
        return {"ratio": (weights @ values**2) / (weights @ values)}

    found = resampling.influences(ratio, groups)["ratio"]
    count = groups.max() + 1
    without = np.array(
        [(values[groups != group] ** 2).sum() / values[groups != group].sum() for group in range(count)]
    )
    np.testing.assert_allclose(found, (count - 1) * (without.mean() - without), atol=1e-12)


def test_influences_of_a_mean_are_its_deviations(resampling):
    values = np.random.default_rng(1).normal(size=700)
    for added in (-1.0, 26.0):
        found = resampling.influences(mean_of(values), np.arange(700), added)["mean"]
        np.testing.assert_allclose(found, values - values.mean(), atol=1e-11)


def test_influences_of_a_median_need_a_larger_step(resampling):
    values = np.sort(np.random.default_rng(2).normal(size=400))

    def median(weights):
        reached = np.cumsum(weights, axis=1)
        return {"median": values[(reached >= reached[:, -1:] / 2).argmax(axis=1)]}

    spread = resampling.resample_all(median, np.arange(400), 2000)["median"].std()
    found = resampling.influences(median, np.arange(400), added=20.0)["median"]
    assert found.std() / 20.0 == pytest.approx(spread, rel=0.25)


def test_influences_without_a_defined_score_are_none(resampling):
    undefined = resampling.influences(lambda weights: {"a": np.full(len(weights), np.nan)}, np.arange(5))
    assert undefined == {}
    assert resampling.influences(mean_of(np.ones(3)), np.zeros(3, dtype=int)) == {}
    assert resampling.influences(mean_of(np.ones(30_000)), np.arange(30_000)) == {}


def test_what_the_organiser_gets(resampling, tmp_path):
    names, groups = ["a.png", "b,c.png", "d.png"], np.array([0, 0, 1])
    resampled = {"mean": np.array([0.25, 0.5])}
    folder = tmp_path / "private" / "public"
    columns = {"wrong": [0, 1, ""], "loss": [0.5, float("nan"), 1.25]}
    resampling.write_private(folder, names, groups, columns, resampled, {"mean": np.array([1.0, -1.0])})
    rows = list(csv.reader((folder / "cases.csv").read_text(encoding="utf-8").splitlines()))
    assert rows == [
        ["case", "group", "wrong", "loss"],
        ["a.png", "g000000", "0", "0.5"],
        ["b,c.png", "g000000", "1", ""],
        ["d.png", "g000001", "", "1.25"],
    ]
    with np.load(folder / "resamples.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"mean", "influence/mean", "draws"}
        np.testing.assert_array_equal(arrays["mean"], [0.25, 0.5])
        np.testing.assert_array_equal(arrays["influence/mean"], [1.0, -1.0])
        assert str(arrays["draws"]) == resampling.draws_id(names, groups, 2)
    assert sorted(path.name for path in folder.iterdir()) == ["cases.csv", "resamples.npz"]
    resampling.write_private(folder, names, groups, columns, resampled, {}, ["p1", "p1", "p2"])
    assert "a.png,p1,0,0.5" in (folder / "cases.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(("groups", "values"), [([0, 0], [1.0, 2.0, 3.0]), ([0, 0, 1], [1.0, 2.0])])
def test_a_column_of_another_length_is_refused(resampling, tmp_path, groups, values):
    with pytest.raises(ValueError, match="3 values"):
        resampling.write_private(tmp_path, ["a", "b", "c"], np.array(groups), {"loss": values}, {}, {})
    assert list(tmp_path.iterdir()) == []


def test_draws_are_named_by_all_that_they_depend_on(resampling):
    names, groups = ["a", "b"], np.array([0, 1])
    ids = {
        resampling.draws_id(names, groups, 10),
        resampling.draws_id(["a", "c"], groups, 10),
        resampling.draws_id(names, np.array([0, 0]), 10),
        resampling.draws_id(names, groups, 11),
        resampling.draws_id(names, groups, 10, seed=1),
    }
    assert len(ids) == 5
    assert all(len(found) == 64 for found in ids)
    assert resampling.draws_id(names, groups.astype(np.int32), 10) in ids
