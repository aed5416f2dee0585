"""Invented leaderboards, with polite and with hostile names."""

from collections.abc import Sequence

import numpy as np

from challenge_bundle.leaderboard.board import Board, Entry, HistoryPoint, Unranked
from challenge_bundle.leaderboard.ranking import rank_entries
from challenge_bundle.leaderboard.resampling import class_scores, count_cells, parse_metric, score_counts
from challenge_bundle.leaderboard.similarity import find_agreements
from challenge_bundle.settings import METRICS

CLASS_NAMES = ("AbdomenCT", "BreastMRI", "CXR", "ChestCT", "Hand", "HeadCT")
METRIC = "weighted_f1"
POLITE = ("Radiance", "Nordlicht", "Voxel Valley", "Team Röntgen", "MedAI Lab", "Kanazawa")
HOSTILE = (
    "<script>alert(1)</script>",
    "\u202eevil\u202c שלום עולם",
    "N" * 200,
    '"><img src=x onerror=alert(1)>',
    "=HYPERLINK(1)",
    "{{ 7 * 7 }}",
)


def make_board(entries: int, names: Sequence[str] = POLITE, cases: int = 600, resamples: int = 200) -> Board:
    """A board of so many entries, the last a duplicate of the one before, and one without a score."""
    rng = np.random.default_rng(0)
    class_count = len(CLASS_NAMES)
    reference = rng.integers(class_count, size=cases)
    difficulty = rng.beta(0.4, 2.0, size=cases)
    rates = np.clip(difficulty * np.linspace(0.3, 1.5, entries)[:, np.newaxis], 0.0, 1.0)
    guesses = rng.integers(class_count, size=(entries, cases))
    predictions = np.where(rng.random((entries, cases)) < rates, guesses, reference)
    predictions[-1] = predictions[max(entries - 2, 0)]
    predictions = predictions[rng.permutation(entries)]
    # Every name once as it is, then numbered.
    numbered = [f"{name} {turn or ''}".strip() for turn in range(entries) for name in names]
    confusion = count_cells(reference, predictions, class_count)
    made = tuple(
        Entry(
            submission=f"{index:064x}",
            team=team,
            method=names[(index + 1) % len(names)],
            received=f"2026-03-{1 + index % 28:02}T12:00:00Z",
            scores={
                metric: float(score_counts(confusion[index], parse_metric(metric))) for metric in METRICS
            },
            per_class=per_class(confusion[index]),
        )
        for index, team in enumerate(numbered[:entries])
    )
    history = tuple(
        HistoryPoint(
            entry.team,
            f"2026-02-{1 + (7 * step + index) % 28:02}T12:00:00Z",
            f"{index}-{step}",
            entry.scores[METRIC] - float(rng.random() * 0.1 * (4 - step)),
        )
        for index, entry in enumerate(made)
        for step in range(1 + index % 4)
    )
    return Board(
        title="Which body region is it?",
        phase="Development",
        part="public",
        metric=METRIC,
        class_names=CLASS_NAMES,
        cases=cases,
        entries=made,
        ranking=rank_entries(reference, predictions, class_count, METRIC, resamples),
        agreements=tuple(find_agreements(reference, predictions, class_count)),
        unranked=(
            Unranked(names[0], names[-1], "2026-03-09T08:00:00Z", f"{names[2]}: ran longer than 600 s"),
        ),
        history=history,
    )


def per_class(confusion: np.ndarray) -> dict[str, dict[str, float]]:
    """Scores of each class by its name, from counts (K, K)."""
    hits, support, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    scores = {name: class_scores(hits, predicted, support, name) for name in ("precision", "recall", "f1")}
    return {
        class_name: {name: float(values[label]) for name, values in scores.items()}
        | {"support": int(support[label])}
        for label, class_name in enumerate(CLASS_NAMES)
    }
