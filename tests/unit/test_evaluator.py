"""One submission's failing, of whatever kind, stops no other; an engine that is away costs none."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from challenge_bundle.engines.base import BuildOutcome, Outcome, RunSpec
from challenge_bundle.errors import DataError, ProgramError, UnavailableError
from challenge_bundle.evaluation.admission import take_all
from challenge_bundle.evaluation.context import Context
from challenge_bundle.evaluation.decisions import drop, reopen
from challenge_bundle.evaluation.evaluator import Evaluated, evaluate
from challenge_bundle.evaluation.feedback import feedback_text
from challenge_bundle.evaluation.intake import find_zips
from challenge_bundle.evaluation.invariance import probe_all
from challenge_bundle.evaluation.records import (
    DROPPED,
    REFUSED,
    SET_ASIDE,
    WAITING,
    Records,
    Row,
    cause_lines,
)
from challenge_bundle.evaluation.verdicts import SCORED, WAITING_TEXT
from challenge_bundle.layout import RESULTS_NAME, Layout
from challenge_bundle.leaderboard.build import make_board
from tests.worlds import World, make_context, put_zip

GOOD = ("A", "B", "C")


def say_nothing(*what: object) -> None:
    """A callback that is not looked at."""


@pytest.fixture
def context(filled_layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setattr("challenge_bundle.evaluation.attempts.BACKOFF_S", (0.0,))
    return make_context(filled_layout)


def take(context: Context, records: Records, folder: Path, *teams: str) -> None:
    paths = tuple(put_zip(context, folder, team) for team in teams)
    take_all(find_zips(paths), context, records)


def by_team(records: Records) -> dict[str, Row]:
    return {row.submission.team: row for row in records.rows()}


def failing(fault: Exception) -> Callable[..., BuildOutcome]:
    def fail(*arguments: object) -> BuildOutcome:
        raise fault

    return fail


POISONS = {
    "server error": UnavailableError("the image cannot be built: 500", code="a-code"),
    "refused": ProgramError("the engine refused", code="a-code"),
    "fault of the tool": ZeroDivisionError("never\nthought of"),
    "out of memory": MemoryError(),
    "too deep": RecursionError("maximum recursion depth exceeded"),
    "long name": OSError(errno.ENAMETOOLONG, "File name too long"),
    "no room": OSError(errno.ENOSPC, "No space left on device"),
    "text": UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    "data": DataError("line contains NUL", "x.csv", code="a-code"),
    "keys": KeyError("tag"),
}


@pytest.mark.parametrize("where", ["build", "run"])
def test_poisoned_submissions_are_set_aside_and_the_others_are_scored(
    context: Context, records: Records, world: World, tmp_path: Path, where: str
) -> None:
    take(context, records, tmp_path / "zips", "A", *POISONS, "Z")
    (world.builds if where == "build" else world.programs).update(
        {team: failing(fault) for team, fault in POISONS.items()}
    )
    assert evaluate(context, records, world.connect, 2, say_nothing) == {}
    rows = by_team(records)
    assert {team for team, row in rows.items() if row.state == SCORED} == {"A", "Z"}
    if where == "run":
        # A program that cannot be started is a verdict of its own.
        verdict = rows.pop("refused").verdict
        assert verdict is not None
        assert verdict.code == "cannot-start"
    for team in POISONS.keys() & rows.keys():
        row = rows[team]
        assert (row.state, row.attempts, row.verdict) == (SET_ASIDE, 2, None)
        assert row.cause
        assert "\n" not in row.cause
        # The participant sees nothing of it, and the organiser how it goes on.
        assert WAITING_TEXT in feedback_text(row)
        assert "state       waiting" in feedback_text(row)
        assert row.cause not in feedback_text(row)
        (line,) = cause_lines([row])
        assert row.cause in line
        assert f"--reopen {row.submission.sha256[:12]}" in line
        assert line in Evaluated([], records.rows(), {}).lines()
    assert (rows["A"].attempts, rows["Z"].attempts) == (0, 0)
    # They are not tried again by themselves.
    world.log.clear()
    assert evaluate(context, records, world.connect, 2, say_nothing) == {}
    assert world.log == []


def test_what_was_set_aside_is_evaluated_again_if_the_organiser_asks(
    context: Context, records: Records, world: World, tmp_path: Path
) -> None:
    take(context, records, tmp_path / "zips", "A", "P")
    world.programs["P"] = failing(ZeroDivisionError("x"))
    evaluate(context, records, world.connect, 1, say_nothing)
    del world.programs["P"]
    sha256 = by_team(records)["P"].submission.sha256
    assert [found.team for found in reopen(context, records, sha256[:8].upper())] == ["P"]
    assert by_team(records)["P"].cause == ""
    assert evaluate(context, records, world.connect, 1, say_nothing) == {}
    assert by_team(records)["P"].state == SCORED
    with pytest.raises(DataError) as fault:
        reopen(context, records, sha256)
    assert fault.value.code == "no-such-submission"
    assert "one submission that is refused, set aside or dropped" in fault.value.finding.message


def test_a_scoring_program_that_cannot_be_built_costs_no_submission(
    context: Context, records: Records, world: World, tmp_path: Path
) -> None:
    take(context, records, tmp_path / "zips", "A", "B")
    world.scoring_fault = ProgramError("the image tiny-scoring cannot be built", code="a-code")
    assert len(evaluate(context, records, world.connect, 1, say_nothing)) == 2
    assert {row.state for row in records.rows()} <= {WAITING, "queued"}
    world.scoring_fault = None
    assert evaluate(context, records, world.connect, 1, say_nothing) == {}
    assert {row.state for row in records.rows()} == {SCORED}


def test_all_that_were_set_aside_can_be_evaluated_again(
    context: Context, records: Records, world: World, tmp_path: Path
) -> None:
    take(context, records, tmp_path / "zips", "A", "P", "Q")
    world.builds = dict.fromkeys("PQ", failing(ZeroDivisionError("x")))
    evaluate(context, records, world.connect, 2, say_nothing)
    world.builds = {}
    assert {found.team for found in reopen(context, records, "set-aside")} == {"P", "Q"}
    assert evaluate(context, records, world.connect, 2, say_nothing) == {}
    assert {row.state for row in records.rows()} == {SCORED}


def test_a_step_that_cannot_be_read_is_done_again_after_reopening(
    context: Context, records: Records, world: World, tmp_path: Path
) -> None:
    take(context, records, tmp_path / "zips", "A")
    evaluate(context, records, world.connect, 1, say_nothing)
    (row,) = records.rows()
    drop(records, row.submission.sha256)
    steps = {name: key for name, (key, _) in records.steps(row.submission.id).items()}
    folders = context.layout.evaluation / "steps"
    (folders / "inference" / steps["inference"] / "record.json").write_text("{")
    built = (folders / "build" / steps["build"] / "record.json").stat().st_mtime_ns
    world.log.clear()
    reopen(context, records, row.submission.sha256)
    assert evaluate(context, records, world.connect, 1, say_nothing) == {}
    # The build's step is valid and stays as it is; its image was removed after the run, and is made again.
    assert [line for line in world.log if line != "forget"] == ["build A", "run A"]
    assert (folders / "build" / steps["build"] / "record.json").stat().st_mtime_ns == built
    assert by_team(records)["A"].state == SCORED


def test_a_refusal_that_may_be_the_engines_is_final_after_its_attempts(
    context: Context, records: Records, world: World, tmp_path: Path
) -> None:
    take(context, records, tmp_path / "zips", "A", "K")
    world.programs["K"] = lambda run: Outcome(137, "", "", 1.0)
    assert evaluate(context, records, world.connect, 1, say_nothing) == {}
    rows = by_team(records)
    assert (rows["A"].state, rows["K"].state, rows["K"].attempts) == (SCORED, REFUSED, 2)
    assert rows["K"].verdict is not None
    assert rows["K"].verdict.numbers == {"status": 137}
    assert world.log.count("run K") == 2
    assert world.log.count("trial") == 2


@pytest.mark.parametrize("fault", [UnavailableError("gone", code="a-code"), OSError(errno.ENOSPC, "full")])
def test_an_engine_that_is_away_costs_no_submission(
    context: Context, records: Records, world: World, tmp_path: Path, fault: Exception
) -> None:
    take(context, records, tmp_path / "zips", *GOOD)
    world.is_well = False
    world.programs = dict.fromkeys(GOOD, failing(fault))
    waiting = evaluate(context, records, world.connect, 1, say_nothing)
    assert len(waiting) == 3
    assert {row.state for row in records.rows()} <= {WAITING, "queued"}
    assert any(str(fault) in row.cause for row in records.rows())
    world.is_well, world.programs = True, {}
    assert evaluate(context, records, world.connect, 2, say_nothing) == {}
    assert {row.state for row in records.rows()} == {SCORED}
    assert {row.cause for row in records.rows()} == {""}


def test_a_killed_program_is_not_refused_while_the_engine_is_away(
    context: Context, records: Records, world: World, tmp_path: Path
) -> None:
    take(context, records, tmp_path / "zips", "A")
    world.is_well = False
    world.programs["A"] = lambda run: Outcome(137, "", "", 1.0)
    assert len(evaluate(context, records, world.connect, 1, say_nothing)) == 1
    assert by_team(records)["A"].state == WAITING


def test_an_engine_that_comes_back_leaves_a_submission_all_its_attempts(
    context: Context, records: Records, world: World, tmp_path: Path
) -> None:
    take(context, records, tmp_path / "zips", "A")
    faults: list[tuple[bool, Exception | None]] = [
        (False, UnavailableError("away", code="a-code")),
        (True, ZeroDivisionError("its own")),
        (True, None),
    ]

    def program(run: RunSpec) -> Outcome:
        world.is_well, fault = faults.pop(0)
        if fault:
            raise fault
        return world.answer(run)

    world.programs["A"] = program
    assert evaluate(context, records, world.connect, 1, say_nothing) == {}
    (row,) = records.rows()
    assert (row.state, row.attempts, row.cause) == (SCORED, 2, "")


CROWDING = {
    "build": BuildOutcome(limit="size", allowed=200, is_crowded=True),
    "run": Outcome(137, "disk", "", 1.0),
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("where", ["build", "run"])
def test_who_filled_the_disk_is_known_when_each_is_tried_alone(
    context: Context, records: Records, world: World, tmp_path: Path, where: str, workers: int
) -> None:
    """Both are ended when one fills the disk; the other one is not to blame."""
    take(context, records, tmp_path / "zips", "innocent", "poison")
    times = {"innocent": 0, "poison": 0}

    def crowd(team: str) -> bool:
        times[team] += 1
        return team == "poison" or (times[team] == 1 and workers > 1)

    for team in times:
        built = CROWDING["build"], BuildOutcome(f"sha256:{team}", 1)
        if where == "build":
            world.builds[team] = lambda team=team, built=built: built[not crowd(team)]  # type: ignore[misc]
        else:
            world.programs[team] = lambda run, team=team: (  # type: ignore[misc]
                CROWDING["run"] if crowd(team) else world.answer(run)
            )
    assert evaluate(context, records, world.connect, workers, say_nothing) == {}
    rows = by_team(records)
    assert rows["innocent"].state == SCORED
    verdict = rows["poison"].verdict
    assert verdict is not None
    assert (rows["poison"].state, verdict.code) == (REFUSED, "build-size" if where == "build" else "disk")
    # One that was alone is tried as often as any other in doubt; one that was not is tried alone once more.
    assert times == {"innocent": workers, "poison": 2 + (workers > 1)}


def test_what_could_not_be_tried_alone_waits(
    context: Context, records: Records, world: World, tmp_path: Path
) -> None:
    take(context, records, tmp_path / "zips", "A", "B")
    world.builds["A"] = lambda: CROWDING["build"]  # type: ignore[return-value]

    def go_away() -> BuildOutcome:
        world.is_well = False
        raise UnavailableError("the engine went away", code="a-code")

    world.builds["B"] = go_away
    a = by_team(records)["A"].submission.id
    assert a in evaluate(context, records, world.connect, 2, say_nothing)
    assert by_team_states(records) == [("A", WAITING), ("B", WAITING)]


def test_a_zip_that_named_no_team_comes_again_under_a_teams_name(
    context: Context, records: Records, world: World, tmp_path: Path
) -> None:
    """The same bytes: its record is renewed with all that is known now, or it would be nobody's."""
    named = put_zip(context, tmp_path / "zips", "A")
    nameless = named.with_name("upload.zip")
    nameless.write_bytes(named.read_bytes())
    (first,) = take_all([nameless], context, records)
    assert first.verdict is not None
    assert first.verdict.code == "team"
    take_all([named], context, records)
    evaluate(context, records, world.connect, 1, say_nothing)
    (row,) = records.rows()
    assert (row.submission.team, row.submission.method, row.state) == ("A", "m", SCORED)
    assert [entry.team for entry in make_board(context, records, None, None).entries] == ["A"]


