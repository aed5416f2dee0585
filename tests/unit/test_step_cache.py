"""A step is done once, whatever happens while it is done."""

import hashlib
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.evaluation.step_cache import (
    RECORD_NAME,
    do_once,
    forget_unfinished,
    make_key,
    read_record,
)
from challenge_bundle.evaluation.verdicts import Refusal
from challenge_bundle.installation import PROJECT_ROOT


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


def test_a_folder_that_a_step_leaves_is_no_output(tmp_path: Path) -> None:
    def write_folder_too(part: Path) -> dict[str, int]:
        (part / "folder").mkdir()
        return write_something(part)

    assert list(do_once(tmp_path, "k", write_folder_too).files) == ["out.txt"]


def test_a_fault_here_leaves_nothing_and_is_tried_again(tmp_path: Path) -> None:
    def fail(part: Path) -> dict[str, int]:
        (part / "half").write_text("x")
        raise UnavailableError("the engine is away", code="a-code")

    with pytest.raises(UnavailableError):
        do_once(tmp_path, "k", fail)
    record = do_once(tmp_path, "k", write_something)
    assert set(record.files) == {"out.txt"}


def test_an_output_that_was_changed_afterwards_is_not_taken(tmp_path: Path) -> None:
    record = do_once(tmp_path, "k", write_something)
    (record.folder / "out.txt").write_text("another")
    with pytest.raises(DataError) as fault:
        read_record(record.folder)
    assert (fault.value.code, fault.value.path) == ("changed-step-output", record.folder / "out.txt")


def test_a_spoiled_record_is_named(tmp_path: Path) -> None:
    record = do_once(tmp_path, "k", write_something)
    (record.folder / RECORD_NAME).write_text("{")
    with pytest.raises(DataError) as fault:
        do_once(tmp_path, "k", never)
    assert (fault.value.code, fault.value.path) == ("damaged-step-record", record.folder / RECORD_NAME)


def test_a_key_hangs_on_every_part() -> None:
    keys = {make_key("a", 1), make_key("a", 2), make_key("b", 1), make_key("a", [1]), make_key("a")}
    assert len(keys) == 5
    assert make_key({"a": 1, "b": 2}) == make_key({"b": 2, "a": 1})


def test_all_is_on_the_disk_before_the_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut cannot be tried here, so the order of writes, of fsyncs and of the rename is looked at."""
    seen: list[str] = []
    replace, write_text = Path.replace, Path.write_text

    def name_of(path: Path) -> str:
        return "part" if path.name.endswith(".part") else path.name

    def note_replace(path: Path, target: Path) -> Path:
        seen.append(f"rename {name_of(path)} to {target.name}")
        return replace(path, target)

    def note_write(path: Path, text: str, **options: str) -> int:
        seen.append(f"write {path.name}")
        return write_text(path, text, **options)

    monkeypatch.setattr(Path, "replace", note_replace)
    monkeypatch.setattr(Path, "write_text", note_write)
    monkeypatch.setattr(
        "challenge_bundle.evaluation.step_cache.synchronise",
        lambda path: seen.append(f"sync {name_of(path)}"),
    )

    def work(part: Path) -> dict[str, int]:
        (part / "b.txt").write_text("b")
        (part / "a.txt").write_text("a")
        return {}

    do_once(tmp_path / "steps", "k", work)
    assert seen == [
        "write b.txt",
        "write a.txt",
        "write record.json",
        "sync a.txt",
        "sync b.txt",
        "sync record.json",
        "sync part",
        "rename part to k",
        "sync steps",
    ]


def test_a_record_says_all_of_it(tmp_path: Path) -> None:
    record = do_once(tmp_path, "k", write_something)
    assert (record.folder, record.key, record.facts, record.verdict) == (
        tmp_path / "k",
        "k",
        {"seconds": 1},
        None,
    )
    digest = hashlib.sha256(b"done").hexdigest()
    assert json.loads((tmp_path / "k" / RECORD_NAME).read_text()) == {
        "key": "k",
        "files": {"out.txt": digest},
        "facts": {"seconds": 1},
        "verdict": None,
    }
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


def test_a_lost_output_is_named(tmp_path: Path) -> None:
    record = do_once(tmp_path, "k", write_something)
    (record.folder / "out.txt").unlink()
    with pytest.raises(DataError) as fault:
        read_record(record.folder)
    assert (fault.value.code, fault.value.path) == ("changed-step-output", record.folder / "out.txt")


def test_two_threads_do_a_step_once(tmp_path: Path) -> None:
    calls: list[str] = []
    second_waits = threading.Event()

    def work(part: Path) -> dict[str, int]:
        calls.append(part.name)
        second_waits.wait(0.3)
        (part / "out.txt").write_text("done")
        return {}

    with ThreadPoolExecutor(4) as pool:
        records = list(pool.map(lambda _: do_once(tmp_path, "k", work), range(4)))
    assert len(calls) == 1
    assert [record == records[0] for record in records] == [True] * 4


def test_two_steps_do_not_wait_for_each_other(tmp_path: Path) -> None:
    meet = threading.Barrier(2, timeout=20)

    def work(part: Path) -> dict[str, int]:
        meet.wait()
        return {}

    with ThreadPoolExecutor(2) as pool:
        records = list(pool.map(lambda key: do_once(tmp_path, key, work), ("k", "l")))
    assert [record.key for record in records] == ["k", "l"]


RACER = """\
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from challenge_bundle.evaluation.step_cache import do_once
folder, name = Path({folder!r}), sys.argv[1]

def work(part):
    (folder / f"at work {{name}}").touch()
    while len(list(folder.glob("at work *"))) < 2:
        time.sleep(0.01)
    (part / "out.txt").write_text(name)
    return {{"by": name}}

record = do_once(folder / "steps", "k", work)
print(record.facts["by"], (record.folder / "out.txt").read_text())
"""


def test_of_two_processes_the_first_to_end_gives_the_outputs(tmp_path: Path) -> None:
    script = RACER.format(root=str(PROJECT_ROOT), folder=str(tmp_path))
    racers = [
        subprocess.Popen([sys.executable, "-c", script, name], stdout=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    said = {racer.communicate(timeout=60)[0] for racer in racers}
    assert [racer.returncode for racer in racers] == [0, 0]
    assert len(said) == 1
    assert said <= {"one one\n", "two two\n"}
    assert [path.name for path in (tmp_path / "steps").iterdir()] == ["k"]


def test_what_was_cut_off_is_forgotten_and_nothing_else(tmp_path: Path) -> None:
    record = do_once(tmp_path / "build", "k", write_something)
    for name in (".k.0.part", ".l.1.part"):
        (tmp_path / "build" / name).mkdir()
        (tmp_path / "build" / name / "half").touch()
    (tmp_path / "inference" / ".m.2.part").mkdir(parents=True)
    (tmp_path / "other.part").mkdir()
    forget_unfinished(tmp_path)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert left == ["build", "build/k", "build/k/out.txt", "build/k/record.json", "inference", "other.part"]
    assert read_record(record.folder) == record


def test_a_folder_that_cannot_be_published_is_a_fault(tmp_path: Path) -> None:
    def work(part: Path) -> dict[str, int]:
        # A file of that name is in the way, and no other process's outputs.
        (tmp_path / "k").write_text("x")
        return {}

    with pytest.raises(OSError, match=r"Not a directory|exists"):
        do_once(tmp_path, "k", work)
    assert [path.name for path in tmp_path.iterdir()] == ["k"]
