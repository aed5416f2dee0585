"""The records of submissions, on every database."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from challenge_bundle.errors import UnavailableError
from challenge_bundle.evaluation.intake import Submission
from challenge_bundle.evaluation.records import METADATA, QUEUED, REFUSED, RUNNING, WAITING, Records
from challenge_bundle.evaluation.verdicts import SCORED, Verdict


@pytest.fixture
def records(database_url: str) -> Iterator[Records]:
    with closing(Records(database_url)) as opened:
        yield opened


def submission(number: int, hour: int = 0) -> Submission:
    return Submission(
        f"{number:064x}", "team 'x'; --", "m\u00e9thode", datetime(2026, 3, 1, hour, tzinfo=UTC), "a.zip"
    )


def test_a_submission_is_taken_up_once(records: Records) -> None:
    assert records.add(submission(1), "open", None)
    assert not records.add(submission(1), "open", None)
    (row,) = records.rows()
    assert row.submission == submission(1)
    assert (row.state, row.attempts, row.verdict, row.results_sha256, row.probe) == (
        QUEUED,
        0,
        None,
        "",
        None,
    )


def test_the_kind_and_whether_it_is_a_baseline_are_kept(records: Records) -> None:
    records.add(replace(submission(1), kind="predictions"), "open", None, is_baseline=True)
    records.add(submission(2), "open", None)
    first, second = records.rows()
    assert (first.kind, first.is_baseline, second.kind, second.is_baseline) == (
        "predictions",
        True,
        "code",
        False,
    )
    records.mark_baseline(second.submission.id)
    assert [row.is_baseline for row in records.rows()] == [True, True]
    records.admit_again(second.submission, "late", None)
    assert [row.is_baseline for row in records.rows()] == [True, False]


def test_rows_come_in_the_order_in_which_they_were_received(records: Records) -> None:
    for number, hour in ((1, 9), (2, 3), (3, 3)):
        records.add(submission(number, hour), "open", None)
    assert [row.submission for row in records.rows()] == [
        submission(2, 3),
        submission(3, 3),
        submission(1, 9),
    ]


def test_a_verdict_comes_back_as_it_was(records: Records) -> None:
    verdict = Verdict("failed", {"status": 3}, ("a line", "\u2026"))
    records.add(submission(1), "", Verdict("closed"))
    records.add(submission(2), "open", None)
    records.set_state(submission(2).sha256, REFUSED, verdict)
    assert [row.verdict for row in records.rows()] == [Verdict("closed"), verdict]
    assert [row.state for row in records.rows()] == [REFUSED, REFUSED]


def test_attempts_are_counted(records: Records) -> None:
    records.add(submission(1), "open", None)
    records.set_state(submission(1).sha256, RUNNING)
    assert [records.count_attempt(submission(1).sha256) for _ in range(3)] == [1, 2, 3]
    assert records.rows()[0].state == WAITING


def test_steps_results_and_probes(records: Records) -> None:
    sha256 = submission(1).sha256
    records.add(submission(1), "open", None)
    records.add_step(sha256, "build", "a" * 64, 1.5)
    records.add_step(sha256, "build", "b" * 64, 0.5)
    records.set_results(sha256, "c" * 64)
    records.set_probe(sha256, ["renamed: it changes"])
    assert records.steps(sha256) == {"build": ("b" * 64, 0.5)}
    assert records.rows()[0].results_sha256 == "c" * 64
    assert records.rows()[0].probe == ("renamed: it changes",)


def test_new_scores_take_the_place_of_the_old_ones(records: Records) -> None:
    sha256 = submission(1).sha256
    records.add(submission(1), "open", None)
    records.add_scores([(sha256, "public", "k1", "{}"), (sha256, "final", "k1", "[]")])
    records.add_scores([(sha256, "public", "k2", "{2}")])
    assert records.scores("public") == {sha256: ("k2", "{2}")}
    assert records.scores("final") == {sha256: ("k1", "[]")}
    records.add_scores([(sha256, "public", "k1", "{1}")])
    assert records.scores("public") == {sha256: ("k1", "{1}")}


def test_several_threads_at_once(records: Records) -> None:
    for number in range(8):
        records.add(submission(number), "open", None)

    def work(number: int) -> None:
        for step in range(10):
            records.add_step(submission(number).sha256, f"step {step}", "k" * 64, 0.1)
        records.set_state(submission(number).sha256, SCORED, Verdict(SCORED))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row.state for row in records.rows()} == {SCORED}
    assert all(len(records.steps(submission(number).sha256)) == 10 for number in range(8))


def test_the_migrations_make_the_tables_of_the_code(records: Records, database_url: str) -> None:
    with records.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    with closing(Records(database_url)) as again:
        assert again.rows() == []


def test_a_database_of_a_newer_tool_is_left_alone(records: Records, database_url: str) -> None:
    with records.engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '9999'"))
    with pytest.raises(UnavailableError, match="is of version 9999"):
        Records(database_url)


def test_a_damaged_file_is_no_fault_of_this_tool(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    path.write_bytes(b"this is no database, but as long as one " * 200)
    with pytest.raises(UnavailableError, match="file is not a database"):
        Records(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:////no/such/folder/x.sqlite", "cannot be used"),
        ("postgresql://localhost:1/x", "cannot be used"),
        ("nonsense", "cannot be parsed; expected sqlite:///FILE"),
    ],
)
def test_a_database_that_is_not_there(url: str, message: str) -> None:
    with pytest.raises(UnavailableError, match=message):
        Records(url)
