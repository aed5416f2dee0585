"""A container from its start to its end: watched by a process of its own, shown, and ended at its limits."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from challenge_bundle.engines.base import OnLine, Outcome, RunSpec
from challenge_bundle.engines.docker.api import seconds_between
from challenge_bundle.engines.output_lines import split_lines
from challenge_bundle.errors import UnavailableError

if TYPE_CHECKING:
    from docker.models.containers import Container

LOG_BYTES = 1 << 20
"""So much of a program's output is shown and kept, and TAIL_BYTES of its end."""

TAIL_BYTES = 1 << 16

RESERVE_BYTES = 1 << 30
"""A container is ended when less is free where its output lies: a file that was removed while it is still
open takes space that no listing shows."""

GRACE_S = 60.0
"""An engine that has not reported a container's end so long after the time limit is taken for gone."""

ANSWER_S = 60.0
"""So long an answer of the process that holds the limits is waited for."""

_NOT_STARTED = (126, 127)
_INIT_FAILED = "[FATAL tini "
"""The container's init ends with one of these statuses after such a line if there is no such program."""

_ROOT = Path(__file__).resolve().parents[3]
_SERVE = (
    f"import sys; sys.path.insert(0, {str(_ROOT)!r}); from {__package__}.watchdog_process import main; main()"
)


class Watchdog:
    """The process that holds the limits; see watchdog.py. One serves all workers.

    Args:
        address: Of the engine; the environment holds how it is reached where that takes more than a socket.
    """

    def __init__(self, address: str) -> None:
        socket = {"DOCKER_HOST": address} if address.startswith("unix://") else {}
        # In a session of its own: what ends the tool by a signal to its group must not end this too.
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | socket,
            start_new_session=True,
            text=True,
            encoding="utf-8",
        )
        self._lock = threading.Lock()
        self._answers: dict[str, queue.SimpleQueue[dict[str, Any]]] = {}
        threading.Thread(target=self._read, daemon=True).start()

    @contextlib.contextmanager
    def holding(self, order: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Have the limits of one container or build held while the block runs.

        Args:
            order: `do` (`run` or `build`), `id`, `time_s` and what else that needs.

        Yields:
            A dictionary that is filled when the block has ended well: `limit`, and what else was found.

        Raises:
            UnavailableError: The process has ended.
        """
        answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        with self._lock:
            self._answers[order["id"]] = answers
        found: dict[str, Any] = {}
        try:
            self._send(order)
            if "ready" not in _next(answers):
                raise UnavailableError(_GONE, code="watchdog-lost", hint="run the command again")
            yield found
            self._send({"do": "release", "id": order["id"]})
            found |= _next(answers)
        except BaseException:
            with contextlib.suppress(UnavailableError):
                self._send({"do": "release", "id": order["id"]})
            raise
        finally:
            with self._lock:
                del self._answers[order["id"]]

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def _send(self, order: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            with self._lock:
                self.process.stdin.write(json.dumps(order) + "\n")
                self.process.stdin.flush()
        except (OSError, ValueError):
            raise UnavailableError(_GONE, code="watchdog-lost", hint="run the command again") from None

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            answer = json.loads(line)
            with self._lock:
                waiting = self._answers.get(answer["id"])
            if waiting is not None:
                waiting.put(answer)
        self.process.stdout.close()
        self.process.wait()
        with self._lock:
            for waiting in self._answers.values():
                waiting.put({"gone": True})
            with contextlib.suppress(OSError):
                assert self.process.stdin is not None
                self.process.stdin.close()


_GONE = "the process that holds the limits of containers has ended"

_watchdogs: dict[str, Watchdog] = {}
_starting = threading.Lock()


def watchdog_of(address: str) -> Watchdog:
    """The process that holds the limits at an engine, started once and again should it have ended.

    Args:
        address: Of the engine that the environment names now.
    """
    with _starting:
        found = _watchdogs.get(address)
        if found is None or not found.is_alive:
            found = _watchdogs[address] = Watchdog(address)
        return found


def _next(answers: "queue.SimpleQueue[dict[str, Any]]") -> dict[str, Any]:
    try:
        answer = answers.get(timeout=ANSWER_S)
    except queue.Empty:
        raise UnavailableError(_GONE, code="watchdog-lost", hint="run the command again") from None
    if "gone" in answer:
        raise UnavailableError(_GONE, code="watchdog-lost", hint="run the command again")
    return answer


def follow(
    container: "Container", spec: RunSpec, reserve_bytes: int, watchdog: Watchdog, on_line: OnLine
) -> Outcome:
    """Start a container, watch it, and report how it ended: from its exit status, never from what it printed.

    Args:
        container: Made, not started yet.
        spec: Gives the limits and the folder that is watched.
        reserve_bytes: The container is ended when less is free where its output lies.
        watchdog: Ends it at its limits.
        on_line: Gets each line that it prints.
    """
    order = {
        "do": "run",
        "id": str(container.id),
        "time_s": spec.limits.time_s,
        "output_dir": str(spec.output_dir),
        "output_bytes": spec.limits.output_mb * 2**20,
        "reserve_bytes": reserve_bytes,
    }
    init_failed = threading.Event()

    def show(line: str) -> None:
        if line.startswith(_INIT_FAILED):
            init_failed.set()
        on_line(line)

    with watchdog.holding(order) as found:
        container.start()
        reader = threading.Thread(target=_show_logs, args=(container, show), daemon=True)
        reader.start()
        status = int(container.wait(timeout=spec.limits.time_s + GRACE_S)["StatusCode"])
    reader.join(timeout=10)
    container.reload()
    state = container.attrs["State"]
    limit, seconds = judge(state, status, str(found["limit"]), spec.limits.time_s)
    # A run that ended well needs no last word, and each question to the engine takes time.
    last_line = _last_line(container) if status or limit else ""
    peak_bytes, cpu_seconds = int(found.get("peak_memory_bytes", 0)), float(found.get("cpu_seconds", 0.0))
    is_started = not (status in _NOT_STARTED and init_failed.is_set())
    return Outcome(status, limit, last_line, seconds, peak_bytes, cpu_seconds, is_started)


def judge(state: dict[str, Any], status: int, ended_at: str, time_s: float) -> tuple[str, float]:
    """Find at which limit a container was ended, and how long it ran.

    The time is the engine's own, from the container's start to its end: a run that took longer than its limit
    is over time, whatever this process saw of it, and one that did not is not, however late that was seen.

    Args:
        state: What the engine reports of the container.
        status: Its exit status.
        ended_at: At which limit the watchdog ended it; empty if it did not.
        time_s: The limit.

    Returns:
        (`time`, `memory`, `output`, `disk` or empty; seconds)
    """
    seconds = seconds_between(str(state.get("StartedAt")), str(state.get("FinishedAt")))
    if ended_at in ("output", "disk"):
        return ended_at, seconds or 0.0
    if ended_at == "time" or (seconds is not None and seconds > time_s):
        return "time", seconds or 0.0
    return "memory" if status != 0 and state.get("OOMKilled") else "", seconds or 0.0


def _show_logs(container: "Container", on_line: OnLine) -> None:
    """Show a container's lines while it runs, up to a size."""
    with contextlib.suppress(Exception):  # whatever breaks the log, the outcome does not depend on it
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
