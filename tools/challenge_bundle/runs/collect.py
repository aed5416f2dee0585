"""Taking over a program's output: regular files only, the promised ones in full, up to the size limit."""

import errno
import os
import stat
from collections.abc import Collection, Sequence
from pathlib import Path

from challenge_bundle.errors import ProgramError, shown
from challenge_bundle.files import open_plain, plain_files, remove_tree, synchronise

_CHUNK_BYTES = 1 << 20
_A_LINK = (errno.ELOOP, errno.ENXIO, errno.ENOTDIR)
_OF_THE_FILE = (errno.ENOENT, *_A_LINK, errno.EINVAL, errno.EACCES, errno.EFBIG)
"""What is wrong with a file that was written; anything else is wrong with this machine."""


def collect_output(
    work_dir: Path, output_dir: Path, files: Sequence[str], besides: Sequence[str], limit_bytes: int, who: str
) -> list[str]:
    """Copy what a program wrote to where it belongs; nothing is replaced before all is checked.

    A link, a device or a pipe in place of a promised file is refused, and besides the promised ones only
    plain files are taken: what wrote them may be a participant's program. Files of other names in the output
    folder stay there.

    Args:
        work_dir: Where the program wrote.
        output_dir: Where the files go; made if it is not there.
        files: Names that must be there; the last comes last, as the sign that all are there.
        besides: Names of files and folders that may be there, folders with all files in them.
        limit_bytes: Of all together.
        who: The program, for messages.

    Returns:
        Files of `besides` that were left out: too large for what was left of the limit, or unreadable.

    Raises:
        ProgramError: A promised file is missing or is no plain file, or all of those are too large.
    """
    incoming = output_dir / ".collecting"
    remove_tree(incoming)
    left, taken, left_out = limit_bytes, [], []
    try:
        for name in files:
            try:
                left -= _copy_plain(work_dir, name, incoming / name, left)
            except OSError as fault:
                raise _refusal(fault, name, who, limit_bytes) from None
        for name in _expand(work_dir, besides, files):
            try:
                left -= _copy_plain(work_dir, name, incoming / name, left)
            except OSError as fault:
                if fault.errno not in _OF_THE_FILE:
                    raise
                left_out.append(name)
            else:
                taken.append(name)
        _publish(incoming, output_dir, [*taken, *files], files[-1:] if len(files) > 1 else ())
    finally:
        remove_tree(incoming)
    return left_out


def _refusal(fault: OSError, name: str, who: str, limit_bytes: int) -> Exception:
    """Why a promised file cannot be taken; a fault of this machine stays what it is."""
    if fault.errno not in _OF_THE_FILE:
        return fault
    if fault.errno == errno.ENOENT:
        return ProgramError(
            f"{who} ended well but did not write {name}",
            code="output-missing",
            hint="write it (see File formats in the documentation)",
        )
    if fault.errno == errno.EFBIG:
        return ProgramError(
            f"{who} wrote more than {limit_bytes / 2**20:.0f} MB",
            code="program-over-limit",
            hint="write less, or raise 'output_mb' of this program in bundle.toml",
        )
    if fault.errno in _A_LINK or fault.errno == errno.EINVAL:
        got = "a link or a socket" if fault.errno in _A_LINK else "something else"
        return ProgramError(
            f"{who}: expected a plain file as {shown(name)}, but got {got}",
            code="output-not-a-file",
            hint="write a plain file",
        )
    return ProgramError(
        f"{who}'s {shown(name)} cannot be read: {fault.strerror}",
        code="output-unreadable",
        hint="write it with permission to read",
    )


def _expand(work_dir: Path, besides: Sequence[str], files: Collection[str]) -> list[str]:
    """The plain files that `besides` names, without the promised ones, in order."""
    wanted = set(besides)
    return [
        name
        for name in plain_files(work_dir)
        if name not in files
        and any("/".join(name.split("/")[:depth]) in wanted for depth in range(1, name.count("/") + 2))
    ]


def _copy_plain(work_dir: Path, name: str, target: Path, left: int) -> int:
    """Copy one file without following a link, and on the disk before it is renamed; returns its size.

    Raises:
        OSError: EINVAL for what is no plain file, EFBIG for more than `left` bytes.
    """
    descriptor = open_plain(work_dir, name)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a plain file", name)
    with os.fdopen(descriptor, "rb") as opened:
        if status.st_size > left:
            raise OSError(errno.EFBIG, "too large", name)
        target.parent.mkdir(parents=True, exist_ok=True)
        copied = 0
        with target.open("wb") as out:
            # No more than it was: somebody may still write to it.
            while chunk := opened.read(min(_CHUNK_BYTES, status.st_size - copied)):
                copied += out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
    return copied


def _publish(incoming: Path, output_dir: Path, names: Sequence[str], sign: Sequence[str]) -> None:
    """Rename files to where they belong.

    Args:
        incoming: Where they are, whole and on the disk.
        output_dir: Where they go.
        names: In the order in which they go.
        sign: Of these; removed first, so that old and new files never pass for one model.
    """
    for name in sign:
        _make_way(output_dir, name)
        (output_dir / name).unlink(missing_ok=True)
    for name in names:
        _make_way(output_dir, name)
        (output_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (incoming / name).replace(output_dir / name)
    for folder in {(output_dir / name).parent for name in names}:
        synchronise(folder)


def _make_way(output_dir: Path, name: str) -> None:
    """Remove what an earlier run left where a file is to be: a folder, or a file in place of a folder."""
    remove_tree(output_dir / name)
    above = output_dir
    for part in name.split("/")[:-1]:
        above /= part
        if above.is_symlink() or above.is_file():
            above.unlink()
