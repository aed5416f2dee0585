"""The records of all submissions, in SQLite or, by URL, in PostgreSQL."""

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
from challenge_bundle.settings import CODE

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
    sa.Column("kind", sa.String(16), nullable=False, server_default=CODE),
    sa.Column("is_baseline", sa.Boolean, nullable=False, server_default=sa.false()),
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
"""States that only the organiser can change."""


@dataclass(frozen=True, slots=True)
class Row:
    """The record of a submission.

    Args:
        submission: The zip that was taken in.
        phase: Name of the phase; empty if none was open.
        state: `queued`, `running`, `waiting` (for a reason outside the submission), `scored`, `refused`,
            `set-aside` (every attempt failed although the engine works; waits for the organiser) or `dropped`
            (withdrawn by the organiser).
        attempts: How many attempts ended for a reason outside the submission.
        verdict: How it ended; None until then.
        results_sha256: Of its csv; empty until there is one.
        probe: What `--probe` found, one line each; None if it was not probed.
        cause: Why it waits or was set aside, for the organiser alone; otherwise empty.
        is_baseline: Whether it is the organiser's, for comparison: it has no rank and counts for no quota.
    """

    submission: Submission
    phase: str
    state: str
    attempts: int
    verdict: Verdict | None
    results_sha256: str
    probe: tuple[str, ...] | None
    cause: str = ""
    is_baseline: bool = False

    @property
    def kind(self) -> str:
        """`code` or `predictions`."""
        return self.submission.kind

    def document(self) -> dict[str, Any]:
        """The record for `--json`: names as in feedback/all.csv, and the verdict as a finding."""
        submission = self.submission
        return {
            "id": submission.id,
            "submission": submission.sha256,
            "file": submission.file_name,
            "team": submission.team,
            "method": submission.method,
            "received": format_time(submission.received),
            "kind": self.kind,
            "is_baseline": self.is_baseline,
            "phase": self.phase,
            "state": self.state,
            "attempts": self.attempts,
            "finding": self.verdict.finding if self.verdict else None,
            "lines": self.verdict.lines if self.verdict else (),
            "cause": self.cause,
            "probe": self.probe,
        }

    def cause_line(self) -> str:
        """Why it was set aside, and what the organiser can do."""
        sha256 = self.submission.sha256[:12]
        return (
            f"set aside  {describe(self.submission)}  {self.cause}; fix the cause and run"
            f" `evaluate --reopen {sha256}`, or take it out with `evaluate --drop {sha256}`"
        )

    def probe_lines(self) -> list[str]:
        """What its probe found, for the organiser."""
        who = describe(self.submission)
        return [f"probe    {who}  {line}" for line in self.probe or ("no circumstance changed a result",)]


def cause_lines(rows: Sequence[Row]) -> list[str]:
    """A line for each submission that was set aside."""
    return [row.cause_line() for row in rows if row.state == SET_ASIDE]


