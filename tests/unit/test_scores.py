"""scores.json of every scoring program: today's, that of former bundles, and an organiser's own."""

import json
from pathlib import Path

import pytest

from challenge_bundle.errors import DataError
from challenge_bundle.formats.scores import Interval, WrongCase, read_scores

FORMER = {
    "weighted_precision": 0.7,
    "weighted_recall": 0.75,
    "weighted_f1": 0.72,
    "accuracy": 0.75,
    "cases": 4,
    "intervals": {"weighted_f1": [0.5, 0.9]},
    "class_names": ["CXR", "Hand"],
    "per_class": {},
    "confusion_matrix": [[1, 1], [0, 2]],
    "wrong": 1,
    "wrong_cases": [{"file": "a.png", "reference": "CXR", "prediction": "Hand"}],
    "probabilities": "used",
}


def write(tmp_path: Path, document: object) -> Path:
    path = tmp_path / "scores.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_of_a_former_bundle(tmp_path: Path) -> None:
    scores = read_scores(write(tmp_path, FORMER))
    assert scores.values == {
        "weighted_precision": 0.7,
        "weighted_recall": 0.75,
        "weighted_f1": 0.72,
        "accuracy": 0.75,
    }
    assert scores.intervals == {"weighted_f1": Interval(0.5, 0.9)}
    assert (scores.class_names, scores.cases) == (("CXR", "Hand"), 4)
    assert scores.wrong_cases == (WrongCase("a.png", "CXR", "Hand"),)
    assert scores.headline == ("weighted_precision", "weighted_recall", "weighted_f1")


def test_of_todays_program(tmp_path: Path) -> None:
    details = {
        "metric": "mean_absolute_error",
        "cases": 9,
        "class_names": [],
        "metrics": {
            "mean_absolute_error": {"title": "Mean absolute error", "higher_is_better": False},
            "r2": {"title": "R squared", "higher_is_better": True},
        },
        "intervals": {"r2": [0.1, 0.9]},
        "wrong_cases": None,
    }
    scores = read_scores(write(tmp_path, {"r2": 0.5, "mean_absolute_error": 12.5, "details": details}))
    assert scores.headline == ("mean_absolute_error",)
    assert scores.lower_is_better == {"mean_absolute_error"}
    assert scores.titles == {"mean_absolute_error": "Mean absolute error", "r2": "R squared"}
    assert (scores.intervals, scores.cases, scores.wrong_cases) == ({"r2": Interval(0.1, 0.9)}, 9, ())


def test_of_an_own_program(tmp_path: Path) -> None:
    document = {"cost": 3, "cases": 4, "note": "x", "higher_is_better": {"cost": False}}
    scores = read_scores(write(tmp_path, document))
    assert scores.values == {"cost": 3.0, "cases": 4.0}
    assert (scores.cases, scores.metric, scores.lower_is_better) == (None, "", {"cost"})
    assert scores.headline == ("cost", "cases")


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("[", "scores-unreadable"),
        ([0.5], "scores-unreadable"),
        ({"note": "none"}, "scores-unreadable"),
        ({"accuracy": 0.5, "details": {"intervals": {"accuracy": [0.5]}}}, "scores-unreadable"),
        ({"accuracy": 0.5, "details": {"metric": "cost"}}, "scores-not-finite"),
        ({"accuracy": 0.5, "details": {"wrong_cases": [{"file": "a.png"}]}}, "scores-unreadable"),
    ],
)
def test_refused(document: object, code: str, tmp_path: Path) -> None:
    path = write(tmp_path, document)
    with pytest.raises(DataError) as caught:
        read_scores(path)
    assert (caught.value.code, caught.value.path) == (code, path)
    path.write_bytes(b"\xff")
    with pytest.raises(DataError):
        read_scores(path)
    path.unlink()
    with pytest.raises(DataError) as caught:
        read_scores(path)
    assert caught.value.code == "no-scores"
