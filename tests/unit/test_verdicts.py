"""The messages for participants are a closed list, and docs/evaluation.md shows all of it."""

import ast
import json
import string
from dataclasses import asdict
from pathlib import Path

import pytest

from challenge_bundle.errors import DataError
from challenge_bundle.evaluation.verdicts import (
    MESSAGES,
    WAITING_TEXT,
    Refusal,
    Verdict,
    listed_verdict,
    parse_verdict,
)
from challenge_bundle.findings import ERROR, NOTE, Finding
from challenge_bundle.formats.listed_findings import Listed, first_fault, read_listed
from challenge_bundle.installation import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("finding", MESSAGES.values(), ids=MESSAGES)
def test_every_message_is_in_the_documentation_with_its_hint(finding: Finding) -> None:
    place = f"{finding.location}: " if finding.location else ""
    assert f"| `{finding.code}` | {place}{finding.message} | {finding.hint} |" in PAGE


def test_so_is_the_message_of_a_submission_that_waits() -> None:
    assert WAITING_TEXT in PAGE


def refusals() -> list[tuple[str, set[str]]]:
    """(code, names of its numbers) wherever the evaluation refuses with a code that is written out."""
    found = []
    for path in (PROJECT_ROOT / "tools" / "challenge_bundle" / "evaluation").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_refusal = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Refusal"
            if is_refusal and isinstance(node.args[0], ast.Constant):
                numbers = {keyword.arg for keyword in node.keywords if keyword.arg}
                found.append((str(node.args[0].value), numbers))
    return found


@pytest.mark.parametrize(("code", "numbers"), refusals())
def test_a_refusal_gives_the_numbers_that_its_message_names(code: str, numbers: set[str]) -> None:
    named = {name for _, name, _, _ in string.Formatter().parse(MESSAGES[code].message) if name}
    assert named == numbers - {"line"}
    # The line is no number of a message, but the row of its finding.
    assert "line" not in numbers or code == "predictions"


def test_every_message_is_used() -> None:
    made_of_a_name = {"time", "memory", "output", "build-time", "build-size", "not-a-file", "no-results"}
    # By a finding's code (intake.py), by the organiser.
    elsewhere = {"base-image", "dropped"}
    # Databases of version 0.1 hold them; the codes of csvs are the scoring program's now.
    former = {"csv-unsound", "csv-unknown-class", "csv-unknown-image", "csv-missing"}
    used = {code for code, _ in refusals()} | made_of_a_name | elsewhere | {"scored"}
    assert used & former == set()
    assert used | former == set(MESSAGES)


def test_a_verdict_carries_a_finding() -> None:
    verdict = Refusal("quota", quota=5).verdict
    assert verdict == Verdict("quota", {"quota": 5})
    assert (verdict.finding.code, verdict.finding.severity, verdict.finding.row) == ("quota", ERROR, None)
    assert str(verdict) == (
        "the team has already used its 5 submissions of that day (UTC); submit again on another day"
    )


def test_the_line_of_a_csv_is_the_findings_row() -> None:
    finding = Refusal("csv-unknown-class", line=14).verdict.finding
    assert (finding.code, finding.location, finding.row) == (
        "csv-unknown-class",
        "classification_results.csv",
        14,
    )
    assert finding.text.startswith("classification_results.csv:14: ")


def test_a_scored_submission_is_no_error() -> None:
    assert Verdict("scored").finding.severity == NOTE
    assert {finding.severity for finding in MESSAGES.values() if finding.code != "scored"} == {ERROR}


def test_a_verdict_that_a_former_version_stored_is_read() -> None:
    stored = '{"code": "csv-unsound", "numbers": {"line": 3}, "lines": []}'
    verdict = parse_verdict(json.loads(stored))
    assert verdict == Refusal("csv-unsound", line=3).verdict
    assert verdict is not None
    assert json.loads(json.dumps(asdict(verdict))) == json.loads(stored) | {"message": "", "hint": ""}


LISTED = {"cells": Listed("the row has another number of cells", "write one value per column")}


def test_a_fault_that_the_scoring_program_found_has_the_words_of_its_list() -> None:
    verdict = listed_verdict("cells", 14, LISTED)
    place = "classification_results.csv:14: "
    assert str(verdict) == f"{place}the row has another number of cells; write one value per column"
    assert (verdict.finding.code, verdict.finding.row, verdict.finding.severity) == ("cells", 14, ERROR)
    # Stored as it is: a later list has other words, or lacks the code.
    assert parse_verdict(json.loads(json.dumps(asdict(verdict)))) == verdict
    assert Refusal.of(verdict).verdict == verdict


def test_a_code_that_is_not_listed_is_a_general_message() -> None:
    for code in ("scored", "dropped", "\x1b[2J the class of 000001.png is A"):
        assert listed_verdict(code, None, LISTED) == Refusal("predictions").verdict
    assert listed_verdict("x", 7, {}) == Refusal("predictions", line=7).verdict


def write(folder: Path, document: object) -> Path:
    path = folder / "findings.json"
    path.write_text(json.dumps(document))
    return path


def test_of_what_a_scoring_program_found_a_word_and_a_number_are_read(tmp_path: Path) -> None:
    warning = {"code": "note", "severity": "warning", "row": 3}
    ours = [{"code": f"{word}-invalid", "row": 1} for word in ("reference", "task", "output")]
    found = {"code": "cells", "row": 14, "message": "text of a container"}
    assert first_fault(write(tmp_path, [warning, *ours, found])) == ("cells", 14)
    assert first_fault(write(tmp_path, [warning, *ours])) is None
    for row in (True, 0, -1, "14", 1.5, None, 10**10):
        assert first_fault(write(tmp_path, [found | {"row": row}])) == ("cells", None)
    for document in ({}, [], "x", [1], [[]], [{"code": 3}], [{"row": 1}]):
        assert first_fault(write(tmp_path, document)) is None
    assert first_fault(tmp_path / "none.json") is None
    (tmp_path / "deep.json").write_text("[" * 10_000)
    assert first_fault(tmp_path / "deep.json") is None


def test_the_list_of_a_scoring_program_is_read_or_refused(tmp_path: Path) -> None:
    assert read_listed(tmp_path) == {}
    write(tmp_path, {"cells": {"message": "m", "hint": "h"}})
    assert read_listed(tmp_path) == {"cells": Listed("m", "h")}
    for document in ([], {"cells": "m"}, {"cells": {"message": "m"}}, {"cells": {"message": 1, "hint": ""}}):
        write(tmp_path, document)
        with pytest.raises(DataError) as fault:
            read_listed(tmp_path)
        assert fault.value.code == "not-listed-findings"


def test_our_own_list_has_no_code_of_the_tool() -> None:
    """A code of both would have two messages; those of former databases alone may be the same."""
    listed = read_listed(PROJECT_ROOT / "scoring_program")
    former = {code for code in MESSAGES if code.startswith("csv-")}
    assert "csv-cells" in listed
    assert listed.keys() & MESSAGES.keys() <= former
