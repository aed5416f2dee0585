"""A leaderboard as data: entries with their ranks, submissions without a score, score histories."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from challenge_bundle.errors import DataError, shown
from challenge_bundle.leaderboard.ranking import Ranking
from challenge_bundle.leaderboard.similarity import Agreement

SAME_SCORE = 1e-6
"""A ranking and a scoring program whose scores differ by more were not given the same predictions."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A submission that was scored.

    Args:
        submission: SHA-256 of the zip, in hexadecimal.
        team: The team's name, as the participant wrote it.
        method: The method's name, likewise.
        received: ISO 8601 time.
        scores: Every metric by its name.
        per_class: precision, recall, f1 and support of each class.
    """

    submission: str
    team: str
    method: str
    received: str
    scores: dict[str, float]
    per_class: dict[str, dict[str, float]]


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
        metric: Name of the metric that ranks.
        class_names: In label order.
        cases: N, number of images.
        entries: In the order of the ranking's arrays.
        ranking: Their ranking; None if there is no entry.
        agreements: Pairs of entries that agree suspiciously, by index.
        unranked: Submissions without a score.
        history: Scores of all submissions of all teams.
        show_agreement: Whether the published board lists the agreements; the organiser's page always does.
        show_failed: Whether it lists the submissions without a score, likewise.
        public_key: The key that checks receipts, as PEM.

    Raises:
        DataError: A score is missing or not finite, a time is invalid, or the ranking does not fit.
    """

    title: str
    phase: str
    part: str
    metric: str
    class_names: tuple[str, ...]
    cases: int
    entries: tuple[Entry, ...]
    ranking: Ranking | None
    agreements: tuple[Agreement, ...] = ()
    unranked: tuple[Unranked, ...] = ()
    history: tuple[HistoryPoint, ...] = ()
    show_agreement: bool = False
    show_failed: bool = False
    public_key: str = ""

    def __post_init__(self) -> None:
        for entry in self.entries:
            _check_entry(entry, self.metric, self.class_names)
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
        found = (ranking.metric, ranking.cases, len(ranking.scores))
        expected = (self.metric, self.cases, len(self.entries))
        if found != expected:
            raise DataError(
                f"expected a ranking of {expected} (metric, cases, entries) but got {found}",
                code="board-other-ranking",
            )
        for entry, score in zip(self.entries, ranking.scores, strict=True):
            if abs(entry.scores[self.metric] - score) > SAME_SCORE:
                raise DataError(
                    f"{self.metric} is {entry.scores[self.metric]:.6f} in the scores and {score:.6f} in the"
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
    """The ranked entries, the best first, each as the cells of its row in the table."""
    ranking = board.ranking
    if ranking is None:
        return []
    return [
        {
            "rank": int(ranking.ranks[index]),
            "team": board.entries[index].team,
            "method": board.entries[index].method,
            "submission": board.entries[index].submission,
            "received": board.entries[index].received,
            "score": float(ranking.scores[index]),
            "score_low": float(ranking.intervals[index, 0]),
            "score_high": float(ranking.intervals[index, 1]),
            "rank_low": int(ranking.rank_intervals[index, 0]),
            "rank_high": int(ranking.rank_intervals[index, 1]),
            "probability_first": float(ranking.first[index]),
            "group": int(ranking.rank_groups[index]),
            "beats": int(ranking.wins[index].sum()),
            "beaten_by": int(ranking.wins[:, index].sum()),
        }
        for index in board.order
    ]


def board_document(board: Board) -> dict[str, Any]:
    """Everything that the board shows, ready for JSON."""
    ranking = board.ranking
    entries = [
        row
        | {
            "scores": board.entries[index].scores,
            "per_class": board.entries[index].per_class,
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
    return {
        "title": board.title,
        "phase": board.phase,
        "part": board.part,
        "metric": board.metric,
        "cases": board.cases,
        "class_names": list(board.class_names),
        "resamples": 0 if ranking is None else ranking.resamples,
        "kendall_tau": None if ranking is None else ranking.tau,
        "kendall_tau_interval": None if ranking is None else list(ranking.tau_interval),
        "entries": entries,
        "history": [asdict(point) for point in board.history],
        "public_key": board.public_key,
        **chosen,
    }


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
    for class_name, scores in entry.per_class.items():
        _check_finite(where, f" of {shown(class_name)}", scores.items())
    parse_time(entry.received)


def _location(entry: Entry) -> str:
    return f"{shown(entry.team)}, submission {entry.submission[:12]}"


def _check_finite(where: str, what: str, scores: Iterable[tuple[str, float]]) -> None:
    for name, score in scores:
        if not math.isfinite(score):
            raise DataError(
                f"expected a finite {name}{what} but got {score}", where, code="board-score-not-finite"
            )
