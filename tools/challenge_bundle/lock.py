"""One command at a time in a bundle: two imports or two trainings in one folder would damage each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from challenge_bundle.errors import UnavailableError
from challenge_bundle.layout import Layout


@contextmanager
def bundle_lock(layout: Layout) -> Iterator[None]:
    """Hold the bundle while the block runs; the lock ends with the process, however it ends.

    Raises:
        UnavailableError: Another command holds it.
    """
    import filelock

    layout.state.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(layout.state / "lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        what = f"another command is at work in {layout.root}"
        raise UnavailableError(what, code="bundle-locked", hint="wait for it to end") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def file_lock(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a file against other threads and processes while the block runs; made if it is not there.

    Args:
        path: The file; it stays, for removing it would let two hold it at once.
        wait: Whether to wait while another holds it.

    Yields:
        Whether it is held: always, unless `wait` is false.
    """
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
