"""The registry of metrics, and the metrics of counts against scikit-learn."""

import numpy as np
import pytest


@pytest.fixture
def metrics(program_module):
    return program_module("scoring_program", "metrics")


@pytest.fixture
def cases_module(program_module):
    return program_module("scoring_program", "cases")


def test_kappas_of_the_five_ranks(metrics, cases_module):
    reference = np.array([0, 1, 2, 3, 4, 0, 1, 2, 3, 4])
    predictions = np.array([0, 1, 2, 3, 3, 1, 1, 2, 4, 4])
    task = cases_module.Task("ordinal", tuple("abcde"))
    scores, undefined = metrics.score_all(
        cases_module.Cases(task, list("abcdefghij"), np.arange(10), reference, predictions)
    )
    assert scores["quadratic_kappa"] == pytest.approx(0.918919, abs=5e-7)
    assert scores["linear_kappa"] == pytest.approx(0.805195, abs=5e-7)
    assert scores["cohen_kappa"] == pytest.approx(0.625, abs=5e-7)
    assert not undefined
