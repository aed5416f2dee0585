"""kill -9 of run-all at each stage: the next run ends with the same scores."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout
from tests.conftest import MANIFEST

COMMAND = [sys.executable, str(PROJECT_ROOT / "tools" / "bundle.py")]

MOMENTS = {
    "importing": "input_data/.incoming/images/00000010.png",
    "data_written": "input_data/training-data",
    "training": ".bundle/work/training/checkpoint.pth",
    "model_written": "model_output/model.json",
    "inference": ".bundle/work/inference",
    "predictions_written": "submission_directory/input/res/classification_results.csv",
    "scoring": ".bundle/work/scoring",
    "scores_written": "submission_directory/output/scores.txt",
}


def run_all(layout: Layout) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*COMMAND, "--bundle", str(layout.root), "run-all", "--runner", "local"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def make_bundle(root: Path) -> Layout:
    root.mkdir()
    (root / "bundle.toml").write_text(MANIFEST)
    return Layout(root)


def results(layout: Layout) -> dict[str, bytes]:
    return {
        name: (layout.root / name).read_bytes()
        for name in (
            "submission_directory/output/scores.txt",
            "submission_directory/output/scores.json",
            "submission_directory/input/res/classification_results.csv",
            "model_output/best_metric_model.onnx",
        )
    }


@pytest.mark.slow
def test_killed_at_every_stage_in_turn(tmp_path: Path) -> None:
    undisturbed = make_bundle(tmp_path / "undisturbed")
    with run_all(undisturbed) as whole:
        output = whole.communicate()[0]
    assert whole.returncode == 0, output.decode()

    killed = make_bundle(tmp_path / "killed")
    for moment, path in MOMENTS.items():
        with run_all(killed) as process:
            deadline = time.monotonic() + 60
            while not (killed.root / path).exists() and process.poll() is None:
                assert time.monotonic() < deadline, f"{path} was never written"
                time.sleep(0.0005)
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), moment

    with run_all(killed) as last:
        output = last.communicate()[0]
    assert last.returncode == 0, output.decode()
    assert results(killed) == results(undisturbed)
    assert not (killed.input_data / ".incoming").exists()
    leftovers = [*killed.root.rglob("*.part"), *killed.root.rglob(".collecting")]
    assert leftovers == []
