"""What a board does not show and the organiser should see: failures, look-alike names, agreements, probes."""

from collections.abc import Sequence
from dataclasses import dataclass

from challenge_bundle.evaluation.feedback import message_of
from challenge_bundle.evaluation.records import Row, cause_lines, format_time
from challenge_bundle.evaluation.teams import group_teams
from challenge_bundle.evaluation.verdicts import SCORED
from challenge_bundle.leaderboard.board import Board


@dataclass(frozen=True, slots=True)
class Failure:
    """A submission without a score.

    Args:
        submission: SHA-256 of the zip.
        team: Its name.
        method: Its name.
        file_name: As it came.
        received: ISO 8601 time.
        state: See records.Row.
        attempts: How often an evaluation was broken off.
        reason: Why it waits or was set aside, else what the participant is told.
        lines: What is told below it.
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
class Findings:
    """What the organiser should look at before a board is published.

    Args:
        board: The board; its agreements are shown whether or not the board shows them.
        failures: Of its phase, and of those that came when no phase was open.
        clashes: Names that are counted as one team, though they are written otherwise.
        probes: What `--probe` found, a line each.
        causes: Why submissions were set aside, a line each.
    """

    board: Board
    failures: tuple[Failure, ...]
    clashes: tuple[tuple[str, ...], ...]
    probes: tuple[str, ...]
    causes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The same for a terminal, in short."""
        entries = self.board.entries
        return [
            *(f"look-alike names, counted as one team: {', '.join(names)}" for names in self.clashes),
            *(
                f"marked: {entries[pair.first].team} and {entries[pair.second].team}: {pair.kind}"
                for pair in self.board.agreements
            ),
            *self.probes,
            *self.causes,
        ]


def find_findings(board: Board, rows: Sequence[Row]) -> Findings:
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
    return Findings(board, failures, find_clashes(rows), probes, causes)


def find_clashes(rows: Sequence[Row]) -> tuple[tuple[str, ...], ...]:
    """Names that are counted as one team; those that differ in their case alone are no finding."""
    names_of: dict[str, list[str]] = {}
    for name, team in group_teams(row.submission.team for row in rows if row.submission.team).items():
        names_of.setdefault(team, []).append(name)
    return tuple(tuple(names) for names in names_of.values() if len({name.casefold() for name in names}) > 1)
