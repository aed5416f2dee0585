"""TensorBoard events of a program: visible while it runs, in a folder of its own for each run."""

import contextlib
import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from challenge_bundle.files import open_plain, plain_files, remove_tree

LOOK_EVERY_S = 2.0
RUNS_KEPT = 10
_RUN = re.compile(r"\d{8}-\d{6}-.+")
"""A run's folder, named by when it began, as `train.py` names its own."""
_CHUNK_BYTES = 1 << 20


@contextlib.contextmanager
def visible_curves(source: Path, target: Path, limit_bytes: int) -> Iterator[None]:
    """While the block runs, bring what is written below `source` to `target`, every two seconds.

    Event files only grow, so what was brought is always the beginning of a run; of `target`, the newest
    RUNS_KEPT runs are kept, and nothing that this did not bring is removed.

    Args:
        source: Where the program writes them; need not be there.
        target: Where people look.
        limit_bytes: Of all together; what is beyond is not brought.

    Raises:
        OSError: They cannot be written at the end of a block that ended well.
    """
    run = time.strftime("%Y%m%d-%H%M%S-run", time.gmtime())
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(LOOK_EVERY_S):
            with contextlib.suppress(OSError):  # raised at the end, if it still fails
                bring(source, target, run, limit_bytes)

    follower = threading.Thread(target=follow)
    follower.start()
    try:
        yield
    except BaseException:
        ended.set()
        follower.join()
        with contextlib.suppress(OSError):
            bring(source, target, run, limit_bytes)
        raise
    ended.set()
    follower.join()
    bring(source, target, run, limit_bytes)


def bring(source: Path, target: Path, run: str, limit_bytes: int) -> None:
    """Bring what is new of a program's events.

    A folder that is named as a run is one; all else goes into a folder for this run, so that a program that
    knows of no runs does not mix them either.

    Args:
        source: Where they are, perhaps of a participant's program: no link is followed.
        target: Gets a folder for each run.
        run: Name of this run.
        limit_bytes: See visible_curves.
    """
    names = plain_files(source)
    left = limit_bytes
    for name in names:
        first, _, rest = name.partition("/")
        place = target / name if rest and _RUN.fullmatch(first) else target / run / name
        try:
            left -= _bring_file(source, name, place, left)
        except (FileNotFoundError, NotADirectoryError):
            continue  # removed or changed meanwhile
    if names:
        forget_older(target)


def forget_older(target: Path) -> None:
    """Remove all but the newest RUNS_KEPT runs."""
    runs = sorted(path for path in target.iterdir() if path.is_dir() and _RUN.fullmatch(path.name))
    for path in runs[:-RUNS_KEPT]:
        remove_tree(path)


def _bring_file(source: Path, name: str, place: Path, left: int) -> int:
    """Append what a file has grown by, or write it again if it was replaced; returns its size."""
    descriptor = open_plain(source, name)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > left:
        os.close(descriptor)
        return 0
    with os.fdopen(descriptor, "rb") as opened:
        there = place.stat() if place.is_file() else None
        if there is not None and (there.st_size, there.st_mtime_ns) == (status.st_size, status.st_mtime_ns):
            return status.st_size
        grows = "tfevents" in name and there is not None and there.st_size <= status.st_size
        done = there.st_size if grows and there is not None else 0
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("ab" if grows else "wb") as out:
            opened.seek(done)
            while chunk := opened.read(min(_CHUNK_BYTES, status.st_size - done)):
                done += out.write(chunk)
        os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
    return status.st_size
