"""Notes that the organiser reads with a board: failures, look-alike names, agreements, probes."""

from collections.abc import Sequence
from dataclasses import dataclass

from challenge_bundle.evaluation.feedback import message_of
from challenge_bundle.evaluation.records import Row, cause_lines, format_time
from challenge_bundle.evaluation.teams import teams_of
from challenge_bundle.evaluation.verdicts import SCORED
from challenge_bundle.leaderboard.board import Board


@dataclass(frozen=True, slots=True)
class Failure:
    """A submission without a score.

    Args:
        submission: SHA-256 of the zip.
        team: The team's name.
        method: The method's name.
        file_name: The zip's name when it arrived.
        received: ISO 8601 time.
        state: See records.Row.
        attempts: How many attempts ended for a reason outside the submission.
        reason: Why it waits or was set aside; otherwise the participant's message.
        lines: The lines below that message.
    """

    submission: str
    team: str
    method: str
    file_name: str
    received: str
    state: str
    attempts: int
    reason: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OrganiserNotes:
    """What the organiser looks at before publishing a board.

    Args:
        board: The board; its agreements are shown whether or not the board shows them.
        failures: Submissions without a score, of its phase or received when no phase was open.
        lookalikes: Names that are written differently but count as one team.
        probes: What `--probe` found, one line each.
        causes: Why submissions were set aside, one line each.
    """

    board: Board
    failures: tuple[Failure, ...]
    lookalikes: tuple[tuple[str, ...], ...]
    probes: tuple[str, ...]
    causes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """A short form for the terminal."""
        entries = self.board.entries
        return [
            *(f"look-alike names, counted as one team: {', '.join(names)}" for names in self.lookalikes),
            *(
                f"marked: {entries[pair.first].team} and {entries[pair.second].team}: {pair.kind}"
                for pair in self.board.agreements
            ),
            *self.probes,
            *self.causes,
        ]


def collect_notes(board: Board, rows: Sequence[Row]) -> OrganiserNotes:
    """Collect what the organiser should see.

    Args:
        board: The board.
        rows: All submissions.
    """
    failures = tuple(
        Failure(
            row.submission.sha256,
            row.submission.team,
            row.submission.method,
            row.submission.file_name,
            format_time(row.submission.received),
            row.state,
            row.attempts,
            row.cause or message_of(row),
            row.verdict.lines if row.verdict else (),
        )
        for row in rows
        if row.state != SCORED and row.phase in (board.phase, "")
    )
    probes = tuple(line for row in rows if row.probe for line in row.probe_lines())
    causes = tuple(cause_lines(rows))
    return OrganiserNotes(board, failures, find_lookalikes(rows), probes, causes)


def find_lookalikes(rows: Sequence[Row]) -> tuple[tuple[str, ...], ...]:
    """Names that count as one team, leaving out those that differ in case alone."""
    names_of: dict[str, list[str]] = {}
    for name, team in teams_of(row.submission.team for row in rows if row.submission.team).items():
        names_of.setdefault(team, []).append(name)
    return tuple(tuple(names) for names in names_of.values() if len({name.casefold() for name in names}) > 1)