class Records:
    """The database; each method is one transaction and takes a submission by its id.

    Args:
        url: As SQLAlchemy takes it, such as `sqlite:////path/file` or `postgresql+psycopg://host/name`.

    Raises:
        UnavailableError: It cannot be opened, or was written by a newer version of this tool.
    """

    def __init__(self, url: str) -> None:
        self.engine = open_database(url, SCHEMA)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def add(
        self, submission: Submission, phase: str, verdict: Verdict | None, is_baseline: bool = False
    ) -> bool:
        """Add a submission unless it has a record; returns whether it was new.

        Args:
            submission: The submission.
            phase: Name of the phase; empty if none was open.
            verdict: Why it is refused at once; None if it is to be evaluated.
            is_baseline: See Row.
        """
        values = {
            "id": submission.id,
            "sha256": submission.sha256,
            "kind": submission.kind,
            **_arrival(submission, phase, verdict, is_baseline),
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
        """Set the state of a submission; a final state is not changed."""
        values: dict[str, Any] = {"state": state}
        if verdict:
            values |= {"verdict": json.dumps(asdict(verdict)), "cause": None}
        here = (SUBMISSIONS.c.id == submission) & SUBMISSIONS.c.state.not_in(FINAL)
        with speaking(SCHEMA), self.engine.begin() as connection:
            connection.execute(sa.update(SUBMISSIONS).where(here).values(values))

    def set_aside(self, submission: str, cause: str) -> None:
        """Set a submission aside: every attempt failed although the engine works, so none is made again."""
        self._update(submission, {"state": SET_ASIDE, "cause": cause})

    def drop(self, submission: str) -> None:
        """Withdraw a submission: no rank, not counted for the daily limit; its record and its steps stay."""
        dropped = json.dumps(asdict(Verdict(DROPPED)))
        self._update(submission, {"state": DROPPED, "verdict": dropped, "cause": None})

    def reopen(self, submission: str) -> None:
        """Queue a submission that has ended for another evaluation."""
        self._update(submission, {"state": QUEUED, "verdict": None, "cause": None})

    def admit_again(
        self, submission: Submission, phase: str, verdict: Verdict | None, is_baseline: bool = False
    ) -> None:
        """Replace the record of a submission that could not be admitted before; see add."""
        self._update(submission.id, _arrival(submission, phase, verdict, is_baseline))

    def mark_baseline(self, submission: str) -> None:
        """Make a submission one of the organiser's own, for comparison; see Row."""
        self._update(submission, {"is_baseline": True})

    def count_attempt(self, submission: str, cause: str = "") -> int:
        """Count an attempt that failed, with its cause; returns the number of attempts."""
        with speaking(SCHEMA), self.engine.begin() as connection:
            here = SUBMISSIONS.c.id == submission
            values = {"state": WAITING, "attempts": SUBMISSIONS.c.attempts + 1, "cause": cause}
            connection.execute(sa.update(SUBMISSIONS).where(here).values(values))
            return int(connection.execute(sa.select(SUBMISSIONS.c.attempts).where(here)).scalar_one())

    def set_results(self, submission: str, results_sha256: str) -> None:
        """Store the SHA-256 of the csv that a submission's inference wrote."""
        self._update(submission, {"results_sha256": results_sha256})

    def set_probe(self, submission: str, found: Sequence[str]) -> None:
        """Store what a probe found, one line each."""
        self._update(submission, {"probe": json.dumps(list(found))})

    def add_step(self, submission: str, name: str, key: str, seconds: float) -> None:
        """Store a finished step, in place of an earlier one of the same name."""
        with speaking(SCHEMA), self.engine.begin() as connection:
            where = (STEPS.c.submission == submission) & (STEPS.c.name == name)
            connection.execute(sa.delete(STEPS).where(where))
            values = {"submission": submission, "name": name, "key": key, "seconds": seconds}
            connection.execute(sa.insert(STEPS).values(values))

    def steps(self, submission: str) -> dict[str, tuple[str, float]]:
        """(key, seconds) of each finished step by its name."""
        query = sa.select(STEPS.c.name, STEPS.c.key, STEPS.c.seconds).where(STEPS.c.submission == submission)
        with speaking(SCHEMA), self.engine.connect() as connection:
            return {name: (key, seconds) for name, key, seconds in connection.execute(query)}

    def add_scores(self, scores: Sequence[tuple[str, str, str, str]]) -> None:
        """Replace the current scores, all in one transaction, so that a board never mixes two references.

        Args:
            scores: (submission, split of the test set, key, content of scores.json) of each.
        """
        with speaking(SCHEMA), self.engine.begin() as connection:
            for submission, test_split, key, content in scores:
                same = (SCORES.c.submission == submission) & (SCORES.c.part == test_split)
                connection.execute(sa.update(SCORES).where(same).values(is_current=False))
                connection.execute(sa.delete(SCORES).where(same & (SCORES.c.key == key)))
                connection.execute(
                    sa.insert(SCORES).values(
                        submission=submission, part=test_split, key=key, content=content, is_current=True
                    )
                )

    def scores(self, test_split: str) -> dict[str, tuple[str, str]]:
        """(key, content of scores.json) of each submission with current scores on a split of the test set."""
        query = sa.select(SCORES.c.submission, SCORES.c.key, SCORES.c.content).where(
            (SCORES.c.part == test_split) & SCORES.c.is_current
        )
        with speaking(SCHEMA), self.engine.connect() as connection:
            return {submission: (key, content) for submission, key, content in connection.execute(query)}

    def _update(self, submission: str, values: dict[str, Any]) -> None:
        with speaking(SCHEMA), self.engine.begin() as connection:
            connection.execute(sa.update(SUBMISSIONS).where(SUBMISSIONS.c.id == submission).values(values))


def format_time(moment: datetime) -> str:
    """A time in UTC as text; sorting the texts sorts the times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _arrival(
    submission: Submission, phase: str, verdict: Verdict | None, is_baseline: bool
) -> dict[str, Any]:
    """The columns that say who sent a submission, when, and whether it was taken."""
    return {
        "team": submission.team,
        "method": submission.method,
        "received": format_time(submission.received),
        "file_name": submission.file_name,
        "phase": phase,
        "state": REFUSED if verdict else QUEUED,
        "verdict": json.dumps(asdict(verdict)) if verdict else None,
        "is_baseline": is_baseline,
    }


def _parse_row(row: Any) -> Row:
    return Row(
        submission=Submission(
            row["sha256"],
            row["team"],
            row["method"],
            datetime.strptime(row["received"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC),
            row["file_name"],
            row["id"] if row["id"] != row["sha256"] else "",
            row["kind"],
        ),
        phase=row["phase"],
        state=row["state"],
        attempts=row["attempts"],
        verdict=parse_verdict(json.loads(row["verdict"] or "null")),
        results_sha256=row["results_sha256"] or "",
        probe=tuple(json.loads(row["probe"])) if row["probe"] is not None else None,
        cause=row["cause"] or "",
        is_baseline=bool(row["is_baseline"]),
    )
