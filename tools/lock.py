"""One command at a time in a bundle: two imports or two trainings in one folder would spoil each other."""

from collections.abc import Iterator
from contextlib import contextmanager

from tools.errors import UnavailableError
from tools.layout import Layout


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
        raise UnavailableError(f"another command is at work in {layout.root}; wait for it to end") from None
    try:
        yield
    finally:
        lock.release()
