"""What was made from what: reused only if key and files are as they were."""

import json
from pathlib import Path

import pytest

from tools.layout import Layout
from tools.stages import StageBook


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
