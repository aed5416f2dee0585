"""Only promised, plain files of a bearable size are taken from a program's output."""

import os
from pathlib import Path

import pytest

from tools.collecting import collect
from tools.errors import ProgramError

LIMIT = 1000


def take(work_dir: Path, output: Path, folders: tuple[str, ...] = ()) -> None:
    collect(work_dir, output, ["a.csv"], folders, LIMIT, "inference")


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_takes_the_promised_and_leaves_the_rest(work_dir: Path, tmp_path: Path) -> None:
    (work_dir / "a.csv").write_text("new")
    (work_dir / "other").write_text("not promised")
    (work_dir / "events").mkdir()
    (work_dir / "events" / "one").write_text("event")
    (work_dir / "events" / "link").symlink_to("/etc/passwd")
    output = tmp_path / "output"
    output.mkdir()
    (output / "a.csv").write_text("old")
    (output / "README.md").write_text("stays")

    take(work_dir, output, ("events",))

    assert (output / "a.csv").read_text() == "new"
    assert sorted(p.relative_to(output).as_posix() for p in output.rglob("*") if p.is_file()) == [
        "README.md",
        "a.csv",
        "events/one",
    ]


def make_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_sparse(path: Path) -> None:
    with path.open("wb") as opened:
        opened.truncate(10 * 2**30)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda path: None, "did not write a.csv"),
        (make_link, "left a link"),
        (os.mkfifo, "something else than a plain file"),
        (Path.mkdir, "something else than a plain file"),
        (make_sparse, "more than"),
    ],
)
def test_refuses_and_keeps_the_old(make, word: str, work_dir: Path, tmp_path: Path) -> None:
    make(work_dir / "a.csv")
    output = tmp_path / "output"
    output.mkdir()
    (output / "a.csv").write_text("old")

    with pytest.raises(ProgramError, match=word):
        take(work_dir, output)

    assert [path.name for path in output.iterdir()] == ["a.csv"]
    assert (output / "a.csv").read_text() == "old"
