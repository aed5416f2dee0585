"""What is submitted besides programs of participants: predictions alone, and baselines of the organiser's."""

import zipfile
from pathlib import Path

import pytest

from challenge_bundle.evaluation.admission import take_all
from challenge_bundle.evaluation.context import Context, read_context
from challenge_bundle.evaluation.decisions import drop, reopen
from challenge_bundle.evaluation.evaluator import evaluate
from challenge_bundle.evaluation.feedback import feedback_text
from challenge_bundle.evaluation.intake import find_zips, kept_file
from challenge_bundle.evaluation.invariance import probe_all
from challenge_bundle.evaluation.receipts import check_scores, check_stored, receipt_path
from challenge_bundle.evaluation.records import REFUSED, Records, Row
from challenge_bundle.evaluation.rescore import rescore
from challenge_bundle.evaluation.step_sequence import run_one_step
from challenge_bundle.evaluation.stored_scores import results_of, scoring_dir
from challenge_bundle.evaluation.verdicts import SCORED
from challenge_bundle.formats.receipt import FULL, PUBLIC, differing, read_receipt
from challenge_bundle.layout import Layout
from challenge_bundle.settings import CODE, PREDICTIONS, read_manifest
from challenge_bundle.submission.predictions_alone import kind_of
from tests.conftest import say_nothing
from tests.worlds import MANIFEST, World, put_zip

TAKES_BOTH = """
[submission]
kinds = ["code", "predictions"]

[[phases]]
name = "open"
submissions_per_day = 1
"""


