"""A submission's csv: `evaluate` takes what `check` and `score.py` take, and hands the same rows on."""

from pathlib import Path

import pytest

from challenge_bundle.errors import SubmissionError
from challenge_bundle.evaluation.results import (
    _limits,
    check_results,
    compare,
    cut_results,
    find_differences,
    find_fault,
)
from challenge_bundle.evaluation.verdicts import Refusal
from challenge_bundle.guarded import ReadLimits
from challenge_bundle.layout import RESULTS_NAME
from tests.csv_faults import FAULTS, REFERENCE, TOLERATED, write_scoring_input

CLASS_NAMES = sorted(set(REFERENCE.values()))
SHORT = ReadLimits(cpu_s=1)


def put(folder: Path, content: bytes) -> Path:
    path = folder / RESULTS_NAME
    path.write_bytes(content)
    return path


def fault_of(path: Path) -> tuple[str, dict[str, int]]:
    ((code, number),) = find_fault(str(path), list(REFERENCE), CLASS_NAMES)
    return code, {"missing" if code == "csv-missing" else "line": number}


def refusal(path: Path) -> tuple[str, dict[str, int]]:
    with pytest.raises(Refusal) as fault:
        check_results(path, frozenset(REFERENCE), CLASS_NAMES)
    return fault.value.verdict.code, dict(fault.value.verdict.numbers)


@pytest.mark.parametrize("name", FAULTS)
def test_refuses_by_kind_and_line(name: str, tmp_path: Path) -> None:
    content, word, row = FAULTS[name]
    code, numbers = fault_of(put(tmp_path, content))
    if "unknown class" in word:
        assert (code, numbers) == ("csv-unknown-class", {"line": row})
    elif "is not among" in word:
        assert (code, numbers) == ("csv-unknown-image", {"line": row})
    elif "no row for" in word:
        assert (code, numbers) == ("csv-missing", {"missing": 1})
    else:
        assert (code, numbers) == ("csv-unsound", {"line": row or 1})


@pytest.mark.parametrize("name", TOLERATED)
def test_takes_and_cuts(name: str, tmp_path: Path, program_module) -> None:
    path = put(tmp_path, TOLERATED[name])
    check_results(path, frozenset(REFERENCE), CLASS_NAMES)
    scoring = write_scoring_input(tmp_path / "input", None)
    cut_results(path, frozenset(REFERENCE), scoring / "res" / RESULTS_NAME)
    score = program_module("scoring_program", "score")
    assert score.main(scoring, tmp_path / "output") == 0


@pytest.mark.parametrize("name", ["quoted_long_folder", "quoted_marks", "line_at_the_limit"])
def test_a_row_is_handed_on_as_it_is_written(name: str, tmp_path: Path) -> None:
    path = put(tmp_path, TOLERATED[name])
    cut_results(path, frozenset({"000002.jpg"}), tmp_path / "part.csv")
    header, _, row, *_ = path.read_bytes().splitlines(keepends=True)
    assert (tmp_path / "part.csv").read_bytes() == header + row


@pytest.mark.parametrize("name", ["return_in_quotes", "unknown_class", "line_over_the_limit"])
def test_a_fault_found_in_another_process_is_the_refusal(name: str, tmp_path: Path) -> None:
    path = put(tmp_path, FAULTS[name][0])
    assert refusal(path) == fault_of(path)


def test_the_number_that_lack_a_row(tmp_path: Path) -> None:
    assert refusal(put(tmp_path, b"file,class\n000002.jpg,CXR\n")) == ("csv-missing", {"missing": 3})


def test_no_rows_of_a_csv_that_is_at_fault(tmp_path: Path) -> None:
    path = put(tmp_path, FAULTS["return_in_quotes"][0])
    with pytest.raises(SubmissionError, match=":3: not a valid csv line"):
        cut_results(path, frozenset(REFERENCE), tmp_path / "part.csv")


def test_a_comparison_with_a_row_missing(tmp_path: Path) -> None:
    before, after = put(tmp_path, TOLERATED["plain"]), tmp_path / "after.csv"
    after.write_text("file,class\n000002.jpg,CXR\n")
    assert compare(before, after, {"000002.jpg": "000002.jpg"}) == (0, 0.0)
    for image_of in ({"000001.jpg": "000002.jpg"}, {"000002.jpg": "other.jpg"}):
        with pytest.raises(SubmissionError) as fault:
            compare(before, after, image_of)
        assert (str(fault.value.path), fault.value.row) == ("after.csv", None)
        with pytest.raises(SubmissionError) as fault:
            list(find_differences(str(before), str(after), image_of))
        assert fault.value.code == "csv-missing-row"


def test_limits_grow_with_the_csv_and_the_images(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(b"x" * ((1 << 20) - 1))
    assert _limits(path, 0) == ReadLimits(cpu_s=11, wall_s=66.0, memory_mb=512, file_mb=2)
    path.write_bytes(b"x" * (3 << 20))
    assert _limits(path, 100_000, 40) == ReadLimits(cpu_s=19, wall_s=89.0, memory_mb=872, file_mb=5)


@pytest.mark.parametrize("code", ["scored", "csv-made-up", "build-failed", 3])
def test_a_process_that_was_taken_over_cannot_give_another_verdict(
    code: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("challenge_bundle.evaluation.results.run_guarded", lambda *_: [[code, 1]])
    check_results(put(tmp_path, TOLERATED["plain"]), frozenset(REFERENCE), CLASS_NAMES)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("x.jpg,Foot\ny.jpg,CXR\n", ("csv-unknown-image", {"line": 2})),
        ("000001.jpg,Foot\n000002.jpg,Leg\nx.jpg,CXR\n", ("csv-unknown-class", {"line": 2})),
        ("000001.jpg,Hand\nx.jpg,CXR\n", ("csv-unknown-image", {"line": 3})),
    ],
)
def test_the_first_of_several_faults_is_reported(rows: str, expected: object, tmp_path: Path) -> None:
    assert fault_of(put(tmp_path, f"file,class\n{rows}".encode())) == expected


def test_one_process_does_not_run_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank lines without end are no rows, and take no memory; time is what bounds them."""
    monkeypatch.setattr("challenge_bundle.guarded._GRACE_S", 0.0)
    monkeypatch.setattr("challenge_bundle.evaluation.results._limits", lambda *_: SHORT)
    assert refusal(put(tmp_path, b"file,class\n" + b"\n" * (64 << 20))) == ("csv-unsound", {"line": 1})
