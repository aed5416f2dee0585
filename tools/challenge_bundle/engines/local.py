"""Programs as plain processes: for one's own code only, nothing is held off from this machine."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from challenge_bundle.engines.base import OnLine, Outcome, ProgramRun, split_lines
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


class LocalRunner:
    """Runs a program with this Python, under its time limit; the other limits need a container."""

    name = "local"

    def run(self, run: ProgramRun, on_line: OnLine) -> Outcome:
        """Run a program; see Runner."""
        command = [sys.executable, str(run.program_dir / run.script), str(run.input_dir), str(run.output_dir)]
        if run.model_dir is not None:
            command += ["--model", str(run.model_dir)]
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        started = time.monotonic()
        try:
            process = subprocess.Popen(
                [*command, *run.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment | {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
                cwd=run.output_dir,
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )
        except OSError as fault:
            raise ProgramError(f"{run.name} cannot be started: {fault}") from None
        deadline = threading.Timer(run.limits.time_s, _kill, [process])
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
            limit="time" if seconds >= run.limits.time_s else "",
            last_line=last_line.strip(),
            seconds=seconds,
        )

    def build(self, run: ProgramRun, on_line: OnLine) -> str:
        """Nothing is to be built."""
        return ""

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
