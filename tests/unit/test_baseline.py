"""What stands for the bundle's own submission, with and without a model."""

from pathlib import Path

from challenge_bundle.evaluation.baseline import baseline_files
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout
from tests.unit.test_pack import fill

NAMES = [
    "Dockerfile",
    "bundle_inference/answers.py",
    "bundle_inference/infer.py",
    "bundle_inference/requirements.txt",
    "model_output/best_metric_model.onnx",
    "model_output/model.json",
]


def test_a_trained_bundle_is_its_own_submission(tmp_path: Path) -> None:
    layout = fill(tmp_path / "bundle")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    files = baseline_files(layout, scratch)
    assert list(files) == NAMES
    assert files["model_output/model.json"] == layout.root / "model_output" / "model.json"
    assert list(scratch.iterdir()) == []


def test_empty_files_stand_for_a_model_that_is_not_there(tmp_path: Path) -> None:
    layout, scratch = Layout(tmp_path / "bundle"), tmp_path / "scratch"
    layout.root.mkdir()
    scratch.mkdir()
    files = baseline_files(layout, scratch)
    assert list(files) == NAMES
    assert files["model_output/best_metric_model.onnx"].read_bytes() == b""
    assert files["bundle_inference/infer.py"] == PROJECT_ROOT / "bundle_inference" / "infer.py"
    assert list(layout.root.iterdir()) == []


def test_a_program_of_ones_own_without_what_it_copies(tmp_path: Path) -> None:
    layout, scratch = Layout(tmp_path / "bundle"), tmp_path / "scratch"
    program = layout.root / "bundle_inference"
    program.mkdir(parents=True)
    scratch.mkdir()
    (layout.root / ".dockerignore").write_text("# all of it\n")
    (program / "Dockerfile").write_text(
        "FROM python:3.11-slim\nCOPY bundle_inference/ model_output/ other /opt/\n"
        "COPY weights/forest.pkl settings/*.json /opt/\n"
    )
    (program / "infer.py").write_text("pass\n")
    files = baseline_files(layout, scratch)
    # A pattern may take nothing; a folder is there if something is in it.
    assert list(files) == [
        "Dockerfile",
        "bundle_inference/infer.py",
        "model_output/nothing",
        "other/nothing",
        "weights/forest.pkl",
    ]
    assert files["weights/forest.pkl"].read_bytes() == b""
