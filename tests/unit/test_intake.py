"""Whose a zip is, when it came, and whether it is evaluated."""

import hashlib
import os
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.evaluation.admission import admit, take_all
from challenge_bundle.evaluation.context import Context
from challenge_bundle.evaluation.intake import (
    Submission,
    check_sender,
    check_zip,
    find_zips,
    is_too_large,
    kept_file,
    name_of,
    read_card,
    take_in,
)
from challenge_bundle.evaluation.records import QUEUED, REFUSED, Records, Row
from challenge_bundle.evaluation.verdicts import Refusal, Verdict
from challenge_bundle.formats.reference import Reference
from challenge_bundle.layout import Layout
from challenge_bundle.settings import Bundle, EvaluationSettings, Phase, SubmissionSettings


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


def submission(team: str, day: int, hour: int = 0) -> Submission:
    sha256 = hashlib.sha256(f"{team} {day} {hour}".encode()).hexdigest()
    return Submission(sha256, team, "", at(day, hour), "x.zip")


def row(team: str, day: int, phase: str = "open", code: str = "") -> Row:
    verdict = Verdict(code) if code else None
    return Row(submission(team, day), phase, REFUSED if code else QUEUED, 0, verdict, "", None)


@pytest.mark.parametrize(
    ("stem", "card", "expected"),
    [
        ("Team A__net 1", {}, ("Team A", "net 1")),
        ("Team A__", {"method": "m"}, ("Team A", "m")),
        ("submission", {"team": "B", "method": "m"}, ("B", "m")),
        # A card can claim any team; the file's name is the organiser's.
        ("Team A__x", {"team": "B"}, ("Team A", "x")),
        ("submission", {}, ("", "")),
    ],
)
def test_team_and_method(stem: str, card: dict[str, str], expected: tuple[str, str]) -> None:
    assert name_of(stem, card) == expected


