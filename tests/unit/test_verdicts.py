"""What a participant can be told is a closed list, and stands in the README."""

import ast
import string

import pytest

from challenge_bundle.evaluation.verdicts import MESSAGES, WAITING_TEXT, Refusal, Verdict
from challenge_bundle.layout import PROJECT_ROOT

README = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", MESSAGES)
def test_every_message_stands_in_the_readme_with_its_cure(code: str) -> None:
    assert f"| `{code}` | {MESSAGES[code].text} | {MESSAGES[code].cure} |" in README


def test_so_does_that_of_waiting() -> None:
    assert WAITING_TEXT in README


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
    named = {name for _, name, _, _ in string.Formatter().parse(MESSAGES[code].text) if name}
    assert named == numbers


def test_every_message_is_used() -> None:
    made_of_a_name = {"time", "memory", "output", "build-time", "build-size", "not-a-file", "no-results"}
    # By a process of its own (results.py), by a finding's code (work.py), by the organiser.
    told = {"csv-unknown-class", "csv-unknown-image", "csv-missing", "base-image", "dropped"}
    assert {code for code, _ in refusals()} | made_of_a_name | told | {"scored"} == set(MESSAGES)


def test_a_verdict_is_a_sentence_with_its_cure() -> None:
    verdict = Refusal("quota", quota=5).verdict
    assert verdict == Verdict("quota", {"quota": 5})
    assert str(verdict) == (
        "the team has used its 5 submissions of that day (UTC); submit again on another day"
    )
