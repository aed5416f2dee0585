"""The submission zip: exactly what the Dockerfile copies, the same bytes each time."""

import os
import shutil
import time
import zipfile
from pathlib import Path

import pytest

from tests.models import make_graph
from tools.checking import check_submission
from tools.errors import DataError
from tools.layout import PROJECT_ROOT, Layout
from tools.manifest import SubmissionSettings
from tools.packing import pack_submission

CARD = (
    '{"class_names": ["CXR", "Hand"], "input": {"channels": 1, "height": 8, "width": 8,'
    ' "mean": [0.5], "standard_deviation": [0.2]}}'
)


def fill(root: Path) -> Layout:
    """A bundle that has been trained, with the project's own inference program."""
    shutil.copytree(PROJECT_ROOT / "bundle_inference", root / "bundle_inference")
    for folder in ("model_output", "input_data/testing-data"):
        (root / folder).mkdir(parents=True)
    (root / "model_output" / "best_metric_model.onnx").write_bytes(make_graph(os.urandom(1000)))
    (root / "model_output" / "best_metric_model.pth").write_bytes(b"not part of it")
    (root / "model_output" / "model.json").write_text(CARD)
    return Layout(root)


def test_exactly_what_the_contract_names(tmp_path: Path) -> None:
    layout = fill(tmp_path / "one")

    pack_submission(layout, layout.submission_zip)

    with zipfile.ZipFile(layout.submission_zip) as archive:
        assert archive.namelist() == [
            "Dockerfile",
            "bundle_inference/infer.py",
            "bundle_inference/requirements.txt",
            "model_output/best_metric_model.onnx",
            "model_output/model.json",
        ]
    assert check_submission(layout.submission_zip, SubmissionSettings(), ("CXR", "Hand")) == []


def test_same_content_same_bytes(tmp_path: Path) -> None:
    layout = fill(tmp_path / "one")
    pack_submission(layout, tmp_path / "first.zip")
    time.sleep(0.01)
    shutil.copytree(layout.root, tmp_path / "two", copy_function=shutil.copy)
    for path in (tmp_path / "two").rglob("*"):
        os.utime(path, (2e9, 2e9))
        path.chmod(0o755)

    pack_submission(Layout(tmp_path / "two"), tmp_path / "second.zip")

    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()


def test_no_model_yet_says_what_to_run(tmp_path: Path) -> None:
    layout = fill(tmp_path / "one")
    (layout.model_output / "best_metric_model.onnx").unlink()
    with pytest.raises(DataError, match="onnx: not found; inference reads it: run `train` first"):
        pack_submission(layout, layout.submission_zip)
    assert not layout.submission_zip.exists()


def test_a_dockerfile_that_copies_what_is_not_there(tmp_path: Path) -> None:
    layout = fill(tmp_path / "one")
    dockerfile = layout.root / "bundle_inference" / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "COPY weights.bin /\n")
    with pytest.raises(DataError, match=r"Dockerfile:\d+: copies weights.bin, which is not in"):
        pack_submission(layout, layout.submission_zip)
    assert [path.name for path in layout.root.glob("*.zip")] == []
