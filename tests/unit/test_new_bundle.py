"""What `bundle new` writes, and the bundle.toml that `run-all` writes where there is none."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from challenge_bundle.cli import main
from challenge_bundle.errors import DataError, ManifestError
from challenge_bundle.installation import PROJECT_ROOT, command_name
from challenge_bundle.layout import Layout
from challenge_bundle.new_bundle import make_bundle, name_for, program_files, write_manifest
from challenge_bundle.settings import parse_manifest, read_manifest


def below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("mednist", "mednist"),
        ("Chest X-rays (2026)", "chest-x-rays-2026"),
        ("_Größe_", "gr-e"),
        ("影像", "bundle"),
        ("a" * 80, "a" * 63),
        ("a" * 62 + " b", "a" * 62),
    ],
)
def test_a_folders_name_becomes_a_valid_one(folder: str, name: str, tmp_path: Path) -> None:
    assert name_for(tmp_path / folder) == name
    assert parse_manifest(f'[bundle]\nname = "{name}"', tmp_path).name == name


def test_a_new_bundle_is_complete(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "a" / "X rays", "", 'The "first"\\ \x7f', with_programs=True)
    assert (made.name, made.title) == ("x-rays", 'The "first"\\ \x7f')
    folder = tmp_path / "a" / "X rays"
    assert read_manifest(folder / "bundle.toml") == made
    files = set(program_files())
    assert below(folder) == {"bundle.toml", "README.md", ".gitignore", *files}
    assert {"bundle_training/train.py", "bundle_inference/Dockerfile", ".dockerignore"} <= files
    assert all((folder / name).read_bytes() == (PROJECT_ROOT / name).read_bytes() for name in files)


def test_a_new_bundle_may_use_the_programs_of_the_tool(tmp_path: Path) -> None:
    make_bundle(tmp_path, "mine", "Mine", with_programs=False)
    assert below(tmp_path) == {"bundle.toml", "README.md", ".gitignore"}
    assert Layout(tmp_path).program_dir("bundle_training") == PROJECT_ROOT / "bundle_training"
    assert (tmp_path / "README.md").read_text().startswith("# Mine\n")


def test_every_key_that_is_shown_is_one(tmp_path: Path) -> None:
    make_bundle(tmp_path, "mine", "", with_programs=False)
    text = (tmp_path / "bundle.toml").read_text()
    # A key of a comment that stands twice is an example of the same one.
    text = re.sub(r"^(source = .*)$", "", text, flags=re.MULTILINE)
    text, count = re.subn(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    assert count >= 8
    assert parse_manifest(text, tmp_path).data.source.startswith("folder:")


@pytest.mark.parametrize("what", ["a file in it", "a file"])
def test_what_is_not_an_empty_folder_is_refused(what: str, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    if what == "a file":
        folder.touch()
    else:
        folder.mkdir()
        (folder / "notes.txt").touch()
    before = below(tmp_path)
    with pytest.raises(DataError) as fault:
        make_bundle(folder, "", "", with_programs=True)
    assert (fault.value.code, fault.value.finding.location) == ("folder-not-empty", str(folder))
    assert below(tmp_path) == before


def test_a_name_that_is_none_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as fault:
        make_bundle(tmp_path, "My Challenge", "", with_programs=True)
    assert fault.value.code == "setting-value"
    assert "'My Challenge'" in fault.value.finding.message
    assert below(tmp_path) == set()


def test_a_manifest_is_named_after_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "Hand X"
    folder.mkdir()
    assert write_manifest(Layout(folder)).name == "hand-x"


def test_the_command_reports_what_comes_next(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["new", str(tmp_path / "mine"), "--without-programs"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("made the bundle 'mine' in ")
    assert f"{command_name()} --bundle {tmp_path / 'mine'} run-all" in result.output
    assert CliRunner().invoke(main, ["new", str(tmp_path / "mine")]).exit_code == 1
