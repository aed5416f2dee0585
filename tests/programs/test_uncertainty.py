"""Intervals and resampled scores of the program's own metrics."""

import numpy as np
import pytest
from scipy import stats


@pytest.fixture
def uncertainty(program_module):
    return program_module("scoring_program", "uncertainty")


@pytest.fixture
def metrics(program_module):
    return program_module("scoring_program", "metrics")


@pytest.fixture
def make_cases(program_module):
    module = program_module("scoring_program", "cases")

    def make(reference, predictions, groups=None, probabilities=None, task="classification", classes=3):
        task = module.Task(task, tuple("abcdef"[:classes]))
        groups = np.arange(len(reference)) if groups is None else groups
        names = [f"{row:06d}.png" for row in range(len(reference))]
        return module.Cases(task, names, groups, reference, predictions, probabilities)

    return make


def some_cases(make_cases, count=300, groups=None):
    rng = np.random.default_rng(4)
    reference = rng.choice(3, size=count, p=[0.5, 0.3, 0.2])
    predictions = np.where(rng.random(count) < 0.15, rng.integers(3, size=count), reference)
    return make_cases(reference, predictions, groups)


def test_an_accuracys_interval_is_the_betas(uncertainty, metrics, make_cases):
    reference = np.arange(200) % 2
    cases = make_cases(reference, np.where(np.arange(200) < 6, 1 - reference, reference), classes=2)
    low, high = uncertainty.score_intervals(cases, [metrics.REGISTRY["accuracy"]])["accuracy"]
    tail = stats.norm.cdf(-np.sqrt(201 / 199) * stats.t.ppf(0.975, 199))
    expected = stats.beta(194.5, 6.5).ppf([tail, 1 - tail])
    assert (low, high) == (pytest.approx(expected[0], abs=0.002), pytest.approx(expected[1], abs=0.002))


def test_merged_and_single_cases_have_the_same_intervals(uncertainty, metrics, make_cases):
    cases = some_cases(make_cases)
    chosen = metrics.metrics_of(cases)
    quick = uncertainty.score_intervals(cases, chosen)
    resampled, _ = uncertainty.resampled_metrics(cases, 10_000)
    for metric in chosen:
        low, high = np.quantile(resampled[metric.name], [0.0246, 0.9754])
        assert quick[metric.name] == (pytest.approx(low, abs=0.006), pytest.approx(high, abs=0.006))


def test_a_flawless_submission_has_intervals_with_width(uncertainty, metrics, make_cases):
    reference = np.arange(60) % 3
    cases = make_cases(reference, reference)
    for low, high in uncertainty.score_intervals(cases, metrics.metrics_of(cases)).values():
        assert 0.85 < low < 0.97
        assert 0.99 < high <= 1.0


def test_intervals_of_patients_are_wider(uncertainty, metrics, make_cases):
    accuracy = [metrics.REGISTRY["accuracy"]]
    share = np.repeat(np.random.default_rng(0).random(100) < 0.8, 6)
    reference = np.arange(600) % 3
    predictions = np.where(share, reference, (reference + 1) % 3)
    alone = uncertainty.score_intervals(make_cases(reference, predictions), accuracy)["accuracy"]
    by_patient = uncertainty.score_intervals(
        make_cases(reference, predictions, np.repeat(np.arange(100), 6)), accuracy
    )["accuracy"]
    assert np.ptp(by_patient) / np.ptp(alone) == pytest.approx(np.sqrt(6.0), rel=0.1)


def test_prior_cases_are_each_pair_of_present_classes(uncertainty, make_cases):
    reference = np.array([0, 0, 2, 2])
    probabilities = np.array([[0.8, 0.2, 0.0], [0.6, 0.4, 0.0], [0.1, 0.1, 0.8], [0.0, 0.9, 0.1]])
    cases = make_cases(reference, probabilities.argmax(axis=1), probabilities=probabilities)
    extended, shapes = uncertainty.with_prior(cases)
    assert shapes == [0.25] * 4
    assert extended.reference[4:].tolist() == [0, 0, 2, 2]
    assert extended.predictions[4:].tolist() == [0, 2, 0, 2]
    np.testing.assert_allclose(extended.probabilities[4:6], [[0.7, 0.3, 0.0], [0.1, 0.1, 0.8]])
    assert extended.groups.tolist() == [0, 1, 2, 3, 4, 4, 4, 4]


def test_a_class_never_predicted_has_itself_for_certain(uncertainty, make_cases):
    probabilities = np.array([[0.8, 0.2], [0.6, 0.4]])
    cases = make_cases(np.array([0, 1]), np.array([0, 0]), probabilities=probabilities, classes=2)
    extended, _ = uncertainty.with_prior(cases)
    np.testing.assert_allclose(extended.probabilities[2:], [[0.7, 0.3], [0.0, 1.0]] * 2)


