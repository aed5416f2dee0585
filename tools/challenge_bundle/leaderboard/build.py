"""From the records to leaderboards: the submissions on them, and what scoring left of each."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from challenge_bundle.errors import DataError, shown
from challenge_bundle.evaluation.context import Context
from challenge_bundle.evaluation.feedback import message_of
from challenge_bundle.evaluation.records import Records, Row, format_time
from challenge_bundle.evaluation.signing import public_text, signing_key
from challenge_bundle.evaluation.stored_scores import (
    board_metrics,
    current_scores,
    ranking_metric,
    refuse_other_images,
    score_of,
    scoring_dir,
)
from challenge_bundle.evaluation.teams import teams_of
from challenge_bundle.evaluation.verdicts import SCORED
from challenge_bundle.formats.scores import find_score, higher_is_better
from challenge_bundle.leaderboard.board import Baseline, Board, Entry, HistoryPoint, Unranked
from challenge_bundle.leaderboard.entries import Cases, MetricScores, Stored, read_cases, read_metric
from challenge_bundle.leaderboard.metric_info import (
    MetricInfo,
    case_counts,
    class_names,
    class_scores,
    known_metrics,
    metric_info,
)
from challenge_bundle.leaderboard.ranking import Ranking, rank_entries, score_intervals
from challenge_bundle.leaderboard.resolution import expected_shrinkage, find_resolution
from challenge_bundle.leaderboard.schemes import Choices, compare_schemes
from challenge_bundle.leaderboard.similarity import Agreement, find_agreements
from challenge_bundle.leaderboard.subgroups import SubgroupTable, make_tables
from challenge_bundle.runs.programs import SCORING
from challenge_bundle.settings import Phase


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """The submissions of a phase on one split of the test set, and those that stand on its boards.

    Args:
        context: Where they were evaluated.
        phase: The phase.
        test_split: The split.
        rows: All submissions of the phase.
        contents: What each scored one's scores.json holds, by id.
        metrics: Those that have a board, that which ranks first; a single one without a submission.
        chosen: One submission of each team.
        baselines: The organiser's own.
        stored: What scoring left of the chosen ones.
        stored_baselines: Likewise.
        cases: Of the chosen ones; None if the scoring program wrote none.
        choices: Who is first under other ways to rank.
    """

    context: Context
    phase: Phase
    test_split: str
    rows: tuple[Row, ...]
    contents: Mapping[str, Mapping[str, Any]]
    metrics: tuple[MetricInfo, ...]
    chosen: tuple[Row, ...]
    baselines: tuple[Row, ...]
    stored: tuple[Stored, ...]
    stored_baselines: tuple[Stored, ...]
    cases: Cases | None
    choices: Choices


def make_board(context: Context, records: Records, phase_name: str | None, test_split: str | None) -> Board:
    """Rank the submissions of a phase by the metric that ranks; see read_evaluated."""
    return make_boards(read_evaluated(context, records, phase_name, test_split))[0]


def read_evaluated(
    context: Context,
    records: Records,
    phase_name: str | None,
    test_split: str | None,
    metrics: Sequence[str] = (),
) -> Evaluated:
    """Choose the submissions of a phase's boards, and read what scoring left of them.

    Args:
        context: Where they were evaluated.
        records: The records of all submissions.
        phase_name: A phase of bundle.toml; None takes the last that has opened.
        test_split: The split of the test set; None takes that of the phase.
        metrics: Those that get a board; by default those of bundle.toml.

    Raises:
        DataError: No such phase, split or metric, or a score was computed with another reference or scoring
            program.
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
    contents = current_scores(context, records, test_split, rows)
    scored = [row for row in rows if row.submission.id in contents]
    refuse_other_images(context, records, scored)
    # The phase's own split chooses: otherwise a team's best would be picked by private images.
    known = contents if test_split == phase.part else current_scores(context, records, phase.part, rows)
    infos = _metrics(context, contents, metrics)
    chosen: list[Row] = []
    if scored:
        ranks_by = ranking_metric(context, next(iter(known.values())))
        higher = metric_info(next(iter(known.values())), ranks_by).higher_is_better
        chosen = choose_entries(
            [row for row in scored if not row.is_baseline], known, ranks_by, settings.take, higher
        )
    baselines = [row for row in scored if row.is_baseline]

    def stored(of: Sequence[Row]) -> tuple[Stored, ...]:
        return tuple(
            Stored(contents[row.submission.id], scoring_dir(context, records, row, test_split)) for row in of
        )

    kept = stored(chosen)
    cases = read_cases(kept)
    return Evaluated(
        context=context,
        phase=phase,
        test_split=test_split,
        rows=tuple(rows),
        contents=contents,
        metrics=infos,
        chosen=tuple(chosen),
        baselines=tuple(baselines),
        stored=kept,
        stored_baselines=stored(baselines),
        cases=cases,
        choices=_compare(kept, infos, cases),
    )


def _metrics(
    context: Context, contents: Mapping[str, Mapping[str, Any]], asked: Sequence[str]
) -> tuple[MetricInfo, ...]:
    """The metrics that get a board, after every submission was asked for them."""
    settings = context.bundle.evaluation
    if not contents:
        # Without a submission no scoring program has named its metric.
        return tuple(MetricInfo(name, name.replace("_", " ")) for name in (*asked, settings.metric)[:1])
    for content in contents.values():
        for name in asked:
            score_of(context, content, name, "--metric")
    first = next(iter(contents.values()))
    infos = tuple(metric_info(first, name) for name in asked or board_metrics(context, first))
    for info in infos:
        if any(higher_is_better(one, info.name) != info.higher_is_better for one in contents.values()):
            raise DataError(
                f"{info.name} is better when higher in some scores and when lower in others",
                context.layout.program_dir(SCORING.folder),
                code="metric-directions-differ",
                hint="let the scoring program write the same 'higher_is_better' for every submission, and run"
                " `evaluate --rescore`",
            )
    return infos


def _compare(stored: Sequence[Stored], infos: Sequence[MetricInfo], cases: Cases | None) -> Choices:
    """Who is first under each metric that all entries have, and each way to take the cases together."""
    if not stored:
        return Choices()
    first = stored[0].content
    listed = {info.name: info for info in infos}
    for name in known_metrics(first):
        listed.setdefault(name, metric_info(first, name))
    scores = {
        name: np.array(values, dtype=np.float64)
        for name in listed
        if None not in (values := [find_score(one.content, name) for one in stored])
    }
    is_whole = cases is not None and len(cases.rows) == len(stored)
    return compare_schemes(list(listed.values()), scores, cases.values if cases and is_whole else {})


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
    rows: Sequence[Row],
    scores: Mapping[str, Mapping[str, Any]],
    metric: str,
    take: str,
    higher_is_better: bool = True,
) -> list[Row]:
    """Choose one submission of each team: its best (of equal ones the earlier) or its last.

    Args:
        rows: Scored submissions, in the order in which they were received.
        scores: Their scores, by id.
        metric: The metric that decides between submissions of a team.
        take: `best` or `last`.
        higher_is_better: Whether the best is the highest.
    """
    team_of = teams_of(row.submission.team for row in rows)
    of_team: dict[str, list[Row]] = {}
    for row in rows:
        of_team.setdefault(team_of[row.submission.team], []).append(row)
    if take == "last":
        return [own[-1] for own in of_team.values()]
    sign = 1.0 if higher_is_better else -1.0
    # Of equal ones max takes the first, which is the earlier one.
    return [
        max(own, key=lambda row: sign * float(scores[row.submission.id][metric])) for own in of_team.values()
    ]


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
