"""Every finding and error has a code; the page of the reference is made from the same list."""

import re
import runpy
import textwrap
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from challenge_bundle.installation import PROJECT_ROOT

MODULE = runpy.run_path(str(PROJECT_ROOT / "docs" / "messages.py"))
MESSAGES: list[Any] = MODULE["read_messages"]()


def test_every_error_has_a_code() -> None:
    assert [(one.module, one.line) for one in MESSAGES if not one.code] == []


def test_codes_are_a_few_plain_words() -> None:
    codes = {one.code for one in MESSAGES}
    assert [code for code in codes if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+){0,3}", code)] == []
    assert "finding" not in codes


def test_a_code_has_one_exit_status_in_a_room() -> None:
    statuses = defaultdict(set)
    for one in MESSAGES:
        if one.code:
            statuses[one.room, one.code].add(one.kind if one.kind.startswith("exit") else "exit status 1")
    assert [key for key, kinds in statuses.items() if len(kinds) > 1] == []


def test_a_code_of_a_note_is_never_that_of_an_error() -> None:
    kinds = defaultdict(set)
    for one in MESSAGES:
        kinds[one.code].add(one.kind)
    assert [
        code for code, found in kinds.items() if "note" in found and found & {"error", "exit status 1"}
    ] == []


def test_messages_and_hints_are_kept_apart() -> None:
    joined = [one for one in MESSAGES if one.code and "; run `" in one.message]
    assert joined == []


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "errors.py").write_text(
        textwrap.dedent("""
        class BundleError(Exception):
            exit_code = 1

        class DataError(BundleError):
            pass

        class UnavailableError(BundleError):
            exit_code = 4
        """)
    )
    monkeypatch.setitem(MODULE["read_messages"].__globals__, "PACKAGE", tmp_path)
    return tmp_path


def test_what_is_read_of_the_source(package: Path) -> None:
    (package / "room").mkdir()
    (package / "room" / "a.py").write_text(
        textwrap.dedent("""
        MOST = 5
        HINT = "use fewer"

        class OwnError(DataError):
            pass

        def check(path, size):
            what = f"has {size:,} of at most {MOST} MB"
            if size:
                raise OwnError(what, path, code="too-large", hint=HINT)
            yield Finding("empty", WARNING if path else ERROR, path, "is " + "empty")
            raise UnavailableError(f"no {shown(path.name)} here", code="gone")

        def pass_on(finding):
            raise DataError(finding.message, code=finding.code)

        raise DataError("has no code")
        """)
    )
    found = [(one.code, one.kind, one.message, one.hint) for one in MODULE["read_messages"]()]
    assert found == [
        ("", "exit status 1", "has no code", ""),
        ("empty", "warning or error", "is empty", ""),
        ("gone", "exit status 4", "no {name} here", ""),
        ("too-large", "exit status 1", "has {size} of at most 5 MB", "use fewer"),
    ]
    page = MODULE["messages_page"]()
    assert "| `gone` | exit status 4 | no {name} here |  | room/a.py |" in page
    assert "has no code" not in page
