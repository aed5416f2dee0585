"""Work in several processes, or in threads where there is too little for processes."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import TypeVar

from challenge_bundle.errors import UnavailableError

Task = TypeVar("Task")
Done = TypeVar("Done")

MAX_PROCESSES = 8
"""Each takes 50 MB."""


def work_in_parallel(
    work: Callable[[Task], Done], tasks: Sequence[Task], prepare: Callable[[], None], in_processes: bool
) -> Iterator[Done]:
    """Do tasks at the same time, and give what comes of each, in order.

    Threads take turns at all that Python itself does; processes do not, but take 0.3 s to start.

    Args:
        work: A function of a module, so that processes find it.
        tasks: What it is called with; goes to processes as a copy, as what comes of it comes back.
        prepare: A function of a module: called once in each process, or once for all threads.
        in_processes: Else in threads, as on one processor.

    Raises:
        UnavailableError: A process was ended.
    """
    processes = min(count_processors(), MAX_PROCESSES, len(tasks))
    if not in_processes or processes < 2:
        prepare()
        with ThreadPoolExecutor() as threads:
            yield from threads.map(work, tasks)
        return
    try:
        # New ones, not forks: numpy's threads are running here.
        with ProcessPoolExecutor(processes, get_context("spawn"), _begin_process, (prepare,)) as pool:
            with _interrupts_held():
                done = pool.map(work, tasks)
            yield from done
    except BrokenProcessPool:
        raise UnavailableError(
            "a process at work on the images was ended, perhaps for want of memory",
            code="process-killed",
            hint="look at the system's log",
        ) from None


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait; processes that are started meanwhile never see it, not even while they start."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def count_processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin_process(prepare: Callable[[], None]) -> None:
    """Leave interrupts to the process that started this one, and end with it, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
