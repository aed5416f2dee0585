"""Of a program's output plain files alone are taken, the promised ones whole, none through a link."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from challenge_bundle.errors import ProgramError
from challenge_bundle.files import open_plain
from challenge_bundle.runs import collect as collecting
from challenge_bundle.runs.collect import collect_output

LIMIT = 1000


def take(work_dir: Path, output: Path, besides: tuple[str, ...] = (), *files: str) -> list[str]:
    return collect_output(work_dir, output, files or ("a.csv",), besides, LIMIT, "inference")


def contents(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


def test_takes_the_promised_and_leaves_the_rest(work_dir: Path, output: Path) -> None:
    (work_dir / "a.csv").write_text("new")
    (work_dir / "other").write_text("not promised")
    (work_dir / "events").mkdir()
    (work_dir / "events" / "one").write_text("event")
    (work_dir / "events" / "link").symlink_to("/etc/passwd")
    (output / "a.csv").write_text("old")
    (output / "README.md").write_text("stays")
    (output / "events").mkdir()
    (output / "events" / "earlier").write_text("stays too")

    assert take(work_dir, output, ("events",)) == []

    assert contents(output) == {
        "README.md": "stays",
        "a.csv": "new",
        "events/one": "event",
        "events/earlier": "stays too",
    }


def make_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_sparse(path: Path) -> None:
    with path.open("wb") as opened:
        opened.truncate(10 * 2**30)


FAULTS = [
    (lambda path: None, "output-missing", "did not write a.csv"),
    (make_link, "output-not-a-file", "'a.csv', but got a link"),
    (os.mkfifo, "output-not-a-file", "'a.csv', but got something else"),
    (Path.mkdir, "output-not-a-file", "'a.csv', but got something else"),
    (make_sparse, "program-over-limit", "wrote more than 0 MB; write less, or raise 'output_mb'"),
]


@pytest.mark.parametrize(("make", "code", "words"), FAULTS)
def test_refuses_and_keeps_the_old(make, code: str, words: str, work_dir: Path, output: Path) -> None:
    (work_dir / "b.csv").write_text("new")
    make(work_dir / "a.csv")
    (output / "a.csv").write_text("old")
    (output / "b.csv").write_text("old")

    with pytest.raises(ProgramError) as fault:
        take(work_dir, output, (), "b.csv", "a.csv")
    assert fault.value.code == code
    assert words in str(fault.value)

    assert contents(output) == {"a.csv": "old", "b.csv": "old"}
    assert sorted(path.name for path in output.iterdir()) == ["a.csv", "b.csv"]


@pytest.mark.parametrize("depth", [1, 2])
def test_a_promised_file_behind_a_linked_folder_is_refused(depth: int, work_dir: Path, output: Path) -> None:
    """As `forest -> /etc`: the file is a plain one, but not one that the program wrote."""
    elsewhere = work_dir.parent / "elsewhere" / "in"
    elsewhere.mkdir(parents=True)
    (elsewhere / "a.csv").write_text("secret")
    if depth == 1:
        (work_dir / "in").symlink_to(elsewhere)
        name = "in/a.csv"
    else:
        (work_dir / "up").symlink_to(elsewhere.parent)
        name = "up/in/a.csv"

    with pytest.raises(ProgramError) as fault:
        take(work_dir, output, (), name)
    assert fault.value.code == "output-not-a-file"
    assert f"{name!r}, but got a link" in str(fault.value)
    (work_dir / "a.csv").write_text("x")
    assert take(work_dir, output, ("in", "up")) == []

    assert contents(output) == {"a.csv": "x"}


def test_files_in_folders_are_promised_by_their_path(work_dir: Path, output: Path) -> None:
    (work_dir / "forest" / "deep").mkdir(parents=True)
    (work_dir / "forest" / "deep" / "trees.pkl").write_text("trees")
    (output / "forest").write_text("a file where a folder is to be")
    take(work_dir, output, (), "forest/deep/trees.pkl")
    assert contents(output) == {"forest/deep/trees.pkl": "trees"}

    shutil.rmtree(output / "forest" / "deep")
    (output / "forest" / "deep").write_text("and one further down")
    take(work_dir, output, (), "forest/deep/trees.pkl")
    assert contents(output) == {"forest/deep/trees.pkl": "trees"}


def test_a_folder_of_an_earlier_run_makes_way_for_a_file(work_dir: Path, output: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (work_dir / name).write_text("new")
        (output / name).mkdir()
        (output / name / "x").write_text("old")
    take(work_dir, output, (), "a.csv", "b.csv")
    assert contents(output) == {"a.csv": "new", "b.csv": "new"}


def test_a_link_in_the_output_is_replaced_and_not_followed(work_dir: Path, output: Path) -> None:
    elsewhere = output.parent / "elsewhere"
    elsewhere.write_text("untouched")
    (output / "a.csv").symlink_to(elsewhere)
    (work_dir / "a.csv").write_text("new")
    take(work_dir, output)
    assert elsewhere.read_text() == "untouched"
    assert not (output / "a.csv").is_symlink()
    assert contents(output) == {"a.csv": "new"}


@pytest.mark.parametrize(("sizes", "fits"), [((1000,), True), ((1001,), False), ((600, 400), True)])
def test_the_limit_to_the_byte(sizes: tuple[int, ...], fits: bool, work_dir: Path, output: Path) -> None:
    names = [f"{number}.bin" for number in range(len(sizes))]
    for name, size in zip(names, sizes, strict=True):
        (work_dir / name).write_bytes(b"x" * size)
    if fits:
        take(work_dir, output, (), *names)
        assert [(output / name).stat().st_size for name in names] == list(sizes)
    else:
        with pytest.raises(ProgramError) as fault:
            take(work_dir, output, (), *names)
        assert fault.value.code == "program-over-limit"
        assert "wrote more than" in str(fault.value)
        assert contents(output) == {}


def test_the_limit_is_of_all_files_together(work_dir: Path, output: Path) -> None:
    for name in ("a.bin", "b.bin"):
        (work_dir / name).write_bytes(b"x" * 501)
    with pytest.raises(ProgramError) as fault:
        take(work_dir, output, (), "a.bin", "b.bin")
    assert fault.value.code == "program-over-limit"
    assert "wrote more than" in str(fault.value)


def test_the_limit_is_said_in_whole_mebibytes(work_dir: Path, output: Path) -> None:
    make_sparse(work_dir / "a.csv")
    with pytest.raises(ProgramError, match="wrote more than 64 MB;"):
        collect_output(work_dir, output, ("a.csv",), (), 64 * 2**20, "training")


def test_what_is_not_promised_is_kept_as_far_as_there_is_room(work_dir: Path, output: Path) -> None:
    (work_dir / "a.csv").write_bytes(b"x" * 500)
    (work_dir / "big").write_bytes(b"x" * 501)
    (work_dir / "exact").write_bytes(b"x" * 499)
    (work_dir / "one").write_bytes(b"1")
    (work_dir / "two").write_bytes(b"2")
    assert take(work_dir, output, ("big", "exact", "one", "two")) == ["big", "two"]
    assert sorted(contents(output)) == ["a.csv", "exact", "one"]


def test_what_is_not_promised_is_no_fault_whatever_it_is(work_dir: Path, output: Path) -> None:
    (work_dir / "a.csv").write_text("new")
    (work_dir / "link").symlink_to("/etc/passwd")
    os.mkfifo(work_dir / "pipe")
    (work_dir / "folder" / "below").mkdir(parents=True)
    (work_dir / "folder" / "below" / ".hidden").write_text("h")
    (work_dir / "folder2").mkdir()
    (work_dir / "folder2" / "x").write_text("not named")

    assert take(work_dir, output, ("link", "pipe", "folder", "none", "a.csv")) == []

    assert contents(output) == {"a.csv": "new", "folder/below/.hidden": "h"}


@pytest.mark.parametrize("size", [2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20 + 7])
def test_large_files_come_whole(size: int, work_dir: Path, output: Path) -> None:
    data = os.urandom(size)
    (work_dir / "a.csv").write_bytes(data)
    collect_output(work_dir, output, ("a.csv",), (), size, "training")
    assert (output / "a.csv").read_bytes() == data


def test_across_devices(work_dir: Path, output: Path) -> None:
    """/dev/shm is a file system of its own, to which nothing can be renamed."""
    shared = Path("/dev/shm") / f"collecting-{os.getpid()}"
    shared.mkdir()
    try:
        assert shared.stat().st_dev != output.stat().st_dev
        (shared / "a.csv").write_text("from afar")
        take(shared, output)
        assert contents(output) == {"a.csv": "from afar"}
    finally:
        shutil.rmtree(shared)


def test_a_single_file_is_never_missing_in_between(
    work_dir: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one is there until the new one is: only of several could a mixture pass for one model."""
    (work_dir / "a.csv").write_text("new")
    (output / "a.csv").write_text("old")
    replace, seen = Path.replace, []

    def look(self: Path, target: Path) -> Path:
        seen.append((output / "a.csv").read_text())
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", look)
    take(work_dir, output)
    assert seen == ["old"]
    assert contents(output) == {"a.csv": "new"}


