"""The organiser's page: what a board does not show."""

import dataclasses
import html
import json
import os
import re
import stat
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from challenge_bundle.cli import main
from challenge_bundle.evaluation.intake import Submission
from challenge_bundle.evaluation.records import QUEUED, REFUSED, SET_ASIDE, WAITING, Row
from challenge_bundle.evaluation.signing import public_hex, read_public_key, signing_key
from challenge_bundle.evaluation.verdicts import SCORED, Verdict
from challenge_bundle.leaderboard.board import Board
from challenge_bundle.leaderboard.organiser_notes import OrganiserNotes, collect_notes, find_lookalikes
from challenge_bundle.report.leaderboard_page import write_organiser_page
from tests.boards import HOSTILE, make_board
from tests.browsing import dom, framed
from tests.evaluations import MANIFEST, make_context, open_records, put_scored, wrong_in


def row(team: str, state: str = SCORED, code: str = "", phase: str = "Development", **rest: object) -> Row:
    submission = Submission(f"{team!s:0>64}", team, "net", datetime(2026, 3, 1, tzinfo=UTC), f"{team}.zip")
    numbers = {"limit": 6} if code == "time" else {}
    verdict = Verdict(code, numbers, ("line <one>", "line two")) if code else None
    made = Row(submission, phase, state, 2, verdict, "", None)
    return dataclasses.replace(made, **rest)  # type: ignore[arg-type]


ROWS = [
    row("Good"),
    row("Slow", REFUSED, "time"),
    row("Early", REFUSED, "closed", phase=""),
    row("Other", REFUSED, "time", phase="Final"),
    row("Waits", WAITING),
    row("Comes", QUEUED),
    row("G\u043eod", probe=("renamed: 3 of 5 images get another class",)),
    row("GOOD"),
    row("Fine", probe=()),
]


@pytest.fixture(scope="module")
def board() -> Board:
    return make_board(6)


def test_the_organiser_reads_why_a_submission_was_set_aside(board: Board) -> None:
    cause = "the image cannot be built: a server error"
    found = collect_notes(board, [*ROWS, row("Poison", SET_ASIDE, cause=cause)])
    assert [one.reason for one in found.failures if one.team == "Poison"] == [cause]
    (line,) = found.causes
    assert line in found.lines()
    assert cause in line
    assert "Poison / net" in line
    assert "evaluate --reopen" in line


def test_failures_are_those_of_the_phase_and_of_none(board: Board) -> None:
    found = collect_notes(board, ROWS)
    assert [one.team for one in found.failures] == ["Slow", "Early", "Waits", "Comes"]
    slow = found.failures[0]
    assert slow.reason == "inference took longer than 6 s; compute less for each image"
    assert (slow.attempts, slow.state, slow.lines) == (2, REFUSED, ("line <one>", "line two"))
    assert slow.received == "2026-03-01T00:00:00Z"


def test_names_that_look_alike_are_found_and_another_case_is_not() -> None:
    assert find_lookalikes(ROWS) == (("Good", "G\u043eod", "GOOD"),)
    assert find_lookalikes([row("Good"), row("GOOD"), row(""), row("")]) == ()


def test_lines_for_the_terminal(board: Board) -> None:
    lines = collect_notes(board, ROWS).lines()
    first, second = (board.entries[i].team for i in (board.agreements[0].first, board.agreements[0].second))
    assert lines[:2] == [
        "look-alike names, counted as one team: Good, G\u043eod, GOOD",
        f"marked: {first} and {second}: identical",
    ]
    assert [line for line in lines if "renamed: 3 of 5" in line]


