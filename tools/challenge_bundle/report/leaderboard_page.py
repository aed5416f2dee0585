"""The leaderboard as files: a page that needs nothing else, and the same as csv and JSON."""

import base64
import hashlib
import json
import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from challenge_bundle.files import no_formula, write_csv, write_text
from challenge_bundle.leaderboard.board import Board, board_document, board_rows, parse_time
from challenge_bundle.leaderboard.organiser_notes import OrganiserNotes
from challenge_bundle.leaderboard.subgroups import SubgroupTable
from challenge_bundle.templates import render

_FOLDER = Path(__file__).resolve().parent

PUBLIC_KEY_NAME = "public-key.pem"
MOST_NAMED = 3
"""Of those that are first together under one way to rank, the number that is named."""

SPLIT_NAMES = {"public": "public split", "final": "private split", "all": "all cases"}
"""Of the test set, as a reader knows them, by their names in bundle.toml."""

CSV_COLUMNS = (
    "rank",
    "team",
    "method",
    "kind",
    "submission",
    "received",
    "score",
    "score_low",
    "score_high",
    "rank_low",
    "rank_high",
    "drawn_rank_low",
    "drawn_rank_high",
    "probability_first",
    "group",
    "first_under",
)


def board_text(board: Board) -> str:
    """The board as lines for a terminal."""
    metric = board.metric
    lines = []
    for row in board_rows(board):
        interval = (
            ""
            if row["score_low"] is None
            else f"  ({metric.shown(row['score_low'])} to {metric.shown(row['score_high'])})"
        )
        rank = (
            ""
            if row["rank_low"] is None
            else f"  rank {row['rank_low']} to {row['rank_high']}  group {row['group']}"
        )
        method = f" / {row['method']}" if row["method"] else ""
        lines.append(f"{row['rank']:>4}  {metric.shown(row['score'])}{interval}{rank}  {row['team']}{method}")
    lines += [
        f"   -  {metric.shown(one.entry.scores[metric.name])}"
        f"  baseline: {one.entry.team} / {one.entry.method}"
        for one in board.baselines
    ]
    unit = f" ({metric.unit})" if metric.unit else ""
    better = "" if metric.higher_is_better else ", lower is better"
    heading = (
        f"{board.title}: {board.phase}, {SPLIT_NAMES[board.part]}, {board.size},"
        f" by {metric.name}{unit}{better}"
    )
    return "\n".join([heading, *lines, *choice_lines(board), f"not ranked: {len(board.unranked)}"])


def choice_lines(board: Board) -> list[str]:
    """What the order depends on, in a few lines."""
    lines = []
    schemes = len(board.choices.schemes)
    if board.order and schemes > 1:
        first = board.order[0]
        under = board.choices.first_count(first)
        lines.append(f"{board.entries[first].team} is first under {under} of {schemes} ways to rank")
    if board.resolution and math.isfinite(board.resolution.neighbours):
        lines.append(
            "smallest difference of neighbours that this test set tells apart in 4 of 5 cases:"
            f" {board.metric.shown(board.resolution.neighbours)}"
        )
    unpaired = sum(bool(entry.unpaired) for entry in board.entries)
    if unpaired:
        lines.append(f"ranked by their scores alone, without resamples: {unpaired}")
    if board.ranking is not None and board.ranking.resamples and not board.ranking.tested:
        lines.append("no pair is tested: the scoring program wrote no influences, and the groups are few")
    return lines


def page_name(metric: str, is_first: bool) -> str:
    """The name of a board's files, without an ending: the metric that ranks has the plain one."""
    return "leaderboard" if is_first else f"leaderboard-{metric}"


def write_boards(boards: Sequence[Board], folder: Path) -> Path:
    """Write each metric's board; the first has the plain name.

    Returns:
        The first one's page.
    """
    pages = [write_board(board, folder, page_name(board.metric.name, board is boards[0])) for board in boards]
    return pages[0]


def write_board(board: Board, folder: Path, name: str = "leaderboard") -> Path:
    """Write a board's csv, JSON and page, and the public key; the same board gives the same bytes.

    Args:
        board: The leaderboard.
        folder: Made if it is not there.
        name: Of the three files, without their endings.

    Returns:
        The page.
    """
    write_csv(
        folder / f"{name}.csv",
        CSV_COLUMNS,
        [[_csv_cell(row[column]) for column in CSV_COLUMNS] for row in board_rows(board)],
    )
    document = json.dumps(board_document(board), indent=2, allow_nan=False, ensure_ascii=False)
    write_text(folder / f"{name}.json", document + "\n")
    if board.public_key:
        write_text(folder / PUBLIC_KEY_NAME, board.public_key)
    page = folder / f"{name}.html"
    write_text(page, render_board(board))
    return page


def render_board(board: Board) -> str:
    """The page: one file that loads nothing, every foreign text escaped."""
    from markupsafe import Markup

    script = (_FOLDER / "board.js").read_text(encoding="utf-8")
    digest = hashlib.sha256(script.encode()).digest()
    return render(
        _FOLDER / "board.html.j2",
        {"characters": _odd_characters},
        board=board,
        metric=board.metric,
        rows=board_rows(board),
        ranking=board.ranking,
        is_drawn=board.ranking is not None and board.ranking.resamples > 0,
        heat=_heat(board),
        wins=_win_runs(board),
        history=_history(board),
        baselines=_baselines(board),
        schemes=_schemes(board),
        unpaired=_unpaired(board),
        finite=math.isfinite,
        script=Markup(script),  # ours; the page runs no other
        script_hash=base64.b64encode(digest).decode(),
    )


