"""What version 0.1.0 evaluated, this version reads: the same places, valid receipts, no step done again."""

import csv
import json
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from challenge_bundle.cli import main
from challenge_bundle.engines.base import OnLine, Outcome, RunSpec
from challenge_bundle.evaluation.context import read_context
from challenge_bundle.evaluation.receipts import check_stored
from challenge_bundle.evaluation.records import DROPPED, REFUSED, Row
from challenge_bundle.evaluation.verdicts import SCORED
from challenge_bundle.files import hash_file
from challenge_bundle.formats.receipt import differing, read_receipt
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout
from challenge_bundle.settings import read_manifest
from tests.evaluations import open_records
from tests.worlds import FaultyEngine, World

ARCHIVE = PROJECT_ROOT / "tests" / "former" / "bundle-0.1.0.tar.xz"
BOARDS = {"development": "development-public", "final": "final-final"}
"""The folder of each phase's board."""

GENOA = "b55915d3f2c8"
"""The submission that was dropped after it was scored."""


class ScoringEngine(FaultyEngine):
    """Notes that it scores, and all else that it is asked to build or run."""

    def run(self, spec: RunSpec, on_line: OnLine) -> Outcome:
        if spec.name == "scoring":
            self.world.log.append("score")
        return super().run(spec, on_line)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """The stored bundle."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    layout = Layout(tmp_path / "bundle")
    # Archives of the test do not keep what only its owner may read.
    (layout.state / "keys" / "receipts.pem").chmod(0o600)
    return layout


@pytest.fixture
def world(layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """An engine that the commands find here."""
    world = World(read_context(read_manifest(layout.manifest), layout), tmp_path / "engine")
    connector = "challenge_bundle.evaluation.engine_connection.connector"
    monkeypatch.setattr(connector, lambda *_: lambda: ScoringEngine(world))
    monkeypatch.setattr("challenge_bundle.evaluation.evaluator.check_ready", lambda *_: None)
    return world


def run(layout: Layout, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--bundle", str(layout.root), *arguments])


def run_json(layout: Layout, *arguments: str) -> Any:
    result = run(layout, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def steps(layout: Layout) -> dict[str, str]:
    """SHA-256 of all that steps left, by path."""
    folder = layout.evaluation / "steps"
    return {str(p.relative_to(folder)): hash_file(p) for p in folder.rglob("*") if p.is_file()}


def rows(layout: Layout) -> dict[str, Row]:
    context = read_context(read_manifest(layout.manifest), layout)
    with closing(open_records(context)) as records:
        return {row.submission.file_name: row for row in records.rows()}


def receipts(layout: Layout) -> list[Path]:
    return sorted((layout.evaluation / "receipts").rglob("*.json"))


def invalid_fields(layout: Layout) -> list[str]:
    """What differs between all receipts and what is stored."""
    context = read_context(read_manifest(layout.manifest), layout)
    with closing(open_records(context)) as records:
        return [
            f"{path.name}: {finding}"
            for path in receipts(layout)
            for finding in differing(check_stored(context, records, read_receipt(path)))
        ]


KEPT = ("rank", "team", "method", "submission", "received")
"""Of an entry, what the former board and the new one have alike."""


def assert_same_boards(layout: Layout, output: Path) -> None:
    """The same entries with the same scores in the same places, and no more than that.

    The former version resampled the csvs on the board. Now the scoring program does, and that of version 0.1
    writes no resamples: the board gives the interval of each scores.json, no interval of ranks, and says why.
    """
    for phase, name in BOARDS.items():
        run_json(layout, "leaderboard", "--phase", phase, "--output", str(output / name))
        former = layout.state / "leaderboards" / name
        then, now = (
            json.loads((folder / "leaderboard.json").read_text()) for folder in (former, output / name)
        )
        assert [[entry[key] for key in KEPT] for entry in now["entries"]] == [
            [entry[key] for key in KEPT] for entry in then["entries"]
        ]
        # The former board counted cells where this one takes the scoring program's own sum.
        assert [entry["score"] for entry in now["entries"]] == pytest.approx(
            [entry["score"] for entry in then["entries"]], rel=1e-14
        )
        for key in ("title", "phase", "part", "metric", "cases", "class_names"):
            assert now[key] == then[key], (name, key)
        for entry, scores in zip(now["entries"], (entry["scores"] for entry in then["entries"]), strict=True):
            assert entry["scores"] == pytest.approx(
                {name: scores[name] for name in entry["scores"]}, rel=1e-14
            )
            assert entry["score_low"] <= entry["score"] <= entry["score_high"]
            assert entry["rank_low"] is entry["rank_high"] is entry["probability_first"] is None
            assert entry["without_resamples"] == "the scoring program wrote no resamples of this metric"
        assert (output / name / "public-key.pem").read_bytes() == (former / "public-key.pem").read_bytes()


def change_scoring_program(layout: Layout) -> None:
    """Another wording, as a new version brings: the scores stay, the program's digest does not."""
    path = layout.root / "scoring_program" / "score.py"
    path.write_text(path.read_text() + "\n# Reworded.\n")


def test_the_boards_are_those_of_the_former_version(layout: Layout, tmp_path: Path) -> None:
    assert_same_boards(layout, tmp_path / "boards")


