"""Invented leaderboards, with polite and with hostile names, and the resamples of a metric by direct sums."""

from collections.abc import Sequence

import numpy as np

from challenge_bundle.leaderboard.board import Baseline, Board, Entry, HistoryPoint, Unranked
from challenge_bundle.leaderboard.build import with_resolution
from challenge_bundle.leaderboard.metric_info import MetricInfo
from challenge_bundle.leaderboard.ranking import rank_entries
from challenge_bundle.leaderboard.schemes import compare_schemes
from challenge_bundle.leaderboard.similarity import find_agreements

CLASS_NAMES = ("AbdomenCT", "BreastMRI", "CXR", "ChestCT", "Hand", "HeadCT")
MEASURE = "recall"
METRIC = MetricInfo(
    "macro_recall",
    "macro recall",
    low=0.0,
    high=1.0,
    policy="a class without cases counts as 0",
    source="Mosley 2013",
)
ACCURACY = MetricInfo("accuracy", "accuracy", low=0.0, high=1.0)
POLITE = ("Radiance", "Nordlicht", "Voxel Valley", "Team Röntgen", "MedAI Lab", "Kanazawa")
HOSTILE = (
    "<script>alert(1)</script>",
    "\u202eevil\u202c שלום עולם",
    "N" * 200,
    '"><img src=x onerror=alert(1)>',
    "=HYPERLINK(1)",
    "{{ 7 * 7 }}",
)


def class_recalls(reference: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Recall of each class (S, B, K) of entries (S, N) under weights (B, N)."""
    right = (predictions == reference).astype(np.float64)
    found = []
    for label in range(len(CLASS_NAMES)):
        members = reference == label
        total = weights[:, members].sum(axis=1)
        found.append((right[:, members] @ weights[:, members].T) / np.maximum(total, 1e-300))
    return np.stack(found, axis=-1)


def draw(groups: np.ndarray, resamples: int, seed: int = 0) -> np.ndarray:
    """Weights (R, N): each group's from the exponential distribution."""
    rng = np.random.default_rng(seed)
    return rng.standard_exponential((resamples, int(groups.max()) + 1))[:, groups]


def invent(entries: int, cases: int) -> tuple[np.ndarray, np.ndarray]:
    """Reference (N,) and predictions (S, N), the last a duplicate of the one before, in mixed order."""
    rng = np.random.default_rng(0)
    class_count = len(CLASS_NAMES)
    reference = rng.integers(class_count, size=cases)
    difficulty = rng.beta(0.4, 2.0, size=cases)
    rates = np.clip(difficulty * np.linspace(0.3, 1.5, entries)[:, np.newaxis], 0.0, 1.0)
    guesses = rng.integers(class_count, size=(entries, cases))
    predictions = np.where(rng.random((entries, cases)) < rates, guesses, reference)
    predictions[-1] = predictions[max(entries - 2, 0)]
    return reference, predictions[rng.permutation(entries)]


def make_board(entries: int, names: Sequence[str] = POLITE, cases: int = 600, resamples: int = 200) -> Board:
    """A board of so many entries, with a baseline, and one without a score."""
    reference, predictions = invent(entries, cases)
    # Every name once as it is, then numbered.
    numbered = [f"{name} {turn or ''}".strip() for turn in range(entries) for name in names]
    methods = [names[(index + 1) % len(names)] for index in range(entries)]
    made = make_entries(reference, predictions, numbered[:entries], methods)
    baseline = make_entries(reference, np.zeros((1, cases), dtype=int), [names[-1]], ["majority"])[0]
    rng = np.random.default_rng(1)
    history = tuple(
        HistoryPoint(
            entry.team,
            f"2026-02-{1 + (7 * step + index) % 28:02}T12:00:00Z",
            f"{index}-{step}",
            entry.scores[METRIC.name] - float(rng.random() * 0.1 * (4 - step)),
        )
        for index, entry in enumerate(made)
        for step in range(1 + index % 4)
    )
    board = board_of(reference, predictions, made, resamples)
    return _replace(
        board,
        baselines=(Baseline(baseline, (0.1, 0.2)),),
        unranked=(
            Unranked(names[0], names[-1], "2026-03-09T08:00:00Z", f"{names[2]}: ran longer than 600 s"),
        ),
        history=history,
    )


def make_entries(
    reference: np.ndarray, predictions: np.ndarray, teams: Sequence[str], methods: Sequence[str]
) -> tuple[Entry, ...]:
    """Entries with the scores of their predictions."""
    recalls = class_recalls(reference, predictions, np.ones((1, len(reference))))[:, 0]
    return tuple(
        Entry(
            submission=f"{index:064x}",
            team=team,
            method=method,
            received=f"2026-03-{1 + index % 28:02}T12:00:00Z",
            scores={
                METRIC.name: float(recalls[index].mean()),
                ACCURACY.name: float((predictions[index] == reference).mean()),
            },
            per_class=dict(zip(CLASS_NAMES, recalls[index].tolist(), strict=True)),
        )
        for index, (team, method) in enumerate(zip(teams, methods, strict=True))
    )


def board_of(
    reference: np.ndarray,
    predictions: np.ndarray,
    entries: tuple[Entry, ...],
    resamples: int,
    title: str = "Which body region is it?",
) -> Board:
    """The board of entries with their predictions (S, N); two cases a group."""
    groups = np.arange(len(reference)) // 2
    recalls = class_recalls(reference, predictions, draw(groups, resamples))
    drawn = recalls.mean(axis=-1)
    scores = {
        metric.name: np.array([entry.scores[metric.name] for entry in entries])
        for metric in (METRIC, ACCURACY)
    }
    board = Board(
        title=title,
        phase="Development",
        part="public",
        metric=METRIC,
        cases=len(reference),
        groups=int(groups.max()) + 1,
        class_names=CLASS_NAMES,
        class_measure=MEASURE,
        entries=entries,
        ranking=rank_entries(METRIC.name, scores[METRIC.name], drawn, groups=1_000),
        choices=compare_schemes(
            (METRIC, ACCURACY), scores, {ACCURACY.name: (predictions == reference).astype(np.float32)}
        ),
        agreements=tuple(find_agreements(predictions, predictions != reference)),
    )
    return with_resolution(board, drawn)


def _replace(board: Board, **changes: object) -> Board:
    import dataclasses

    return dataclasses.replace(board, **changes)  # type: ignore[arg-type]
