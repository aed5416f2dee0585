"""A step is done once, whatever happens while it is done."""

from pathlib import Path

import pytest

from tools.errors import DataError, UnavailableError
from tools.evaluation.steps import RECORD_NAME, do_once, make_key, read_record
from tools.evaluation.verdicts import Refusal


def write_something(part: Path) -> dict[str, int]:
    (part / "out.txt").write_text("done")
    return {"seconds": 1}


def never(part: Path) -> dict[str, int]:
    raise AssertionError("done twice")


def test_a_step_is_done_once(tmp_path: Path) -> None:
    first = do_once(tmp_path, "k", write_something)
    assert (first.folder / "out.txt").read_text() == "done"
    assert do_once(tmp_path, "k", never) == first


def test_a_refusal_is_final_and_keeps_the_log(tmp_path: Path) -> None:
    def refuse(part: Path) -> dict[str, int]:
        (part / "build.log").write_text("Step 1")
        raise Refusal("build-time", ("Step 1",), limit=7)

    record = do_once(tmp_path, "k", refuse)
    assert record.verdict is not None
    assert str(record.verdict).startswith("the build took longer than 7 s")
    assert do_once(tmp_path, "k", never) == record
    assert (record.folder / "build.log").exists()


def test_a_fault_here_leaves_nothing_and_is_tried_again(tmp_path: Path) -> None:
    def fail(part: Path) -> dict[str, int]:
        (part / "half").write_text("x")
        raise UnavailableError("the engine is away")

    with pytest.raises(UnavailableError):
        do_once(tmp_path, "k", fail)
    record = do_once(tmp_path, "k", write_something)
    assert set(record.files) == {"out.txt"}


def test_an_output_that_was_changed_afterwards_is_not_taken(tmp_path: Path) -> None:
    record = do_once(tmp_path, "k", write_something)
    (record.folder / "out.txt").write_text("another")
    with pytest.raises(DataError, match="not as its step left it"):
        read_record(record.folder)


def test_a_spoiled_record_is_named(tmp_path: Path) -> None:
    record = do_once(tmp_path, "k", write_something)
    (record.folder / RECORD_NAME).write_text("{")
    with pytest.raises(DataError, match="not a step's record"):
        do_once(tmp_path, "k", never)


def test_a_key_hangs_on_every_part() -> None:
    keys = {make_key("a", 1), make_key("a", 2), make_key("b", 1), make_key("a", [1]), make_key("a")}
    assert len(keys) == 5
    assert make_key({"a": 1, "b": 2}) == make_key({"b": 2, "a": 1})
