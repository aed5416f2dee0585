"""The submissions of a phase: those that stand on its boards, and what scoring left of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from challenge_bundle.errors import DataError, shown
from challenge_bundle.evaluation.context import Context
from challenge_bundle.evaluation.records import Records, Row
from challenge_bundle.evaluation.stored_scores import (
    board_metrics,
    current_scores,
    ranking_metric,
    refuse_other_images,
    score_of,
    scoring_dir,
)
from challenge_bundle.evaluation.teams import teams_of
from challenge_bundle.formats.scores import find_score, higher_is_better
from challenge_bundle.leaderboard.entries import Cases, Stored, read_cases
from challenge_bundle.leaderboard.metric_info import (
    MetricInfo,
    known_metrics,
    metric_info,
)
from challenge_bundle.leaderboard.schemes import Choices, compare_schemes
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
