"""Reading what a participant sent in a process of its own, with limits of time and memory.

Python's parsers of code, TOML, JSON and csv can be made to take minutes or gigabytes by a file of a few
kilobytes, some can be crashed, and none of them can be interrupted: a deadline held by another thread
is missed. So they run in a process of their own, which the kernel ends. Arguments and answers are JSON,
never pickle: a process that a file has taken over must not reach this one.
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any, NoReturn

from challenge_bundle.errors import BundleError, SubmissionError, without_controls
from challenge_bundle.files import OUR_FAULTS
from challenge_bundle.findings import ERROR, Finding

HINT = "make it smaller or simpler"
_ROOT = Path(__file__).resolve().parent.parent
_PACKAGE = __name__.partition(".")[0]
_CHILD = f"import sys; sys.path.insert(0, sys.argv[1]); from {__name__} import serve; serve()"
_KEPT_VARIABLES = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What Python itself may need to start."""

_GRACE_S = 2.0
"""The child ends itself at its deadline; the parent ends it so much later, if it does not."""

_OPEN_FILES = 64
_MAX_TEXT_CHARACTERS = 4096
_FIELDS = len(fields(Finding))
_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What reading may take.

    Args:
        cpu_s: Processor time, seconds; not enforced on Windows.
        wall_s: Wall time, seconds; far above cpu_s, so that a busy machine refuses nothing.
        memory_mb: Address space, 2**20 bytes; enforced on Linux.
        file_mb: The largest file it may write, 2**20 bytes; not enforced on Windows.
        answer_bytes: Of all that it answers; a file may always have so many.
    """

    cpu_s: int = 10
    wall_s: float = 300.0
    memory_mb: int = 512
    file_mb: int = 0
    answer_bytes: int = 1 << 24


@dataclass(frozen=True, slots=True)
class At:
    """Yielded by a guarded function: what it reads next, for the message if that exceeds a limit."""

    place: str


class Exceeded(SubmissionError):
    """What a participant sent cannot be read within the limits.

    Args:
        finding: What limit, and in its location what was being read, as far as the function reported it.
        items: What was answered before.
    """

    def __init__(self, finding: Finding, items: tuple[Any, ...] = ()) -> None:
        location = finding.location or None
        super().__init__(finding.message, location, code=finding.code, hint=finding.hint)
        self.items = items


def run_guarded(function: str, arguments: Mapping[str, Any], limits: ReadLimits | None = None) -> list[Any]:
    """Call a function of this package in a process of its own.

    Args:
        function: `package.module:name`. It yields values that JSON can hold, and At. It must import no more
            than it needs: all of that is imported by each call.
        arguments: By name; values that JSON can hold. Paths must be absolute.
        limits: ReadLimits() by default.

    Returns:
        What it yielded, without At. A file that is read may have taken the process over: look at the types.

    Raises:
        Exceeded: It did not end within its limits, it crashed, or its answer cannot be read.
        SubmissionError: As it raised it, or another DataError.
        OSError: As it raised it, where this machine is at fault: the disk is full, for example.
    """
    limits = limits or ReadLimits()
    with tempfile.TemporaryFile() as request, tempfile.TemporaryFile() as answer:
        request.write(json.dumps([function, dict(arguments), asdict(limits), os.getpid()]).encode())
        request.seek(0)
        status = _run(request.fileno(), answer.fileno(), limits)
        answer.seek(0)
        lines = answer.read(limits.answer_bytes + 1)
    return _read_answer(lines, status, limits)


def find_guarded(
    function: str, arguments: Mapping[str, Any], where: str, limits: ReadLimits | None = None
) -> list[Finding]:
    """Call a function that yields findings; a limit that is exceeded is one more, after those before it.

    Args:
        function: See run_guarded; each item is the list of a finding's fields (see listed).
        arguments: See run_guarded.
        where: Of a finding about a limit, if the function did not report what it was reading.
        limits: See run_guarded.
    """
    more: list[Finding] = []
    try:
        items: Sequence[Any] = run_guarded(function, arguments, limits)
    except Exceeded as fault:
        items = fault.items
        more = [replace(fault.finding, location=fault.finding.location or where)]
    found = [_finding(item) for item in items if isinstance(item, list) and len(item) == _FIELDS]
    if len(found) < len(items):
        more.append(_limit_finding("answer", "", where, ReadLimits()))
    return found + more


def listed(finding: Finding) -> list[str | int | None]:
    """A finding as JSON holds it."""
    return list(astuple(finding))


def _finding(values: Sequence[Any]) -> Finding:
    """A finding of the child, whatever became of the child."""
    code, severity, location, message, hint = map(_text, values[:-1])
    row = values[-1]
    return Finding(code, severity, location, message, hint, row if isinstance(row, int) else None)


def _run(request: int, answer: int, limits: ReadLimits) -> int | None:
    """Run the child; gives its exit status, None if it had to be ended."""
    process = subprocess.Popen(
        # -B: under a limit of the size of files, compiled modules could be written in part.
        [sys.executable, "-I", "-B", "-X", "utf8", "-c", _CHILD, str(_ROOT)],
        stdin=request,
        stdout=answer,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
        cwd=_ROOT,
        start_new_session=True,
    )
    try:
        return process.wait(limits.wall_s + _GRACE_S)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            process.wait()


def _read_answer(content: bytes, status: int | None, limits: ReadLimits) -> list[Any]:
    items: list[Any] = []
    place, reason, what = "", "", ""
    try:
        if len(content) > limits.answer_bytes:
            raise ValueError("too long")
        # What follows the last line end was cut off.
        for line in content[: content.rfind(b"\n") + 1].splitlines():
            kind, value = json.loads(line)
            if kind == "item":
                items.append(value)
            elif kind == "at":
                place = _text(value)
            elif kind == "done":
                return items
            elif kind == "os":
                raise OSError(int(value[0]), _text(value[1]))
            elif kind == "data":
                raise SubmissionError.of(_finding(value))
            else:
                reason, what = str(kind), _text(value)
    except (ValueError, TypeError, IndexError, RecursionError):
        reason = "answer"
    if reason in ("", "time"):
        reason = _reason_of(status)
    raise Exceeded(_limit_finding(reason, what, place, limits), tuple(items))


def _text(value: Any) -> str:
    """A text of the child as it may be shown, whatever became of the child."""
    return without_controls(str(value)[:_MAX_TEXT_CHARACTERS])


def _reason_of(status: int | None) -> str:
    """Why a child ended that reported no reason."""
    if status is None or status in {-getattr(signal, name, 0) or 1 << 30 for name in ("SIGALRM", "SIGXCPU")}:
        return "time"
    # The kernel's killer for want of memory; nobody else ends it so but this module.
    return "memory" if status == -getattr(signal, "SIGKILL", 1 << 30) else "crash"


def _limit_finding(reason: str, fault: str, place: str, limits: ReadLimits) -> Finding:
    """What a file that cannot be read within the limits is refused with."""
    match reason:
        case "time":
            return Finding("read-time", ERROR, place, f"takes more than {limits.cpu_s} s to read", HINT)
        case "memory":
            what = f"takes more than {limits.memory_mb} MB of memory to read"
            return Finding("read-memory", ERROR, place, what, HINT)
        case "depth":
            return Finding("read-depth", ERROR, place, "is nested too deeply to be read", HINT)
        case "answer":
            return Finding("read-answer", ERROR, place, "makes the reader give an invalid answer", HINT)
        case "fault":
            return Finding("read-fault", ERROR, place, f"cannot be read ({fault})", HINT)
    return Finding("read-crash", ERROR, place, "ends the process that reads it", HINT)


def serve() -> NoReturn:
    """Be the child: answer the one request on stdin, a JSON value a line, on stdout."""
    function, arguments, limits, parent = json.loads(sys.stdin.buffer.read())
    out = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    _enforce(ReadLimits(**limits), parent)

    def send(kind: str, value: Any) -> None:
        # Whole lines, at once: what was sent before a limit is kept.
        data = json.dumps([kind, value]).encode() + b"\n"
        while data:
            data = data[os.write(out, data) :]

    try:
        for item in _find(function)(**arguments):
            send("at", item.place) if isinstance(item, At) else send("item", item)
        send("done", None)
    except MemoryError:
        send("memory", "")
    except RecursionError:
        send("depth", "")
    except BundleError as fault:
        send("data", listed(fault.finding))
    except Exception as fault:
        if isinstance(fault, OSError) and fault.errno in OUR_FAULTS:
            send("os", [fault.errno, str(fault.strerror)])
            os._exit(0)
        # An error of this tool that a file causes is a finding about the file, with the place in the code.
        trace = fault.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
        send("fault", f"{type(fault).__name__} in {where}, please report it")
    os._exit(0)


def _find(function: str) -> Any:
    module, _, name = function.partition(":")
    if not module.startswith(f"{_PACKAGE}.") or not name or name.startswith("_"):
        raise ValueError(f"{function} is not a function of this package")
    return getattr(importlib.import_module(module), name)


def _enforce(limits: ReadLimits, parent: int) -> None:
    """Put the limits on this process, as far as the system knows them; the kernel ends it, not a thread."""
    if hasattr(signal, "setitimer"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, limits.wall_s)
    else:  # Windows: a watcher that needs no turn of the interpreter
        import faulthandler

        faulthandler.dump_traceback_later(limits.wall_s, exit=True)
    if sys.platform != "win32":
        import resource

        for name, value in {
            "RLIMIT_CPU": limits.cpu_s,
            "RLIMIT_AS": limits.memory_mb << 20,
            "RLIMIT_DATA": limits.memory_mb << 20,
            # The answer is a file, too; one byte more shows that it is too long.
            "RLIMIT_FSIZE": max(limits.file_mb << 20, limits.answer_bytes + 1),
            "RLIMIT_NOFILE": _OPEN_FILES,
            "RLIMIT_NPROC": 0,
            "RLIMIT_CORE": 0,
        }.items():
            # macOS knows no limit of the address space, and a hard limit can be lower already.
            # With both limits of the processor time alike, the kernel would send SIGKILL and not SIGXCPU.
            hard = value + 1 if name == "RLIMIT_CPU" else value
            with contextlib.suppress(ValueError, OSError, AttributeError):
                resource.setrlimit(getattr(resource, name), (value, hard))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
