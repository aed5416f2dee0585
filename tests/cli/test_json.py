"""`--json`: standard output is exactly one JSON document, whatever a command does."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from challenge_bundle.cli import main
from challenge_bundle.commands.error_boundary import BundleGroup
from challenge_bundle.commands.shared import json_option, plain, show
from challenge_bundle.errors import DataError
from challenge_bundle.findings import WARNING, Finding
from challenge_bundle.layout import Layout

FOUND = Finding("odd-name", WARNING, "a.csv", "the name is odd", "rename it", 3)


def run(layout: Layout, *arguments: str) -> tuple[Result, Any]:
    result = CliRunner().invoke(main, ["--bundle", str(layout.root), *arguments])
    return result, json.loads(result.stdout)


def command_that(act: Any) -> click.Group:
    @click.group(cls=BundleGroup)
    @json_option
    def group() -> None:
        pass

    group.add_command(click.Command("act", callback=act))
    return group


def invoke(act: Any, *arguments: str) -> Result:
    return CliRunner().invoke(command_that(act), arguments)


def test_a_result_is_text_or_one_document() -> None:
    def act() -> None:
        click.echo("at work")
        show({"findings": [FOUND]}, str(FOUND))
        show({"path": Path("/a/b")}, "path: b")

    assert invoke(act, "act").stdout == f"at work\n{FOUND}\npath: b\n"
    expected = {"findings": [FOUND.to_json()], "path": "/a/b"}
    for arguments in (("act", "--json"), ("--json", "act"), ("--json", "act", "--json")):
        result = invoke(act, *arguments)
        assert (json.loads(result.stdout), result.stderr) == (expected, "at work\n")


def test_a_failure_after_a_result_is_one_document() -> None:
    def act() -> None:
        show({"done": 3}, "3 done")
        raise DataError("is odd", "a.csv", 2, ("b", "c"), code="odd", hint="remove it")

    text = invoke(act, "act")
    assert (text.exit_code, text.stdout) == (1, "3 done\n")
    result = invoke(act, "act", "--json")
    error = {
        "code": "odd",
        "severity": "error",
        "location": "a.csv",
        "message": "is odd",
        "hint": "remove it",
        "row": 2,
    }
    assert json.loads(result.stdout) == {"error": error, "details": ["b", "c"], "result": {"done": 3}}
    assert (result.exit_code, result.stderr) == (1, text.stderr)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (ModuleNotFoundError("no", name="pydicom"), 4, "not-installed"),
        (PermissionError(13, "Permission denied", "/a"), 4, "file-access"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.UsageError("not so"), 2, "usage"),
        (click.Abort(), 1, "aborted"),
        (ZeroDivisionError("bug"), 1, "internal-error"),
    ],
)
def test_whatever_ends_a_command(fault: BaseException, status: int, code: str) -> None:
    def act() -> None:
        raise fault

    result = invoke(act, "act", "--json")
    assert (result.exit_code, json.loads(result.stdout)["error"]["code"]) == (status, code)
    assert invoke(act, "act").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (("train", "--json", "--nope"), 2, "usage"),
        (("nothing", "--json"), 2, "usage"),
        (("data", "relabel", "--json"), 2, "usage"),
        (("--json", "--nope", "doctor"), 2, "usage"),
    ],
)
def test_a_command_line_that_cannot_be_parsed(
    arguments: tuple[str, ...], status: int, code: str, layout: Layout
) -> None:
    result, document = run(layout, *arguments)
    assert (result.exit_code, document["error"]["code"]) == (status, code)


def test_a_programs_own_json_option_is_not_the_tools(layout: Layout) -> None:
    result = CliRunner().invoke(main, ["--bundle", str(layout.root), "--nope", "train", "--", "--json"])
    assert (result.exit_code, result.stdout) == (2, "")


def test_no_password_is_in_an_error(layout: Layout) -> None:
    result, document = run(layout, "data", "import", "nowhere://me:hunter2hunter2@host/x", "--json")
    assert result.exit_code == 1
    assert "hunter2" not in json.dumps(document)


def test_values_as_json_has_them() -> None:
    class Odd:
        def __str__(self) -> str:
            return "odd"

    value = {
        1: (float("nan"), float("inf"), 1.5, np.float64(2.5), np.int64(3), np.array([[True]])),
        "set": {"b", "a"},
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "none": None,
        "odd": Odd(),
    }
    assert plain(value) == {
        "1": [None, None, 1.5, 2.5, 3, [[True]]],
        "set": ["a", "b"],
        "when": "2026-01-02T00:00:00+00:00",
        "none": None,
        "odd": "odd",
    }


def leaves(group: click.Group = main) -> list[click.Command]:
    found = []
    for command in group.commands.values():
        found += leaves(command) if isinstance(command, click.Group) else [command]
    return found


@pytest.mark.parametrize("command", leaves(), ids=lambda command: str(command.name))
def test_every_command_has_the_option_once(command: click.Command) -> None:
    assert sum("--json" in parameter.opts for parameter in command.params) == 1


def test_documents_of_the_commands(layout: Layout, tmp_path: Path) -> None:
    result, imported = run(layout, "data", "import", "--json")
    assert imported["counts"] == {"training": 24, "validation": 24, "testing": 24}
    assert (imported["source"], result.stderr.startswith("import 24 training")) == ("synthetic", True)

    _, audited = run(layout, "data", "audit", "--check", "blank", "--json")
    assert Path(audited["page"]).is_file()
    assert audited["counts"]["error"] == 0
    # With a file it is written there, and the text is printed.
    with pytest.raises(json.JSONDecodeError):
        run(layout, "data", "audit", "--check", "blank", "--json", str(tmp_path / "audit.json"))
    assert json.loads((tmp_path / "audit.json").read_text())["counts"] == audited["counts"]

    rows = [line.split(",") for line in layout.solution_csv("training").read_text().splitlines()]
    other = next(row[1] for row in rows[2:] if row[1] != rows[1][1])
    (tmp_path / "corrections.csv").write_text(f"file,class\n{rows[1][0]},{other}\n")
    _, relabelled = run(layout, "data", "relabel", str(tmp_path / "corrections.csv"), "--json")
    assert (relabelled["counts"]["training"], relabelled["is_corrected"]) == (1, False)

    _, kit = run(layout, "kit", str(tmp_path / "kit.zip"), "--json")
    assert Path(kit["kit"]).is_file()

    _, ingested = run(layout, "store", "ingest", "synthetic", "--sample-size", "6", "--json")
    assert ingested["new"] == 6
    _, queried = run(layout, "store", "query", "labels", "--json")
    assert {"label", "split", "images"} == queried["rows"][0].keys()
    _, drawn = run(layout, "store", "sample", "2", "--json")
    assert len(drawn["rows"]) == 2
    _, removed = run(layout, "store", "remove", "width > 0", "--yes", "--json")
    assert removed == {"removed": 6}


def test_findings_end_in_the_status_they_have_as_text(filled_layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"no zip")
    text = CliRunner().invoke(main, ["--bundle", str(filled_layout.root), "check", str(tmp_path / "a.zip")])
    result, document = run(filled_layout, "check", str(tmp_path / "a.zip"), "--json")
    assert result.exit_code == text.exit_code == 1
    assert any(finding["severity"] == "error" for finding in document["findings"])
