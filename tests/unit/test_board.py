"""The leaderboard's data, its files, and the page in a browser."""

import csv
import dataclasses
import html
import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from challenge_bundle.errors import DataError
from challenge_bundle.leaderboard.board import Board, HistoryPoint, Unranked, board_document, board_rows
from challenge_bundle.leaderboard.metric_info import metric_info
from challenge_bundle.leaderboard.schemes import Choices
from challenge_bundle.report.leaderboard_page import CSV_COLUMNS, board_text, render_board, write_board
from tests.boards import CLASS_NAMES, HOSTILE, METRIC, make_board

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in BROWSERS if (found := shutil.which(name))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(BROWSERS)} is installed")


@pytest.fixture(scope="module")
def board() -> Board:
    return make_board(12)


@pytest.fixture(scope="module")
def hostile() -> Board:
    return make_board(24, names=HOSTILE)


def test_rows_are_in_the_order_of_ranks(board: Board) -> None:
    rows = board_rows(board)
    assert [row["rank"] for row in rows] == [*range(1, 12), 11]
    assert rows[10]["received"] < rows[11]["received"]
    assert rows[0]["score"] == max(entry.scores[METRIC.name] for entry in board.entries)
    assert all(row["score_low"] <= row["score"] <= row["score_high"] for row in rows)
    assert all(row["rank_low"] <= row["rank"] <= row["rank_high"] for row in rows)
    assert [row["group"] for row in rows] == sorted(row["group"] for row in rows)


def test_files_hold_the_same(board: Board, tmp_path: Path) -> None:
    page = write_board(board, tmp_path)
    assert page == tmp_path / "leaderboard.html"
    rows = board_rows(board)
    with (tmp_path / "leaderboard.csv").open(newline="") as opened:
        table = list(csv.DictReader(opened))
    assert tuple(table[0]) == CSV_COLUMNS
    document = json.loads((tmp_path / "leaderboard.json").read_text())
    for row, line, entry in zip(rows, table, document["entries"], strict=True):
        assert line["submission"] == entry["submission"] == row["submission"]
        assert float(line["score"]) == pytest.approx(row["score"], abs=1e-6)
        assert len(entry["beats"]) == row["beats"]
    assert "agreements" not in document
    assert "unranked" not in document


def published(folder: Path) -> dict[str, str]:
    return {path.name: html.unescape(path.read_text()) for path in folder.iterdir()}


def test_a_board_accuses_nobody_unless_the_organiser_chooses(board: Board, tmp_path: Path) -> None:
    pair = dataclasses.replace(board.agreements[0], shared_errors=987654)
    failed = Unranked("Failing Team", "net", "2026-03-09T08:00:00Z", "ran longer than 600 s")
    board = dataclasses.replace(board, agreements=(pair,), unranked=(failed,), public_key="PEM of a key\n")
    words = {"show_failed": "Failing Team", "show_agreement": "987654"}
    write_board(board, tmp_path / "plain")
    files = published(tmp_path / "plain")
    assert sorted(files) == ["leaderboard.csv", "leaderboard.html", "leaderboard.json", "public-key.pem"]
    for name, text in files.items():
        for word in (
            "Failing Team",
            "987654",
            "600 s",
            "without a score",
            "agree more than chance",
            "Not ranked",
        ):
            assert word not in text, (name, word)
    assert files["public-key.pem"] == "PEM of a key\n"
    assert "<pre>PEM of a key\n</pre>" in files["leaderboard.html"]
    assert json.loads(files["leaderboard.json"])["public_key"] == "PEM of a key\n"
    for flag, word in words.items():
        write_board(dataclasses.replace(board, **{flag: True}), tmp_path / flag)
        found = published(tmp_path / flag)
        (other,) = (shown for name, shown in words.items() if name != flag)
        for name in ("leaderboard.html", "leaderboard.json"):
            assert word in found[name], (flag, name)
            assert other not in found[name], (flag, name)
        assert word not in found["leaderboard.csv"]
    document = json.loads(published(tmp_path / "show_failed")["leaderboard.json"])
    assert document["unranked"][0]["reason"] == "ran longer than 600 s"
    document = json.loads(published(tmp_path / "show_agreement")["leaderboard.json"])
    assert document["agreements"][0]["kind"] == "identical"


