"""Metrics of counts: scikit-learn's numbers, whatever classes are absent."""

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    classification_report,
    cohen_kappa_score,
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
    recall_score,
)

from tests import scoring_cases

EXACT = {"rel": 0.0, "abs": 1e-12}
CLOSE = {"rel": 0.0, "abs": 1e-9}


@pytest.mark.parametrize("situation", scoring_cases.SITUATIONS)
def test_the_report_is_scikit_learns(metrics, cases_module, situation):
    cases = scoring_cases.labelled(cases_module, "classification", situation)
    scores, _ = metrics.score_all(cases)
    report = classification_report(cases.reference, cases.predictions, output_dict=True, zero_division=0.0)
    for average in ("weighted", "macro"):
        for name, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert scores[f"{average}_{name}"] == pytest.approx(report[f"{average} avg"][key], **EXACT)
    assert scores["accuracy"] == pytest.approx(accuracy_score(cases.reference, cases.predictions), **EXACT)


def test_averages_of_a_case_by_hand(metrics, cases_module):
    # Class 0: precision 3/4, recall 1; class 1: never predicted; class 2: precision 1/2, recall 1.
    cases = scoring_cases.make(cases_module, "classification", 3, [0, 0, 0, 1, 1, 2], [0, 0, 0, 0, 2, 2])
    scores, undefined = metrics.score_all(cases)
    assert scores["weighted_precision"] == pytest.approx((3 * 0.75 + 0.5) / 6)
    assert scores["weighted_recall"] == pytest.approx(4 / 6)
    assert scores["macro_precision"] == pytest.approx((0.75 + 0.5) / 3)
    assert scores["macro_recall"] == pytest.approx(2 / 3)
    assert scores["balanced_accuracy"] == pytest.approx(2 / 3)
    assert scores["weighted_f1"] == pytest.approx((3 * 6 / 7 + 2 / 3) / 6)
    assert scores["macro_f1"] == pytest.approx((6 / 7 + 2 / 3) / 3)
    assert not undefined


@pytest.mark.parametrize("situation", scoring_cases.SITUATIONS)
def test_balanced_accuracy_is_the_mean_recall_of_the_references_classes(metrics, cases_module, situation):
    cases = scoring_cases.labelled(cases_module, "classification", situation)
    expected = recall_score(
        cases.reference, cases.predictions, labels=np.unique(cases.reference), average="macro"
    )
    assert metrics.score_all(cases)[0]["balanced_accuracy"] == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize("situation", scoring_cases.SITUATIONS)
def test_matthews_correlation_is_scikit_learns(metrics, cases_module, situation):
    cases = scoring_cases.labelled(cases_module, "classification", situation)
    # scikit-learn warns of one class only.
    expected = 0.0 if situation == "one class only" else matthews_corrcoef(cases.reference, cases.predictions)
    assert metrics.score_all(cases)[0]["matthews_correlation"] == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize("situation", scoring_cases.SITUATIONS)
def test_kappas_are_scikit_learns(metrics, cases_module, situation):
    cases = scoring_cases.labelled(cases_module, "ordinal", situation)
    scores, _ = metrics.score_all(cases)
    for name, weights in (
        ("cohen_kappa", None),
        ("linear_kappa", "linear"),
        ("quadratic_kappa", "quadratic"),
    ):
        if situation == "one class only":
            assert scores[name] == 1.0
            continue
        expected = cohen_kappa_score(
            cases.reference,
            cases.predictions,
            labels=range(len(cases.task.class_names)),
            weights=weights,
        )
        assert scores[name] == pytest.approx(expected, **CLOSE)


def test_kappas_of_the_five_ranks(metrics, cases_module):
    reference, predictions = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4], [0, 1, 2, 3, 3, 1, 1, 2, 4, 4]
    cases = scoring_cases.make(cases_module, "ordinal", 5, reference, predictions)
    scores, undefined = metrics.score_all(cases)
    assert scores["quadratic_kappa"] == pytest.approx(0.918919, abs=5e-7)
    assert scores["linear_kappa"] == pytest.approx(0.805195, abs=5e-7)
    assert scores["cohen_kappa"] == pytest.approx(0.625, abs=5e-7)
    assert scores["mean_absolute_rank_error"] == pytest.approx(0.3)
    assert not undefined