def test_a_file_that_may_not_be_read(work_dir: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may be root, who may read all."""
    for name in ("a.csv", "closed"):
        (work_dir / name).write_text("x")

    def refuse(folder: Path, name: str) -> int:
        if name == closed:
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return open_plain(folder, name)

    monkeypatch.setattr(collecting, "open_plain", refuse)
    closed = "closed"
    assert take(work_dir, output, ("closed",)) == ["closed"]
    assert contents(output) == {"a.csv": "x"}
    closed = "a.csv"
    with pytest.raises(ProgramError) as fault:
        take(work_dir, output)
    assert fault.value.code == "output-unreadable"
    assert fault.value.finding.message == "inference's 'a.csv' cannot be read: Permission denied"


def test_no_descriptor_stays_open(work_dir: Path, output: Path) -> None:
    os.mkfifo(work_dir / "a.csv")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(ProgramError) as fault:
            take(work_dir, output)
        assert fault.value.code == "output-not-a-file"
    assert len(os.listdir("/proc/self/fd")) == before


def test_all_is_on_the_disk_before_anything_is_renamed(
    work_dir: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut, a name leads to the old file or to the whole new one, and the sign comes last."""
    for name in ("weights", "extra", "sign"):
        (work_dir / name).write_text(name)
        (output / name).write_text("old")
    events: list[str] = []
    fsync, replace, unlink = os.fsync, Path.replace, Path.unlink

    def record_fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_file():
            assert path.read_text() == path.name, "flushed before it is synchronised"
        events.append(f"fsync {path.name}")
        fsync(descriptor)

    def record_replace(self: Path, target: Path) -> Path:
        events.append(f"rename {target.name}")
        return replace(self, target)

    def record_unlink(self: Path, missing_ok: bool = False) -> None:
        events.append(f"remove {self.name}")
        unlink(self, missing_ok)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "replace", record_replace)
    monkeypatch.setattr(Path, "unlink", record_unlink)
    take(work_dir, output, ("extra",), "weights", "sign")

    assert events == [
        "fsync weights",
        "fsync sign",
        "fsync extra",
        "remove sign",
        "rename extra",
        "rename weights",
        "rename sign",
        "fsync output",
    ]