def test_the_terminal_counts_what_failed_and_names_no_pair(board: Board) -> None:
    lines = board_text(board).splitlines()
    assert lines[0] == (
        "Which body region is it?: Development, public split,"
        " 600 cases of 300 groups (patients), by macro_recall"
    )
    assert len(lines) == 17
    assert lines[13].split()[:4] == ["-", "0.1667", "baseline:", "Kanazawa"]
    assert re.search(r"is first under 2 of 2 ways to rank$", lines[14])
    assert lines[15].startswith("smallest difference of neighbours")
    assert lines[-1] == "not ranked: 1"


def test_same_board_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_board(make_board(7), tmp_path / name)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_spreadsheets_take_no_name_for_a_formula(hostile: Board, tmp_path: Path) -> None:
    write_board(hostile, tmp_path)
    with (tmp_path / "leaderboard.csv").open(newline="") as opened:
        cells = [cell for line in csv.reader(opened) for cell in line]
    assert "'=HYPERLINK(1)" in cells
    assert not any(cell.startswith("=") for cell in cells)


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_participants_names_stay_text(hostile: Board) -> None:
    page = Page(render_board(hostile))
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    for name in HOSTILE:
        assert name in page.texts


def test_the_page_loads_nothing(board: Board) -> None:
    page = Page(render_board(board))
    assert not {"link", "img", "iframe", "object", "base", "form"} & set(page.tags)
    assert not [value for name, value in page.attributes if name in ("src", "srcset", "action")]
    assert {value for name, value in page.attributes if name == "href"} == {"#choices"}
    assert not re.search(r"url\(|@import|https?://", render_board(board))


def test_the_plain_table_is_complete(board: Board) -> None:
    text = html.unescape(render_board(board))
    for row in board_rows(board):
        assert f"<b>{row['score']:.4f}</b>" in text
        assert f"{row['score_low']:.4f} to {row['score_high']:.4f}" in text
        assert row["team"] in text


@pytest.mark.parametrize("entries", [0, 1, 2])
def test_small_boards_have_a_page(board: Board, entries: int) -> None:
    small = (
        make_board(entries)
        if entries
        else dataclasses.replace(
            board, entries=(), ranking=None, agreements=(), unranked=(), history=(), choices=Choices()
        )
    )
    assert board_document(small)["cases"] == small.cases
    assert ("No entry has a score yet." in render_board(small)) == (entries == 0)


def change_entry(board: Board, **changes: object) -> Board:
    entry = dataclasses.replace(board.entries[3], **changes)  # type: ignore[arg-type]
    return dataclasses.replace(board, entries=(*board.entries[:3], entry, *board.entries[4:]))


def fault_of(make: Callable[[], Board]) -> tuple[str, str]:
    """The code and the location of the error that making a board raises."""
    with pytest.raises(DataError) as fault:
        make()
    return fault.value.code, str(fault.value.path or "")


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_refused(board: Board, score: float) -> None:
    entry = board.entries[3]
    where = f"{entry.team!r}, submission {entry.submission[:12]}"
    scores = entry.scores | {"accuracy": score}
    assert fault_of(lambda: change_entry(board, scores=scores)) == ("board-score-not-finite", where)
    if math.isinf(score):  # nan is a label without a positive case
        with pytest.raises(DataError, match="score of 'Hand'") as fault:
            change_entry(board, per_class=entry.per_class | {"Hand": score})
        assert fault.value.code == "board-score-not-finite"
    point = HistoryPoint("A", "2026-03-01T12:00:00Z", "0", score)
    assert fault_of(lambda: dataclasses.replace(board, history=(point,))) == (
        "board-score-not-finite",
        "history of 'A'",
    )


def test_what_does_not_fit_is_refused(board: Board) -> None:
    scores = dict(board.entries[3].scores)
    without = {key: value for key, value in scores.items() if key != METRIC.name}
    other = scores | {METRIC.name: scores[METRIC.name] + 0.001}
    for code, make in {
        "board-no-score": lambda: change_entry(board, scores=without),
        "board-other-score": lambda: change_entry(board, scores=other),
        "board-other-classes": lambda: change_entry(board, per_class={}),
        "invalid-time": lambda: change_entry(board, received="yesterday"),
        "no-time-zone": lambda: change_entry(board, received="2026-03-01T12:00:00"),
        "board-other-ranking": lambda: dataclasses.replace(board, entries=board.entries[:-1]),
        "board-unranked": lambda: dataclasses.replace(board, ranking=None),
    }.items():
        assert fault_of(make)[0] == code


