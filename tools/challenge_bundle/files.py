"""Writing files so that nothing half-written is ever left under a final name."""

import csv
import errno
import hashlib
import io
import json
import os
import stat
import unicodedata
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from challenge_bundle.errors import UnavailableError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)
"""Of an OSError: this machine has no room left, on the disk or for open files."""

OUR_FAULTS = (*NO_ROOM, errno.EIO)
"""Of an OSError: this machine is at fault, not the file that was read or written."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name next to `path`; rename it to `path` if the block ends well, else remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Always the same name: what a killed process left is overwritten by the next one.
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
        synchronise(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def synchronise(path: Path) -> None:
    """Make a file, or the list of a folder's files, survive a power cut."""
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_executable(path: Path) -> bool:
    """Whether a file is executable by its owner."""
    return bool(path.stat().st_mode & stat.S_IXUSR)


def no_formula(text: str) -> str:
    """A participant's text as a cell of a csv that no spreadsheet takes for a formula.

    Source:
        OWASP, "CSV Injection"; some spreadsheets take the wide and small forms of the signs as well.
    """
    first = unicodedata.normalize("NFKC", text[:1])
    return "'" + text if first in ("=", "+", "-", "@", "\t", "\r", "\n") else text


def write_text(path: Path, text: str, private: bool = False) -> None:
    """Write UTF-8 with Unix line ends, whole or not at all; if private, only its owner can read it."""
    with replacing(path) as temporary:
        if private:
            temporary.unlink(missing_ok=True)
            temporary.touch(mode=0o600)
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_csv(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[str]], private: bool = False
) -> None:
    """Write a csv with Unix line ends, whole or not at all; if private, only its owner can read it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue(), private)


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def hash_folder(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's files, except hidden ones, in hexadecimal."""
    contents = {entry.name: hash_file(entry) for entry in folder.iterdir() if entry.name[0] != "."}
    return hashlib.sha256(json.dumps([contents], sort_keys=True).encode()).hexdigest()


def signature(paths: Iterable[Path]) -> str:
    """What changes when a file of a set does: a digest of names, sizes and times, not of contents.

    Args:
        paths: Files and folders (folders count with all that they hold). One that is missing counts as such.

    Returns:
        SHA-256 in hexadecimal.
    """
    digest = hashlib.sha256()
    for path in paths:
        for name, status in _files_below(path) if path.is_dir() else [(str(path), _status(path))]:
            digest.update(f"{name}\0{status}\n".encode())
    return digest.hexdigest()


def _files_below(folder: Path) -> Iterator[tuple[str, str]]:
    """(path, size and time) of each file, in order; by scandir, for pathlib takes ten times as long."""
    with os.scandir(folder) as opened:
        entries = sorted(opened, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _files_below(Path(entry.path))
        else:
            yield entry.path, _status(entry)


def _status(file: "Path | os.DirEntry[str]") -> str:
    try:
        status = file.stat()
    except FileNotFoundError:
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"


def check_writable(folder: Path) -> None:
    """Make a folder, and find out before hours of work whether files can be put there.

    Raises:
        UnavailableError: They cannot.
    """
    probe = folder / f".{uuid.uuid4().hex}.probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as fault:
        what = f"cannot be written to ({fault.strerror})"
        hint = "give yourself write access to the folder (chown, chmod)"
        raise UnavailableError(what, folder, code="folder-not-writable", hint=hint) from None


MAX_DEPTH = 64
"""Of folders in which a program's files are looked for: any path that is made stays short enough to open."""


def plain_files(folder: Path) -> list[str]:
    """The plain files in a folder that a participant filled, by name, in order; no link is followed."""
    names: list[str] = []
    pending = [("", 0)]
    while pending:
        below, depth = pending.pop()
        try:
            with os.scandir(folder / below) as opened:
                entries = list(opened)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue  # changed meanwhile, or closed
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                names.append(below + entry.name)
            elif entry.is_dir(follow_symlinks=False) and depth < MAX_DEPTH:
                pending.append((f"{below}{entry.name}/", depth + 1))
    return sorted(names)


def open_plain(folder: Path, name: str) -> int:
    """Open a file below a folder that a participant filled: through no link, without waiting for a pipe.

    Args:
        folder: The folder.
        name: Of the file below it, such as `events/one`.

    Returns:
        A descriptor to read from; the caller checks what kind of file it is.

    Raises:
        OSError: ELOOP or ENOTDIR for a link; else as os.open.
    """
    *folders, last = name.split("/")
    flags = (
        os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    if os.open not in os.supports_dir_fd:  # Windows, where nothing foreign runs
        return os.open(folder / name, flags)
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in folders:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
            os.close(place)
            place = below
        return os.open(last, flags, dir_fd=place)
    finally:
        os.close(place)


def remove_tree(folder: Path) -> None:
    """Remove a folder that a participant filled, however deep or closed; a missing one is no error.

    shutil.rmtree recurses, so that a few thousand folders in one another stop it.

    Raises:
        OSError: Something cannot be removed.
    """
    pending = [folder] if folder.is_dir() and not folder.is_symlink() else []
    while pending:
        current = pending[-1]
        current.chmod(0o700)
        with os.scandir(current) as opened:
            entries = list(opened)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                # Moved to the top, so that no path grows long; a folder must be writable to be moved.
                os.chmod(entry.path, 0o700)
                pending.append(folder / f".removed-{uuid.uuid4().hex}")
                os.rename(entry.path, pending[-1])
            else:
                os.unlink(entry.path)
        if pending[-1] == current:
            current.rmdir()
            pending.pop()