@pytest.fixture
def context(filled_layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setattr("challenge_bundle.evaluation.attempts.BACKOFF_S", (0.0,))
    return remake(filled_layout, TAKES_BOTH)


def remake(layout: Layout, more: str) -> Context:
    layout.manifest.write_text(MANIFEST + more)
    return read_context(read_manifest(layout.manifest), layout)


def say(*what: object) -> None:
    """A callback that is not looked at."""


def csv_text(context: Context, wrong: int = 0) -> str:
    names = sorted(context.reference.label_of)
    others = dict(zip(context.class_names, (*context.class_names[1:], context.class_names[0]), strict=True))
    labels = {name: context.reference.label_of[name] for name in names}
    labels |= {name: others[labels[name]] for name in names[:wrong]}
    return "file,class\n" + "".join(f"{name},{labels[name]}\n" for name in names)


def put_csv(context: Context, folder: Path, team: str, wrong: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{team}__m.csv"
    path.write_text(csv_text(context, wrong))
    return path


def zip_of(folder: Path, name: str, files: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, text in files.items():
            archive.writestr(inside, text)
    return folder / name


def by_team(records: Records) -> dict[str, Row]:
    return {row.submission.team: row for row in records.rows()}


def test_predictions_are_scored_like_those_of_a_program(
    context: Context, records: Records, world: World, tmp_path: Path
) -> None:
    folder = tmp_path / "zips"
    put_zip(context, folder, "A")
    put_csv(context, folder, "B", wrong=3)
    zip_of(folder, "C__m.zip", {"anything.csv": csv_text(context)})
    card = 'team = "D"\nmethod = "m"\n'
    zip_of(folder, "upload.zip", {"r.csv": csv_text(context, 1), "submission.toml": card})
    take_all(find_zips((folder,)), context, records)
    assert {team: row.kind for team, row in by_team(records).items()} == {
        "A": CODE,
        "B": PREDICTIONS,
        "C": PREDICTIONS,
        "D": PREDICTIONS,
    }
    assert evaluate(context, records, world.connect, 2, say) == {}
    rows = by_team(records)
    assert {row.state for row in rows.values()} == {SCORED}
    assert [line for line in world.log if line != "forget"] == ["build A", "run A"]
    # A program and a csv with the same answers have the same scores, and share a scoring step.
    assert scoring_dir(context, records, rows["A"], "all") == scoring_dir(context, records, rows["C"], "all")
    assert records.steps(rows["B"].submission.id).keys() == {"predictions", "scoring"}
    assert results_of(context, records, rows["B"]).read_text() == csv_text(context, 3)
    assert "kind        predictions" in feedback_text(rows["B"])
    for row in rows.values():
        for kind in (FULL, PUBLIC):
            receipt = read_receipt(receipt_path(context.layout, row.submission.id, kind))
            assert differing(check_stored(context, records, receipt)) == []
            assert ("image" in receipt["digests"]) == (row.kind == CODE)
            assert ("inference" in receipt["limits"]) == (row.kind == CODE)
    receipt = read_receipt(receipt_path(context.layout, rows["B"].submission.id))
    assert differing(check_scores(context, world.connect(), records, receipt)) == []


def test_predictions_are_kept_dropped_reopened_rescored_and_not_probed(
    context: Context, records: Records, world: World, tmp_path: Path
) -> None:
    path = put_csv(context, tmp_path / "zips", "B", wrong=1)
    take_all([path], context, records)
    evaluate(context, records, world.connect, 1, say)
    sha256 = by_team(records)["B"].submission.sha256
    assert kept_file(context.layout.kept_zips, sha256).read_bytes() == path.read_bytes()
    drop(records, sha256)
    reopen(context, records, sha256)
    assert evaluate(context, records, world.connect, 1, say) == {}
    assert run_one_step(context, world.connect(), sha256, "scoring").verdict is None
    probe_all(context, records, world.connect(), say_nothing)
    assert by_team(records)["B"].probe is None
    solution = context.layout.solution_csv("testing")
    first = min(context.reference.label_of)
    label = context.reference.label_of[first]
    other = next(name for name in context.class_names if name != label)
    solution.write_text(solution.read_text().replace(f"{first},{label}", f"{first},{other}"))
    changed = read_context(context.bundle, context.layout)
    assert rescore(changed, records, world.connect(), say_nothing).submissions == 1
    receipt = read_receipt(receipt_path(context.layout, by_team(records)["B"].submission.id))
    assert differing(check_stored(changed, records, receipt)) == []
    assert world.log == []


@pytest.mark.parametrize(
    ("content", "code", "row"),
    [
        (b"file,class\n../../ref/testing_solution.csv,A\n", "csv-unknown-image", 2),
        (b"file,class\n\0.png,A\n", "csv-invalid-line", 2),
        (b"file,class\n" + b"x" * (1 << 20), "csv-line-too-long", 2),
        (b"", "csv-empty", None),
    ],
)
def test_hostile_predictions_get_the_verdict_of_the_scoring_program(
    context: Context, records: Records, world: World, tmp_path: Path, content: bytes, code: str, row: object
) -> None:
    path = put_csv(context, tmp_path / "zips", "B")
    path.write_bytes(content)
    take_all([path], context, records)
    assert evaluate(context, records, world.connect, 1, say) == {}
    found = by_team(records)["B"]
    assert (found.state, found.verdict and found.verdict.code) == (REFUSED, code)
    assert found.verdict is not None
    assert found.verdict.finding.row == row
    assert "testing_solution" not in feedback_text(found)


def test_predictions_that_are_too_large_are_not_scored(
    context: Context, records: Records, world: World, tmp_path: Path
) -> None:
    small = remake(context.layout, TAKES_BOTH + "\n[inference]\noutput_mb = 1\n")
    text = csv_text(context) + "\n" * (1 << 20)
    folder = tmp_path / "zips"
    put_csv(small, folder, "B").write_text(text)
    zip_of(folder, "C__m.zip", {"a.csv": text})
    take_all(find_zips((folder,)), small, records)
    assert evaluate(small, records, world.connect, 1, say) == {}
    verdicts = {team: row.verdict for team, row in by_team(records).items()}
    assert {verdict and verdict.code for verdict in verdicts.values()} == {"predictions-too-large"}
    assert "larger than 1 MB" in str(verdicts["B"])


def test_what_a_phase_takes(context: Context, records: Records, tmp_path: Path) -> None:
    folder = tmp_path / "zips"
    program, csv = put_zip(context, folder, "A"), put_csv(context, folder, "B")
    for more, taken in (
        ("", {"A"}),
        (TAKES_BOTH, {"A", "B"}),
        ('\n[submission]\nkinds = ["predictions"]\n', {"B"}),
        ('\n[[phases]]\nname = "open"\nkinds = ["predictions"]\n', {"B"}),
    ):
        other = remake(context.layout, more)
        arrivals = take_all([program, csv], other, records)
        # Like one that came when no phase was open, it may come again.
        assert {row.submission.team for row in records.rows() if row.state != REFUSED} >= taken
        if not more:
            verdicts = {
                one.submission.team: one.verdict and one.verdict.code for one in arrivals if one.submission
            }
            assert verdicts == {"A": None, "B": "kind"}


def test_a_zip_is_predictions_only_if_it_holds_nothing_else(context: Context, tmp_path: Path) -> None:
    settings, text = context.bundle.submission, csv_text(context)
    assert kind_of(zip_of(tmp_path, "1.zip", {"a.CSV": text}), settings) == PREDICTIONS
    for number, files in enumerate(
        ({"a.csv": text, "Dockerfile": "FROM x"}, {"a.csv": text, "b.csv": text}, {"a.txt": text}, {})
    ):
        assert kind_of(zip_of(tmp_path, f"x{number}.zip", files), settings) == CODE
    (tmp_path / "none.zip").write_bytes(b"PK no zip")
    assert kind_of(tmp_path / "none.zip", settings) == CODE


def test_a_baseline_counts_for_no_quota_and_is_of_any_kind(
    context: Context, records: Records, world: World, tmp_path: Path
) -> None:
    """The phase takes one submission a day, and here programs alone."""
    programs = remake(context.layout, '\n[[phases]]\nname = "open"\nsubmissions_per_day = 1\n')
    folder = tmp_path / "zips"
    own = [put_csv(programs, folder, "Ours", wrong) for wrong in (0, 1)]
    (arrival,) = take_all([own[0]], programs, records, is_baseline=True)
    assert arrival.verdict is None
    own[1].write_text(csv_text(programs, 2))
    (arrival,) = take_all([own[1]], programs, records, is_baseline=True)
    assert arrival.verdict is None
    first, second = (put_zip(programs, folder, "Ours", version) for version in (1, 2))
    (arrival,) = take_all([first], programs, records)
    assert arrival.verdict is None
    first.unlink(missing_ok=True)
    (arrival,) = take_all([put_zip(programs, folder, "Ours", 3)], programs, records)
    assert arrival.verdict is not None
    assert arrival.verdict.code == "quota"
    assert second == first
    assert [row.is_baseline for row in records.rows()].count(True) == 2
    assert evaluate(programs, records, world.connect, 1, say) == {}
    baselines = [row for row in records.rows() if row.is_baseline]
    assert {row.state for row in baselines} == {SCORED}
    assert "(baseline)" in feedback_text(baselines[0])
    assert baselines[0].document()["is_baseline"] is True


def test_a_known_submission_becomes_a_baseline(context: Context, records: Records, tmp_path: Path) -> None:
    path = put_csv(context, tmp_path / "zips", "B")
    take_all([path], context, records)
    assert not by_team(records)["B"].is_baseline
    take_all([path], context, records, is_baseline=True)
    assert by_team(records)["B"].is_baseline
