"""What the registry says of each metric, and numbers of the scoring program that no formula would miss."""

import math

import pytest

LABELS = "classification/ordinal"
ALL = "classification/ordinal/multilabel"
INFINITE = math.inf

# Name, tasks, lowest, highest, whether higher is better, what it needs, unit.
REGISTRY = [
    ("weighted_precision", LABELS, 0, 1, True, "", ""),
    ("weighted_recall", LABELS, 0, 1, True, "", ""),
    ("weighted_f1", LABELS, 0, 1, True, "", ""),
    ("quadratic_kappa", "ordinal", -1, 1, True, "", ""),
    ("linear_kappa", "ordinal", -1, 1, True, "", ""),
    ("mean_absolute_rank_error", "ordinal", 0, INFINITE, False, "", "ranks"),
    ("macro_precision", LABELS, 0, 1, True, "", ""),
    ("macro_recall", LABELS, 0, 1, True, "", ""),
    ("macro_f1", ALL, 0, 1, True, "", ""),
    ("micro_f1", "multilabel", 0, 1, True, "", ""),
    ("accuracy", LABELS, 0, 1, True, "", ""),
    ("subset_accuracy", "multilabel", 0, 1, True, "", ""),
    ("balanced_accuracy", LABELS, 0, 1, True, "", ""),
    ("matthews_correlation", LABELS, -1, 1, True, "", ""),
    ("cohen_kappa", LABELS, -1, 1, True, "", ""),
    ("weighted_auc", LABELS, 0, 1, True, "probabilities", ""),
    ("macro_auc", ALL, 0, 1, True, "probabilities", ""),
    ("macro_average_precision", ALL, 0, 1, True, "probabilities", ""),
    ("brier_score", LABELS, 0, 1, False, "probabilities", ""),
    ("log_loss", LABELS, 0, INFINITE, False, "probabilities", "nats"),
    ("calibration_error", LABELS, 0, 1, False, "probabilities", ""),
    ("calibration_error_l2", LABELS, 0, 1, False, "probabilities", ""),
    ("mean_absolute_error", "regression", 0, INFINITE, False, "", "value"),
    ("root_mean_squared_error", "regression", 0, INFINITE, False, "", "value"),
    ("median_absolute_error", "regression", 0, INFINITE, False, "", "value"),
    ("r2", "regression", -INFINITE, 1, True, "", ""),
    ("pearson", "regression", -1, 1, True, "", ""),
    ("spearman", "regression", -1, 1, True, "", ""),
    ("concordance_correlation", "regression", -1, 1, True, "", ""),
    ("harrell_c", "regression", 0, 1, True, "events", ""),
]


@pytest.mark.parametrize(("name", "tasks", "low", "high", "higher", "needs", "unit"), REGISTRY)
def test_direction_range_and_tasks(program_module, name, tasks, low, high, higher, needs, unit):
    metric = program_module("scoring_program", "metrics").REGISTRY[name]
    assert "/".join(metric.tasks) == tasks
    assert (metric.low, metric.high, metric.higher_is_better) == (low, high, higher)
    assert (metric.needs, metric.unit) == (needs, unit)
    assert metric.title
    assert metric.policy or metric.source


def test_what_ranks_by_default(program_module):
    metrics = program_module("scoring_program", "metrics")
    assert metrics.DEFAULT_METRICS == {
        "classification": "weighted_f1",
        "ordinal": "quadratic_kappa",
        "multilabel": "macro_auc",
        "regression": "mean_absolute_error",
    }
    for task, name in metrics.DEFAULT_METRICS.items():
        assert task in metrics.REGISTRY[name].tasks


def test_calibration_has_fifteen_bins(program_module):
    assert program_module("scoring_program", "value_metrics").CALIBRATION_BINS == 15
