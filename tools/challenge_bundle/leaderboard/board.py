"""A leaderboard as data: entries with their ranks, baselines, what has no score, score histories."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from challenge_bundle.errors import DataError, shown
from challenge_bundle.leaderboard.metric_info import MetricInfo
from challenge_bundle.leaderboard.ranking import Ranking
from challenge_bundle.leaderboard.resolution import Resolution
from challenge_bundle.leaderboard.schemes import Choices
from challenge_bundle.leaderboard.similarity import Agreement

SAME_SCORE = 1e-6
"""A ranking and a scoring program whose scores differ by more were not given the same predictions."""


NO_CHOICES = Choices()


@dataclass(frozen=True, slots=True)
class Entry:
    """A submission that was scored.

    Args:
        submission: SHA-256 of the zip, in hexadecimal.
        team: The team's name, as the participant wrote it.
        method: The method's name, likewise.
        received: ISO 8601 time.
        scores: The metrics that have a board, by name.
        per_class: By class or label, the measure that the board's metric averages; empty if there is none.
        kind: `code` or `predictions`.
        unpaired: Why it is ranked without resamples; empty if it has them.
    """

    submission: str
    team: str
    method: str
    received: str
    scores: dict[str, float]
    per_class: dict[str, float]
    kind: str = "code"
    unpaired: str = ""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A submission of the organiser's, for comparison: it has a score and no rank.

    Args:
        entry: What was scored.
        interval: Of its score, (low, high); nan where none is known.
    """

    entry: Entry
    interval: tuple[float, float] = (math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Unranked:
    """A submission without a score, and why."""

    team: str
    method: str
    received: str
    reason: str


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """The score of one submission of a team, whether or not it is on the board."""

    team: str
    received: str
    submission: str
    score: float


@dataclass(frozen=True, slots=True)
class Board:
    """A leaderboard.

    Args:
        title: Of the challenge.
        phase: Name of the phase.
        part: The split of the test set: `public`, `final` (the private one) or `all`.
        metric: The metric that ranks.
        cases: N, number of cases.
        entries: In the order of the ranking's arrays.
        ranking: Their ranking; None if there is no entry.
        groups: G, number of groups (patients) that the cases are of; None if each case is by itself.
        class_names: Classes or labels of the table by class, in order; empty if there is no such table.
        class_measure: What that table shows, such as `f1`.
        baselines: The organiser's own, outside the ranking.
        choices: Who is first under other ways to rank.
        resolution: What differences the test set tells apart; None if that is not known.
        shrinkage: By how much the winner's score is expected to be worse on other cases; nan if not known.
        agreements: Pairs of entries that agree suspiciously, by index.
        unranked: Submissions without a score.
        history: Scores of all submissions of all teams.
        show_agreement: Whether the published board lists the agreements; the organiser's page always does.
        show_failed: Whether it lists the submissions without a score, likewise.
        public_key: The key that checks receipts, as PEM.
        others: Names of the further metrics that have a board beside this one.

    Raises:
        DataError: A score is missing or not finite, a time is invalid, or the ranking does not fit.
    """

    title: str
    phase: str
    part: str
    metric: MetricInfo
    cases: int
    entries: tuple[Entry, ...]
    ranking: Ranking | None
    groups: int | None = None
    class_names: tuple[str, ...] = ()
    class_measure: str = ""
    baselines: tuple[Baseline, ...] = ()
    choices: Choices = NO_CHOICES
    resolution: Resolution | None = None
    shrinkage: float = math.nan
    agreements: tuple[Agreement, ...] = ()
    unranked: tuple[Unranked, ...] = ()
    history: tuple[HistoryPoint, ...] = ()
    show_agreement: bool = False
    show_failed: bool = False
    public_key: str = ""
    others: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for entry in (*self.entries, *(one.entry for one in self.baselines)):
            _check_entry(entry, self.metric.name, self.class_names)
        for point in self.history:
            _check_finite(f"history of {shown(point.team)}", "", [("score", point.score)])
            parse_time(point.received)
        self._check_ranking()

    def _check_ranking(self) -> None:
        ranking = self.ranking
        if ranking is None:
            if self.entries:
                raise DataError(
                    f"expected a ranking of {len(self.entries)} entries but got none", code="board-unranked"
                )
            return
        found = (ranking.metric, ranking.higher_is_better, len(ranking.scores))
        expected = (self.metric.name, self.metric.higher_is_better, len(self.entries))
        if found != expected:
            raise DataError(
                f"expected a ranking of {expected} (metric, higher is better, entries) but got {found}",
                code="board-other-ranking",
            )
        for entry, score in zip(self.entries, ranking.scores, strict=True):
            stated = entry.scores[self.metric.name]
            if abs(stated - score) > SAME_SCORE * max(1.0, abs(stated)):
                raise DataError(
                    f"{self.metric.name} is {stated:.6f} in the scores and {score:.6f} in the"
                    " ranking; both must come from the same predictions on the same cases",
                    _location(entry),
                    code="board-other-score",
                )

    @property
    def order(self) -> list[int]:
        """Indices of the entries, the best first; of equal ones the earlier first."""
        ranking = self.ranking
        if ranking is None:
            return []
        return sorted(
            range(len(self.entries)),
            key=lambda index: (
                int(ranking.ranks[index]),
                parse_time(self.entries[index].received).timestamp(),
                self.entries[index].submission,
            ),
        )

    @property
    def size(self) -> str:
        """How large the test set is, in words."""
        cases = f"{self.cases:,} cases"
        return cases if self.groups is None else f"{cases} of {self.groups:,} groups (patients)"


def parse_time(text: str) -> datetime:
    """Parse an ISO 8601 time.

    Raises:
        DataError: The text is no such time, or has no time zone.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(
            f"expected an ISO 8601 time, such as 2026-03-01T12:00:00Z, but got {shown(text)}",
            code="invalid-time",
        ) from None
    if time.tzinfo is None:
        raise DataError(
            f"expected a time with a time zone, such as 2026-03-01T12:00:00Z, but got {shown(text)}",
            code="no-time-zone",
        )
    return time


def board_rows(board: Board) -> list[dict[str, Any]]:
    """The ranked entries, the best first, each as the cells of its row; None where a figure is not known."""
    ranking = board.ranking
    if ranking is None:
        return []
    return [
        {
            "rank": int(ranking.ranks[index]),
            "team": board.entries[index].team,
            "method": board.entries[index].method,
            "kind": board.entries[index].kind,
            "submission": board.entries[index].submission,
            "received": board.entries[index].received,
            "score": float(ranking.scores[index]),
            "score_low": _known(ranking.intervals[index, 0]),
            "score_high": _known(ranking.intervals[index, 1]),
            **_uncertainty(ranking, index),
            "first_under": board.choices.first_count(index),
        }
        for index in board.order
    ]


def _uncertainty(ranking: Ranking, index: int) -> dict[str, int | float | None]:
    """What the resamples say of an entry's rank."""
    names = (
        "rank_low",
        "rank_high",
        "drawn_rank_low",
        "drawn_rank_high",
        "probability_first",
        "group",
        "beats",
        "beaten_by",
    )
    if not ranking.paired[index]:
        return dict.fromkeys(names)
    values = (
        *ranking.rank_intervals[index].tolist(),
        *ranking.drawn_ranks[index].tolist(),
        float(ranking.first[index]),
        int(ranking.rank_groups[index]),
        int(ranking.wins[index].sum()),
        int(ranking.wins[:, index].sum()),
    )
    return dict(zip(names, values, strict=True))


def board_document(board: Board) -> dict[str, Any]:
    """Everything that the board shows, ready for JSON."""
    ranking = board.ranking
    entries = [
        row
        | {
            "scores": board.entries[index].scores,
            "per_class": {name: _known(score) for name, score in board.entries[index].per_class.items()},
            "without_resamples": board.entries[index].unpaired,
            "beats": [board.entries[other].submission for other in board.order if ranking.wins[index, other]],
        }
        for index, row in zip(board.order, board_rows(board), strict=True)
        if ranking is not None
    ]
    agreements = [
        asdict(pair)
        | {
            "first": board.entries[pair.first].submission,
            "second": board.entries[pair.second].submission,
        }
        for pair in board.agreements
    ]
    chosen: dict[str, Any] = {}
    if board.show_failed:
        chosen["unranked"] = [asdict(one) for one in board.unranked]
    if board.show_agreement:
        chosen["agreements"] = agreements
    is_drawn = ranking is not None and ranking.resamples > 0
    return {
        "title": board.title,
        "phase": board.phase,
        "part": board.part,
        "metric": board.metric.name,
        "metric_title": board.metric.title,
        "unit": board.metric.unit,
        "higher_is_better": board.metric.higher_is_better,
        "caution": board.metric.caution,
        "cases": board.cases,
        "groups": board.groups,
        "class_names": list(board.class_names),
        "class_measure": board.class_measure,
        "resamples": 0 if ranking is None else ranking.resamples,
        "pairs_tested": bool(is_drawn and ranking is not None and ranking.tested),
        "kendall_tau": ranking.tau if ranking is not None and is_drawn else None,
        "kendall_tau_interval": list(ranking.tau_interval) if ranking is not None and is_drawn else None,
        "expected_shrinkage": _known(board.shrinkage),
        "resolution": _resolution(board),
        "entries": entries,
        "baselines": [_baseline(one, board.metric.name) for one in board.baselines],
        "schemes": [
            {
                "name": scheme.name,
                "metric": scheme.metric,
                "kind": scheme.kind,
                "first": [board.entries[index].submission for index in scheme.first],
            }
            for scheme in board.choices.schemes
        ],
        "other_metrics": list(board.others),
        "history": [asdict(point) for point in board.history],
        "public_key": board.public_key,
        **chosen,
    }


def _resolution(board: Board) -> dict[str, Any] | None:
    found = board.resolution
    if found is None:
        return None
    return {
        "pairs": found.pairs,
        "first_two": _known(found.first_two),
        "neighbours": _known(found.neighbours),
    }


def _baseline(one: Baseline, metric: str) -> dict[str, Any]:
    return {
        "team": one.entry.team,
        "method": one.entry.method,
        "kind": one.entry.kind,
        "submission": one.entry.submission,
        "score": one.entry.scores[metric],
        "score_low": _known(one.interval[0]),
        "score_high": _known(one.interval[1]),
        "scores": one.entry.scores,
    }


def _known(value: float) -> float | None:
    """A number for JSON; None if it is not known."""
    return float(value) if math.isfinite(value) else None


def _check_entry(entry: Entry, metric: str, class_names: tuple[str, ...]) -> None:
    where = _location(entry)
    if metric not in entry.scores:
        raise DataError(f"expected the score {metric} but got none", where, code="board-no-score")
    if set(entry.per_class) != set(class_names):
        raise DataError(
            f"expected scores of the classes {sorted(class_names)} but got {sorted(entry.per_class)}",
            where,
            code="board-other-classes",
        )
    _check_finite(where, "", entry.scores.items())
    for class_name, score in entry.per_class.items():
        # A label without a positive case has no score; an infinite one is a fault.
        if math.isinf(score):
            _check_finite(where, f" of {shown(class_name)}", [("score", score)])
    parse_time(entry.received)


def _location(entry: Entry) -> str:
    return f"{shown(entry.team)}, submission {entry.submission[:12]}"


def _check_finite(where: str, what: str, scores: Iterable[tuple[str, float]]) -> None:
    for name, score in scores:
        if not math.isfinite(score):
            raise DataError(
                f"expected a finite {name}{what} but got {score}", where, code="board-score-not-finite"
            )
