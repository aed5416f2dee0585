"""The registry: which metrics there are, for which tasks, in which direction and range."""

import math
import re

import numpy as np
import pytest

from tests import scoring_cases

LABELS = "classification/ordinal"
ALL = "classification/ordinal/multilabel"
INFINITE = math.inf

# By name: tasks, lowest, highest, whether higher is better, what it needs, unit.
EXPECTED = {
    "weighted_precision": (LABELS, 0, 1, True, "", ""),
    "weighted_recall": (LABELS, 0, 1, True, "", ""),
    "weighted_f1": (LABELS, 0, 1, True, "", ""),
    "quadratic_kappa": ("ordinal", -1, 1, True, "", ""),
    "linear_kappa": ("ordinal", -1, 1, True, "", ""),
    "mean_absolute_rank_error": ("ordinal", 0, INFINITE, False, "", "ranks"),
    "macro_precision": (LABELS, 0, 1, True, "", ""),
    "macro_recall": (LABELS, 0, 1, True, "", ""),
    "macro_f1": (ALL, 0, 1, True, "", ""),
    "micro_f1": ("multilabel", 0, 1, True, "", ""),
    "accuracy": (LABELS, 0, 1, True, "", ""),
    "subset_accuracy": ("multilabel", 0, 1, True, "", ""),
    "balanced_accuracy": (LABELS, 0, 1, True, "", ""),
    "matthews_correlation": (LABELS, -1, 1, True, "", ""),
    "cohen_kappa": (LABELS, -1, 1, True, "", ""),
    "weighted_auc": (LABELS, 0, 1, True, "probabilities", ""),
    "macro_auc": (ALL, 0, 1, True, "probabilities", ""),
    "macro_average_precision": (ALL, 0, 1, True, "probabilities", ""),
    "brier_score": (LABELS, 0, 1, False, "probabilities", ""),
    "log_loss": (LABELS, 0, INFINITE, False, "probabilities", "nats"),
    "calibration_error": (LABELS, 0, 1, False, "probabilities", ""),
    "calibration_error_l2": (LABELS, 0, 1, False, "probabilities", ""),
    "mean_absolute_error": ("regression", 0, INFINITE, False, "", "value"),
    "root_mean_squared_error": ("regression", 0, INFINITE, False, "", "value"),
    "median_absolute_error": ("regression", 0, INFINITE, False, "", "value"),
    "r2": ("regression", -INFINITE, 1, True, "", ""),
    "pearson": ("regression", -1, 1, True, "", ""),
    "spearman": ("regression", -1, 1, True, "", ""),
    "concordance_correlation": ("regression", -1, 1, True, "", ""),
    "harrell_c": ("regression", 0, 1, True, "events", ""),
}


def test_names_tasks_directions_and_ranges(metrics):
    found = {
        name: (
            "/".join(metric.tasks),
            metric.low,
            metric.high,
            metric.higher_is_better,
            metric.needs,
            metric.unit,
        )
        for name, metric in metrics.REGISTRY.items()
    }
    assert found == EXPECTED
    assert list(found)[:3] == ["weighted_precision", "weighted_recall", "weighted_f1"]


def test_calibration_has_fifteen_bins(program_module):
    assert program_module("scoring_program", "value_metrics").CALIBRATION_BINS == 15


def test_every_metric_says_what_it_is(metrics):
    for name, metric in metrics.REGISTRY.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert metric.title
        assert metric.policy.endswith(".")
        assert metric.source
        assert set(metric.tasks) <= set(metrics.DEFAULT_METRICS)


def test_every_task_has_a_metric_that_ranks_by_default(metrics):
    assert metrics.DEFAULT_METRICS == {
        "classification": "weighted_f1",
        "ordinal": "quadratic_kappa",
        "multilabel": "macro_auc",
        "regression": "mean_absolute_error",
    }
    for task, name in metrics.DEFAULT_METRICS.items():
        assert task in metrics.REGISTRY[name].tasks


def test_better_predictions_score_better_in_the_stated_direction(metrics, cases_module):
    rng = np.random.default_rng(0)
    reference = rng.integers(0, 3, size=300)
    values = reference + rng.normal(0.0, 0.2, size=300)
    scores = []
    for noise in (0.3, 3.0):
        logits = np.eye(3)[reference] * 4.0 + rng.normal(0.0, noise, size=(300, 3))
        sharp = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        off = values + rng.normal(0.0, noise, size=300)
        labels = np.eye(3, dtype=bool)[reference]
        likely = 1.0 / (1.0 + np.exp(2.0 - logits))
        chosen = sharp.argmax(axis=1)
        of_quality = {}
        for cases in (
            scoring_cases.make(cases_module, "ordinal", 3, reference, chosen, probabilities=sharp),
            scoring_cases.make(cases_module, "multilabel", 3, labels, likely >= 0.5, probabilities=likely),
            scoring_cases.make(cases_module, "regression", 0, values, off, events=np.ones(300, dtype=bool)),
        ):
            of_quality.update(metrics.score_all(cases)[0])
        scores.append(of_quality)
    good, bad = scores
    assert set(good) == set(EXPECTED)
    for name, metric in metrics.REGISTRY.items():
        assert (good[name] > bad[name]) == metric.higher_is_better, name


def test_metrics_that_need_probabilities_stay_out_without(metrics, cases_module):
    cases = scoring_cases.make(cases_module, "ordinal", 2, [0, 1], [0, 1])
    scores, undefined = metrics.score_all(cases)
    assert set(scores) == {
        name for name, metric in metrics.REGISTRY.items() if "ordinal" in metric.tasks and metric.needs == ""
    }
    assert not undefined


def test_a_regression_has_no_classes(metrics, cases_module):
    assert metrics.per_class(scoring_cases.regression(cases_module)) == {}


def test_a_metric_of_ones_own_is_one_entry(program_module, cases_module, metrics):
    """A mean over cases needs a function of the values and nothing else."""
    metric = program_module("scoring_program", "metric").Metric(
        "share_missed",
        "Share of cases of class 1 that were missed",
        ("classification",),
        "Undefined without a case of class 1.",
        "this test",
        values=lambda cases: np.where(cases.reference == 1, (cases.predictions != 1).astype(float), np.nan),
        higher_is_better=False,
    )
    cases = scoring_cases.make(cases_module, "classification", 2, [1, 1, 1, 0], [1, 0, 0, 1])
    weights = np.array([[1.0, 1, 1, 1], [2, 1, 1, 9], [0, 0, 0, 1]])
    assert metric.score(cases, weights) == pytest.approx([2 / 3, 0.5, np.nan], nan_ok=True)
    found = metrics.scorer([metric, metrics.REGISTRY["accuracy"]], cases)(weights)
    assert list(found) == ["share_missed", "accuracy"]


def test_a_metric_without_anything_to_measure_is_refused(program_module, cases_module):
    metric = program_module("scoring_program", "metric").Metric("none", "None", (), "None.", "this test")
    with pytest.raises(TypeError, match="expected a measure or values"):
        metric.prepare(scoring_cases.make(cases_module, "classification", 2, [0], [0]))
