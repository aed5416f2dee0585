"""Taking a program's output: only the promised files, only if they are files, and not too much of them."""

import errno
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from tools.errors import ProgramError, shown

_CHUNK_BYTES = 1 << 20


def collect(
    work_dir: Path, output_dir: Path, files: Sequence[str], folders: Sequence[str], limit_bytes: int, who: str
) -> None:
    """Copy what a program promised to where it belongs; nothing is replaced before all is checked.

    A link, a device or a pipe in place of a file is refused, and what was not promised stays behind:
    whatever the program wrote is a stranger's.

    Args:
        work_dir: Where the program wrote.
        output_dir: Where the files go; made if it is not there.
        files: Names that must be there.
        folders: Names of folders that may be there, taken with the regular files in them.
        limit_bytes: Of all together.
        who: The program, for messages.

    Raises:
        ProgramError: A file is missing, is no regular file, or all together are too large.
    """
    promised = list(files)
    for folder in folders:
        if (work_dir / folder).is_dir() and not (work_dir / folder).is_symlink():
            promised += sorted(
                f"{folder}/{entry.name}" for entry in os.scandir(work_dir / folder) if _is_plain(entry)
            )
    left = limit_bytes
    incoming = output_dir / ".collecting"
    shutil.rmtree(incoming, ignore_errors=True)
    try:
        for name in promised:
            (incoming / name).parent.mkdir(parents=True, exist_ok=True)
            left -= _copy_plain(work_dir, name, incoming / name, left, limit_bytes, who)
        for name in [*files, *folders]:
            target = output_dir / name
            if target.is_dir():
                shutil.rmtree(target)
            if (incoming / name).exists():
                (incoming / name).replace(target)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _is_plain(entry: "os.DirEntry[str]") -> bool:
    return entry.is_file(follow_symlinks=False)


def _copy_plain(work_dir: Path, name: str, target: Path, left: int, limit_bytes: int, who: str) -> int:
    """Copy one file without following a link; returns its size."""
    flags = (
        os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        descriptor = os.open(work_dir / name, flags)
    except FileNotFoundError:
        raise ProgramError(
            f"{who} ended well but did not write {name}; it must (see File formats in the README)"
        ) from None
    except OSError as fault:
        if fault.errno in (errno.ELOOP, errno.ENXIO):
            raise ProgramError(
                f"{who} left a link or a socket as {shown(name)}; it must write a plain file"
            ) from None
        raise ProgramError(f"{who}'s {shown(name)} cannot be read: {fault.strerror}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ProgramError(
            f"{who} left something else than a plain file as {shown(name)}; it must write a file"
        )
    with os.fdopen(descriptor, "rb") as opened:
        if status.st_size > left:
            raise ProgramError(
                f"{who} wrote more than {limit_bytes / 2**20:.0f} MB;"
                " write less, or raise 'output_mb' of this program in bundle.toml"
            )
        with target.open("wb") as out:
            shutil.copyfileobj(opened, out, _CHUNK_BYTES)
            out.flush()
            os.fsync(out.fileno())
    return status.st_size