@pytest.mark.parametrize("failing", [1, 2], ids=["promised", "besides"])
def test_a_full_disk_is_not_the_programs_fault_and_leaves_nothing(
    failing: int, work_dir: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work_dir / "a.csv").write_text("new")
    (work_dir / "b").write_text("more")
    (output / "a.csv").write_text("old")
    fsync, calls = os.fsync, []

    def fill_up(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fill_up)
    with pytest.raises(OSError, match="No space left"):
        take(work_dir, output, ("b",))
    assert len(calls) == failing
    assert [path.name for path in output.iterdir()] == ["a.csv"]
    assert (output / "a.csv").read_text() == "old"


def test_what_a_killed_run_left_half_copied_is_not_taken(work_dir: Path, output: Path) -> None:
    (output / ".collecting").mkdir()
    (output / ".collecting" / "a.csv").write_text("half")
    (output / ".collecting" / "b").mkdir()
    (work_dir / "b").write_text("b")
    with pytest.raises(ProgramError) as fault:
        take(work_dir, output, ("b",))
    assert fault.value.code == "output-missing"
    assert "a.csv" in str(fault.value)
    assert contents(output) == {}

    (output / ".collecting" / "b").mkdir(parents=True)
    take(work_dir, output, (), "b")
    assert contents(output) == {"b": "b"}


def test_a_program_of_the_organiser_that_grows_a_file_meanwhile(
    work_dir: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is taken is what was there when its size was looked at: the limit holds."""
    (work_dir / "a.csv").write_bytes(b"x" * 900)
    fstat = os.fstat

    def grow(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        with (work_dir / "a.csv").open("ab") as out:
            out.write(b"y" * 900)
        return status

    monkeypatch.setattr(os, "fstat", grow)
    take(work_dir, output)
    monkeypatch.undo()
    assert (output / "a.csv").read_bytes() == b"x" * 900
