"""The board of docs/images/board.png, of invented entries, ranked and written by the tool itself.

`PYTHONPATH=tools:. .venv/bin/python -m tests.docs.draw_board FOLDER` writes the page; a browser draws it:
`chromium --headless --hide-scrollbars --window-size=1000,1015 --screenshot=board.png FOLDER/leaderboard.html`
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np

from challenge_bundle.leaderboard.board import Board, HistoryPoint
from challenge_bundle.report.leaderboard_page import write_board
from tests.boards import CLASS_NAMES, METRIC, board_of, make_entries

METHODS = {
    "ResNet-50, ensemble": 0.16,
    "ViT-small, augmented": 0.2,
    "DenseNet-121": 0.26,
    "baseline, longer training": 0.5,
    "random forest": 0.75,
    "nearest neighbour": 1.2,
}
"""Method -> how much of a case's difficulty it suffers."""

CASES = 600


def example_board() -> Board:
    """Six entries that differ in how often hard cases mislead them."""
    rng = np.random.default_rng(3)
    class_count = len(CLASS_NAMES)
    reference = rng.integers(class_count, size=CASES)
    difficulty = rng.beta(0.5, 2.5, size=CASES)
    predictions = np.stack(
        [
            np.where(
                rng.random(CASES) < np.clip(difficulty * rate, 0.0, 1.0),
                rng.integers(class_count, size=CASES),
                reference,
            )
            for rate in METHODS.values()
        ]
    )
    teams = [f"Example team {'ABCDEF'[index]}" for index in range(len(METHODS))]
    entries = make_entries(reference, predictions, teams, list(METHODS))
    history = tuple(
        HistoryPoint(
            entry.team,
            f"2026-02-{3 + index + 6 * step:02}T12:00:00Z",
            f"{index}-{step}",
            entry.scores[METRIC.name] - 0.02 * (3 - step),
        )
        for index, entry in enumerate(entries)
        for step in range(3)
    )
    board = board_of(reference, predictions, entries, 2000, "Example challenge: which body region is it?")
    return dataclasses.replace(board, phase="final", part="all", agreements=(), history=history)


if __name__ == "__main__":
    print(write_board(example_board(), Path(sys.argv[1])))