def test_dropped_counts_for_neither_rank_nor_quota(
    context: Context, records: Records, world: World, tmp_path: Path
) -> None:
    context.layout.manifest.write_text(
        context.layout.manifest.read_text() + '\n[[phases]]\nname = "one"\nsubmissions_per_day = 1\n'
    )
    context = make_site_again(context)
    take(context, records, tmp_path / "zips", "A", "B")
    evaluate(context, records, world.connect, 1, say_nothing)
    a = by_team(records)["A"].submission.sha256
    assert [found.team for found in drop(records, a)] == ["A"]
    row = by_team(records)["A"]
    assert (row.state, row.verdict and row.verdict.code) == (DROPPED, "dropped")
    assert str(row.verdict) in feedback_text(row)
    assert [entry.team for entry in make_board(context, records, None, None).entries] == ["B"]
    # Another of the same team and day is taken now.
    (arrival,) = take_all([put_zip(context, tmp_path / "zips", "A", version=2)], context, records)
    assert arrival.verdict is None
    with pytest.raises(DataError) as fault:
        drop(records, a)
    assert fault.value.code == "no-such-submission"
    assert "one submission that is not dropped yet" in fault.value.finding.message
    assert evaluate(context, records, world.connect, 1, say_nothing) == {}
    assert by_team_states(records) == [("A", DROPPED), ("A", SCORED), ("B", SCORED)]


