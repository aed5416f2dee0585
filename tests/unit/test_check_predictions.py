"""`check` of a csv: the scoring program's own check, in a process with limits."""

from pathlib import Path

import pytest

from challenge_bundle.errors import DataError
from challenge_bundle.formats.task_json import task_text
from challenge_bundle.formats.tasks import Task
from challenge_bundle.layout import RESULTS_NAME, Layout
from challenge_bundle.settings import Bundle
from challenge_bundle.submission.predictions import check_predictions
from tests.csv_faults import CODES, FAULTS, REFERENCE, TOLERATED

BUNDLE = Bundle(name="x", title="x", class_names=("CXR", "Hand"))


@pytest.fixture
def challenge(layout: Layout) -> Layout:
    """A bundle of which only the names of the testing images are there."""
    layout.testing_data.mkdir(parents=True)
    for name in REFERENCE:
        (layout.testing_data / name).touch()
    return layout


def put(layout: Layout, content: bytes) -> Path:
    path = layout.root / "mine.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["return_in_quotes", "extra", "missing", "million_columns", "not_utf8"])
def test_refuses_with_code_place_row_and_hint(name: str, challenge: Layout) -> None:
    content, word, row = FAULTS[name]
    path = put(challenge, content)

    count, (finding,) = check_predictions(path, BUNDLE, challenge)

    assert count == 4
    assert (finding.code, finding.severity, finding.location, finding.row) == (
        CODES[name],
        "error",
        str(path),
        row,
    )
    assert word in finding.message
    assert finding.hint


@pytest.mark.parametrize("name", ["plain", "quoted_long_folder", "probabilities"])
def test_takes(name: str, challenge: Layout) -> None:
    assert check_predictions(put(challenge, TOLERATED[name]), BUNDLE, challenge) == (4, [])


def test_several_findings_in_the_order_of_the_rows(challenge: Layout) -> None:
    path = put(challenge, b"file,class\n000001.jpg,Foot\nx.jpg,CXR\n000002.jpg,CXR\n000003.jpg,Leg\n")
    _, findings = check_predictions(path, BUNDLE, challenge)
    assert [(finding.code, finding.row) for finding in findings] == [
        ("csv-unknown-class", 2),
        ("csv-unknown-image", 3),
        ("csv-unknown-class", 5),
        ("csv-missing-image", None),
    ]
    assert "000007.jpg" in findings[1].hint


def test_probabilities_that_would_not_be_used_are_a_warning(challenge: Layout) -> None:
    content = TOLERATED["probabilities"].replace(b"0.6,0.4", b"0.6,0.6")
    _, (finding,) = check_predictions(put(challenge, content), BUNDLE, challenge)
    assert (finding.code, finding.severity) == ("probabilities-not-used", "warning")
    assert "line 4 does not sum to 1" in finding.message


def test_another_task(challenge: Layout) -> None:
    solution = challenge.solution_csv("training")
    solution.parent.mkdir(parents=True, exist_ok=True)
    (solution.parent / "task.json").write_text(task_text(Task("regression")))
    solution.write_text("file,value\na.png,1\n")
    good = "file,value\n" + "".join(f"{name},{number}.5\n" for number, name in enumerate(REFERENCE))
    bundle = Bundle(name="x", title="x", task="regression")
    assert check_predictions(put(challenge, good.encode()), bundle, challenge) == (4, [])
    _, (finding,) = check_predictions(put(challenge, good.replace("2.5", "many").encode()), bundle, challenge)
    assert (finding.code, finding.row) == ("csv-value", 4)


def test_blank_lines_without_end_do_not_run_for_ever(challenge: Layout, monkeypatch) -> None:
    from challenge_bundle.guarded import ReadLimits
    from challenge_bundle.submission import predictions

    monkeypatch.setattr("challenge_bundle.guarded._GRACE_S", 0.0)
    monkeypatch.setattr(predictions, "ReadLimits", lambda **_: ReadLimits(cpu_s=2, memory_mb=1024))
    path = put(challenge, b"file,class\n" + b"\n" * (64 << 20))
    _, (finding,) = check_predictions(path, BUNDLE, challenge)
    assert (finding.code, finding.severity) == ("read-time", "error")


def test_a_scoring_program_without_a_check_is_no_verdict(challenge: Layout) -> None:
    own = challenge.root / "scoring_program"
    own.mkdir()
    (own / "score.py").write_text("import sys\nsys.exit('usage: score.py IN OUT')\n")
    _, (finding,) = check_predictions(put(challenge, TOLERATED["plain"]), BUNDLE, challenge)
    assert (finding.code, finding.severity) == ("scoring-without-check", "note")


def test_what_is_missing_here(challenge: Layout) -> None:
    with pytest.raises(DataError) as fault:
        check_predictions(challenge.root / "none.csv", BUNDLE, challenge)
    assert fault.value.code == "no-such-file"
    with pytest.raises(DataError) as fault:
        check_predictions(put(challenge, b""), Bundle(name="x", title="x"), challenge)
    assert fault.value.code == "images-missing"
    assert RESULTS_NAME == "classification_results.csv"
