"""Running a program: what it promises, what it writes besides, and what is seen while it runs."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from challenge_bundle.engines.base import Outcome
from challenge_bundle.engines.local import LocalEngine
from challenge_bundle.errors import ManifestError, ProgramError
from challenge_bundle.layout import Layout
from challenge_bundle.runs.outcome import check_outcome
from challenge_bundle.runs.programs import (
    INFERENCE,
    TRAINING,
    is_current,
    may_be_of_other_data,
    output_files,
    run_program,
)
from challenge_bundle.settings import Limits, read_manifest

BEGIN = "import os, pathlib, sys\nout = pathlib.Path(sys.argv[2])\n"


def write_training(layout: Layout, code: str, outputs: str = 'outputs = ["trees.pkl"]') -> None:
    folder = layout.root / "bundle_training"
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(BEGIN + code)
    (folder / "program.toml").write_text(outputs)


def train(layout: Layout) -> list[str]:
    lines: list[str] = []
    run_program(TRAINING, read_manifest(layout.manifest), layout, LocalEngine(), (), lines.append)
    return lines


def below(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_what_a_program_writes_besides_its_outputs_is_kept(filled_layout: Layout) -> None:
    write_training(
        filled_layout,
        "(out / 'plots' / 'deep').mkdir(parents=True)\n"
        "for name in ('trees.pkl', 'notes.txt', 'plots/deep/roc.svg', '.hydra', 'state/one', 'half.tmp'):\n"
        "    (out / name).parent.mkdir(exist_ok=True)\n"
        "    (out / name).write_text(name)\n"
        "(out / 'link').symlink_to('/etc/passwd')\n",
        'outputs = ["trees.pkl"]\ntemporary = ["state", "half.tmp"]',
    )
    filled_layout.model_output.mkdir(exist_ok=True)
    (filled_layout.model_output / "my own.txt").write_text("put there by hand")

    train(filled_layout)

    assert below(filled_layout.model_output) == {
        "trees.pkl": "trees.pkl",
        "notes.txt": "notes.txt",
        "plots/deep/roc.svg": "plots/deep/roc.svg",
        ".hydra": ".hydra",
        "my own.txt": "put there by hand",
    }
    assert not filled_layout.work_dir("training").exists()
    # A second run that writes other names removes nothing of the first.
    write_training(filled_layout, "(out / 'trees.pkl').write_text('2')\n(out / 'b.txt').write_text('b')\n")
    train(filled_layout)
    assert sorted(below(filled_layout.model_output)) == [
        ".hydra",
        "b.txt",
        "my own.txt",
        "notes.txt",
        "plots/deep/roc.svg",
        "trees.pkl",
    ]


def test_what_does_not_fit_is_named_and_the_model_kept(filled_layout: Layout) -> None:
    manifest = filled_layout.manifest
    manifest.write_text(manifest.read_text().replace("[training]", "[training]\noutput_mb = 1"))
    write_training(
        filled_layout,
        "(out / 'trees.pkl').write_text('model')\n"
        "(out / 'exact').write_bytes(b'x' * (2**20 - 5))\n(out / 'huge').write_bytes(b'x' * 2**20)\n",
    )
    (warning,) = train(filled_layout)
    assert warning == (
        "warning: not kept, being more than 1 MB with the others or unreadable: 'huge';"
        " write less, or raise 'output_mb' under [training] in bundle.toml"
    )
    assert sorted(below(filled_layout.model_output)) == ["exact", "trees.pkl"]


def test_a_promise_that_is_not_kept(filled_layout: Layout) -> None:
    write_training(filled_layout, "(out / 'other.pkl').write_text('x')")
    with pytest.raises(ProgramError) as fault:
        train(filled_layout)
    assert fault.value.code == "output-missing"
    assert "trees.pkl" in str(fault.value)
    assert (filled_layout.work_dir("training") / "other.pkl").exists(), "hours of work are not thrown away"


def test_a_faulty_promise_is_found_before_it_trains(filled_layout: Layout) -> None:
    write_training(filled_layout, "(out / 'trained').touch()", 'outputs = ["../x"]')
    with pytest.raises(ManifestError) as fault:
        train(filled_layout)
    assert (fault.value.code, fault.value.row) == ("setting-value", 1)
    assert fault.value.finding.message.startswith("'outputs': ")
    assert "'../x'" in fault.value.finding.message
    assert not filled_layout.work_dir("training").exists()


def test_what_was_promised_when_it_began_counts(filled_layout: Layout) -> None:
    write_training(
        filled_layout,
        "(out / 'trees.pkl').write_text('x')\n"
        "pathlib.Path(__file__).with_name('program.toml').write_text('outputs = [\"late\"]')\n",
    )
    train(filled_layout)
    assert below(filled_layout.model_output) == {"trees.pkl": "x"}


def test_without_a_program_toml_it_is_the_graph_and_its_card(filled_layout: Layout) -> None:
    write_training(filled_layout, "(out / 'best_metric_model.onnx').write_text('x')")
    (filled_layout.root / "bundle_training" / "program.toml").unlink()
    with pytest.raises(ProgramError) as fault:
        train(filled_layout)
    assert fault.value.code == "output-missing"
    assert "model.json" in str(fault.value)
    folder = filled_layout.model_output
    expected = [folder / "best_metric_model.onnx", folder / "model.json"]
    assert output_files(TRAINING, filled_layout) == expected
    assert [path for path in INFERENCE.reads(filled_layout) if path.parent == folder] == expected


def test_reuse_goes_by_what_is_promised(filled_layout: Layout) -> None:
    write_training(
        filled_layout, "(out / 'trees.pkl').write_text('x')\n(out / 'notes.txt').write_text('x')\n"
    )
    train(filled_layout)

    def current() -> bool:
        return is_current(TRAINING, read_manifest(filled_layout.manifest), filled_layout, LocalEngine(), ())

    assert current()
    (filled_layout.model_output / "notes.txt").unlink()
    assert current()
    (filled_layout.model_output / "trees.pkl").write_text("y")
    assert not current()
    train(filled_layout)
    assert current()
    (filled_layout.root / "bundle_training" / "own.py").write_text("x")
    assert not current()


def test_a_model_of_any_kind_may_be_older_than_the_data(filled_layout: Layout) -> None:
    write_training(filled_layout, "(out / 'trees.pkl').write_text('x')")
    assert not may_be_of_other_data(filled_layout)
    train(filled_layout)
    assert not may_be_of_other_data(filled_layout)
    os.utime(filled_layout.model_output / "trees.pkl", (1000, 1000))
    assert may_be_of_other_data(filled_layout)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


CURVES = (
    "import time\nrun = out / 'tensorboard' / '20270101-000000-own'\nrun.mkdir(parents=True, exist_ok=True)\n"
    "(run / 'events.out.tfevents.1').write_text('first epoch')\n(out / 'trees.pkl').write_text('half')\n"
    "while not pathlib.Path(sys.argv[1], 'go on').exists(): time.sleep(0.01)\n"
    "(run / 'events.out.tfevents.2').write_text('second epoch')\n(out / 'trees.pkl').write_text('whole')\n"
)


def test_curves_are_seen_while_it_trains_and_a_half_model_never_is(filled_layout: Layout) -> None:
    """Also when it is killed: the next training's run is another folder, or the same if it continues."""
    write_training(filled_layout, CURVES)
    run = filled_layout.curves / "20270101-000000-own"
    code = "import sys; sys.argv[0] = 'bundle'; from challenge_bundle.cli import main; main()"
    command = [sys.executable, "-c", code, "--bundle", str(filled_layout.root), "train", "--runner", "local"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: below(run) == {"events.out.tfevents.1": "first epoch"})
        assert [path.name for path in filled_layout.model_output.iterdir()] == ["tensorboard"]
        process.kill()
    assert below(run) == {"events.out.tfevents.1": "first epoch"}
    assert [path.name for path in filled_layout.model_output.iterdir()] == ["tensorboard"]

    (filled_layout.input_data / "go on").touch()
    train(filled_layout)

    assert below(filled_layout.model_output) == {
        "trees.pkl": "whole",
        "tensorboard/20270101-000000-own/events.out.tfevents.1": "first epoch",
        "tensorboard/20270101-000000-own/events.out.tfevents.2": "second epoch",
    }