def test_every_receipt_is_valid(layout: Layout) -> None:
    assert len(receipts(layout)) == 16
    # That of the dropped one was written before: two receipts of it, and in both the verdict alone differs.
    assert [line.partition(": ")[2] for line in invalid_fields(layout) if not line.startswith(GENOA)] == []
    assert [line.split(": ")[2] for line in invalid_fields(layout)] == ["verdict", "verdict"]
    key = layout.state / "leaderboards" / "final-final" / "public-key.pem"
    for path in receipts(layout):
        document = run_json(layout, "verify", str(path), "--public-key", str(key))
        assert document["valid"] is True


def test_a_receipt_is_valid_when_its_csv_is_scored_again(layout: Layout, world: World) -> None:
    document = run_json(layout, "verify", str(receipts(layout)[0]))
    assert document["valid"] is True
    again = [check["location"] for check in document["checks"] if "again" in check["location"]]
    assert "scored again, final: scores.json" in again
    assert world.log == ["score", "score"]


def test_verdicts_and_messages_are_read(layout: Layout, world: World) -> None:
    document = run_json(layout, "evaluate")
    found = {row["file"]: row for row in document["submissions"]}
    assert found["Essen__crash.zip"]["finding"]["code"] == "failed"
    assert found["Essen__crash.zip"]["lines"][-1] == "ValueError: no image is good enough"
    csv_finding = found["Faro__csv.zip"]["finding"]
    assert (csv_finding["code"], csv_finding["location"], csv_finding["row"]) == (
        "csv-unknown-class",
        "classification_results.csv",
        2,
    )
    assert found["Genoa__late.zip"]["finding"]["code"] == "dropped"


def test_nothing_is_left_to_do_and_no_step_is_done_again(layout: Layout, world: World) -> None:
    before, states = steps(layout), {name: row.state for name, row in rows(layout).items()}
    document = run_json(layout, "evaluate")
    assert document["states"] == {SCORED: 7, REFUSED: 2, DROPPED: 1}
    assert (document["arrivals"], document["waiting"], document["is_stale"]) == ([], {}, False)
    assert world.log == []
    assert steps(layout) == before
    assert {name: row.state for name, row in rows(layout).items()} == states
    with (layout.evaluation / "feedback" / "all.csv").open(newline="") as opened:
        assert {line["file"]: line["state"] for line in csv.DictReader(opened)} == states


def test_a_dropped_submission_comes_back_and_is_only_scored_again(layout: Layout, world: World) -> None:
    """Scores of all splits are one step now; the bundle's own program, which knows none, is run for each."""
    before = steps(layout)
    document = run_json(layout, "evaluate", "--reopen", GENOA)
    assert document["states"] == {SCORED: 8, REFUSED: 2}
    assert [line for line in world.log if line != "forget"] == ["score", "score"]
    after = steps(layout)
    assert before.items() <= after.items()
    new = {Path(name) for name in after.keys() - before.keys()}
    (made,) = {name.parts[:2] for name in new}
    assert made[0] == "scoring"
    former = {sha256 for name, sha256 in before.items() if name.endswith("scores.json")}
    assert {after[str(name)] for name in new if name.name == "scores.json"} <= former
    assert invalid_fields(layout) == []


def test_a_step_that_the_former_version_did_is_taken_over(layout: Layout, world: World) -> None:
    row = rows(layout)["Aachen__forest.zip"]
    document = run_json(layout, "step", "inference", row.submission.sha256)
    assert (document["step"], document["finding"], world.log) == ("inference", None, [])
    assert document["files"]["classification_results.csv"] == row.results_sha256
    refused = run_json(layout, "step", "inference", rows(layout)["Faro__csv.zip"].submission.sha256)
    assert refused["finding"]["code"] == "csv-unknown-class"


def test_a_rescore_finds_all_scores_current(layout: Layout, world: World) -> None:
    before = steps(layout)
    document = run_json(layout, "evaluate", "--rescore")
    assert document["rescored"] == {"submissions": 0, "moves": [], "without_score_before": 0}
    assert world.log == []
    assert steps(layout) == before


def test_a_reworded_scoring_program_asks_for_a_rescore_and_changes_no_score(
    layout: Layout, world: World, tmp_path: Path
) -> None:
    change_scoring_program(layout)
    refused = run(layout, "leaderboard", "--phase", "final", "--output", str(tmp_path / "none"))
    assert refused.exit_code == 1
    assert "evaluate --rescore" in refused.output
    assert not (tmp_path / "none").exists()
    assert run_json(layout, "evaluate")["is_stale"] is True
    assert world.log == []
    document = run_json(layout, "evaluate", "--rescore")
    assert document["rescored"] == {"submissions": 7, "moves": [], "without_score_before": 0}
    assert world.log == ["score"] * 14
    assert document["is_stale"] is False
    assert_same_boards(layout, tmp_path / "boards")
    # The receipts of the scored submissions are written again and name the program that is there now.
    scored = {row.submission.id for row in rows(layout).values() if row.state == SCORED}
    others = [line for line in invalid_fields(layout) if line.partition(".json")[0] in scored]
    assert others == []
