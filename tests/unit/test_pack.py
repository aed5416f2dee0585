"""The submission zip: exactly what the Dockerfile copies, the same bytes each time."""

import os
import shutil
import stat
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

from challenge_bundle.errors import DataError
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout
from challenge_bundle.settings import SubmissionSettings
from challenge_bundle.submission.check import check_submission
from challenge_bundle.submission.pack import not_copied, pack_submission
from tests.models import make_graph

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
            "bundle_inference/answers.py",
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


def test_without_a_model_the_hint_is_what_to_run(tmp_path: Path) -> None:
    layout = fill(tmp_path / "one")
    (layout.model_output / "best_metric_model.onnx").unlink()
    with pytest.raises(DataError, match="onnx: not found; inference reads it; run `train` first"):
        pack_submission(layout, layout.submission_zip)
    assert not layout.submission_zip.exists()


def test_a_dockerfile_that_copies_what_is_not_there(tmp_path: Path) -> None:
    layout = fill(tmp_path / "one")
    dockerfile = layout.root / "bundle_inference" / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "COPY weights.bin /\n")
    with pytest.raises(DataError) as fault:
        pack_submission(layout, layout.submission_zip)
    lines = dockerfile.read_text().splitlines()
    assert (fault.value.code, fault.value.path, fault.value.row) == ("copy-missing", dockerfile, len(lines))
    assert [path.name for path in layout.root.glob("*.zip")] == []


def names_in_zip(layout: Layout) -> list[str]:
    pack_submission(layout, layout.submission_zip)
    with zipfile.ZipFile(layout.submission_zip) as archive:
        return archive.namelist()


def write(path: Path, text: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_own_modules_and_weights_are_in_it_and_what_is_no_part_of_a_program_is_not(tmp_path: Path) -> None:
    layout = fill(tmp_path / "one")
    folder = layout.root / "bundle_inference"
    for name in ("features.py", "nets/own.py", "weights/base.bin", "settings.yaml"):
        write(folder / name)
    for name in (".env", ".git/config", "nets/.secret", "__pycache__/x.pyc", "nets/__pycache__/x.pyc"):
        write(folder / name)

    assert [name for name in names_in_zip(layout) if name.startswith("bundle_inference/")] == [
        "bundle_inference/answers.py",
        "bundle_inference/features.py",
        "bundle_inference/infer.py",
        "bundle_inference/nets/own.py",
        "bundle_inference/requirements.txt",
        "bundle_inference/settings.yaml",
        "bundle_inference/weights/base.bin",
    ]


def test_wheels_are_in_it_only_where_the_dockerfile_copies_them(tmp_path: Path) -> None:
    layout = fill(tmp_path / "one")
    folder = layout.root / "bundle_inference"
    write(folder / "wheelhouse" / "a-1.0-py3-none-any.whl")
    assert "bundle_inference/wheelhouse/a-1.0-py3-none-any.whl" in names_in_zip(layout)
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace(" bundle_inference/wheelhous[e]", ""))
    assert not [name for name in names_in_zip(layout) if "wheelhouse" in name]


def test_other_outputs_are_asked_for_and_packed(tmp_path: Path) -> None:
    layout = fill(tmp_path / "one")
    write(layout.root / "bundle_training" / "program.toml", 'outputs = ["trees.pkl"]')
    with pytest.raises(DataError, match=r"trees.pkl: not found; inference reads it; run `train` first"):
        pack_submission(layout, layout.submission_zip)
    write(layout.model_output / "trees.pkl")
    # Its own model.json, which nothing of the tool reads.
    write(layout.model_output / "model.json", "{}")
    names = names_in_zip(layout)
    (warning,) = not_copied(layout, names)
    assert (warning.code, warning.severity) == ("output-not-copied", "warning")
    assert str(warning) == (
        "warning: bundle_inference/Dockerfile: does not copy model_output/trees.pkl, which training writes"
        " for it; write COPY model_output/ model_output/, or leave it out of 'outputs' in program.toml"
    )

    dockerfile = layout.root / "bundle_inference" / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "COPY model_output/ model_output/\n")
    assert not_copied(layout, names_in_zip(layout)) == []


def test_a_promised_model_json_keeps_its_contract(tmp_path: Path) -> None:
    layout = fill(tmp_path / "one")
    write(layout.model_output / "model.json", "{}")
    with pytest.raises(DataError) as fault:
        pack_submission(layout, layout.submission_zip)
    assert (fault.value.code, fault.value.path) == ("model-class-names", layout.model_output / "model.json")


@pytest.mark.parametrize("name", ["bundle_inference/labels.txt", "model_output/notes.csv"])
def test_the_reference_is_not_packed_under_whatever_name(name: str, tmp_path: Path) -> None:
    layout = fill(tmp_path / "one")
    reference = layout.solution_csv("testing")
    write(reference, "file,class\na.png,CXR\n")
    dockerfile = layout.root / "bundle_inference" / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "COPY model_output/ model_output/\n")
    write(layout.root / name, "file,class\na.png,CXS\n")
    assert name in names_in_zip(layout)
    layout.submission_zip.unlink()
    write(layout.root / name, "file,class\na.png,CXR\n")
    with pytest.raises(DataError) as fault:
        pack_submission(layout, layout.submission_zip)
    assert (fault.value.code, fault.value.path) == ("contains-reference", name)
    assert not layout.submission_zip.exists()


def test_each_member_has_a_fixed_time_mode_and_system_and_is_stored(tmp_path: Path) -> None:
    layout = fill(tmp_path / "one")
    (layout.root / "bundle_inference" / "infer.py").chmod(0o755)
    sizes = pack_submission(layout, layout.submission_zip, "A team", "A method")
    with zipfile.ZipFile(layout.submission_zip) as archive:
        members = archive.infolist()
        card = tomllib.loads(archive.read("submission.toml").decode())
        dockerfile = archive.read("Dockerfile")
    assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}
    assert {member.external_attr >> 16 for member in members} == {stat.S_IFREG | 0o644}
    assert {member.create_system for member in members} == {3}
    assert {member.compress_type for member in members} == {zipfile.ZIP_STORED}
    assert sizes == {member.filename: member.file_size for member in members}
    assert card == {"team": "A team", "method": "A method"}
    assert dockerfile == (layout.root / "bundle_inference" / "Dockerfile").read_bytes()
