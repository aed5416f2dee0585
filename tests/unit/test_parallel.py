"""Work in processes gives what work in threads gives, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from challenge_bundle.audit.parallel import count_processors, work_in_parallel
from challenge_bundle.errors import UnavailableError
from challenge_bundle.installation import PROJECT_ROOT


def square(number: int) -> int:
    return number * number


def end(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def nothing() -> None:
    pass


needs_two = pytest.mark.skipif(count_processors() < 2, reason="needs two processors")


@pytest.mark.parametrize("in_processes", [False, True])
def test_tasks_come_back_in_order(in_processes: bool) -> None:
    numbers = list(range(50))
    assert list(work_in_parallel(square, numbers, nothing, in_processes)) == [n * n for n in numbers]


@needs_two
def test_a_process_that_is_ended_is_a_sentence() -> None:
    with pytest.raises(UnavailableError, match="for want of memory"):
        list(work_in_parallel(end, [1, 2], nothing, True))


PARENT = """
import time
from challenge_bundle.audit.parallel import work_in_parallel

def prepare():
    import os
    os.write(1, f"{os.getpid()}\\n".encode())

if __name__ == "__main__":
    list(work_in_parallel(time.sleep, [60, 60], prepare, True))
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@needs_two
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")
def test_processes_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    try:
        children = [int(parent.stdout.readline()) for _ in range(2)]
        assert all(map(is_running, children))
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    deadline = time.monotonic() + 20
    while any(map(is_running, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, children))


INTERRUPTED = """
import signal, time
from challenge_bundle.audit.parallel import work_in_parallel

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print("begun", flush=True)
    try:
        list(work_in_parallel(time.sleep, [0.3] * 40, time.time, True))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@needs_two
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")
@pytest.mark.parametrize("wait_s", [0.02, 0.1, 0.2, 0.3, 0.5])
def test_an_interrupt_is_no_affair_of_the_processes(wait_s: float, tmp_path: Path) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    done = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        start_new_session=True,
    )
    assert done.stdout is not None
    assert done.stdout.readline() == "begun\n"
    time.sleep(wait_s)
    # As a terminal does it: to all of them.
    os.killpg(done.pid, signal.SIGINT)
    out, errors = done.communicate(timeout=60)
    assert (out, errors) == ("interrupted\n", "")