def make_site_again(context: Context) -> Context:
    from challenge_bundle.evaluation.context import read_context
    from challenge_bundle.settings import read_manifest

    return read_context(read_manifest(context.layout.manifest), context.layout)


def by_team_states(records: Records) -> list[tuple[str, str]]:
    return sorted((row.submission.team, row.state) for row in records.rows())


def test_a_zip_that_cannot_be_taken_stops_no_other(
    context: Context, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = put_zip(context, tmp_path / "zips", "A"), put_zip(context, tmp_path / "zips", "B")
    bad.unlink()
    bad.symlink_to(bad)
    arrivals = take_all([bad, good], context, records)
    assert [arrival.submission and arrival.submission.team for arrival in arrivals] == [None, "A"]
    assert str(bad) in arrivals[0].note


def test_a_note_on_a_zip_can_be_printed_whatever_its_name(
    context: Context, records: Records, tmp_path: Path
) -> None:
    bad = tmp_path / os.fsdecode(b"a\x1b[2J\nscored \xff\xe2\x80\xae.zip")
    bad.symlink_to(bad)
    (arrival,) = take_all([bad], context, records)
    assert arrival.note.isprintable()
    assert "cannot be taken in" in arrival.note
    assert arrival.note in Evaluated([arrival], [], {}).lines()[0]


def probe_lines(context: Context, records: Records, world: World) -> dict[str, tuple[str, ...] | None]:
    probe_all(context, records, world.connect(), say_nothing)
    return {team: row.probe for team, row in by_team(records).items()}


def only_here(context: Context, world: World, otherwise: Callable[[RunSpec], Outcome]) -> Callable:
    """A program that answers on the plain folder, and does something else where names or counts differ."""

    def program(run: RunSpec) -> Outcome:
        plain = {path.name for path in run.input_dir.iterdir()} == set(context.image_names)
        return world.answer(run) if plain else otherwise(run)

    return program


def write_nothing(run: RunSpec) -> Outcome:
    return Outcome(0, "", "", 1.0)


def write_half(run: RunSpec) -> Outcome:
    (run.output_dir / RESULTS_NAME).write_text("file,class\n")
    return Outcome(0, "", "", 1.0)


UNFINISHED: dict[str, tuple[Callable[[RunSpec], Outcome], str]] = {
    "kills itself": (lambda run: Outcome(137, "", "", 1.0), "the run failed (exit status 137)"),
    "is ended": (lambda run: Outcome(143, "", "", 1.0), "the run failed (exit status 143)"),
    "fails": (lambda run: Outcome(3, "", "", 1.0), "the run failed (exit status 3)"),
    "time": (lambda run: Outcome(137, "time", "", 9.0), "the run failed (time)"),
    "memory": (lambda run: Outcome(137, "memory", "", 1.0), "the run failed (memory)"),
    "disk": (lambda run: Outcome(137, "disk", "", 1.0), "the run failed (exit status 137)"),
    "nothing": (write_nothing, "the run failed (no-results)"),
    "half": (write_half, "the run failed (predictions)"),
    "server error": (
        failing(UnavailableError("a server error", code="a-code")),
        "the run failed (a server error)",
    ),
    "no start": (failing(ProgramError("cannot be started", code="a-code")), "the run failed (cannot-start)"),
}


def test_a_probe_that_cannot_be_finished_is_its_finding(
    context: Context, records: Records, world: World, tmp_path: Path
) -> None:
    take(context, records, tmp_path / "zips", *UNFINISHED)
    world.programs = {
        team: only_here(context, world, otherwise) for team, (otherwise, _) in UNFINISHED.items()
    }
    evaluate(context, records, world.connect, 2, say_nothing)
    found = probe_lines(context, records, world)
    for team, (_, said) in UNFINISHED.items():
        lines = found[team]
        assert lines is not None
        assert [line.partition(":")[0] for line in lines] == ["renamed", "alone"]
        assert [line for line in lines if said not in line] == []
        assert [lines[0] in line for line in by_team(records)[team].probe_lines()] == [True, False]


def test_a_fault_in_one_probe_stops_no_other(
    context: Context, records: Records, world: World, tmp_path: Path
) -> None:
    take(context, records, tmp_path / "zips", "A", "P", "B")
    world.programs["P"] = only_here(context, world, failing(ZeroDivisionError("never thought of")))
    evaluate(context, records, world.connect, 1, say_nothing)
    found = probe_lines(context, records, world)
    assert (found["A"], found["B"]) == ((), ())
    assert found["P"] == ("could not be probed: never thought of",)


def test_an_engine_that_is_away_is_no_finding(
    context: Context, records: Records, world: World, tmp_path: Path
) -> None:
    take(context, records, tmp_path / "zips", "P")
    evaluate(context, records, world.connect, 1, say_nothing)
    world.is_well = False
    world.programs["P"] = lambda run: Outcome(137, "", "", 1.0)
    with pytest.raises(UnavailableError, match="exit status 137"):
        probe_all(context, records, world.connect(), say_nothing)
    assert by_team(records)["P"].probe is None
    world.is_well, world.programs = True, {}
    assert probe_lines(context, records, world)["P"] == ()