def browse(page: Path, *options: str) -> str:
    """The page's elements after a browser has run it."""
    done = subprocess.run(
        [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=3000",
            f"--user-data-dir={page.parent / 'profile'}",
            *options,
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def first_column(dom: str) -> list[str]:
    """The teams of the ranking, from the top."""
    body = dom.split('<h2 id="plot">')[0].split("<tbody>")[1]
    return [html.unescape(name) for name in re.findall(r'<th class="text"[^>]*><bdi[^>]*>(.*?)</bdi>', body)]


@needs_browser
def test_without_scripts_the_table_is_there(board: Board, tmp_path: Path) -> None:
    write_board(board, tmp_path)
    # --dump-dom prints nothing where scripts are off altogether; a sandboxed frame runs none.
    frame = tmp_path / "frame.html"
    frame.write_text(
        '<iframe src="leaderboard.html" sandbox="allow-same-origin"></iframe><p id="found"></p><script>'
        "onload = () => { found.textContent = frames[0].document.documentElement.innerHTML }</script>"
    )
    dom = html.unescape(browse(frame, "--allow-file-access-from-files"))
    assert first_column(dom) == [row["team"] for row in board_rows(board)]
    assert "<button" not in dom
    assert 'aria-sort="ascending"' in dom


@needs_browser
def test_a_click_on_a_header_sorts(board: Board, tmp_path: Path) -> None:
    page = write_board(board, tmp_path)
    text = page.read_text()
    # A second script that clicks; the page's own policy would not run it.
    click = "document.querySelectorAll('thead button')[1].click();"
    clicks = f"<script>{click}{click}</script>"
    text = re.sub(r"<meta http-equiv=.*?>", "", text)
    page.write_text(text.replace("</body>", clicks + "</body>"))
    dom = browse(page)
    teams = first_column(dom)
    assert teams == sorted((row["team"] for row in board_rows(board)), key=str.casefold, reverse=True)
    assert re.findall(r'aria-sort="(\w+)"[^>]*><button[^>]*>Team', dom) == ["descending"]


@needs_browser
def test_names_run_nothing(hostile: Board, tmp_path: Path) -> None:
    page = write_board(hostile, tmp_path)
    dom = browse(page)
    # The page's own script ran under its policy, and made its buttons; no name became an element.
    assert dom.count("<button") > len(CLASS_NAMES)
    assert dom.count("<script>") == 1
    assert "<img" not in dom


@needs_browser
@pytest.mark.parametrize("width", [320, 1200])
def test_the_page_never_scrolls_sideways(hostile: Board, tmp_path: Path, width: int) -> None:
    page = write_board(hostile, tmp_path)
    text = re.sub(r"<meta http-equiv=.*?>", "", page.read_text())
    beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    measure = f"<script>document.title = `beyond ${{{beyond}}}`</script>"
    page.write_text(text.replace("</body>", measure + "</body>"))
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe src="leaderboard.html" style="width:{width}px;border:0"></iframe><p id="found"></p>'
        "<script>onload = () => { found.textContent = frames[0].document.title }</script>"
    )
    dom = browse(frame, "--allow-file-access-from-files")
    assert "beyond 0<" in dom


def test_a_board_without_pair_tests_says_so(board: Board) -> None:
    ranking = board.ranking
    assert ranking is not None
    assert ranking.tested
    assert board_document(board)["pairs_tested"]
    told = "No pair of entries is tested"
    assert told not in render_board(board)
    untested = dataclasses.replace(board, ranking=dataclasses.replace(ranking, tested=False))
    assert not board_document(untested)["pairs_tested"]
    assert told in render_board(untested)
    assert "no pair is tested" in board_text(untested)


def test_a_board_says_how_often_its_intervals_cover(board: Board) -> None:
    content = {"m": 0.5, "details": {"interval_notes": {"m": "covers 89 % with 50 cases in trials"}}}
    metric = dataclasses.replace(METRIC, caution=metric_info(content, "m").caution)
    page = html.unescape(render_board(dataclasses.replace(board, metric=metric)))
    assert "covers 89 % with 50 cases in trials" in page
    assert metric_info({"m": 0.5, "details": {"interval_notes": ["m"]}}, "m").caution == ""
