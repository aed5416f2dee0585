"""The order in which files are brought to the disk and renamed decides what a power cut leaves."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def recorded(folder: Path) -> Iterator[list[str]]:
    """Record, while the block runs, what happens below a folder.

    The calls are made as ever. kill -9 cannot show a missing fsync, for the kernel keeps what was written.

    Args:
        folder: Only what lies below it counts.

    Yields:
        One line per call, in order, with paths relative to the folder (itself is `.`): `sync PATH` and
        `rename OLD NEW`.
    """
    events: list[str] = []
    folder = folder.resolve()
    real_sync, real_rename, real_replace = os.fsync, os.rename, os.replace

    def name(path: str | os.PathLike[str]) -> str | None:
        whole = Path(path).resolve()
        return whole.relative_to(folder).as_posix() if whole.is_relative_to(folder) else None

    def sync(descriptor: int) -> None:
        if (path := name(os.readlink(f"/proc/self/fd/{descriptor}"))) is not None:
            events.append(f"sync {path}")
        real_sync(descriptor)

    def rename(source: str | os.PathLike[str], target: str | os.PathLike[str], **options: int) -> None:
        line = f"rename {name(source)} {name(target)}"
        real_rename(source, target, **options)
        events.append(line)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", sync)
        patched.setattr(os, "rename", rename)
        patched.setattr(os, "replace", rename)
        yield events
    assert os.replace is real_replace
