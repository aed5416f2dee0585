"""Areas under curves and Harrell's C, with ties and absent classes."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tests import scoring_cases

CLOSE = {"rel": 0.0, "abs": 1e-9}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "situation", ["random", "ties", "never predicted", "constant predictions", "flawless"]
)
def test_areas_of_several_classes_are_scikit_learns(metrics, cases_module, situation, seed):
    cases = scoring_cases.labelled(cases_module, "classification", situation, seed)
    scores, undefined = metrics.score_all(cases)
    for average in ("weighted", "macro"):
        expected = roc_auc_score(cases.reference, cases.probabilities, multi_class="ovr", average=average)
        assert scores[f"{average}_auc"] == pytest.approx(expected, **CLOSE)
    of_classes = [
        average_precision_score(cases.reference == label, cases.probabilities[:, label]) for label in range(4)
    ]
    assert scores["macro_average_precision"] == pytest.approx(np.mean(of_classes), **CLOSE)
    found = metrics.per_class(cases)
    assert [found[name]["average_precision"] for name in cases.task.class_names] == pytest.approx(
        of_classes, **CLOSE
    )
    assert not undefined


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("situation", ["two classes", "two classes, ties"])
def test_the_area_of_two_classes_is_that_of_the_second(metrics, cases_module, situation, seed):
    cases = scoring_cases.labelled(cases_module, "classification", situation, seed)
    expected = roc_auc_score(cases.reference, cases.probabilities[:, 1])
    assert expected > 0.6
    scores, _ = metrics.score_all(cases)
    assert scores["weighted_auc"] == pytest.approx(expected, **CLOSE)
    assert scores["macro_auc"] == pytest.approx(expected, **CLOSE)
    of_classes = [row["auc"] for row in metrics.per_class(cases).values()]
    assert of_classes == pytest.approx([expected, expected], **CLOSE)


def test_rounding_makes_no_second_area_of_two_classes(metrics, cases_module):
    # 1 - 0.30000000000000004 == 1 - 0.3 in floating point: ties of the first class alone.
    second = np.array([0.3, 0.1 + 0.2, 0.3, 0.1 + 0.2])
    reference = [0, 1, 0, 1]
    probabilities = np.stack([np.full(4, 0.7), second], axis=1)
    cases = scoring_cases.make(
        cases_module, "classification", 2, reference, [0, 0, 0, 0], probabilities=probabilities
    )
    scores, _ = metrics.score_all(cases)
    assert scores["weighted_auc"] == scores["macro_auc"] == 1.0


def test_classes_that_the_reference_lacks_are_left_out_and_named(metrics, cases_module):
    cases = scoring_cases.labelled(cases_module, "classification", "never in the reference")
    scores, undefined = metrics.score_all(cases)
    present = [0, 1, 3]
    areas = [roc_auc_score(cases.reference == label, cases.probabilities[:, label]) for label in present]
    support = [np.sum(cases.reference == label) for label in present]
    assert scores["macro_auc"] == pytest.approx(np.mean(areas), **CLOSE)
    assert scores["weighted_auc"] == pytest.approx(np.average(areas, weights=support), **CLOSE)
    assert undefined == {
        "auc of class2": "no positive case",
        "average_precision of class2": "no positive case",
    }
    found = metrics.per_class(cases)
    assert "auc" not in found["class2"]
    assert found["class1"]["auc"] == pytest.approx(areas[1], **CLOSE)


def test_one_class_alone_has_no_area(metrics, cases_module):
    cases = scoring_cases.labelled(cases_module, "classification", "one class, others predicted")
    scores, undefined = metrics.score_all(cases)
    assert {"weighted_auc", "macro_auc"}.isdisjoint(scores)
    assert (
        undefined["weighted_auc"] == undefined["macro_auc"] == "no class has both positive and negative cases"
    )
    assert undefined["auc of class2"] == "no negative case"
    assert undefined["auc of class0"] == "no positive case"
    # The class that every case has: whatever the order, each place has nothing but hits.
    assert scores["macro_average_precision"] == 1.0


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_areas_of_labels_leave_out_those_without_a_positive_or_negative_case(
    metrics, cases_module, ties, seed
):
    cases = scoring_cases.multilabel(cases_module, seed, ties=ties)
    scores, undefined = metrics.score_all(cases)
    areas = [roc_auc_score(cases.reference[:, label], cases.probabilities[:, label]) for label in (0, 1)]
    precisions = [
        average_precision_score(cases.reference[:, label], cases.probabilities[:, label])
        for label in (0, 1, 3)
    ]
    assert scores["macro_auc"] == pytest.approx(np.mean(areas), **CLOSE)
    assert scores["macro_average_precision"] == pytest.approx(np.mean(precisions), **CLOSE)
    assert "weighted_auc" not in scores
    assert undefined == {
        "auc of class2": "no positive case",
        "average_precision of class2": "no positive case",
        "auc of class3": "no negative case",
    }
    found = metrics.per_class(cases)
    assert found["class0"]["auc"] == pytest.approx(areas[0], **CLOSE)
    assert found["class1"]["average_precision"] == pytest.approx(precisions[1], **CLOSE)
    assert "auc" not in found["class3"]


def test_two_labels_are_not_two_classes(metrics, cases_module):
    reference = np.array([[True, True], [False, False], [True, False]])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.5], [0.7, 0.6]])
    cases = scoring_cases.make(
        cases_module, "multilabel", 2, reference, probabilities >= 0.5, probabilities=probabilities
    )
    assert metrics.score_all(cases)[0]["macro_auc"] == 0.5
    assert [row["auc"] for row in metrics.per_class(cases).values()] == [1.0, 0.0]


def pairs_in_order(reference, predictions, events):
    """Harrell's C by all pairs: an independent, quadratic loop."""
    agree = count = 0.0
    for i, j in itertools.permutations(range(len(reference)), 2):
        outlived = reference[i] < reference[j] or (reference[i] == reference[j] and not events[j])
        if events[i] and outlived:
            count += 1.0
            agree += 0.5 if predictions[i] == predictions[j] else float(predictions[i] < predictions[j])
    return agree / count


@pytest.mark.parametrize("count", [2, 3, 17, 64, 130])
@pytest.mark.parametrize("ties", [False, True])
def test_harrells_c_is_that_of_all_pairs(metrics, cases_module, ties, count):
    cases = scoring_cases.regression(cases_module, count, count, ties, events=True)
    cases.events[:2] = True, False
    cases.reference[:2] = 10.0, 90.0
    expected = pairs_in_order(cases.reference, cases.predictions, cases.events)
    scores, _ = metrics.score_all(cases)
    assert scores == {"harrell_c": pytest.approx(expected, **CLOSE)}


def test_harrells_c_rewards_the_order_of_the_values(metrics, cases_module):
    cases = scoring_cases.make(
        cases_module,
        "regression",
        0,
        [1.0, 2.0, 3.0],
        [10.0, 20.0, 30.0],
        events=np.array([True, True, False]),
    )
    assert metrics.score_all(cases)[0]["harrell_c"] == 1.0


def test_without_a_value_that_was_reached_there_is_no_c(metrics, cases_module):
    cases = scoring_cases.make(
        cases_module, "regression", 0, [1.0, 2.0], [1.0, 2.0], events=np.array([False, False])
    )
    assert metrics.score_all(cases) == ({}, {"harrell_c": "no pair of cases can be compared"})
