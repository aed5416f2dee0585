"""The leaderboard as files: a page that needs nothing else, and the same as csv and JSON."""

import base64
import hashlib
import json
import unicodedata
from pathlib import Path
from typing import Any

from challenge_bundle.files import no_formula, write_csv, write_text
from challenge_bundle.leaderboard.board import Board, board_document, board_rows, parse_time
from challenge_bundle.leaderboard.organiser_notes import OrganiserNotes
from challenge_bundle.leaderboard.resampling import parse_metric
from challenge_bundle.templates import render

_FOLDER = Path(__file__).resolve().parent

PUBLIC_KEY_NAME = "public-key.pem"
SPLIT_NAMES = {"public": "public split", "final": "private split", "all": "all cases"}
"""Of the test set, as a reader knows them, by their names in bundle.toml."""

CSV_COLUMNS = (
    "rank",
    "team",
    "method",
    "submission",
    "received",
    "score",
    "score_low",
    "score_high",
    "rank_low",
    "rank_high",
    "probability_first",
    "group",
)


def board_text(board: Board) -> str:
    """The board as lines for a terminal."""
    lines = [
        f"{row['rank']:>4}  {row['score']:.4f}  ({row['score_low']:.4f} to {row['score_high']:.4f})"
        f"  rank {row['rank_low']} to {row['rank_high']}  group {row['group']}  {row['team']}"
        + (f" / {row['method']}" if row["method"] else "")
        for row in board_rows(board)
    ]
    heading = (
        f"{board.title}: {board.phase}, {SPLIT_NAMES[board.part]}, {board.cases:,} cases, by {board.metric}"
    )
    return "\n".join([heading, *lines, f"not ranked: {len(board.unranked)}"])


def write_board(board: Board, folder: Path) -> Path:
    """Write leaderboard.csv, .json and .html, and the public key; the same board gives the same bytes.

    Args:
        board: The leaderboard.
        folder: Made if it is not there.

    Returns:
        The page.
    """
    write_csv(
        folder / "leaderboard.csv",
        CSV_COLUMNS,
        [[_csv_cell(row[column]) for column in CSV_COLUMNS] for row in board_rows(board)],
    )
    document = json.dumps(board_document(board), indent=2, allow_nan=False, ensure_ascii=False)
    write_text(folder / "leaderboard.json", document + "\n")
    if board.public_key:
        write_text(folder / PUBLIC_KEY_NAME, board.public_key)
    page = folder / "leaderboard.html"
    write_text(page, render_board(board))
    return page


def render_board(board: Board) -> str:
    """The page: one file that loads nothing, every foreign text escaped."""
    from markupsafe import Markup

    script = (_FOLDER / "board.js").read_text(encoding="utf-8")
    digest = hashlib.sha256(script.encode()).digest()
    measure = parse_metric(board.metric).measure
    return render(
        _FOLDER / "board.html.j2",
        {"characters": _odd_characters},
        board=board,
        rows=board_rows(board),
        ranking=board.ranking,
        measure=measure,
        heat=_heat(board, measure),
        wins=_win_runs(board),
        history=_history(board),
        script=Markup(script),  # ours; the page runs no other
        script_hash=base64.b64encode(digest).decode(),
    )


def write_organiser_page(notes: OrganiserNotes, path: Path) -> None:
    """Write the organiser's page, which only its owner can read."""
    page = render(_FOLDER / "organiser.html.j2", {"characters": _odd_characters}, notes=notes)
    write_text(path, page, private=True)


def _odd_characters(text: str) -> str:
    """The characters of a name that only look as if they were plain."""
    odd = dict.fromkeys(character for character in text if not character.isascii())
    return ", ".join(f"U+{ord(one):04X} {unicodedata.name(one, '')}".strip() for one in odd)


def _csv_cell(value: str | int | float) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    return no_formula(str(value))


def _heat(board: Board, measure: str) -> list[list[tuple[float, float]]]:
    """Each entry's score of each class, and its share of the way from the lowest to the highest of all."""
    table = [
        [board.entries[index].per_class[class_name][measure] for class_name in board.class_names]
        for index in board.order
    ]
    low = min((min(row) for row in table), default=0.0)
    high = max((max(row) for row in table), default=1.0)
    return [[(score, (score - low) / ((high - low) or 1.0)) for score in row] for row in table]


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
    return [
        {"team": team, "points": found, "best": max(score for _, _, score in found), "last": found[-1][2]}
        for team, found in sorted(teams.items(), key=lambda item: (-max(p[2] for p in item[1]), item[0]))
    ]
