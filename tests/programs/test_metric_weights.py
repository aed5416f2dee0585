"""What weights mean, for every metric: a weight of 2 is the case listed twice; and the time of many sets."""

import time

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    f1_score,
    log_loss,
    matthews_corrcoef,
    mean_absolute_error,
    precision_score,
    r2_score,
    recall_score,
    roc_auc_score,
    root_mean_squared_error,
)

from tests import scoring_cases

CLOSE = {"rel": 0.0, "abs": 1e-9}


def situations(module):
    """Cases of each task, with and without ties."""
    for name in scoring_cases.SITUATIONS:
        yield scoring_cases.labelled(module, "classification", name, count=40)
        yield scoring_cases.labelled(module, "ordinal", name, count=40)
    for ties in (False, True):
        yield scoring_cases.multilabel(module, ties=ties)
        yield scoring_cases.regression(module, ties=ties)
        yield scoring_cases.regression(module, count=45, ties=ties, events=True)


def all_scores(metrics, cases, weights):
    return metrics.scorer(metrics.metrics_of(cases), cases)(weights)


def test_a_weight_counts_as_that_many_cases(metrics, cases_module):
    rng = np.random.default_rng(0)
    seen = set()
    for cases in situations(cases_module):
        times = rng.integers(0, 4, size=(6, len(cases.reference)))
        times[5] = 1
        found = all_scores(metrics, cases, times.astype(float))
        for row, of_row in enumerate(times):
            listed = scoring_cases.repeated(cases_module, cases, of_row)
            expected = all_scores(metrics, listed, np.ones((1, len(listed.reference))))
            for name in found:
                assert found[name][row] == pytest.approx(expected[name][0], nan_ok=True, **CLOSE), name
        seen |= {name for name in found if not np.isnan(found[name]).any()}
    assert seen == set(metrics.REGISTRY)


def test_few_cases_that_weigh_anything_are_like_few_cases(metrics, cases_module):
    """Rounding must not make a variance where all of the weight is on one case or on equal ones."""
    for cases in situations(cases_module):
        # One case alone, three times; and two neighbours.
        one = np.eye(len(cases.reference), dtype=int)[::8]
        times = np.concatenate([3 * one, one + np.roll(one, 1, axis=1)])
        found = all_scores(metrics, cases, times.astype(float))
        for row, of_row in enumerate(times):
            listed = scoring_cases.repeated(cases_module, cases, of_row)
            expected = all_scores(metrics, listed, np.ones((1, len(listed.reference))))
            for name in found:
                assert found[name][row] == pytest.approx(expected[name][0], nan_ok=True, **CLOSE), name


def test_weights_are_scikit_learns_sample_weights(metrics, cases_module):
    rng = np.random.default_rng(1)
    cases = scoring_cases.labelled(cases_module, "ordinal", "ties")
    weights = rng.exponential(size=(3, len(cases.reference)))
    found = all_scores(metrics, cases, weights)
    reference, predictions, probabilities = cases.reference, cases.predictions, cases.probabilities
    for row, of_row in enumerate(weights):
        more = {"sample_weight": of_row}
        expected = {
            f"{average}_{name}": function(reference, predictions, average=average, zero_division=0.0, **more)
            for average in ("weighted", "macro")
            for name, function in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score))
        }
        expected["balanced_accuracy"] = balanced_accuracy_score(reference, predictions, **more)
        expected["matthews_correlation"] = matthews_corrcoef(reference, predictions, **more)
        for name, kind in (("cohen", None), ("linear", "linear"), ("quadratic", "quadratic")):
            expected[f"{name}_kappa"] = cohen_kappa_score(reference, predictions, weights=kind, **more)
        expected["log_loss"] = log_loss(reference, probabilities, **more)
        expected["brier_score"] = brier_score_loss(reference, probabilities, scale_by_half=True, **more)
        for average in ("weighted", "macro"):
            expected[f"{average}_auc"] = roc_auc_score(
                np.eye(4)[reference], probabilities, average=average, **more
            )
        expected["macro_average_precision"] = average_precision_score(
            np.eye(4)[reference], probabilities, **more
        )
        for name, score in expected.items():
            assert found[name][row] == pytest.approx(score, **CLOSE), name