def test_a_card_is_read_or_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    for text, expected in (
        ('team = "A"\nmethod = "m"\nother = 1', {"team": "A", "method": "m"}),
        ("team = 3", {}),
        ("not toml", {}),
        ('team = "A"' + "#" * 70_000, {}),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("submission.toml", text)
        assert read_card(path, SubmissionSettings()) == expected
    path.write_bytes(b"no zip")
    assert read_card(path, SubmissionSettings()) == {}


def test_taking_in_copies_and_names_by_content(tmp_path: Path) -> None:
    path = tmp_path / "A__m.zip"
    path.write_bytes(b"content")
    os.utime(path, (at(5).timestamp(),) * 2)
    taken = take_in(path, tmp_path / "zips", SubmissionSettings())
    assert (tmp_path / "zips" / f"{taken.sha256}.zip").read_bytes() == b"content"
    assert (taken.team, taken.method, taken.received) == ("A", "m", at(5))


def test_what_is_too_large_is_neither_kept_nor_read(tmp_path: Path) -> None:
    path = tmp_path / "A__m\n.zip"
    path.write_bytes(bytes(3 << 20))
    settings = SubmissionSettings(zip_mb=2)
    taken = take_in(path, tmp_path / "zips", settings)
    kept = kept_file(tmp_path / "zips", taken.sha256)
    assert not kept.exists()
    assert taken.file_name == "A__m?.zip"
    assert is_too_large(path, settings)
    with pytest.raises(UnavailableError) as fault:
        check_zip(kept, settings, ())
    assert (fault.value.code, fault.value.path) == ("missing-kept-zip", kept)


def code_of(path: Path) -> tuple[str, object]:
    with pytest.raises(DataError) as fault:
        find_zips((path,))
    return fault.value.code, fault.value.path


def test_zips_are_found_in_folders(tmp_path: Path) -> None:
    assert code_of(tmp_path) == ("no-zips", tmp_path)
    for name in ("b.zip", "a.ZIP", "notes.txt", "list.csv", "C__m.CSV"):
        (tmp_path / name).touch()
    assert [path.name for path in find_zips((tmp_path,))] == ["C__m.CSV", "a.ZIP", "b.zip"]
    # One that is named by itself is taken, whatever its name.
    assert find_zips((tmp_path / "list.csv",)) == [tmp_path / "list.csv"]
    assert code_of(tmp_path / "c.zip") == ("no-such-file", tmp_path / "c.zip")


PHASES = (
    Phase("first", at(1), at(10), submissions_per_day=2),
    Phase("second", at(12), None, submissions_per_day=1),
)


def codes(*arguments: object) -> tuple[str, str]:
    phase, verdict = admit(*arguments)  # type: ignore[arg-type]
    return phase, verdict.code if verdict else ""


def test_phases_open_and_close() -> None:
    assert codes(submission("A", 5), [], PHASES) == ("first", "")
    assert codes(submission("A", 9, 23), [], PHASES) == ("first", "")
    assert codes(submission("A", 10), [], PHASES) == ("", "closed")
    assert codes(submission("A", 20), [], PHASES) == ("second", "")


def test_a_quota_is_of_team_day_and_phase() -> None:
    known = [row("A", 5, "first"), row("a ", 5, "first"), row("B", 5, "first"), row("A", 4, "first")]
    assert codes(submission("A", 5, 9), known, PHASES) == ("first", "quota")
    assert codes(submission("B", 5, 9), known, PHASES) == ("first", "")
    assert codes(submission("A", 6), known, PHASES) == ("first", "")


def test_what_was_over_the_quota_does_not_count_again() -> None:
    known = [row("A", 5, "first"), row("A", 5, "first", "quota")]
    assert codes(submission("A", 5, 9), known, PHASES) == ("first", "")


def test_no_team_no_evaluation() -> None:
    assert codes(submission("", 5), [], PHASES) == ("", "team")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    bundle = Bundle(
        name="x",
        title="x",
        submission=SubmissionSettings(zip_mb=1),
        evaluation=EvaluationSettings(phases=PHASES),
    )
    return Context(bundle, Layout(tmp_path), Reference({}, {}, {}), "", "", {})


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with closing(Records(f"sqlite:///{tmp_path / 'r.sqlite'}")) as opened:
        yield opened


def put(folder: Path, name: str, content: bytes, received: datetime) -> Path:
    path = folder / name
    path.write_bytes(content)
    os.utime(path, (received.timestamp(),) * 2)
    return path


def states(records: Records) -> list[tuple[str, str, str]]:
    return [
        (row.submission.team, row.phase, row.verdict.code if row.verdict else row.state)
        for row in records.rows()
    ]


def test_the_same_bytes_are_one_submission_in_a_phase_and_another_in_the_next(
    tmp_path: Path, context: Context, records: Records
) -> None:
    first = put(tmp_path, "A__m.zip", b"x", at(5))
    thief = put(tmp_path, "B__m.zip", b"x", at(6))
    take_all([thief, first], context, records)
    arrivals = take_all([thief, first], context, records)
    assert [bool(arrival.note) for arrival in arrivals] == [False, True]
    assert states(records) == [("A", "first", QUEUED)]
    take_all([put(tmp_path, "A__m.zip", b"x", at(20))], context, records)
    take_all([put(tmp_path, "A__m.zip", b"x", at(21))], context, records)
    assert states(records) == [("A", "first", QUEUED), ("A", "second", QUEUED)]
    ids = {row.submission.id for row in records.rows()}
    assert len(ids) == 2
    assert len({row.submission.sha256 for row in records.rows()}) == 1


def test_what_came_at_the_wrong_time_may_come_again(
    tmp_path: Path, context: Context, records: Records
) -> None:
    zips = [put(tmp_path, f"A__{n}.zip", b"%d" % n, at(5, n)) for n in range(3)]
    take_all(zips, context, records)
    assert states(records)[-1] == ("A", "first", "quota")
    take_all(zips, context, records)
    assert len(states(records)) == 3
    take_all([put(tmp_path, "A__2.zip", b"2", at(6))], context, records)
    assert states(records) == [("A", "first", QUEUED)] * 3
    early = put(tmp_path, "C__m.zip", b"c", at(11))
    take_all([early], context, records)
    assert states(records)[-1] == ("C", "", "closed")
    take_all([put(tmp_path, "C__m.zip", b"c", at(12))], context, records)
    assert states(records)[-1] == ("C", "second", QUEUED)
    assert len(states(records)) == 4


def test_one_that_cannot_be_taken_does_not_hold_up_the_others(
    tmp_path: Path, context: Context, records: Records
) -> None:
    good = put(tmp_path, "A__m.zip", b"x", at(5))
    huge = put(tmp_path, "B__m.zip", bytes(2 << 20), at(5))
    arrivals = take_all([tmp_path / "gone__m.zip", good, huge], context, records)
    assert [arrival.submission is None for arrival in arrivals] == [True, False, False]
    assert sorted(states(records)) == [("A", "first", QUEUED), ("B", "first", "zip")]


def test_a_card_that_takes_gigabytes_to_read_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("submission.toml", 'team = "A"\n"=".' + "a." * 32_000 + "a = 1")
    assert read_card(path, SubmissionSettings()) == {}


def test_a_card_is_not_read_if_the_name_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(
        "challenge_bundle.evaluation.intake.read_card", lambda path, settings: read.append(path) or {}
    )
    for name in ("A__m.zip", "A__.zip", "x.zip"):
        (tmp_path / name).write_bytes(name.encode())
        take_in(tmp_path / name, tmp_path / "zips", SubmissionSettings())
    assert len(read) == 2


def test_a_look_alike_has_no_quota_of_its_own() -> None:
    known = [row("Radiance", 5, "first"), row("R\u0430diance", 5, "first")]
    for name in ("RADIANCE", "Radi\u034fance", "Radiance\ufe0f", "Radi\U0001d41ance", "Radiance\U000e0100"):
        assert codes(submission(name, 5, 9), known, PHASES) == ("first", "quota"), name
    assert codes(submission("Radiant", 5, 9), known, PHASES) == ("first", "")


def write_submission(path: Path, **files: str) -> Path:
    """A zip; `Dockerfile` and `a.py` are there unless others are given."""
    texts = {"Dockerfile": "FROM python:3.11-slim\nCOPY a.py /\nUSER 1000\nCMD python /a.py\n", "a.py": "1\n"}
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (texts | files).items():
            archive.writestr(name, text)
    return path


def test_only_files_named_as_zips_are_taken(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    assert code_of(tmp_path / "notes.txt") == ("not-a-zip", tmp_path / "notes.txt")
    (tmp_path / "a.ZIP").touch()
    (tmp_path / "folder.zip").mkdir()
    assert find_zips((tmp_path / "a.ZIP",)) == [tmp_path / "a.ZIP"]
    # A folder is looked into, whatever it is called; one inside a folder is not.
    assert find_zips((tmp_path,)) == [tmp_path / "a.ZIP"]
    assert code_of(tmp_path / "folder.zip") == ("no-zips", tmp_path / "folder.zip")


def test_a_zip_that_changes_while_it_is_copied_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "A__m.zip"
    path.write_bytes(b"half")

    def copy_what_came_meanwhile(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes() + b", and more")

    monkeypatch.setattr("challenge_bundle.evaluation.intake.shutil.copyfile", copy_what_came_meanwhile)
    with pytest.raises(DataError) as fault:
        take_in(path, tmp_path / "zips", SubmissionSettings())
    assert (fault.value.code, fault.value.path) == ("changed-while-read", path)
    assert list((tmp_path / "zips").iterdir()) == []


def test_the_largest_zip_is_of_that_many_mib_to_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(bytes(2 * 2**20))
    assert not is_too_large(path, SubmissionSettings(zip_mb=2))
    path.write_bytes(bytes(2 * 2**20 + 1))
    assert is_too_large(path, SubmissionSettings(zip_mb=2))


def test_fractions_of_a_second_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "A__m.zip"
    path.touch()
    os.utime(path, (at(5).timestamp() + 0.75,) * 2)
    assert take_in(path, tmp_path / "zips", SubmissionSettings()).received == at(5)


def senders_findings(path: Path, day: int, is_ruled: bool = True) -> list[tuple[str, str, str, str]]:
    bundle = Bundle("x", "x", evaluation=EvaluationSettings(phases=PHASES))
    found = check_sender(path, bundle, at(day), is_ruled)
    return [(finding.severity, finding.location, finding.code, finding.hint) for finding in found]


def test_a_missing_team_and_closed_phases_are_reported_to_the_sender(tmp_path: Path) -> None:
    named = write_submission(tmp_path / "A__m.zip")
    assert senders_findings(named, 5) == []
    assert senders_findings(named, 11) == [
        ("warning", "A__m.zip", "no-open-phase", "send it after 2026-03-12 00:00 UTC")
    ]
    nameless = write_submission(tmp_path / "x.zip")
    ((severity, where, code, hint),) = senders_findings(nameless, 5)
    assert (severity, where, code) == ("error", "x.zip", "team")
    assert "zip --team" in hint
    assert [found[0] for found in senders_findings(nameless, 5, is_ruled=False)] == ["warning"]
    with_card = write_submission(tmp_path / "y.zip", **{"submission.toml": 'team = "A"\n'})
    assert senders_findings(with_card, 5) == []


def test_the_end_of_the_last_phase_is_reported_to_the_sender(tmp_path: Path) -> None:
    bundle = Bundle("x", "x", evaluation=EvaluationSettings(phases=PHASES[:1]))
    (found,) = check_sender(write_submission(tmp_path / "A__m.zip"), bundle, at(20), True)
    assert (found.code, found.message, found.hint) == ("phases-over", "all phases are over", "")
    assert [
        f.hint for f in check_sender(tmp_path / "A__m.zip", bundle, datetime(2026, 1, 1, tzinfo=UTC), True)
    ] == ["send it after 2026-03-01 00:00 UTC"]


def refusal_of(path: Path) -> Verdict:
    with pytest.raises(Refusal) as raised:
        check_zip(path, SubmissionSettings(), ())
    return raised.value.verdict


def test_a_zip_with_warnings_alone_is_taken_and_one_with_an_error_is_refused_with_it(tmp_path: Path) -> None:
    as_root = "FROM python:3.11-slim\nCOPY a.py /\nCMD python /a.py\n"
    check_zip(write_submission(tmp_path / "good.zip", Dockerfile=as_root), SubmissionSettings(), ())
    verdict = refusal_of(
        write_submission(tmp_path / "bad.zip", Dockerfile="FROM python:3.11-slim\nCOPY b /\n")
    )
    assert verdict.code == "zip"
    assert verdict.lines
    assert all(line.startswith("error: ") for line in verdict.lines)
    assert not any("bad.zip" in line for line in verdict.lines)


def test_one_kind_of_error_may_have_its_own_verdict_and_two_kinds_are_the_zips(tmp_path: Path) -> None:
    volume = "FROM python:3.11-slim\nCOPY a.py /\nVOLUME /data\nUSER 1000\nCMD python /a.py\n"
    assert refusal_of(write_submission(tmp_path / "v.zip", Dockerfile=volume)).code == "volume"
    both = volume.replace("COPY", "COPY missing /\nCOPY")
    assert refusal_of(write_submission(tmp_path / "w.zip", Dockerfile=both)).code == "zip"


def test_at_most_20_findings_are_shown(tmp_path: Path) -> None:
    copies = "".join(f"COPY missing{number} /\n" for number in range(25))
    verdict = refusal_of(
        write_submission(
            tmp_path / "m.zip", Dockerfile=f"FROM python:3.11-slim\n{copies}USER 1\nCMD python\n"
        )
    )
    assert len(verdict.lines) == 20
