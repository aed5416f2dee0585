"""Writing whole or not at all, and removing what a stranger left."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from challenge_bundle.errors import UnavailableError
from challenge_bundle.files import (
    MAX_DEPTH,
    check_writable,
    hash_file,
    no_formula,
    open_plain,
    plain_files,
    remove_tree,
    replacing,
    signature,
    write_csv,
    write_text,
)
from tests.durability import recorded


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
    try:
        remove_tree(top)
        assert os.listdir(tmp_path) == []
    finally:
        # If it failed: pytest itself cannot remove such folders.
        subprocess.run(["rm", "-rf", str(top)], check=True)


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
    with pytest.raises(UnavailableError) as fault:
        check_writable(tmp_path / "file" / "folder")
    assert (fault.value.code, fault.value.path) == ("folder-not-writable", tmp_path / "file" / "folder")


def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_folder_after(tmp_path: Path) -> None:
    with recorded(tmp_path) as events:
        write_text(tmp_path / "a" / "b" / "file", "text")
    assert events == ["sync a/b/.file.part", "rename a/b/.file.part a/b/file", "sync a/b"]
    assert os.listdir(tmp_path / "a" / "b") == ["file"]


def test_a_text_has_unix_line_ends_and_private_ones_are_their_owners(tmp_path: Path) -> None:
    path = tmp_path / "file"
    # What a killed process left, open to all.
    (tmp_path / ".file.part").write_text("older and longer than what comes")
    (tmp_path / ".file.part").chmod(0o644)
    write_text(path, "å\nb\n", private=True)
    assert path.read_bytes() == "å\nb\n".encode()
    assert path.stat().st_mode & 0o777 == 0o600
    write_text(path, "public")
    assert path.stat().st_mode & 0o044 == 0o044


def test_a_csv_has_unix_line_ends_and_may_be_private(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ("x", "y"), [("1", 'say "2"')])
    assert (tmp_path / "a.csv").read_bytes() == b'x,y\n1,"say ""2"""\n'
    assert (tmp_path / "a.csv").stat().st_mode & 0o044 == 0o044
    write_csv(tmp_path / "b.csv", ("x",), [], private=True)
    assert (tmp_path / "b.csv").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("first", "=+-@\t\r\n\uff1d\uff0b\ufe63\uff20")
def test_a_cell_is_no_formula(first: str) -> None:
    assert no_formula(f"{first}1") == f"'{first}1"
    assert no_formula(f"1{first}") == f"1{first}"


def test_a_signature_changes_with_name_size_and_time_of_any_file_below(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "deep" / "er").mkdir(parents=True)
    (top / "deep" / "er" / "file").write_text("one")
    (top / "__pycache__").mkdir()
    other = tmp_path / "other"
    seen = {signature([top, other])}

    def is_new() -> bool:
        before = len(seen)
        seen.add(signature([top, other]))
        return len(seen) > before

    (top / "__pycache__" / "file").write_text("passed over")
    assert not is_new()
    os.utime(top / "deep" / "er" / "file", ns=(0, 1))
    assert is_new()
    (top / "deep" / "er" / "file").write_text("longer")
    os.utime(top / "deep" / "er" / "file", ns=(0, 1))
    assert is_new()
    (top / "deep" / "er" / "file").rename(top / "deep" / "er" / "renamed")
    assert is_new()
    (top / "deep" / "more").touch()
    assert is_new()
    other.write_text("there now")
    assert is_new()


def test_a_hash_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert hash_file(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_folder_is_made_and_probed_without_a_trace(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    check_writable(tmp_path / "a" / "b")
    assert os.listdir(tmp_path / "a" / "b") == []


def test_a_link_is_not_taken_for_a_folder_to_be_removed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    remove_tree(tmp_path / "link")
    remove_tree(tmp_path / "kept" / "file")
    assert (tmp_path / "kept" / "file").exists()


def test_plain_files_are_listed_in_order_without_following_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "filled"
    for name in ("b/2", "a", "b/1", "b/c/.hidden", "empty/x"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "empty" / "x").unlink()
    (folder / "link").symlink_to(folder / "a")
    (folder / "linked").symlink_to(folder / "b")
    os.mkfifo(folder / "pipe")
    assert plain_files(folder) == ["a", "b/1", "b/2", "b/c/.hidden"]
    assert plain_files(tmp_path / "none") == []
    assert plain_files(folder / "a") == []


def test_files_are_looked_for_so_deep_and_no_deeper(tmp_path: Path) -> None:
    deepest = tmp_path.joinpath(*"d" * MAX_DEPTH)
    (deepest / "d").mkdir(parents=True)
    (deepest / "seen").touch()
    (deepest / "d" / "unseen").touch()
    assert plain_files(tmp_path) == ["d/" * MAX_DEPTH + "seen"]
    assert MAX_DEPTH == 64


def read_descriptor(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as opened:
        return opened.read()


def test_a_file_is_opened_below_a_folder_and_through_no_link(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "filled", tmp_path / "elsewhere"
    for name in (folder / "a" / "b" / "c", elsewhere / "b" / "c"):
        name.parent.mkdir(parents=True)
        name.write_text(f"below {name.parent.parent.name}")
    (folder / "top").write_text("top")
    assert read_descriptor(open_plain(folder, "top")) == b"top"
    assert read_descriptor(open_plain(folder, "a/b/c")) == b"below a"

    (folder / "linked").symlink_to(elsewhere)
    (folder / "a" / "linked").symlink_to(elsewhere / "b")
    (folder / "a" / "file").symlink_to(elsewhere / "b" / "c")
    for name, number in (
        ("linked/b/c", errno.ENOTDIR),
        ("a/linked/c", errno.ENOTDIR),
        ("a/file", errno.ELOOP),
        ("top/x", errno.ENOTDIR),
        ("a/none", errno.ENOENT),
        ("none/c", errno.ENOENT),
    ):
        with pytest.raises(OSError, match=".") as caught:
            open_plain(folder, name)
        assert caught.value.errno == number, name


def test_no_pipe_is_waited_for_and_no_descriptor_stays_open(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").touch()
    os.mkfifo(tmp_path / "a" / "pipe")
    before = len(os.listdir("/proc/self/fd"))
    os.close(open_plain(tmp_path, "a/pipe"))
    os.close(open_plain(tmp_path, "a/file"))
    for name in ("a/none", "none/file"):
        with pytest.raises(FileNotFoundError):
            open_plain(tmp_path, name)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_folder_that_is_filled_may_itself_be_a_link(tmp_path: Path) -> None:
    """As model_output may be, on a larger disk: it is ours, what is below it need not be."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a").write_text("a")
    (tmp_path / "model_output").symlink_to(tmp_path / "disk")
    assert plain_files(tmp_path / "model_output") == ["a"]
    assert read_descriptor(open_plain(tmp_path / "model_output", "a")) == b"a"