def write_organiser_page(notes: OrganiserNotes, path: Path, tables: Sequence[SubgroupTable] = ()) -> None:
    """Write the organiser's page, which only its owner can read.

    Args:
        notes: What it shows.
        path: Of the page.
        tables: The entries' scores in parts of the test set.
    """
    page = render(
        _FOLDER / "organiser.html.j2",
        {"characters": _odd_characters},
        notes=notes,
        tables=tables,
        order=notes.board.order,
        finite=math.isfinite,
    )
    write_text(path, page, private=True)


def _odd_characters(text: str) -> str:
    """The characters of a name that only look as if they were plain."""
    odd = dict.fromkeys(character for character in text if not character.isascii())
    return ", ".join(f"U+{ord(one):04X} {unicodedata.name(one, '')}".strip() for one in odd)


def _csv_cell(value: str | int | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6f}" if abs(value) < 1e6 else f"{value:.12g}"
    return no_formula(str(value))


def _heat(board: Board) -> list[list[tuple[float, float]]]:
    """Each entry's score of each class, and its share of the way from the worst to the best of all."""
    table = [
        [board.entries[index].per_class[class_name] for class_name in board.class_names]
        for index in board.order
    ]
    known = [score for row in table for score in row if math.isfinite(score)]
    low, high = min(known, default=0.0), max(known, default=1.0)

    def share(score: float) -> float:
        risen = (score - low) / ((high - low) or 1.0) if math.isfinite(score) else 0.0
        return risen if board.metric.higher_is_better else 1.0 - risen

    return [[(score, share(score)) for score in row] for row in table]


def _baselines(board: Board) -> list[dict[str, Any]]:
    """The organiser's own, each with the number of entries that have a better score."""
    metric = board.metric
    sign = 1.0 if metric.higher_is_better else -1.0
    found = [
        {
            "team": one.entry.team,
            "method": one.entry.method,
            "score": one.entry.scores[metric.name],
            "interval": one.interval,
            "better": sum(
                sign * entry.scores[metric.name] > sign * one.entry.scores[metric.name]
                for entry in board.entries
            ),
        }
        for one in board.baselines
    ]
    return sorted(found, key=lambda one: (-sign * one["score"], one["team"]))


def _schemes(board: Board) -> list[dict[str, Any]]:
    """Each way to rank, with the names of who is first under it and the rank of the board's first."""
    if not board.order:
        return []
    first = board.order[0]
    return [
        {
            "name": scheme.name,
            "first": [board.entries[index].team for index in scheme.first[:MOST_NAMED]],
            "more": max(0, len(scheme.first) - MOST_NAMED),
            "rank": scheme.ranks[first],
        }
        for scheme in board.choices.schemes
    ]


def _unpaired(board: Board) -> list[tuple[str, list[str]]]:
    """Why entries are ranked without resamples, and which."""
    reasons: dict[str, list[str]] = {}
    for entry in board.entries:
        if entry.unpaired:
            reasons.setdefault(entry.unpaired, []).append(entry.team)
    return list(reasons.items())


def _win_runs(board: Board) -> list[list[tuple[int, int]]]:
    """Whom each entry beats, both by place on the board: runs of (first place, how many), from 0."""
    if board.ranking is None:
        return []
    order = board.order
    found = []
    for row in board.ranking.wins[order][:, order].tolist():
        runs: list[tuple[int, int]] = []
        for place, won in enumerate(row):
            if won and runs and runs[-1][0] + runs[-1][1] == place:
                runs[-1] = (runs[-1][0], runs[-1][1] + 1)
            elif won:
                runs.append((place, 1))
        found.append(runs)
    return found


def _history(board: Board) -> list[dict[str, Any]]:
    """Each team's submissions in time, as points of a line in a box of 100 by 30, all on the same scales."""
    points = sorted(
        ((parse_time(point.received).timestamp(), point.submission, point) for point in board.history),
        key=lambda found: found[:2],
    )
    if not points:
        return []
    start, end = points[0][0], points[-1][0]
    scores = [point.score for _, _, point in points]
    low, high = min(scores), max(scores)
    teams: dict[str, list[tuple[float, float, float]]] = {}
    for time, _, point in points:
        x = 100.0 * (time - start) / ((end - start) or 1.0)
        y = 27.0 - 24.0 * (point.score - low) / ((high - low) or 1.0)
        teams.setdefault(point.team, []).append((x, y, point.score))
    sign = 1.0 if board.metric.higher_is_better else -1.0
    best = {team: sign * max(sign * score for _, _, score in found) for team, found in teams.items()}
    return [
        {"team": team, "points": found, "best": best[team], "last": found[-1][2]}
        for team, found in sorted(teams.items(), key=lambda item: (-sign * best[item[0]], item[0]))
    ]