def test_the_page_shows_all_of_it_to_its_owner_alone(board: Board, tmp_path: Path) -> None:
    path = tmp_path / "organiser" / "page.html"
    old = os.umask(0)
    try:
        write_organiser_page(collect_notes(board, ROWS), path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = html.unescape(re.sub(r"<[^>]+>", "|", path.read_text()))
    for words in (
        "do not publish",
        "without a score (4)",
        "inference took longer than 6 s",
        "line <one>\nline two",
        "look alike (1)",
        "U+043E CYRILLIC SMALL LETTER O",
        "agree more than chance allows",
        "renamed: 3 of 5 images get another class",
    ):
        assert words in text, words
    assert "Other" not in text.replace("Other|", "")


def test_an_empty_page_says_so(board: Board, tmp_path: Path) -> None:
    write_organiser_page(
        OrganiserNotes(dataclasses.replace(board, agreements=()), (), (), ()), tmp_path / "x.html"
    )
    text = (tmp_path / "x.html").read_text()
    assert text.count("<p>None.</p>") == 3
    assert "Nothing, or nothing was probed" in text


def test_hostile_names_run_nothing(tmp_path: Path, browser: str) -> None:
    board = make_board(6, names=HOSTILE)
    rows = [row(name, REFUSED, "time") for name in HOSTILE] + [row(name) for name in ("A", "\u0410")]
    path = tmp_path / "x.html"
    write_organiser_page(collect_notes(board, rows), path)
    page = dom(browser, path, tmp_path / "profile")
    assert "<script" not in page
    assert "<img" not in page
    assert "default-src 'none'" in page
    # A small phone: only the tables scroll sideways, the page does not.
    outer = framed(
        path,
        tmp_path,
        'sandbox="allow-same-origin"',
        "document.title = `beyond ${d.scrollWidth - d.clientWidth}`",
    )
    options = ("--allow-file-access-from-files",)
    assert "<title>beyond 0</title>" in dom(browser, outer, tmp_path / "second", *options)


def test_the_command_keeps_what_is_private_out_of_the_folder_that_is_published(tmp_path: Path) -> None:
    context = make_context(tmp_path / "bundle")
    failed = Submission("f" * 64, "Failing Team", "net", datetime(2026, 3, 2, tzinfo=UTC), "x.zip")
    with closing(open_records(context)) as records:
        put_scored(context, records, 1, dict(context.reference.label_of), team="Good")
        put_scored(context, records, 2, wrong_in(context, frozenset({"000.png"})), team="G\u043eod")
        records.add(failed, "development", Verdict("time", {"limit": 6}))
    output = tmp_path / "public"
    arguments = ["--bundle", str(context.layout.root), "leaderboard", "--phase", "development"]
    done = CliRunner().invoke(main, [*arguments, "--output", str(output)])
    assert done.exit_code == 0, done.output
    assert "look-alike names, counted as one team: Good, G\u043eod\n" in done.output
    assert "not ranked: 1\n" in done.output
    names = ["leaderboard.csv", "leaderboard.html", "leaderboard.json", "public-key.pem"]
    assert sorted(path.name for path in output.iterdir()) == names
    for path in output.iterdir():
        assert "Failing" not in path.read_text()
    page = context.layout.root / "leaderboard" / "development-public" / "organiser" / "organiser.html"
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert "Failing Team" in page.read_text()
    assert str(page) in done.output
    key = read_public_key(output / "public-key.pem")
    assert public_hex(key) == public_hex(signing_key(context.layout).public_key())
    context.layout.manifest.write_text(MANIFEST.replace("[evaluation]", "[evaluation]\nshow_failed = true"))
    assert CliRunner().invoke(main, [*arguments, "--output", str(output)]).exit_code == 0
    assert "Failing Team" in (output / "leaderboard.json").read_text()
    as_json = json.loads(CliRunner().invoke(main, [*arguments, "--output", str(output), "--json"]).stdout)
    assert as_json["board"] == json.loads((output / "leaderboard.json").read_text())
    assert as_json["page"] == str(output / "leaderboard.html")
    assert as_json["notes"] == ["look-alike names, counted as one team: Good, G\u043eod"]


@pytest.mark.parametrize("metric", ["macro_f1 ", " auc", "a/b", "<b>", "a\\nb"])
def test_what_cannot_be_a_metrics_name_is_refused(tmp_path: Path, metric: str) -> None:
    text = MANIFEST.replace("[evaluation]", f'[evaluation]\nmetric = "{metric}"')
    (tmp_path / "bundle.toml").write_text(text)
    for command in (["leaderboard"], ["evaluate", "--rescore"]):
        done = CliRunner().invoke(main, ["--bundle", str(tmp_path), *command])
        assert done.exit_code == 1
        assert "bundle.toml:6: 'evaluation.metric': expected the name of a score" in done.output


@pytest.mark.parametrize("metric", ["no_such_score", "F1"])
def test_a_metric_that_is_not_scored_is_refused_with_those_that_are(tmp_path: Path, metric: str) -> None:
    context = make_context(tmp_path / "bundle")
    with closing(open_records(context)) as records:
        put_scored(context, records, 1, dict(context.reference.label_of), team="Good")
    done = CliRunner().invoke(
        main,
        ["--bundle", str(context.layout.root), "leaderboard", "--phase", "development", "--metric", metric],
    )
    assert done.exit_code == 1
    assert f"expected a number for '--metric' ({metric})" in done.output
    assert "weighted_f1" in done.output