def test_weights_of_values_are_scikit_learns_sample_weights(metrics, cases_module):
    rng = np.random.default_rng(2)
    cases = scoring_cases.regression(cases_module)
    weights = rng.exponential(size=(3, len(cases.reference)))
    found = all_scores(metrics, cases, weights)
    for row, of_row in enumerate(weights):
        pair = (cases.reference, cases.predictions)
        assert found["r2"][row] == pytest.approx(r2_score(*pair, sample_weight=of_row), **CLOSE)
        expected = mean_absolute_error(*pair, sample_weight=of_row)
        assert found["mean_absolute_error"][row] == pytest.approx(expected, **CLOSE)
        expected = root_mean_squared_error(*pair, sample_weight=of_row)
        assert found["root_mean_squared_error"][row] == pytest.approx(expected, **CLOSE)
        covariance = np.cov(*pair, aweights=of_row)
        expected = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
        assert found["pearson"][row] == pytest.approx(expected, **CLOSE)


def test_the_order_and_precision_in_memory_change_nothing(metrics, cases_module):
    rng = np.random.default_rng(3)
    for cases in situations(cases_module):
        weights = rng.exponential(size=(5, len(cases.reference)))
        expected = all_scores(metrics, cases, weights)
        transposed = all_scores(metrics, cases, np.asfortranarray(weights))
        single = all_scores(metrics, cases, np.asfortranarray(weights.astype(np.float32)))
        for name, scores in expected.items():
            assert scores.shape == (5,)
            assert scores.dtype == np.float64
            assert transposed[name] == pytest.approx(scores, nan_ok=True, **CLOSE), name
            largest = np.abs(np.nan_to_num(scores)).max()
            tolerance = 0.01 if name == "calibration_error_l2" else 1e-4 * max(1.0, largest)
            assert single[name] == pytest.approx(scores, nan_ok=True, rel=0, abs=tolerance), name


def test_scores_with_the_others_are_scores_alone(metrics, cases_module):
    rng = np.random.default_rng(4)
    for cases in situations(cases_module):
        weights = rng.exponential(size=(2, len(cases.reference)))
        found = all_scores(metrics, cases, weights)
        for metric in metrics.metrics_of(cases):
            np.testing.assert_array_equal(metric.score(cases, weights), found[metric.name])


def test_a_score_of_values_is_their_mean(metrics, cases_module):
    rng = np.random.default_rng(5)
    for cases in situations(cases_module):
        weights = rng.exponential(size=(2, len(cases.reference)))
        for metric in metrics.metrics_of(cases):
            if metric.values is not None:
                values = metric.values(cases)
                assert values.shape == (len(cases.reference),)
                expected = [np.average(values, weights=of_row) for of_row in weights]
                assert metric.score(cases, weights) == pytest.approx(expected, **CLOSE)


def test_scores_lie_in_their_range(metrics, cases_module):
    rng = np.random.default_rng(6)
    for cases in situations(cases_module):
        found = all_scores(metrics, cases, rng.exponential(size=(50, len(cases.reference))))
        for name, scores in found.items():
            metric, defined = metrics.REGISTRY[name], scores[~np.isnan(scores)]
            assert ((defined >= metric.low - 1e-12) & (defined <= metric.high + 1e-12)).all(), name


def test_running_sums_are_cumulative_sums(program_module):
    running_sums = program_module("scoring_program", "weighted_sums").running_sums
    rng = np.random.default_rng(7)
    for count in (0, 1, 31, 32, 33, 64, 65, 1024, 1025, 40000):
        rows = rng.integers(0, 9, size=(count, 2)).astype(float)
        np.testing.assert_array_equal(running_sums(rows), np.cumsum(rows, axis=0))


def test_ten_thousand_cases_are_resampled_in_seconds(metrics, cases_module):
    """1,000 resamples of every metric of classification: a tenth of what has to take less than 5 s."""
    cases = scoring_cases.labelled(cases_module, "classification", "random", count=10_000)
    scorer = metrics.scorer(metrics.metrics_of(cases), cases)
    weights = np.random.default_rng(8).exponential(size=(10_000, 125)).astype(np.float32).T
    started = time.process_time()
    for _ in range(8):
        scorer(weights)
    assert time.process_time() - started < 1.0
