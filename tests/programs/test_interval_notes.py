"""What reports say of intervals that do not cover: the figures that were measured, in one table."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.conftest import PROJECT_ROOT

sys.path.insert(0, str(PROJECT_ROOT / "benchmarks"))
import coverage_page

FIGURES = PROJECT_ROOT / "benchmarks" / "coverage.json"
TABLE = {
    "classification": {
        "balanced": {"accuracy": {"20": [95, 98], "50": [93, 97]}, "macro_f1": {"50": [89, 89]}},
        "unbalanced": {"accuracy": {"50": [92, 99]}},
    },
    "regression": {"": {"r2": {"50": [88, 93]}}},
}


@pytest.fixture
def notes(program_module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module = program_module("scoring_program", "interval_notes")
    path = tmp_path / "interval_notes.json"
    path.write_text(json.dumps(TABLE))
    monkeypatch.setattr(module, "TABLE_PATH", path)
    return module


def cases_of(reference: np.ndarray, task: str = "classification", groups: np.ndarray | None = None):
    groups = np.arange(len(reference)) if groups is None else groups
    return SimpleNamespace(task=SimpleNamespace(name=task), reference=reference, groups=groups)


def test_what_is_outside_93_to_97_is_noted_for_the_nearest_number_of_cases(notes) -> None:
    names = ["accuracy", "macro_f1", "unknown"]
    macro = {"macro_f1": "covers 89 % with 50 cases in trials"}
    assert notes.interval_notes(cases_of(np.arange(60) % 2), names) == macro
    assert notes.interval_notes(cases_of(np.arange(32) % 2), names) == macro
    few = {"accuracy": "covers 95 to 98 % with 20 cases in trials", **macro}
    assert notes.interval_notes(cases_of(np.arange(31) % 2), names) == few
    # Groups count, not their images.
    groups = np.arange(60) // 3
    assert notes.interval_notes(cases_of(np.arange(60) % 2, groups=groups), names) == few
    assert notes.interval_notes(cases_of(np.zeros(60), "regression"), ["r2"]) == {
        "r2": "covers 88 to 93 % with 50 cases in trials"
    }
    assert notes.interval_notes(cases_of(np.arange(60) % 2, "ordinal"), ["accuracy"]) == {}


@pytest.mark.parametrize(("rare", "balance"), [(12, "unbalanced"), (13, "balanced")])
def test_a_rare_class_makes_classes_unbalanced(rare: int, balance: str, notes) -> None:
    reference = (np.arange(100) < rare).astype(np.int64)
    assert notes.balance_of(cases_of(reference)) == balance
    # A class that no case has is none.
    assert notes.balance_of(cases_of(reference * 4)) == balance


def test_the_table_and_the_page_are_those_of_the_figures() -> None:
    # Neither is written by hand, and neither is older than the figures.
    import benchmarks.coverage as coverage

    results = json.loads(FIGURES.read_text(encoding="utf-8"))
    program = PROJECT_ROOT / "scoring_program" / "interval_notes.json"
    assert program.read_text(encoding="utf-8") == coverage_page.make_notes(results)
    page = (PROJECT_ROOT / "benchmarks" / "COVERAGE.md").read_text(encoding="utf-8")
    assert page == coverage_page.render(results, list(coverage.make_jobs(False, None, None)))
    table = json.loads(program.read_text(encoding="utf-8"))
    least, most = table["classification"]["balanced"]["accuracy"]["100"]
    shares = [
        one["found"]["accuracy"][0]
        for one in results
        if (one["part"], one["situation"]["balance"], one.get("cases")) == ("labels", "balanced", 100)
    ]
    assert (least, most) == (round(100 * min(shares)), round(100 * max(shares)))


def test_a_program_says_it(program_module) -> None:
    summary = program_module("scoring_program", "summary")
    cases = program_module("scoring_program", "cases")
    reference = np.arange(20) % 3
    made = cases.Cases(
        cases.Task("classification", ("a", "b", "c")),
        [f"{row}.png" for row in range(20)],
        np.arange(20),
        reference,
        np.roll(reference, 1),
        None,
    )
    details = summary.score_cases(made, "none", False)["details"]
    table = json.loads((PROJECT_ROOT / "scoring_program" / "interval_notes.json").read_text())
    measured = table["classification"]["balanced"]
    noted = {
        n for n in details["intervals"] if not 93 <= min(measured[n]["20"]) <= max(measured[n]["20"]) <= 97
    }
    assert set(details["interval_notes"]) == noted


def test_pair_tests_of_the_page_hold_their_level() -> None:
    results = json.loads(FIGURES.read_text(encoding="utf-8"))
    measured = [one for one in results if one["part"] == "equal accuracies"]
    assert measured
    assert sum(one["trials"] for one in measured) >= 8_000
    assert max(one["found"]["accuracy"][0] for one in measured) <= 0.05
