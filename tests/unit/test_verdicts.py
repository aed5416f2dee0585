"""The messages for participants are a closed list, and docs/evaluation.md shows all of it."""

import ast
import json
import string
from dataclasses import asdict

import pytest

from challenge_bundle.evaluation.verdicts import MESSAGES, WAITING_TEXT, Refusal, Verdict, parse_verdict
from challenge_bundle.findings import ERROR, NOTE, Finding
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
    assert ("line" in numbers) == (code.startswith("csv-") and code != "csv-missing")


def test_every_message_is_used() -> None:
    made_of_a_name = {"time", "memory", "output", "build-time", "build-size", "not-a-file", "no-results"}
    # By a process of its own (results.py), by a finding's code (intake.py), by the organiser.
    elsewhere = {"csv-unknown-class", "csv-unknown-image", "csv-missing", "base-image", "dropped"}
    assert {code for code, _ in refusals()} | made_of_a_name | elsewhere | {"scored"} == set(MESSAGES)


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
    assert json.loads(json.dumps(asdict(verdict))) == json.loads(stored)
