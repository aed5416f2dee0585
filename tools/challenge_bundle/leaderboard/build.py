"""From the records to a leaderboard: the submissions on it and their predictions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from challenge_bundle.errors import DataError, shown
from challenge_bundle.evaluation.context import Context
from challenge_bundle.evaluation.feedback import message_of
from challenge_bundle.evaluation.records import Records, Row, format_time
from challenge_bundle.evaluation.signing import public_text, signing_key
from challenge_bundle.evaluation.stored_scores import (
    current_scores,
    ranking_metric,
    read_predictions,
    refuse_other_images,
)
from challenge_bundle.evaluation.teams import teams_of
from challenge_bundle.evaluation.verdicts import SCORED
from challenge_bundle.leaderboard.board import Board, Entry, HistoryPoint, Unranked
from challenge_bundle.leaderboard.ranking import rank_entries
from challenge_bundle.leaderboard.similarity import Agreement, find_agreements
from challenge_bundle.settings import METRICS, Phase


def make_board(context: Context, records: Records, phase_name: str | None, test_split: str | None) -> Board:
    """Rank the submissions of a phase.

    Args:
        context: Where they were evaluated.
        records: The records of all submissions.
        phase_name: A phase of bundle.toml; None takes the last that has opened.
        test_split: The split of the test set; None takes that of the phase.

    Raises:
        DataError: No such phase or split, or a score was computed with another reference or scoring program.
    """
    settings = context.bundle.evaluation
    phase = choose_phase(settings.phases, phase_name, datetime.now(UTC))
    test_split = test_split or phase.part
    if test_split not in context.test_splits:
        raise DataError(
            f"expected a split of the test set ({', '.join(context.test_splits)}) but got '{test_split}'",
            context.layout.manifest,
            code="no-such-split",
            hint="choose one of these, or set 'evaluation.public_share', from which they are made",
        )
    rows = [row for row in records.rows() if row.phase == phase.name]
    scores = current_scores(context, records, test_split, rows)
    scored = [row for row in rows if row.submission.id in scores]
    refuse_other_images(context, records, scored)
    # The phase's own split chooses: otherwise a team's best would be picked by private images.
    known = scores if test_split == phase.part else current_scores(context, records, phase.part, rows)
    # Without an entry nothing is ranked, and no scoring program has named its metric.
    metric = ranking_metric(context, next(iter(scores.values()))) if scores else settings.metric
    chosen = choose_entries(scored, known, metric, settings.take)
    answers = context.reference.label_of
    class_names = tuple(sorted(set(answers.values())))
    names = sorted(context.test_splits[test_split])
    label_of = {name: label for label, name in enumerate(class_names)}
    reference = np.array([label_of[answers[name]] for name in names])
    predictions = np.array([_labels(context, records, row, names, label_of) for row in chosen])
    ranking = None
    agreements: tuple[Agreement, ...] = ()
    if chosen:
        class_count = len(class_names)
        ranking = rank_entries(reference, predictions, class_count, metric, settings.resamples)
        agreements = tuple(find_agreements(reference, predictions, class_count))
    return Board(
        title=context.bundle.title,
        phase=phase.name,
        part=test_split,
        metric=metric,
        class_names=class_names,
        cases=len(names),
        entries=tuple(_entry(row, scores[row.submission.id]) for row in chosen),
        ranking=ranking,
        agreements=agreements,
        unranked=_unranked(rows),
        show_agreement=settings.show_agreement,
        show_failed=settings.show_failed,
        public_key=public_text(signing_key(context.layout).public_key()),
        history=_history(scored, scores, metric),
    )


def choose_phase(phases: Sequence[Phase], name: str | None, now: datetime) -> Phase:
    """The phase of a name, or the last that has opened.

    Raises:
        DataError: No phase has this name.
    """
    if name is not None:
        found = [phase for phase in phases if phase.name == name]
        if not found:
            raise DataError(
                f"expected a phase of bundle.toml ({', '.join(phase.name for phase in phases)}) but got"
                f" {shown(name)}",
                code="no-such-phase",
                hint="choose one of these with --phase",
            )
        return found[0]
    opened = [phase for phase in phases if phase.opens is None or phase.opens <= now]
    return opened[-1] if opened else phases[0]


def choose_entries(
    rows: Sequence[Row], scores: dict[str, dict[str, Any]], metric: str, take: str
) -> list[Row]:
    """Choose one submission of each team: its best (of equal ones the earlier) or its last.

    Args:
        rows: Scored submissions, in the order in which they were received.
        scores: Their scores, by id.
        metric: The metric that decides between submissions of a team.
        take: `best` or `last`.
    """
    team_of = teams_of(row.submission.team for row in rows)
    of_team: dict[str, list[Row]] = {}
    for row in rows:
        of_team.setdefault(team_of[row.submission.team], []).append(row)
    if take == "last":
        return [own[-1] for own in of_team.values()]
    # Of equal ones max takes the first, which is the earlier one.
    return [max(own, key=lambda row: float(scores[row.submission.id][metric])) for own in of_team.values()]


def _unranked(rows: Sequence[Row]) -> tuple[Unranked, ...]:
    return tuple(
        Unranked(
            row.submission.team,
            row.submission.method,
            format_time(row.submission.received),
            message_of(row),
        )
        for row in rows
        if row.state != SCORED
    )


def _history(
    scored: Sequence[Row], scores: dict[str, dict[str, Any]], metric: str
) -> tuple[HistoryPoint, ...]:
    """The scores of all submissions, with one name per team."""
    team_of = teams_of(row.submission.team for row in scored)
    return tuple(
        HistoryPoint(
            team_of[row.submission.team],
            format_time(row.submission.received),
            row.submission.sha256,
            float(scores[row.submission.id][metric]),
        )
        for row in scored
    )


def _labels(
    context: Context, records: Records, row: Row, names: Sequence[str], label_of: dict[str, int]
) -> list[int]:
    """The labels (N,) that a submission predicted."""
    table = read_predictions(context, records, row)
    return [label_of[table.class_of[name]] for name in names]


def _entry(row: Row, content: dict[str, Any]) -> Entry:
    return Entry(
        submission=row.submission.sha256,
        team=row.submission.team,
        method=row.submission.method,
        received=format_time(row.submission.received),
        # No metric of the probabilities: with made-up ones a log loss reveals the true classes.
        scores={name: content[name] for name in METRICS if name in content},
        per_class=content.get("details", content)["per_class"],
    )
