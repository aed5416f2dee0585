"""Programs as plain processes, for one's own code only: nothing isolates them from this machine."""

import contextlib
import functools
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from challenge_bundle.engines.base import (
    BuildOutcome,
    BuildSpec,
    Capacity,
    Claim,
    ImageInfo,
    OnLine,
    Outcome,
    RunSpec,
)
from challenge_bundle.engines.output_lines import split_lines
from challenge_bundle.errors import ProgramError

_PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "TEMP",
    "TMP",
    "SYSTEMROOT",
    "CUDA_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
)


class LocalEngine:
    """Runs a program with this Python, under its time limit; the other limits need a container."""

    name = "local"
    description = "plain processes"
    builds_images = False
    is_isolated = False

    def __init__(self) -> None:
        self.wheelhouse: Path | None = None
        self.get_wheels: Callable[[str, OnLine], bool] = lambda program, on_line: False

    @property
    def capacity(self) -> Capacity:
        """This machine's; nothing is shared out."""
        return Capacity(os.cpu_count() or 1, 0, platform.machine())

    def run(self, spec: RunSpec, on_line: OnLine) -> Outcome:
        """Run a program from its own folder; see Engine."""
        command = [sys.executable, str(spec.script), str(spec.input_dir), str(spec.output_dir)]
        if spec.model_dir is not None:
            command += ["--model", str(spec.model_dir)]
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        started = time.monotonic()
        try:
            process = subprocess.Popen(
                [*command, *spec.options(str(spec.input_dir), str(spec.output_dir))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment | {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
                cwd=spec.output_dir,
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )
        except OSError as fault:
            raise ProgramError(f"{spec.name} cannot be started: {fault}", code="cannot-start") from None
        deadline = threading.Timer(spec.limits.time_s, _kill, [process])
        deadline.start()
        last_line = ""
        try:
            assert process.stdout is not None
            for line in split_lines(iter(functools.partial(os.read, process.stdout.fileno(), 1 << 16), b"")):
                last_line = line if line.strip() else last_line
                on_line(line)
            status = process.wait()
        finally:
            deadline.cancel()
            _kill(process)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        seconds = time.monotonic() - started
        return Outcome(
            exit_status=status if status >= 0 else 128 - status,
            limit="time" if seconds >= spec.limits.time_s else "",
            last_line=last_line.strip(),
            seconds=seconds,
        )

    def build(self, spec: BuildSpec, on_line: OnLine) -> BuildOutcome:
        """Nothing is built: programs are run from their own folders."""
        return BuildOutcome()

    def inspect(self, image: str) -> ImageInfo | None:
        """There are no images."""
        return None

    def fetch(self, image: str) -> ImageInfo | None:
        """There are no images."""
        return None

    def stop(self, owner: str, key: str = "") -> int:
        """Nothing is left: a program ends with the tool that started it, however that ended."""
        return 0

    def sweep(self, owner: str, kept: Collection[str], claim: Claim) -> None:
        """Nothing is left; see stop."""

    def forget(self, image: str) -> None:
        """There are no images."""

    def forget_older(self, image: str) -> None:
        """There are no images."""

    def python_version(self, image: str) -> str:
        """There are no images."""
        return ""

    def has_room(self, folder: Path) -> bool:
        """No program is ended for the room on a disk."""
        return True

    def works(self, image: str = "") -> bool:
        """There is nothing that could be away."""
        return True

    def close(self) -> None:
        """Nothing is held."""


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End a program and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _die_with_parent() -> Callable[[], None] | None:
    """Make Linux end the program when this tool is killed: two trainings must not share a folder."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    set_death_signal = 1
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(set_death_signal, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return ask
