"""From what scoring left of the submissions to boards."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from challenge_bundle.evaluation.context import Context
from challenge_bundle.evaluation.feedback import message_of
from challenge_bundle.evaluation.records import Records, Row, format_time
from challenge_bundle.evaluation.signing import public_text, signing_key
from challenge_bundle.evaluation.teams import teams_of
from challenge_bundle.evaluation.verdicts import SCORED
from challenge_bundle.leaderboard.board import Baseline, Board, Entry, HistoryPoint, Unranked
from challenge_bundle.leaderboard.entries import Cases, MetricScores, Stored, read_metric
from challenge_bundle.leaderboard.evaluated import Evaluated, read_evaluated
from challenge_bundle.leaderboard.metric_info import (
    MetricInfo,
    case_counts,
    class_names,
    class_scores,
    metric_info,
)
from challenge_bundle.leaderboard.ranking import Ranking, rank_entries, score_intervals
from challenge_bundle.leaderboard.resolution import expected_shrinkage, find_resolution
from challenge_bundle.leaderboard.similarity import Agreement, find_agreements
from challenge_bundle.leaderboard.subgroups import SubgroupTable, make_tables


def make_board(context: Context, records: Records, phase_name: str | None, test_split: str | None) -> Board:
    """Rank the submissions of a phase by the metric that ranks; see read_evaluated."""
    return make_boards(read_evaluated(context, records, phase_name, test_split))[0]


def make_boards(evaluated: Evaluated) -> tuple[Board, ...]:
    """Make a board for each metric.

    Raises:
        DataError: A file of the scoring program is invalid.
    """
    agreements = _agreements(evaluated.cases)
    return tuple(_make(evaluated, metric, agreements) for metric in evaluated.metrics)


def _agreements(cases: Cases | None) -> tuple[Agreement, ...]:
    if cases is None or cases.answers is None:
        return ()
    found = find_agreements(cases.answers, cases.wrong)
    return tuple(
        Agreement(
            cases.rows[pair.first],
            cases.rows[pair.second],
            pair.kind,
            pair.shared_errors,
            pair.expected_errors,
            pair.p_value,
        )
        for pair in found
    )


def _make(evaluated: Evaluated, metric: MetricInfo, agreements: tuple[Agreement, ...]) -> Board:
    """One board."""
    context, settings = evaluated.context, evaluated.context.bundle.evaluation
    scored = [row for row in evaluated.rows if row.submission.id in evaluated.contents]
    names = [info.name for info in evaluated.metrics]
    measure, classes = _classes(evaluated, metric)
    found = read_metric(evaluated.stored, metric.name, settings.resamples)
    entries = tuple(
        _entry(row, one, names, metric, classes, why)
        for row, one, why in zip(evaluated.chosen, evaluated.stored, found.unpaired, strict=True)
    )
    board = Board(
        title=context.bundle.title,
        phase=evaluated.phase.name,
        part=evaluated.test_split,
        metric=metric,
        cases=len(context.test_splits[evaluated.test_split]),
        groups=_group_count(evaluated),
        class_names=classes,
        class_measure=measure,
        entries=entries,
        ranking=_rank(metric, found, _independent(evaluated)) if entries else None,
        baselines=_baselines(evaluated, metric, names, classes),
        choices=evaluated.choices,
        agreements=agreements,
        unranked=_unranked(evaluated.rows),
        show_agreement=settings.show_agreement,
        show_failed=settings.show_failed,
        public_key=public_text(signing_key(context.layout).public_key()),
        history=_history([row for row in scored if not row.is_baseline], evaluated.contents, metric.name),
        others=tuple(name for name in names if name != metric.name),
    )
    return with_resolution(board, found.resamples)


def _independent(evaluated: Evaluated) -> int | None:
    """Number of groups, or of cases where each is by itself; None if nothing says so."""
    if evaluated.cases is not None:
        return int(evaluated.cases.groups.max()) + 1
    counts = [case_counts(one.content) for one in evaluated.stored]
    return min((groups or cases or 0 for cases, groups in counts), default=0) or None


def _rank(metric: MetricInfo, found: MetricScores, groups: int | None) -> Ranking:
    return rank_entries(
        metric.name,
        found.scores,
        found.resamples,
        metric.higher_is_better,
        found.influences,
        found.intervals,
        groups,
    )


def with_resolution(board: Board, resamples: np.ndarray) -> Board:
    """Add to a board what its resamples (S, R) say of the test set and of the winner."""
    if board.ranking is None or not board.ranking.paired.any():
        return board
    return dataclasses.replace(
        board,
        resolution=find_resolution(resamples, board.order),
        shrinkage=expected_shrinkage(resamples[board.ranking.paired], board.metric.higher_is_better),
    )


def subgroup_tables(evaluated: Evaluated) -> list[SubgroupTable]:
    """The entries' scores in parts of the test set, for the organiser.

    They are of the metric that ranks if it is a mean over cases, otherwise of the first one that is.
    """
    cases = evaluated.cases
    if cases is None or len(cases.rows) < len(evaluated.stored) or not cases.values:
        return []
    names = [info.name for info in evaluated.metrics if info.name in cases.values] or [*cases.values]
    metric = metric_info(evaluated.stored[0].content, names[0])
    return make_tables(cases.attributes, cases.groups, cases.values[metric.name], metric)


def _classes(evaluated: Evaluated, metric: MetricInfo) -> tuple[str, tuple[str, ...]]:
    """What the table by class shows, and its classes: those that every entry has."""
    tables = [
        class_scores(one.content, metric.name) for one in (*evaluated.stored, *evaluated.stored_baselines)
    ]
    if not tables or any(set(one[1]) != set(tables[0][1]) or not one[1] for one in tables):
        return "", ()
    measure, table = tables[0]
    ordered = class_names((*evaluated.stored, *evaluated.stored_baselines)[0].content)
    return measure, tuple(dict.fromkeys([*(name for name in ordered if name in table), *table]))


def _group_count(evaluated: Evaluated) -> int | None:
    """Number of groups that the cases are of; None where each is by itself."""
    if evaluated.cases is not None:
        return evaluated.cases.group_count
    return case_counts(evaluated.stored[0].content)[1] if evaluated.stored else None


def _baselines(
    evaluated: Evaluated, metric: MetricInfo, names: Sequence[str], classes: Sequence[str]
) -> tuple[Baseline, ...]:
    if not evaluated.baselines:
        return ()
    resamples = evaluated.context.bundle.evaluation.resamples
    found = read_metric(evaluated.stored_baselines, metric.name, resamples)
    intervals = score_intervals(found.resamples, found.intervals)
    return tuple(
        Baseline(_entry(row, one, names, metric, classes, why), (float(low), float(high)))
        for row, one, why, (low, high) in zip(
            evaluated.baselines, evaluated.stored_baselines, found.unpaired, intervals, strict=True
        )
    )


def _unranked(rows: Sequence[Row]) -> tuple[Unranked, ...]:
    return tuple(
        Unranked(
            row.submission.team,
            row.submission.method,
            format_time(row.submission.received),
            message_of(row),
        )
        for row in rows
        if row.state != SCORED and not row.is_baseline
    )


def _history(
    scored: Sequence[Row], scores: Mapping[str, Mapping[str, Any]], metric: str
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


def _entry(
    row: Row, stored: Stored, names: Sequence[str], metric: MetricInfo, classes: Sequence[str], unpaired: str
) -> Entry:
    table = class_scores(stored.content, metric.name)[1]
    return Entry(
        submission=row.submission.sha256,
        team=row.submission.team,
        method=row.submission.method,
        received=format_time(row.submission.received),
        # No other metric: with made-up probabilities a log loss reveals the reference.
        scores={name: float(stored.content[name]) for name in names},
        per_class={name: table.get(name, math.nan) for name in classes},
        kind=row.kind,
        unpaired=unpaired,
    )
