"""One program of the fake engine, in a process that a server forks: Python and its packages are loaded once.

A new interpreter takes seconds to import scikit-learn; a fork of one that has it takes milliseconds. The
server is a process of its own without threads, so that forking is safe.
"""

import json
import multiprocessing
import os
import resource
import runpy
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

PRELOADED = ["numpy", "PIL.Image", "jinja2", "sklearn.metrics"]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(PRELOADED)


def start(
    script: Path, arguments: list[str], folder: Path, file_bytes: int, record: Path, labels: dict[str, str]
) -> tuple[ForkServerProcess, Connection]:
    """Start a program; gives its process, and what it prints.

    Args:
        script: What Python runs.
        arguments: Of the program.
        folder: Where it runs.
        file_bytes: The largest file that it can write.
        record: Gets its number and labels before the program begins, so that whoever comes later can end it.
        labels: See record.
    """
    reading, writing = _context.Pipe(duplex=False)
    order = (str(script), arguments, str(folder), file_bytes, str(record), labels)
    process = _context.Process(target=_run, args=(writing, *order))
    process.start()
    writing.close()
    return process, reading


def started_at(pid: int) -> str:
    """When a process began, as the kernel counts: a number that is used again has another one."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def is_running(pid: int, since: str) -> bool:
    """Whether a process is still the one that began then, and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state[19] == since and state[0] != "Z"


def end(pid: int) -> None:
    """End a program and all that it started."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
        return


def _run(
    output: Connection,
    script: str,
    arguments: list[str],
    folder: str,
    file_bytes: int,
    record: str,
    labels: dict[str, str],
) -> None:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    about = labels | {"pid": str(os.getpid()), "since": started_at(os.getpid())}
    Path(f"{record}.part").write_text(json.dumps(about))
    os.replace(f"{record}.part", record)
    for number in (1, 2):
        os.dup2(output.fileno(), number)
    output.close()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ["PATH"] = "/usr/bin:/bin"
    sys.dont_write_bytecode = True
    os.chdir(folder)
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).parent))
    status = 1
    try:
        runpy.run_path(script, run_name="__main__")
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
