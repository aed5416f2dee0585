"""The board of docs/images/board.png, of invented entries, ranked and written by the tool itself.

`PYTHONPATH=tools:. .venv/bin/python -m tests.docs.draw_board FOLDER` writes the page; a browser draws it:
`chromium --headless --hide-scrollbars --window-size=1000,1015 --screenshot=board.png FOLDER/leaderboard.html`
"""

import sys
from pathlib import Path

import numpy as np

from challenge_bundle.leaderboard.board import Board, Entry, HistoryPoint
from challenge_bundle.leaderboard.ranking import rank_entries
from challenge_bundle.leaderboard.resampling import count_cells, parse_metric, score_counts
from challenge_bundle.report.leaderboard_page import write_board
from challenge_bundle.settings import METRICS
from tests.boards import CLASS_NAMES, METRIC, per_class

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
    confusion = count_cells(reference, predictions, class_count)
    entries = tuple(
        Entry(
            submission=f"{index:064x}",
            team=f"Example team {'ABCDEF'[index]}",
            method=method,
            received=f"2026-03-{10 + index}T12:00:00Z",
            scores={name: float(score_counts(confusion[index], parse_metric(name))) for name in METRICS},
            per_class=per_class(confusion[index]),
        )
        for index, method in enumerate(METHODS)
    )
    history = tuple(
        HistoryPoint(
            entry.team,
            f"2026-02-{3 + index + 6 * step:02}T12:00:00Z",
            f"{index}-{step}",
            entry.scores[METRIC] - 0.02 * (3 - step),
        )
        for index, entry in enumerate(entries)
        for step in range(3)
    )
    return Board(
        title="Example challenge: which body region is it?",
        phase="final",
        part="all",
        metric=METRIC,
        class_names=CLASS_NAMES,
        cases=CASES,
        entries=entries,
        ranking=rank_entries(reference, predictions, class_count, METRIC, 2000),
        agreements=(),
        unranked=(),
        history=history,
    )


if __name__ == "__main__":
    print(write_board(example_board(), Path(sys.argv[1])))