def test_a_package_that_is_not_here_has_a_hint(filled_layout: Layout) -> None:
    write_training(filled_layout, "import no_such_forest")
    with pytest.raises(ProgramError, match="No module named 'no_such_forest'") as caught:
        train(filled_layout)
    assert "add the package to bundle_training/requirements.txt" in str(caught.value)
    assert f"run `pip install -r` on that file with this Python, {sys.executable}" in str(caught.value)


OUTCOMES = [
    (0, "time", "program-over-limit", "training was ended at its time limit of 20 s"),
    (137, "memory", "program-over-limit", "training was ended at its memory limit of 512 MB"),
    (0, "output", "program-over-limit", "training was ended at its output limit of 8 MB (or of the number"),
    (0, "disk", "disk-short-of-room", "training was ended because the disk ran short"),
    (1, "", "program-failed", "training failed (exit status 1); its last line: bye"),
    (128, "", "program-failed", "training failed (exit status 128); its last line: bye"),
    (129, "", "program-ended-by-signal", "training was ended by SIGHUP; its last line: bye"),
    (255, "", "program-ended-by-signal", "training was ended by signal 127; its last line: bye"),
]


@pytest.mark.parametrize(("status", "limit", "code", "message"), OUTCOMES)
def test_how_a_run_ended(status: int, limit: str, code: str, message: str) -> None:
    limits = Limits(time_s=20, memory_mb=512, cpus=1, pids=64, output_mb=8)
    with pytest.raises(ProgramError) as fault:
        check_outcome(TRAINING, Outcome(status, limit, "bye", 1.0), limits)
    assert fault.value.code == code
    assert fault.value.finding.message.startswith(message)
    check_outcome(TRAINING, Outcome(0, "", "bye", 1.0), limits)