def test_prior_cases_of_labels(uncertainty, make_cases):
    reference = np.array([[True, False], [False, True]])
    probabilities = np.array([[0.9, 0.2], [0.7, 0.4]])
    cases = make_cases(reference, probabilities >= 0.5, None, probabilities, "multilabel", 2)
    extended, shapes = uncertainty.with_prior(cases)
    assert shapes == [0.25] * 4
    assert extended.reference[2:].tolist() == [[False, False]] * 2 + [[True, True]] * 2
    assert extended.predictions[2:].tolist() == [[False, False], [True, True]] * 2
    np.testing.assert_allclose(extended.probabilities[2:], [[0.0, 0.3], [0.8, 1.0]] * 2)


def test_values_have_no_prior_cases(uncertainty, make_cases):
    cases = make_cases(np.array([1.0, 2.0]), np.array([1.5, 2.0]), task="regression", classes=0)
    assert uncertainty.with_prior(cases) == (cases, [])


def test_merging_keeps_every_score(uncertainty, metrics, make_cases):
    cases = some_cases(make_cases, 1000)
    merged, counts = uncertainty.merge(cases, np.ones(1000))
    assert len(merged.reference) <= 9
    chosen = metrics.metrics_of(cases)
    whole = metrics.scorer(chosen, cases)(np.ones((1, 1000)))
    of_merged = metrics.scorer(chosen, merged)(counts[np.newaxis])
    for name, score in whole.items():
        assert of_merged[name] == pytest.approx(score, abs=1e-12)


def test_so_many_cases_that_few_resamples_fit(uncertainty, metrics, make_cases, monkeypatch):
    cases = some_cases(make_cases, 400, np.arange(400) // 2)
    chosen = [metrics.REGISTRY["accuracy"]]
    expected = uncertainty.score_intervals(cases, chosen)["accuracy"]
    monkeypatch.setattr(uncertainty, "MOST_WEIGHTS", 0)
    assert uncertainty.score_intervals(cases, chosen)["accuracy"] == pytest.approx(expected, abs=0.01)


def test_what_the_board_needs_of_every_metric(uncertainty, metrics, make_cases):
    groups = np.arange(300) // 3
    cases = some_cases(make_cases, 300, groups)
    resampled, influences = uncertainty.resampled_metrics(cases, 800)
    names = [metric.name for metric in metrics.metrics_of(cases)]
    assert list(resampled) == names
    assert set(influences) == set(names)
    for name in names:
        assert resampled[name].shape == (800,)
        assert influences[name].shape == (100,)
        assert influences[name].std() / 10.0 == pytest.approx(resampled[name].std(), rel=0.2)


def test_a_nearly_perfect_area_under_the_curve_may_be_perfect(uncertainty, metrics, make_cases):
    # Prior cases alone would end the interval at 0.996, while the true area may well be 0.9999.
    rng = np.random.default_rng(5)
    reference = np.arange(80) % 2
    positive = np.where(reference == 1, 0.9, 0.1) + rng.uniform(-0.09, 0.09, size=80)
    probabilities = np.stack([1.0 - positive, positive], axis=1)
    cases = make_cases(reference, reference, None, probabilities, classes=2)
    low, high = uncertainty.score_intervals(cases, [metrics.REGISTRY["weighted_auc"]])["weighted_auc"]
    assert 0.9 < low < 0.99
    assert high == 1.0


def test_prior_cases_give_no_label_a_case_that_it_has_not(uncertainty, metrics, make_cases):
    """A label without a positive case is left out of a mean: so it must be in the resamples."""
    rng = np.random.default_rng(8)
    reference = rng.random((60, 3)) < [0.4, 0.3, 0.0]
    probabilities = np.clip(0.5 * reference + 0.6 * rng.random((60, 3)), 0, 1)
    cases = make_cases(
        reference, probabilities >= [0.5, 0.5, 1.1], probabilities=probabilities, task="multilabel"
    )
    extended, prior = uncertainty.with_prior(cases)
    assert sum(prior) == pytest.approx(1.0)
    assert not extended.reference[:, 2].any()
    assert not extended.predictions[:, 2].any()
    assert extended.reference[-4:, :2].tolist() == [[False] * 2, [False] * 2, [True] * 2, [True] * 2]
    scores, undefined = metrics.score_all(cases)
    assert undefined["auc of c"] == "no positive case"
    low, high = uncertainty.score_intervals(cases, metrics.metrics_of(cases))["macro_auc"]
    assert low < scores["macro_auc"] < high
    drawn, _ = uncertainty.resampled_metrics(cases, 2000)
    assert np.mean(drawn["macro_auc"]) == pytest.approx(scores["macro_auc"], abs=0.02)


def test_a_calibration_error_has_no_interval(uncertainty, metrics, make_cases):
    reference = np.arange(40) % 2
    probabilities = np.stack([np.linspace(0.1, 0.9, 40), np.linspace(0.9, 0.1, 40)], axis=1)
    cases = make_cases(reference, probabilities.argmax(axis=1), None, probabilities, classes=2)
    found = uncertainty.score_intervals(cases, metrics.metrics_of(cases))
    missing = {metric.name for metric in metrics.metrics_of(cases)} - set(found)
    assert missing == {"calibration_error"}