def test_two_constants_that_differ_do_not_agree(metrics, cases_module):
    cases = scoring_cases.make(cases_module, "ordinal", 3, [0, 0, 0], [2, 2, 2])
    scores, _ = metrics.score_all(cases)
    assert [scores[name] for name in ("cohen_kappa", "linear_kappa", "quadratic_kappa")] == [0.0, 0.0, 0.0]
    assert scores["matthews_correlation"] == 0.0
    assert scores["mean_absolute_rank_error"] == 2.0


@pytest.mark.parametrize("seed", range(5))
def test_label_counts_of_several_labels_are_scikit_learns(metrics, cases_module, seed):
    cases = scoring_cases.multilabel(cases_module, seed)
    scores, _ = metrics.score_all(cases)
    precision, recall, f1, support = precision_recall_fscore_support(
        cases.reference, cases.predictions, zero_division=0.0
    )
    # A label that is nowhere, in reference or predictions, is left out.
    present = cases.reference.any(axis=0) | cases.predictions.any(axis=0)
    assert scores["macro_f1"] == pytest.approx(f1[present].mean(), **CLOSE)
    assert scores["micro_f1"] == pytest.approx(
        f1_score(cases.reference, cases.predictions, average="micro"), **CLOSE
    )
    assert scores["subset_accuracy"] == pytest.approx(accuracy_score(cases.reference, cases.predictions))
    of_labels = metrics.per_class(cases)
    for label, name in enumerate(cases.task.class_names):
        assert of_labels[name]["precision"] == pytest.approx(precision[label], **CLOSE)
        assert of_labels[name]["recall"] == pytest.approx(recall[label], **CLOSE)
        assert of_labels[name]["f1"] == pytest.approx(f1[label], **CLOSE)
        assert of_labels[name]["support"] == support[label]


def test_a_label_that_is_nowhere_is_left_out(metrics, cases_module):
    reference = np.array([[True, False], [False, False], [True, False]])
    predictions = np.array([[True, False], [True, False], [True, False]])
    cases = scoring_cases.make(cases_module, "multilabel", 2, reference, predictions)
    assert metrics.score_all(cases)[0]["macro_f1"] == pytest.approx(0.8)
    predictions[0, 1] = True
    wrong = scoring_cases.make(cases_module, "multilabel", 2, reference, predictions)
    assert metrics.score_all(wrong)[0]["macro_f1"] == pytest.approx(0.4)


@pytest.mark.parametrize("situation", scoring_cases.SITUATIONS)
def test_each_classes_report_is_scikit_learns(metrics, cases_module, situation):
    cases = scoring_cases.labelled(cases_module, "classification", situation)
    found = metrics.per_class(cases)
    names = list(cases.task.class_names)
    report = classification_report(
        cases.reference,
        cases.predictions,
        labels=range(len(names)),
        target_names=names,
        output_dict=True,
        zero_division=0.0,
    )
    assert list(found) == names
    for name in names:
        assert found[name]["precision"] == pytest.approx(report[name]["precision"], **EXACT)
        assert found[name]["recall"] == pytest.approx(report[name]["recall"], **EXACT)
        assert found[name]["f1"] == pytest.approx(report[name]["f1-score"], **EXACT)
        assert found[name]["support"] == report[name]["support"]
        assert isinstance(found[name]["support"], int)


def test_a_thousand_classes_need_no_matrix_of_all_pairs(metrics, cases_module):
    rng = np.random.default_rng(0)
    reference, predictions = rng.integers(0, 1000, size=(2, 3000))
    cases = scoring_cases.make(cases_module, "classification", 1000, reference, predictions)
    scored = metrics.REGISTRY["macro_f1"].score(cases, np.ones((200, 3000)))
    expected = f1_score(reference, predictions, average="macro", zero_division=0.0)
    assert scored == pytest.approx(np.full(200, expected), **CLOSE)
