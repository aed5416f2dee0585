"""What is known of every submission, in SQLite or, by URL, in PostgreSQL."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from challenge_bundle.database.connect import Schema, open_database, speaking
from challenge_bundle.evaluation.intake import Submission, describe
from challenge_bundle.evaluation.verdicts import SCORED, Verdict, parse_verdict

SCHEMA = Schema("the database of evaluations", Path(__file__).parent / "migrations" / "versions")

METADATA = sa.MetaData()

SUBMISSIONS = sa.Table(
    "submission",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("team", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("received", sa.String(20), nullable=False),
    sa.Column("file_name", sa.Text, nullable=False),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("verdict", sa.Text),
    sa.Column("results_sha256", sa.String(64)),
    sa.Column("probe", sa.Text),
    sa.Column("cause", sa.Text),
)

STEPS = sa.Table(
    "step",
    METADATA,
    sa.Column("submission", sa.String(64), sa.ForeignKey("submission.id"), primary_key=True),
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("key", sa.String(64), nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
)

SCORES = sa.Table(
    "score",
    METADATA,
    sa.Column("submission", sa.String(64), sa.ForeignKey("submission.id"), primary_key=True),
    sa.Column("part", sa.String(16), primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("is_current", sa.Boolean, nullable=False),
)

QUEUED, RUNNING, WAITING, REFUSED = "queued", "running", "waiting", "refused"
SET_ASIDE, DROPPED = "set-aside", "dropped"
FINAL = (SCORED, REFUSED, SET_ASIDE, DROPPED)
"""States in which a submission stays, unless the organiser says otherwise."""


@dataclass(frozen=True, slots=True)
class Row:
    """A submission as it stands.

    Args:
        submission: What was taken in.
        phase: In which.
        state: `queued`, `running`, `waiting` (for a reason that lies here), `scored`, `refused`, `set-aside`
            (every attempt failed, though the engine works) or `dropped` (by the organiser).
        attempts: How often an evaluation was broken off for a reason that lies here.
        verdict: How it ended; None until it has.
        results_sha256: Of its csv; empty until there is one.
        probe: What `--probe` found, one line each; None if it was not probed.
        cause: Why it waits or was set aside, for the organiser alone; empty otherwise.
    """

    submission: Submission
    phase: str
    state: str
    attempts: int
    verdict: Verdict | None
    results_sha256: str
    probe: tuple[str, ...] | None
    cause: str = ""

    def cause_line(self) -> str:
        """What the organiser has to know of one that was set aside, and what can be done."""
        sha256 = self.submission.sha256[:12]
        return (
            f"set aside  {describe(self.submission)}  {self.cause}; fix the cause and run"
            f" `evaluate --reopen {sha256}`, or take it out with `evaluate --drop {sha256}`"
        )

    def probe_lines(self) -> list[str]:
        """What a probe found, for the organiser."""
        who = describe(self.submission)
        return [f"probe    {who}  {line}" for line in self.probe or ("no circumstance changed a result",)]


def cause_lines(rows: Sequence[Row]) -> list[str]:
    """What the organiser has to know of submissions that were set aside, one line each."""
    return [row.cause_line() for row in rows if row.state == SET_ASIDE]


class Records:
    """The database; each method is one transaction, and knows a submission by its id.

    Args:
        url: As SQLAlchemy takes it, such as `sqlite:////path/file` or `postgresql+psycopg://host/name`.

    Raises:
        UnavailableError: It cannot be opened, or is of a newer version of this tool.
    """

    def __init__(self, url: str) -> None:
        self.engine = open_database(url, SCHEMA)

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    def add(self, submission: Submission, phase: str, verdict: Verdict | None) -> bool:
        """Take a submission up, once; tells whether it was new.

        Args:
            submission: The submission.
            phase: Empty if none was open.
            verdict: If it is refused at once.
        """
        values = {
            "id": submission.id,
            "sha256": submission.sha256,
            "team": submission.team,
            "method": submission.method,
            "received": format_time(submission.received),
            "file_name": submission.file_name,
            "phase": phase,
            "state": REFUSED if verdict else QUEUED,
            "verdict": json.dumps(asdict(verdict)) if verdict else None,
        }
        with speaking(SCHEMA), self.engine.begin() as connection:
            known = sa.select(SUBMISSIONS.c.id).where(SUBMISSIONS.c.id == submission.id)
            if connection.execute(known).first():
                return False
            connection.execute(sa.insert(SUBMISSIONS).values(values))
        return True

    def rows(self) -> list[Row]:
        """All submissions, in the order in which they were received."""
        query = sa.select(SUBMISSIONS).order_by(SUBMISSIONS.c.received, SUBMISSIONS.c.id)
        with speaking(SCHEMA), self.engine.connect() as connection:
            return [_parse_row(row._mapping) for row in connection.execute(query)]

    def set_state(self, submission: str, state: str, verdict: Verdict | None = None) -> None:
        """Note where a submission has come to; a final state is not left again."""
        values: dict[str, Any] = {"state": state}
        if verdict:
            values |= {"verdict": json.dumps(asdict(verdict)), "cause": None}
        here = (SUBMISSIONS.c.id == submission) & SUBMISSIONS.c.state.not_in(FINAL)
        with speaking(SCHEMA), self.engine.begin() as connection:
            connection.execute(sa.update(SUBMISSIONS).where(here).values(values))

    def set_aside(self, submission: str, cause: str) -> None:
        """Note that a submission is not tried again: every attempt failed, and nothing is missing here."""
        self._update(submission, {"state": SET_ASIDE, "cause": cause})

    def drop(self, submission: str) -> None:
        """Take a submission out: it counts for no rank and no quota; its record and its steps stay."""
        dropped = json.dumps(asdict(Verdict(DROPPED)))
        self._update(submission, {"state": DROPPED, "verdict": dropped, "cause": None})

    def reopen(self, submission: str) -> None:
        """Let a submission that has ended be evaluated again: the organiser was mistaken."""
        self._update(submission, {"state": QUEUED, "verdict": None, "cause": None})

    def admit_again(self, submission: Submission, phase: str, verdict: Verdict | None) -> None:
        """Take a submission that came when it could not be taken for one that came now; see add."""
        self._update(
            submission.id,
            {
                "team": submission.team,
                "method": submission.method,
                "received": format_time(submission.received),
                "file_name": submission.file_name,
                "phase": phase,
                "state": REFUSED if verdict else QUEUED,
                "verdict": json.dumps(asdict(verdict)) if verdict else None,
            },
        )

    def count_attempt(self, submission: str, cause: str = "") -> int:
        """Note that an evaluation was broken off, and why; gives how often by now."""
        with speaking(SCHEMA), self.engine.begin() as connection:
            here = SUBMISSIONS.c.id == submission
            values = {"state": WAITING, "attempts": SUBMISSIONS.c.attempts + 1, "cause": cause}
            connection.execute(sa.update(SUBMISSIONS).where(here).values(values))
            return int(connection.execute(sa.select(SUBMISSIONS.c.attempts).where(here)).scalar_one())

    def set_results(self, submission: str, results_sha256: str) -> None:
        """Note which csv a submission's inference wrote."""
        self._update(submission, {"results_sha256": results_sha256})

    def set_probe(self, submission: str, found: Sequence[str]) -> None:
        """Note what a probe found."""
        self._update(submission, {"probe": json.dumps(list(found))})

    def add_step(self, submission: str, name: str, key: str, seconds: float) -> None:
        """Note a step that is done, in place of an earlier one of the same name."""
        with speaking(SCHEMA), self.engine.begin() as connection:
            where = (STEPS.c.submission == submission) & (STEPS.c.name == name)
            connection.execute(sa.delete(STEPS).where(where))
            values = {"submission": submission, "name": name, "key": key, "seconds": seconds}
            connection.execute(sa.insert(STEPS).values(values))

    def steps(self, submission: str) -> dict[str, tuple[str, float]]:
        """(key, seconds) of each step that is done, by its name."""
        query = sa.select(STEPS.c.name, STEPS.c.key, STEPS.c.seconds).where(STEPS.c.submission == submission)
        with speaking(SCHEMA), self.engine.connect() as connection:
            return {name: (key, seconds) for name, key, seconds in connection.execute(query)}

    def add_scores(self, scores: Sequence[tuple[str, str, str, str]]) -> None:
        """Put scores in place of the current ones, all at once: a board never mixes two references.

        Args:
            scores: (submission, part, key, content of scores.json) of each.
        """
        with speaking(SCHEMA), self.engine.begin() as connection:
            for submission, part, key, content in scores:
                same = (SCORES.c.submission == submission) & (SCORES.c.part == part)
                connection.execute(sa.update(SCORES).where(same).values(is_current=False))
                connection.execute(sa.delete(SCORES).where(same & (SCORES.c.key == key)))
                connection.execute(
                    sa.insert(SCORES).values(
                        submission=submission, part=part, key=key, content=content, is_current=True
                    )
                )

    def scores(self, part: str) -> dict[str, tuple[str, str]]:
        """(key, content of scores.json) of each submission that has current scores of a part."""
        query = sa.select(SCORES.c.submission, SCORES.c.key, SCORES.c.content).where(
            (SCORES.c.part == part) & SCORES.c.is_current
        )
        with speaking(SCHEMA), self.engine.connect() as connection:
            return {submission: (key, content) for submission, key, content in connection.execute(query)}

    def _update(self, submission: str, values: dict[str, Any]) -> None:
        with speaking(SCHEMA), self.engine.begin() as connection:
            connection.execute(sa.update(SUBMISSIONS).where(SUBMISSIONS.c.id == submission).values(values))


def format_time(moment: datetime) -> str:
    """A time in UTC as text that sorts as the times do."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parse_row(row: Any) -> Row:
    return Row(
        submission=Submission(
            row["sha256"],
            row["team"],
            row["method"],
            datetime.strptime(row["received"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC),
            row["file_name"],
            row["id"] if row["id"] != row["sha256"] else "",
        ),
        phase=row["phase"],
        state=row["state"],
        attempts=row["attempts"],
        verdict=parse_verdict(json.loads(row["verdict"] or "null")),
        results_sha256=row["results_sha256"] or "",
        probe=tuple(json.loads(row["probe"])) if row["probe"] is not None else None,
        cause=row["cause"] or "",
    )
