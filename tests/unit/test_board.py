"""The leaderboard: what is refused, that its files are the same each time, and the page in a browser."""

import csv
import dataclasses
import html
import json
import re
from pathlib import Path

import pytest

from tests.boards import HOSTILE, METRIC, make_board
from tests.browsing import dom, framed
from tools.errors import DataError
from tools.evaluation.board import Board
from tools.report.board import board_text, write_board


def test_the_same_board_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_board(make_board(12), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert {path.name for path in (tmp_path / "one").iterdir()} == {
        "leaderboard.html",
        "leaderboard.csv",
        "leaderboard.json",
    }


def test_csv_and_json_say_the_same(tmp_path: Path) -> None:
    write_board(make_board(12), tmp_path)
    with (tmp_path / "leaderboard.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    document = json.loads((tmp_path / "leaderboard.json").read_text())
    assert [row["submission"] for row in rows] == [entry["submission"] for entry in document["entries"]]
    assert [int(row["rank"]) for row in rows] == sorted(int(row["rank"]) for row in rows)
    for row, entry in zip(rows, document["entries"], strict=True):
        assert float(row["score"]) == pytest.approx(entry["scores"][METRIC], abs=1e-6)


def test_copies_share_a_rank_and_are_marked() -> None:
    board = make_board(12)
    assert board.ranking is not None
    (pair,) = [pair for pair in board.agreements if pair.kind == "identical"]
    assert board.ranking.ranks[pair.first] == board.ranking.ranks[pair.second]
    assert "marked: " in board_text(board)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), None])
def test_what_has_no_finite_score_cannot_be_ranked(score: float | None) -> None:
    board = make_board(3)
    first = board.entries[0]
    scores = {METRIC: score} if score is not None else {}
    spoiled = dataclasses.replace(first, scores=scores)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="belongs to the unranked"):
        dataclasses.replace(board, entries=(spoiled, *board.entries[1:]))


def test_scores_of_other_answers_are_refused() -> None:
    board = make_board(3)
    first = board.entries[0]
    other = dataclasses.replace(first, scores=first.scores | {METRIC: first.scores[METRIC] - 0.01})
    with pytest.raises(DataError, match="must come from the same answers"):
        dataclasses.replace(board, entries=(other, *board.entries[1:]))


def test_an_empty_board_is_a_page_too(tmp_path: Path) -> None:
    board = make_board(3)
    empty = dataclasses.replace(board, entries=(), ranking=None, agreements=(), history=())
    page = write_board(empty, tmp_path).read_text()
    assert board.title in html.unescape(page)
    assert "not ranked: 1" in board_text(empty)


def test_strangers_names_are_text(tmp_path: Path) -> None:
    page = write_board(make_board(12, HOSTILE), tmp_path).read_text()
    assert page.count("<script") == 1
    assert "<img" not in page
    assert "{{ 7 * 7 }}" in page
    assert not re.search(r"(?:src|href)=\"?(?:https?:)?//", page)
    with (tmp_path / "leaderboard.csv").open(newline="") as opened:
        names = {row["team"] for row in csv.DictReader(opened)}
    assert any(name.startswith("'=HYPERLINK") for name in names)


def first_table(page: str) -> list[list[str]]:
    """The cells' texts of the page's first table."""
    body = page[page.index("<tbody>") : page.index("</tbody>")]
    cells = [
        re.findall(r"<t[dh].*?</t[dh]>", row, re.DOTALL) for row in re.findall(r"(?s)<tr>.*?</tr>", body)
    ]
    return [[html.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in row] for row in cells]


def harness(board: Board, folder: Path, script: str) -> Path:
    """A copy of the page that also runs a test's script; the page's own rule would forbid it."""
    text = write_board(board, folder).read_text()
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    page = folder / "harness.html"
    page.write_text(text.replace("</body>", f"<script>{script}</script></body>"))
    return page


def test_headers_sort_the_table(browser: str, tmp_path: Path) -> None:
    click = "document.querySelectorAll('table.sortable thead button')[1].click()"
    page = dom(browser, harness(make_board(12), tmp_path, click), tmp_path / "profile")
    teams = [row[1] for row in first_table(page)]
    assert teams == sorted(teams, key=str.casefold)
    assert 'aria-sort="ascending"' in page


def test_without_scripts_the_table_is_whole(browser: str, tmp_path: Path) -> None:
    board = make_board(12)
    script = "document.body.insertAdjacentHTML('beforeend', d.querySelector('table').outerHTML)"
    outer = framed(write_board(board, tmp_path), tmp_path, 'sandbox="allow-same-origin"', script)
    page = dom(browser, outer, tmp_path / "profile", "--allow-file-access-from-files")
    assert board.ranking is not None
    assert [row[0] for row in first_table(page)] == [str(rank) for rank in sorted(board.ranking.ranks)]
    assert "<button" not in page


@pytest.mark.parametrize("names", [HOSTILE, ("Radiance",)], ids=["hostile", "polite"])
def test_on_a_phone_nothing_but_tables_scrolls_sideways(
    browser: str, tmp_path: Path, names: tuple[str, ...]
) -> None:
    # A headless window has a least width of its own, so the page is put into a frame.
    script = "document.title = d.scrollWidth + ' of ' + d.clientWidth"
    outer = framed(harness(make_board(40, names), tmp_path, ""), tmp_path, "", script)
    page = dom(browser, outer, tmp_path / "profile", "--allow-file-access-from-files")
    measured = re.search(r"<title>(\d+) of (\d+)</title>", page)
    assert measured is not None
    assert int(measured[1]) <= int(measured[2]) <= 320


def test_a_strangers_script_does_not_run(browser: str, tmp_path: Path) -> None:
    page = write_board(make_board(12, ("<script>document.title = 'owned'</script>",)), tmp_path)
    assert "<title>owned" not in dom(browser, page, tmp_path / "profile")
