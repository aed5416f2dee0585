"""Scoring every stored csv again after the program or the reference changed, without any inference."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from challenge_bundle.engines.base import Engine
from challenge_bundle.errors import DataError
from challenge_bundle.evaluation.context import Context
from challenge_bundle.evaluation.intake import describe
from challenge_bundle.evaluation.receipts import is_receipt_current, renew_receipt
from challenge_bundle.evaluation.records import Records, Row
from challenge_bundle.evaluation.scoring import score
from challenge_bundle.evaluation.step_sequence import scores_of
from challenge_bundle.evaluation.stored_scores import (
    board_metrics,
    ranking_metric,
    refuse_missing_results,
    results_of,
    stale_rows,
)
from challenge_bundle.evaluation.verdicts import SCORED
from challenge_bundle.formats.scores import find_score, higher_is_better
from challenge_bundle.progress import Progress


@dataclass(frozen=True, slots=True)
class Move:
    """How a rescore changed a submission's score or place.

    Args:
        row: The submission.
        test_split: `public`, `final` (the private one) or `all`.
        before: Its score in the manifest's metric.
        after: Its score now.
        rank_before: Its place among all of its phase that were scored again, from 1; equal scores share one.
        rank_after: Its place among the same now.
    """

    row: Row
    test_split: str
    before: float
    after: float
    rank_before: int
    rank_after: int

    def document(self) -> dict[str, Any]:
        """The change for `--json`."""
        return {
            "id": self.row.submission.id,
            "part": self.test_split,
            "before": self.before,
            "after": self.after,
            "rank_before": self.rank_before,
            "rank_after": self.rank_after,
        }

    def __str__(self) -> str:
        score = f"{self.before:.4f} to {self.after:.4f} ({self.after - self.before:+.4f})"
        place = f"place {self.rank_before} to {self.rank_after}"
        return f"{describe(self.row.submission)}, test split {self.test_split}: {score}, {place}"


@dataclass(frozen=True, slots=True)
class Rescored:
    """What a rescore did.

    Args:
        submissions: How many were scored again.
        moves: All whose score or place changed, by split, phase and place.
        without_score: How many had no score before in the manifest's metric, and so cannot have moved.
    """

    submissions: int
    moves: list[Move]
    without_score: int = 0


def rescore(context: Context, records: Records, engine: Engine, progress: Progress) -> Rescored:
    """Score what was scored with another program or reference; nothing is replaced before all is scored.

    Args:
        context: Where it is evaluated.
        records: Get the new scores, in one transaction.
        engine: Runs the scoring program.
        progress: Gets how far it has come.

    Raises:
        DataError: A csv is of other images, or the scoring program does not give the manifest's metric; the
            old scores stay.
        ProgramError: The scoring program failed; likewise.
        UnavailableError: The engine went away; likewise.
    """
    engine.stop(context.owner)
    rows = [row for row in records.rows() if row.state == SCORED]
    before = {test_split: records.scores(test_split) for test_split in context.test_splits}
    stale = {test_split: stale_rows(context, records, test_split, rows) for test_split in context.test_splits}
    pending = [row for row in rows if any(row in found for found in stale.values())]
    refuse_missing_results(context, records, pending)
    fresh: list[tuple[str, str, str, str]] = []
    for done, row in enumerate(pending, start=1):
        fresh += _score(context, records, engine, row)
        progress("scoring", done, len(pending))
    records.add_scores(fresh)
    for row in rows:
        _renew(context, records, engine, row)
    moves: list[Move] = []
    lacking: set[str] = set()
    for test_split in context.test_splits:
        after = records.scores(test_split)
        for phase in sorted({row.phase for row in pending}):
            of_phase = [row for row in pending if row.phase == phase]
            found, without = _moves(context, test_split, of_phase, before[test_split], after)
            moves += found
            lacking |= without
    return Rescored(len(pending), moves, len(lacking))


def _score(context: Context, records: Records, engine: Engine, row: Row) -> list[tuple[str, str, str, str]]:
    """The new scores of a submission, as the records take them.

    Raises:
        DataError: The scoring program refuses its predictions now, or does not write what the board needs.
    """
    record = score(context, engine, results_of(context, records, row))
    if record.verdict:
        raise DataError(
            f"the scoring program refuses the predictions of {describe(row.submission)}, which were scored"
            f" before: {record.verdict}",
            results_of(context, records, row),
            code="refused-by-rescore",
            hint="correct the scoring program, or take the submission out with `evaluate --drop"
            f" {row.submission.sha256[:12]}`",
        )
    fresh = scores_of(context, row.submission.id, record)
    for _, _, _, content in fresh:
        board_metrics(context, json.loads(content))
    return fresh


def _renew(context: Context, records: Records, engine: Engine, row: Row) -> None:
    """Bring steps and receipts to the scores; of an earlier rescore too, if that was cut off before it."""
    submission = row.submission.id
    known = {name: key for name, (key, _) in records.steps(submission).items()}
    (key, *others) = {records.scores(split)[submission][0] for split in context.test_splits}
    # Scores of version 0.1 have a key for each split, and their steps are known by them.
    changed = {} if others or key in _former_keys(known) else {"scoring": key}
    changed = {name: key for name, key in changed.items() if known.get(name) != key}
    if changed or not is_receipt_current(context.layout, submission):
        renew_receipt(context, row, engine.description, known | changed)
    # After the receipt: they are the sign that it is there.
    for name, key in changed.items():
        records.add_step(submission, name, key, 0.0)


def _former_keys(known: Mapping[str, str]) -> set[str]:
    return {key for name, key in known.items() if name.startswith("scoring-")}


def _moves(
    context: Context,
    test_split: str,
    rows: list[Row],
    before: dict[str, tuple[str, str]],
    after: dict[str, tuple[str, str]],
) -> tuple[list[Move], set[str]]:
    """Compare like with like: the same metric, and places among those that have it before and after."""
    contents = [
        {row.submission.id: json.loads(scores.get(row.submission.id, ("", "{}"))[1]) for row in rows}
        for scores in (before, after)
    ]
    example = next(iter(contents[1].values()))
    metric = ranking_metric(context, example)
    sign = 1.0 if higher_is_better(example, metric) else -1.0
    old, new = (
        {
            submission: value
            for submission, content in of_all.items()
            if (value := find_score(content, metric)) is not None
        }
        for of_all in contents
    )
    both = {row.submission.id: row for row in rows if row.submission.id in old.keys() & new.keys()}
    moves = []
    for submission, row in both.items():
        places = tuple(
            1 + sum(sign * scores[other] > sign * scores[submission] for other in both)
            for scores in (old, new)
        )
        move = Move(row, test_split, old[submission], new[submission], *places)
        if move.before != move.after or move.rank_before != move.rank_after:
            moves.append(move)
    moves.sort(key=lambda move: (move.rank_after, move.row.submission.id))
    return moves, new.keys() - old.keys()
