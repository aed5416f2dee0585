"""Writing whole or not at all, and removing what a stranger left."""

import os
from pathlib import Path

import pytest

from tools.errors import UnavailableError
from tools.files import check_writable, remove_tree, replacing


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail_midway() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise ValueError("midway")

    with pytest.raises(ValueError, match="midway"):
        fail_midway()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_folders_too_deep_for_a_path_are_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    here = os.getcwd()
    try:
        os.chdir(top)
        for number in range(3000):
            Path(f"file{number}").touch()
            os.mkdir("d")
            os.chmod("d", 0o700)
            os.chdir("d")
    finally:
        os.chdir(here)
    remove_tree(top)
    assert os.listdir(tmp_path) == []


def test_closed_folders_are_removed_and_links_not_followed(tmp_path: Path) -> None:
    top, kept = tmp_path / "top", tmp_path / "kept"
    (top / "closed").mkdir(parents=True)
    (top / "closed" / "file").touch()
    kept.mkdir()
    (kept / "file").touch()
    (top / "link").symlink_to(kept)
    (top / "closed").chmod(0)
    top.chmod(0o500)
    remove_tree(top)
    assert not top.exists()
    assert os.listdir(kept) == ["file"]
    remove_tree(top)


def test_a_place_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="cannot be written to"):
        check_writable(tmp_path / "file" / "folder")
