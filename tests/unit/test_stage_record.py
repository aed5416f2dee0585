"""What was made from what, and what of it must go."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.engines.base import OnLine, Outcome, RunSpec
from challenge_bundle.engines.local import LocalEngine
from challenge_bundle.errors import BundleError
from challenge_bundle.files import write_text
from challenge_bundle.formats.task_json import read_task, task_text
from challenge_bundle.formats.tasks import Task
from challenge_bundle.layout import Layout
from challenge_bundle.runs.programs import (
    INFERENCE,
    SCORING,
    TRAINING,
    Program,
    output_files,
    run_program,
    stage_key,
)
from challenge_bundle.runs.stage_record import StageBook, forget_results
from challenge_bundle.runs.task import update_task
from challenge_bundle.settings import read_manifest
from challenge_bundle.sources.synthetic import SyntheticSource
from tests.conftest import say_nothing


def results(layout: Layout) -> list[Path]:
    return [layout.report_html, *layout.score_files]


@pytest.fixture
def scored(filled_layout: Layout) -> Layout:
    """A bundle whose own model was trained, run, scored and reported."""
    for program in (TRAINING, INFERENCE, SCORING):
        for path in output_files(program, filled_layout):
            write_text(path, "old")
        # What a scoring program may write besides.
        for path in filled_layout.score_files if program is SCORING else ():
            write_text(path, "old")
        StageBook(filled_layout).record(program.name, "key", output_files(program, filled_layout))
    write_text(filled_layout.report_html, "old")
    return filled_layout


class Ends(LocalEngine):
    """Writes all that a program promises, and ends with a status."""

    def __init__(self, files: Sequence[str], status: int) -> None:
        self.files, self.status = files, status

    def run(self, run: RunSpec, on_line: OnLine) -> Outcome:
        for name in self.files:
            (run.output_dir / name).write_text("new")
        return Outcome(self.status, "", "", 0.1)


def run(program: Program, layout: Layout, status: int) -> None:
    runner = Ends(program.files, status)
    run_program(program, read_manifest(layout.manifest), layout, runner, (), lambda line: None)


@pytest.mark.parametrize("program", [INFERENCE, SCORING], ids=lambda program: program.name)
def test_a_run_that_fails_leaves_no_scores_and_no_report(scored: Layout, program: Program) -> None:
    with pytest.raises(BundleError, match="failed"):
        run(program, scored, 1)
    assert [path.name for path in results(scored) if path.exists()] == []
    # A failed scoring says nothing against the predictions.
    assert scored.results_csv.exists() == (program is SCORING)


def test_a_training_that_fails_leaves_what_is_of_the_model_that_stays(scored: Layout) -> None:
    with pytest.raises(BundleError, match="failed"):
        run(TRAINING, scored, 1)
    assert [path.read_text() for path in (*results(scored), scored.results_csv)] == ["old"] * 5
    assert (scored.model_output / "model.json").read_text() == "old"


def test_another_model_has_no_scores_yet(scored: Layout) -> None:
    run(TRAINING, scored, 0)
    assert (scored.model_output / "model.json").read_text() == "new"
    assert [path.name for path in (*results(scored), scored.results_csv) if path.exists()] == []


def test_scores_without_their_csv_are_of_something_else(scored: Layout) -> None:
    scored.results_csv.unlink()
    with pytest.raises(BundleError, match="run `infer` first"):
        run(SCORING, scored, 0)
    assert [path.name for path in results(scored) if path.exists()] == []


def test_an_import_removes_what_is_of_the_old_data(scored: Layout) -> None:
    import_images(SyntheticSource(), ImportRequest(sample_size=4, seed=1), scored, say_nothing)
    assert [path.name for path in (*results(scored), scored.results_csv) if path.exists()] == []


def test_an_import_that_fails_removes_nothing(scored: Layout) -> None:
    request = ImportRequest(sample_size=4, seed=1, class_names=("A", "B"))
    with pytest.raises(BundleError, match="classes are"):
        import_images(SyntheticSource(), request, scored, say_nothing)
    assert [path.read_text() for path in (*results(scored), scored.results_csv)] == ["old"] * 5


def test_a_csv_that_somebody_put_there_stays(scored: Layout) -> None:
    write_text(scored.results_csv, "another's")
    forget_results(scored, predictions=True)
    assert scored.results_csv.read_text() == "another's"
    assert [path.name for path in results(scored) if path.exists()] == []
    forget_results(scored, predictions=True)


def test_what_a_stage_made_is_known_by_its_content(scored: Layout) -> None:
    book = StageBook(scored)
    assert book.is_unchanged("inference", scored.results_csv)
    assert not book.is_unchanged("training", scored.results_csv)
    assert not book.is_unchanged("nothing", scored.results_csv)
    write_text(scored.results_csv, "other")
    assert not book.is_unchanged("inference", scored.results_csv)
    scored.results_csv.unlink()
    assert not book.is_unchanged("inference", scored.results_csv)


@pytest.fixture
def book(tmp_path: Path) -> StageBook:
    return StageBook(Layout(tmp_path))


def test_current_only_with_the_same_key_and_files(book: StageBook, tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for path in files:
        path.write_text("made")
    assert not book.is_current("training", "key", files)
    book.record("training", "key", files)
    assert book.is_current("training", "key", files)
    assert not book.is_current("training", "other", files)
    assert not book.is_current("inference", "key", files)
    assert not book.is_current("training", "key", [*files, tmp_path / "c"])
    files[1].write_text("else")
    assert not book.is_current("training", "key", files)
    files[1].unlink()
    assert not book.is_current("training", "key", files)
    assert book.is_current("training", "key", files[:1])


def test_stages_do_not_forget_one_another_nor_their_options(book: StageBook) -> None:
    book.record("training", "1", [], ("--epochs", "2"))
    book.record("inference", "2", [])
    assert (book.arguments("training"), book.arguments("inference")) == (("--epochs", "2"), ())
    assert book.arguments("scoring") == ()
    assert book.is_current("training", "1", [])


def test_which_files_may_be_of_the_last_run(book: StageBook, tmp_path: Path) -> None:
    history, graph, old = (tmp_path / name for name in ("history.csv", "graph.onnx", "old.csv"))
    graph.write_text("x")
    assert book.made("training", old), "no run is known: somebody trained by hand"
    book.record("training", "key", [graph], (), [history])
    assert [book.made("training", path) for path in (history, graph, old)] == [True, True, False]


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"training": 3}', '{"training": null}'])
def test_a_spoiled_record_costs_a_repeated_stage_and_nothing_else(text: str, book: StageBook) -> None:
    book.path.parent.mkdir()
    book.path.write_text(text)
    assert not book.is_current("training", "key", [])
    assert book.arguments("training") == ()
    book.record("training", "key", [])
    assert book.is_current("training", "key", [])
    assert json.loads(book.path.read_text()) == {
        "training": {"key": "key", "arguments": [], "outputs": {}, "besides": []}
    }


def test_task_json_follows_bundle_toml(scored: Layout) -> None:
    """The metric that ranks may change after an import; scores of another one are made again."""
    for folder in (scored.input_data, scored.solution_csv("testing").parent):
        (folder / "task.json").write_text(task_text(Task("classification", ("CXR", "Hand"))))
    bundle, engine = read_manifest(scored.manifest), Ends((), 0)
    before = [stage_key(program, bundle, scored, engine, ()) for program in (TRAINING, SCORING)]
    changed = replace(bundle, evaluation=replace(bundle.evaluation, metric="accuracy"))

    update_task(changed, scored)

    for path in (scored.task_json, scored.reference_task_json):
        assert read_task(path.parent) == Task("classification", ("CXR", "Hand"), "accuracy")
    after = [stage_key(program, changed, scored, engine, ()) for program in (TRAINING, SCORING)]
    assert all(old != new for old, new in zip(before, after, strict=True))
    written = scored.task_json.stat().st_mtime_ns
    update_task(changed, scored)
    assert scored.task_json.stat().st_mtime_ns == written
