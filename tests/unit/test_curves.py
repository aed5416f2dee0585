"""TensorBoard events are seen while a program runs; each run has its folder, and the newest are kept."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from challenge_bundle.runs import curves
from challenge_bundle.runs.curves import RUNS_KEPT, bring, visible_curves

EVENTS = "events.out.tfevents.1"
LIMIT = 10_000


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as out:
        out.write(data)


def test_seen_while_the_program_runs(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "LOOK_EVERY_S", 0.01)
    target = tmp_path / "target"
    name = f"20270101-000000-small/{EVENTS}"
    with visible_curves(source, target, LIMIT):
        write(source / name, b"one")
        wait_until(lambda: target.exists() and below(target) == {name: b"one"})
        write(source / name, b"two")
        wait_until(lambda: below(target) == {name: b"onetwo"})
    assert below(target) == {name: b"onetwo"}


@pytest.mark.parametrize("fails", [False, True])
def test_the_end_is_brought_too_however_the_program_ends(fails: bool, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    name = f"20270101-000000-small/{EVENTS}"

    def run() -> None:
        with visible_curves(source, target, LIMIT):
            write(source / name, b"all")
            if fails:
                raise KeyboardInterrupt

    if fails:
        with pytest.raises(KeyboardInterrupt):
            run()
    else:
        run()
    assert below(target) == {name: b"all"}


def test_a_program_that_knows_no_runs_gets_a_folder_for_each(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    write(source / EVENTS, b"first")
    write(source / "loss_training" / EVENTS, b"first, below")
    bring(source, target, "20270101-000000-run", LIMIT)
    (source / EVENTS).unlink()
    write(source / EVENTS, b"second")
    bring(source, target, "20270101-000001-run", LIMIT)

    assert below(target) == {
        f"20270101-000000-run/{EVENTS}": b"first",
        f"20270101-000000-run/loss_training/{EVENTS}": b"first, below",
        f"20270101-000001-run/{EVENTS}": b"second",
        f"20270101-000001-run/loss_training/{EVENTS}": b"first, below",
    }


def test_a_file_that_is_written_anew_is_not_appended_to(source: Path, tmp_path: Path) -> None:
    target, run = tmp_path / "target", "20270101-000000-run"
    for name, data in ((EVENTS, b"long events"), ("projector.json", b"{1}")):
        write(source / name, data)
    bring(source, target, run, LIMIT)
    (source / EVENTS).write_bytes(b"short")
    (source / "projector.json").write_bytes(b"{22}")
    bring(source, target, run, LIMIT)
    assert below(target / run) == {EVENTS: b"short", "projector.json": b"{22}"}


def test_what_is_unchanged_is_not_written_again(source: Path, tmp_path: Path) -> None:
    target, run = tmp_path / "target", "20270101-000000-run"
    write(source / "projector.json", b"{1}")
    bring(source, target, run, LIMIT)
    before = (target / run / "projector.json").stat().st_ctime_ns
    bring(source, target, run, LIMIT)
    assert (target / run / "projector.json").stat().st_ctime_ns == before


def test_the_newest_runs_are_kept_and_other_folders_left_alone(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "my own notes").mkdir(parents=True)
    for number in range(RUNS_KEPT + 3):
        (source / f"202701{number + 1:02}-000000-small").mkdir()
        write(source / f"202701{number + 1:02}-000000-small" / EVENTS, b"x")
    bring(source, target, "20270201-000000-run", LIMIT)
    assert RUNS_KEPT == 10
    kept = sorted(path.name for path in target.iterdir())
    assert kept == [f"202701{number:02}-000000-small" for number in range(4, 14)] + ["my own notes"]


def test_no_link_is_followed_and_the_limit_holds_to_the_byte(source: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / EVENTS).write_bytes(b"secret")
    (source / "linked").symlink_to(secret)
    (source / f"{EVENTS}.link").symlink_to(secret / EVENTS)
    os.mkfifo(source / f"{EVENTS}.pipe")
    write(source / "0.tfevents", b"x" * 101)
    write(source / "a.tfevents", b"x" * 60)
    write(source / "b.tfevents", b"x" * 40)
    write(source / "c.tfevents", b"x")
    bring(source, tmp_path / "target", "20270101-000000-run", 100)
    assert below(tmp_path / "target" / "20270101-000000-run") == {
        "a.tfevents": b"x" * 60,
        "b.tfevents": b"x" * 40,
    }


def test_no_curves_make_no_folder(source: Path, tmp_path: Path) -> None:
    with visible_curves(source / "tensorboard", tmp_path / "target", LIMIT):
        pass
    assert not (tmp_path / "target").exists()


def test_a_target_that_cannot_be_written_is_said_at_the_end(source: Path, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("a file in its place")
    write(source / EVENTS, b"x")
    with pytest.raises(OSError, match="target"), visible_curves(source, tmp_path / "target", LIMIT):
        pass


def test_a_fault_that_passes_is_no_fault(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full for a moment does not end the curves, nor the training."""
    looks: list[int] = []
    real = curves.bring

    def fail_at_first(*arguments: object) -> None:
        looks.append(1)
        if len(looks) < 3:
            raise OSError(28, "No space left on device")
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(curves, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(curves, "bring", fail_at_first)
    write(source / EVENTS, b"x")
    with visible_curves(source, tmp_path / "target", LIMIT):
        wait_until((tmp_path / "target").exists)
    assert list(below(tmp_path / "target").values()) == [b"x"]
