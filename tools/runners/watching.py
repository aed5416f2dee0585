"""A container from its start to its end: watched, shown, and ended at its limits."""

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tools.runners.base import OnLine, Outcome, ProgramRun, split_lines
from tools.runners.usage import Usage

if TYPE_CHECKING:
    from docker.models.containers import Container

LOG_BYTES = 1 << 20
"""So much of a program's output is shown and kept, and TAIL_BYTES of its end."""

TAIL_BYTES = 1 << 16

MAX_OUTPUT_FILES = 10_000
MAX_OUTPUT_DEPTH = 16
WATCH_EVERY_S = 0.2

RESERVE_BYTES = 1 << 30
"""A container is ended when less is free where its output lies: a file that was removed while it is still
open takes space that no listing shows."""

GRACE_S = 60.0
"""An engine that has not reported a container's end so long after the time limit is taken for gone."""


def follow(container: "Container", run: ProgramRun, reserve_bytes: int, on_line: OnLine) -> Outcome:
    """Start a container, watch it, and say how it ended: from its exit status, never from what it printed.

    Args:
        container: Made, not started yet.
        run: Gives the limits and the folder that is watched.
        reserve_bytes: The container is ended when less is free where its output lies.
        on_line: Told of each line that it prints.
    """
    started = time.monotonic()
    container.start()
    ended = threading.Event()
    verdict: list[str] = []
    container.reload()
    used = Usage(str(container.id), int(container.attrs["State"]["Pid"]))
    watching = (container, run, reserve_bytes, started, ended, verdict, used)
    watcher = threading.Thread(target=_watch, args=watching, daemon=True)
    reader = threading.Thread(target=_show_logs, args=(container, on_line), daemon=True)
    watcher.start()
    reader.start()
    try:
        status = int(container.wait(timeout=run.limits.time_s + GRACE_S)["StatusCode"])
    finally:
        ended.set()
        watcher.join()
    seconds = time.monotonic() - started
    reader.join(timeout=10)
    container.reload()
    if not verdict and status != 0 and container.attrs["State"]["OOMKilled"]:
        verdict.append("memory")
    limit = verdict[0] if verdict else ""
    # A run that ended well needs no last word, and each question to the engine takes time.
    last_line = _last_line(container) if status or limit else ""
    return Outcome(status, limit, last_line, seconds, used.peak_memory_bytes, used.cpu_seconds)


def _watch(
    container: "Container",
    run: ProgramRun,
    reserve_bytes: int,
    started: float,
    ended: threading.Event,
    verdict: list[str],
    used: Usage,
) -> None:
    """End the container when its time is over, its output is too large or the disk runs short."""
    limit_bytes = run.limits.output_mb * 2**20
    used.look()
    while not ended.wait(WATCH_EVERY_S):
        used.look()
        limit = ""
        if time.monotonic() - started > run.limits.time_s:
            limit = "time"
        elif _is_too_large(run.output_dir, limit_bytes):
            limit = "output"
        elif shutil.disk_usage(run.output_dir).free < reserve_bytes:
            limit = "disk"
        if limit:
            with contextlib.suppress(Exception):
                # One that has ended by itself meanwhile cannot be killed, and is not blamed.
                container.kill()
                verdict.append(limit)
                return


def _is_too_large(folder: Path, limit_bytes: int) -> bool:
    """Add up what is on disk below a folder, until it is too much; links are not followed.

    Folders in folders count as too much as well: deep enough, they could neither be looked into nor removed.
    """
    files, used_bytes, pending = 0, 0, [(folder, 0)]
    while pending:
        current, depth = pending.pop()
        try:
            with os.scandir(current) as entries:
                for entry in entries:
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((Path(entry.path), depth + 1))
                    else:
                        used_bytes += entry.stat(follow_symlinks=False).st_blocks * 512
                    if files > MAX_OUTPUT_FILES or depth > MAX_OUTPUT_DEPTH or used_bytes > limit_bytes:
                        return True
        except FileNotFoundError:
            continue  # removed meanwhile
        except OSError:
            return True  # hidden from us: over-long or closed
    return False


def _show_logs(container: "Container", on_line: OnLine) -> None:
    """Show a container's lines while it runs, up to a size."""
    with contextlib.suppress(Exception):  # whatever breaks the log, the run's verdict does not hang on it
        stream = container.logs(stream=True, follow=True)
        for line in split_lines(_first_and_last(stream, LOG_BYTES)):
            on_line(line)


def _first_and_last(stream: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """Give the first bytes of a stream and, at its end, its last; a stream cut off would leak its socket."""
    left, tail, cut = limit, b"", 0
    for chunk in stream:
        if left > 0:
            yield chunk[:left]
        rest = chunk[left:]
        left -= len(chunk) - len(rest)
        tail, cut = (tail + rest)[-TAIL_BYTES:], cut + len(rest)
    if cut > len(tail):
        yield f"\n... {cut - len(tail):,} bytes are left out here ...\n".encode()
    yield tail


def _last_line(container: "Container") -> str:
    """The last line on stderr, where a fault belongs, else on stdout: the engine may mix up the two."""
    with contextlib.suppress(Exception):
        for stream in ("stderr", "stdout"):
            tail = container.logs(stdout=stream == "stdout", stderr=stream == "stderr", tail=20)
            lines = [line.strip() for line in split_lines(iter([tail[-LOG_BYTES:]])) if line.strip()]
            if lines:
                return lines[-1]
    return ""
