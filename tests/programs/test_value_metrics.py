"""Metrics of probabilities, calibration and predicted values, against scikit-learn, scipy and loops."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import (
    brier_score_loss,
    log_loss,
    mean_absolute_error,
    median_absolute_error,
    r2_score,
    root_mean_squared_error,
)

from tests import scoring_cases

CLOSE = {"rel": 0.0, "abs": 1e-9}


@pytest.mark.parametrize("situation", scoring_cases.SITUATIONS)
def test_brier_score_and_log_loss_are_scikit_learns(metrics, cases_module, situation):
    cases = scoring_cases.labelled(cases_module, "classification", situation)
    scores, _ = metrics.score_all(cases)
    labels = list(range(len(cases.task.class_names)))
    expected = brier_score_loss(cases.reference, cases.probabilities, labels=labels, scale_by_half=True)
    assert scores["brier_score"] == pytest.approx(expected, **CLOSE)
    expected = log_loss(cases.reference, cases.probabilities, labels=labels)
    assert scores["log_loss"] == pytest.approx(expected, **CLOSE)


def test_a_class_with_probability_zero_has_a_finite_log_loss(metrics, cases_module):
    probabilities = np.array([[0.0, 1.0]])
    cases = scoring_cases.make(cases_module, "classification", 2, [0], [1], probabilities=probabilities)
    scores, _ = metrics.score_all(cases)
    assert scores["log_loss"] == pytest.approx(-np.log(np.finfo(float).eps))
    assert scores["brier_score"] == 1.0


def binned(cases, bins=15):
    """Of each bin of confidence with cases: their number, mean confidence and accuracy, by a loop."""
    confidence = cases.probabilities.max(axis=1)
    right = cases.probabilities.argmax(axis=1) == cases.reference
    for index in range(bins):
        low, high = index / bins, (index + 1) / bins
        inside = [row for row, value in enumerate(confidence) if low < value <= high]
        if inside:
            yield len(inside), np.mean(confidence[inside]), np.mean(right[inside])


@pytest.mark.parametrize("situation", scoring_cases.SITUATIONS)
def test_calibration_errors_are_those_of_a_loop_over_fifteen_bins(metrics, cases_module, situation):
    cases = scoring_cases.labelled(cases_module, "classification", situation, count=400)
    scores, _ = metrics.score_all(cases)
    found = list(binned(cases))
    classic = sum(count * abs(confidence - accuracy) for count, confidence, accuracy in found) / 400
    assert scores["calibration_error"] == pytest.approx(classic, **CLOSE)
    debiased = sum(
        count * ((confidence - accuracy) ** 2 - accuracy * (1 - accuracy) / (count - 1))
        for count, confidence, accuracy in found
        if count > 1
    )
    assert scores["calibration_error_l2"] == pytest.approx(np.sqrt(max(debiased / 400, 0.0)), **CLOSE)


def test_fifteen_bins_are_told_apart_from_ten(metrics, cases_module):
    # 0.62 is in the tenth of fifteen bins (0.6 to 0.667), 0.68 in the next; of ten both are in the seventh.
    confidence = np.array([0.62, 0.62, 0.68, 0.68])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    cases = scoring_cases.make(
        cases_module, "classification", 2, [0, 0, 1, 1], [0, 0, 0, 0], probabilities=probabilities
    )
    scores, _ = metrics.score_all(cases)
    assert scores["calibration_error"] == pytest.approx((0.38 + 0.68) / 2)
    assert scores["calibration_error_l2"] == pytest.approx(np.sqrt((0.38**2 + 0.68**2) / 2))


def test_debiasing_takes_away_what_chance_adds(metrics, cases_module):
    """Perfectly calibrated: the classic error is far from 0, the debiased square is 0 on average."""
    rng = np.random.default_rng(0)
    squares, classic = [], []
    for _ in range(100):
        confidence = rng.choice([0.55, 0.65, 0.85], size=60)
        wrong = (rng.random(60) >= confidence).astype(int)
        probabilities = np.stack([confidence, 1 - confidence], axis=1)
        cases = scoring_cases.make(
            cases_module, "classification", 2, wrong, np.zeros(60, int), probabilities=probabilities
        )
        scores, _ = metrics.score_all(cases)
        classic.append(scores["calibration_error"])
        squares.append(scores["calibration_error_l2"] ** 2)
    assert np.mean(classic) > 0.06
    # Cut off at 0, so a little above it.
    assert np.mean(squares) < 0.5 * np.mean(np.square(classic))


def test_a_confidence_on_an_edge_is_in_the_lower_bin(metrics, cases_module):
    confidence = np.array([0.6, 0.61])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    cases = scoring_cases.make(cases_module, "classification", 2, [0, 1], [0, 0], probabilities=probabilities)
    # Apart: 0.4 and 0.61; together they would be |0.4 - 0.61| / 2.
    assert metrics.score_all(cases)[0]["calibration_error"] == pytest.approx((0.4 + 0.61) / 2)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("count", [2, 5, 60, 61])
def test_scores_of_values_are_scikit_learns_and_scipys(metrics, cases_module, ties, count):
    cases = scoring_cases.regression(cases_module, count, count, ties)
    reference, predictions = cases.reference, cases.predictions
    reference[0], reference[1] = 20.0, 90.0
    scores, undefined = metrics.score_all(cases)
    cross = np.mean((reference - reference.mean()) * (predictions - predictions.mean()))
    apart = (reference.mean() - predictions.mean()) ** 2
    assert scores == {
        "mean_absolute_error": pytest.approx(mean_absolute_error(reference, predictions), **CLOSE),
        "root_mean_squared_error": pytest.approx(root_mean_squared_error(reference, predictions), **CLOSE),
        "median_absolute_error": pytest.approx(median_absolute_error(reference, predictions), **CLOSE),
        "r2": pytest.approx(r2_score(reference, predictions), **CLOSE),
        "pearson": pytest.approx(stats.pearsonr(reference, predictions).statistic, **CLOSE),
        "spearman": pytest.approx(stats.spearmanr(reference, predictions).statistic, **CLOSE),
        "concordance_correlation": pytest.approx(
            2 * cross / (reference.var() + predictions.var() + apart), **CLOSE
        ),
    }
    assert not undefined


def test_values_far_from_zero_lose_nothing(metrics, cases_module):
    near = scoring_cases.regression(cases_module)
    far = scoring_cases.make(cases_module, "regression", 0, near.reference + 1e9, near.predictions + 1e9)
    expected, _ = metrics.score_all(near)
    assert metrics.score_all(far)[0] == pytest.approx(expected, rel=0, abs=1e-6)


def test_constant_predictions_have_a_correlation_of_zero(metrics, cases_module):
    cases = scoring_cases.make(cases_module, "regression", 0, [1.0, 2.0, 4.0], [0.1, 0.1, 0.1])
    scores, undefined = metrics.score_all(cases)
    assert scores["pearson"] == scores["spearman"] == scores["concordance_correlation"] == 0.0
    assert scores["r2"] == pytest.approx(r2_score([1.0, 2.0, 4.0], [0.1, 0.1, 0.1]))
    assert not undefined


@pytest.mark.parametrize(("off", "r2", "concordance"), [(0.0, 1.0, 1.0), (1.0, 0.0, 0.0)])
def test_a_constant_reference_leaves_correlations_undefined(metrics, cases_module, off, r2, concordance):
    cases = scoring_cases.make(cases_module, "regression", 0, [0.3] * 5, [0.3 + off] * 5)
    scores, undefined = metrics.score_all(cases)
    assert scores["r2"] == r2 == r2_score(cases.reference, cases.predictions)
    assert scores["concordance_correlation"] == concordance
    reason = "the reference's values are all equal"
    assert undefined == {"pearson": reason, "spearman": reason}


def test_errors_are_left_out_where_values_are_censored(metrics, cases_module):
    cases = scoring_cases.regression(cases_module, events=True)
    assert [metric.name for metric in metrics.metrics_of(cases)] == ["harrell_c"]
    cases.events[:] = True
    assert {"mean_absolute_error", "harrell_c"} <= {metric.name for metric in metrics.metrics_of(cases)}
