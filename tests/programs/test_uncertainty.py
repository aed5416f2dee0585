"""Intervals and resampled scores of the program's own metrics."""

import numpy as np
import pytest
from scipy import stats


@pytest.fixture
def uncertainty(program_module):
    return program_module("scoring_program", "uncertainty")


@pytest.fixture
def resampled_metrics(uncertainty, metrics):
    """Of the metrics that have a score, as the program asks for them."""

    def resample(cases, resamples):
        scored = [metrics.REGISTRY[name] for name in metrics.score_all(cases)[0]]
        return uncertainty.resampled_metrics(cases, scored, resamples)

    return resample


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


def test_merged_and_single_cases_have_the_same_intervals(resampled_metrics, uncertainty, metrics, make_cases):
    cases = some_cases(make_cases)
    chosen = metrics.metrics_of(cases)
    quick = uncertainty.score_intervals(cases, chosen)
    resampled, _ = resampled_metrics(cases, 10_000)
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


def test_what_the_board_needs_of_every_metric(resampled_metrics, uncertainty, metrics, make_cases):
    groups = np.arange(300) // 3
    cases = some_cases(make_cases, 300, groups)
    resampled, influences = resampled_metrics(cases, 800)
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


def test_prior_cases_give_no_label_a_case_that_it_has_not(
    resampled_metrics, uncertainty, metrics, make_cases
):
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
    drawn, _ = resampled_metrics(cases, 2000)
    assert np.mean(drawn["macro_auc"]) == pytest.approx(scores["macro_auc"], abs=0.02)


def test_a_calibration_error_has_no_interval(uncertainty, metrics, make_cases):
    reference = np.arange(40) % 2
    probabilities = np.stack([np.linspace(0.1, 0.9, 40), np.linspace(0.9, 0.1, 40)], axis=1)
    cases = make_cases(reference, probabilities.argmax(axis=1), None, probabilities, classes=2)
    found = uncertainty.score_intervals(cases, metrics.metrics_of(cases))
    missing = {metric.name for metric in metrics.metrics_of(cases)} - set(found)
    assert missing == {"calibration_error"}


def test_an_interval_reaches_as_far_as_with_or_without_prior_cases(uncertainty, metrics, make_cases):
    # Drawn again here, case by case: two images a patient, two classes, four prior cases.
    groups = np.arange(120) // 2
    reference = np.arange(120) // 4 % 2
    wrong = groups < 5
    cases = make_cases(reference, np.where(wrong, 1 - reference, reference), groups, classes=2)
    found = uncertainty.score_intervals(cases, [metrics.REGISTRY["accuracy"]])["accuracy"]
    rng = np.random.default_rng(8)
    patients = rng.exponential(size=(60_000, 60))
    prior = rng.gamma(0.25, size=(60_000, 4)) * 2.0
    right, total = 2.0 * patients[:, 5:].sum(axis=1), 2.0 * patients.sum(axis=1)
    with_prior = (right + prior[:, [0, 3]].sum(axis=1)) / (total + prior.sum(axis=1))
    tail = stats.norm.cdf(-np.sqrt(61 / 59) * stats.t.ppf(0.975, 59))
    ends = [np.quantile(scores, [tail, 1.0 - tail]) for scores in (with_prior, right / total)]
    assert ends[1][0] - ends[0][0] > 0.004
    assert ends[1][1] - ends[0][1] > 0.0005
    assert found == (pytest.approx(ends[0][0], abs=0.004), pytest.approx(ends[1][1], abs=0.002))


@pytest.mark.parametrize(("cases", "resamples"), [(400, 4_000), (2**16, 2_048), (2**20, 200)])
def test_resamples_fit_into_the_time(uncertainty, metrics, make_cases, monkeypatch, cases, resamples):
    asked = []
    real = uncertainty.resample_all

    def count(score, groups, resamples, **options):
        asked.append(resamples)
        return real(score, groups, 2, **options)

    monkeypatch.setattr(uncertainty, "resample_all", count)
    labels = np.arange(cases) % 2
    some = make_cases(labels, labels, np.arange(cases) // 2, classes=2)
    uncertainty.score_intervals(some, [metrics.REGISTRY["accuracy"]])
    assert asked == [resamples, resamples]


def test_percentiles_from_a_thousand_resamples_on(uncertainty, metrics):
    accuracy = metrics.REGISTRY["accuracy"]
    for count in (1_000, 4_000):
        low, high = uncertainty._interval(np.linspace(0.0, 1.0, count) ** 3, 0.025, accuracy)
        assert (low, high) == (pytest.approx(0.025**3, abs=1e-5), pytest.approx(0.975**3, abs=1e-5))
    # The cube of a uniform number has the mean 1/4 and the variance 1/7 - 1/16.
    few = 0.4 + 0.2 * np.linspace(0.0, 1.0, 999) ** 3
    reach = 1.959964 * 0.2 * np.sqrt(1 / 7 - 1 / 16)
    low, high = uncertainty._interval(few, 0.025, accuracy)
    assert (low, high) == (pytest.approx(0.45 - reach, abs=5e-4), pytest.approx(0.45 + reach, abs=5e-4))


def test_an_interval_stays_within_the_metrics_range(uncertainty, metrics):
    drawn = np.linspace(-0.5, 1.5, 1_001)
    assert uncertainty._interval(drawn, 0.025, metrics.REGISTRY["accuracy"]) == (0.0, 1.0)
    assert np.isnan(uncertainty._interval(np.full(300, np.nan), 0.025, metrics.REGISTRY["accuracy"])[0])


def test_a_median_has_influences_too(resampled_metrics, uncertainty, metrics, make_cases):
    rng = np.random.default_rng(9)
    reference = rng.normal(size=300)
    cases = make_cases(reference, reference + rng.normal(size=300), task="regression", classes=0)
    resampled, influences = resampled_metrics(cases, 2_000)
    assert set(influences) == set(resampled)
    medians = [name for name in influences if name.startswith("median_")]
    assert medians
    for name in medians:
        spread = influences[name].std() / np.sqrt(300.0)
        assert spread == pytest.approx(resampled[name].std(), rel=0.35)


def test_very_many_cases_get_fewer_resamples(resampled_metrics, uncertainty, make_cases, monkeypatch) -> None:
    """10,000 resamples of a million cases would overrun any limit of time."""
    monkeypatch.setattr(uncertainty, "MOST_DRAWN", 300 * 400)
    reference = np.arange(400) % 3
    drawn, _ = resampled_metrics(make_cases(reference, reference), 10_000)
    assert len(drawn["accuracy"]) == 300
    drawn, _ = resampled_metrics(make_cases(reference, reference), 250)
    assert len(drawn["accuracy"]) == 250
    monkeypatch.setattr(uncertainty, "MOST_DRAWN", 1)
    drawn, _ = resampled_metrics(make_cases(reference, reference), 10_000)
    assert len(drawn["accuracy"]) == uncertainty.FEWEST_RESAMPLES
