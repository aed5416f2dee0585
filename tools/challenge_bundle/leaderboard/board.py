"""What a leaderboard shows, as data: entries with their ranks, those without, and each team's history."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from challenge_bundle.errors import DataError, shown
from challenge_bundle.leaderboard.ranking import Ranking
from challenge_bundle.leaderboard.similarity import Agreement

# A ranking and a scoring program that disagree by more have not seen the same answers.
SAME_SCORE = 1e-6


@dataclass(frozen=True, slots=True)
class Entry:
    """A submission that was scored.

    Args:
        submission: SHA-256 of the zip, in hexadecimal.
        team: Its name, a stranger's text.
        method: Its name, a stranger's text.
        received: ISO 8601 time.
        scores: Every score by its name.
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
    """The score of one of a team's submissions, whether or not it is on the board."""

    team: str
    received: str
    submission: str
    score: float


@dataclass(frozen=True, slots=True)
class Board:
    """A leaderboard.

    Args:
        title: Of the challenge.
        phase: Its name.
        part: The cases that count: the public part, all of them, or the final ones.
        metric: Name of the score that ranks.
        class_names: In label order.
        cases: N, how many count.
        entries: In the order of the ranking's arrays.
        ranking: Theirs; None if there is no entry.
        agreements: Pairs of entries, by their index.
        unranked: What could not be scored.
        history: Of all teams.
        show_agreement: Whether what is published names the agreements; the organiser sees them on a page of
            their own.
        show_failed: Whether it names what could not be scored, likewise.
        public_key: With which receipts are checked, as PEM.

    Raises:
        DataError: A score is missing or not finite, a time is none, or the ranking is of something else.
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
            _check_finite(f"history of {shown(point.team)}", [("score", point.score)])
            parse_time(point.received)
        self._check_ranking()

    def _check_ranking(self) -> None:
        ranking = self.ranking
        if ranking is None:
            if self.entries:
                raise DataError(f"{len(self.entries)} entries without a ranking; rank them first")
            return
        found = (ranking.metric, ranking.cases, len(ranking.scores))
        expected = (self.metric, self.cases, len(self.entries))
        if found != expected:
            raise DataError(f"the ranking is of {found} (score, cases, entries); the board of {expected}")
        for entry, score in zip(self.entries, ranking.scores, strict=True):
            if abs(entry.scores[self.metric] - score) > SAME_SCORE:
                raise DataError(
                    f"{shown(entry.team)}, submission {entry.submission[:12]}: {self.metric} is"
                    f" {entry.scores[self.metric]:.6f} in the scores and {score:.6f} in the ranking; both"
                    " must come from the same answers on the same cases"
                )

    @property
    def order(self) -> list[int]:
        """Indices of the entries, the best first; of equals the earlier one."""
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
        DataError: It is none, or says no time zone.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(f"{shown(text)} is no ISO 8601 time, such as 2026-03-01T12:00:00Z") from None
    if time.tzinfo is None:
        raise DataError(f"{shown(text)} has no time zone; write 2026-03-01T12:00:00Z")
    return time


def board_rows(board: Board) -> list[dict[str, Any]]:
    """The ranked entries, the best first, each as the cells of its line in the table."""
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
            "group": int(ranking.groups[index]),
            "beats": int(ranking.wins[index].sum()),
            "beaten_by": int(ranking.wins[:, index].sum()),
        }
        for index in board.order
    ]


def board_document(board: Board) -> dict[str, Any]:
    """All that the board shows, ready for JSON."""
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
    where = f"{shown(entry.team)}, submission {entry.submission[:12]}"
    if metric not in entry.scores:
        raise DataError(f"{where}: no {metric}; an entry without its score belongs to the unranked ones")
    if set(entry.per_class) != set(class_names):
        raise DataError(f"{where}: scores of {sorted(entry.per_class)}; expected {sorted(class_names)}")
    _check_finite(where, entry.scores.items())
    for class_name, scores in entry.per_class.items():
        _check_finite(f"{where}: {class_name}", scores.items())
    parse_time(entry.received)


def _check_finite(where: str, scores: Iterable[tuple[str, float]]) -> None:
    for name, score in scores:
        if not math.isfinite(score):
            raise DataError(f"{where}: {name} is {score}; it belongs to the unranked ones")
