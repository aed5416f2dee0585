"""Running two commands in turn, and comparing the times and memory that the system measured."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MIN_REPEATS = 5


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one command, cold start included.

    Args:
        seconds: Wall time of the whole process.
        cpu_s: Processor time of it and of all that it started, seconds.
        peak_bytes: Largest resident memory of any one process of it.
    """

    seconds: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared.

    Args:
        command: Run as it stands, without a shell.
        before: Called before each run, untimed, with the number of the run.
        after: Called after each run, untimed; looks at the result.
        environment: Added to the environment of this process.
        units: How much it does, for a comparison of rates; 1 compares times.
    """

    command: Sequence[str]
    before: Callable[[int], object] = lambda number: None
    after: Callable[[int], object] = lambda number: None
    environment: Mapping[str, str] | None = None
    units: int = 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of a workload: the runs of both sides, in the order in which they took turns."""

    ours: tuple[Run, ...]
    peer: tuple[Run, ...]
    units: tuple[int, int]

    @property
    def ratio(self) -> float:
        """Median seconds of ours per unit over the peer's."""
        ours, peer = (statistics.median(run.seconds for run in runs) for runs in (self.ours, self.peer))
        return (ours / self.units[0]) / (peer / self.units[1])

    @property
    def spread(self) -> tuple[float, float]:
        """Lowest and highest ratio of two runs that followed each other."""
        ratios = [
            (one.seconds / self.units[0]) / (other.seconds / self.units[1])
            for one, other in zip(self.ours, self.peer, strict=True)
        ]
        return min(ratios), max(ratios)


def compare(ours: Side, peer: Side, repeats: int, say: Callable[[str], None], log: Path) -> Comparison:
    """Run both sides in turn; which of the two begins changes each time.

    Args:
        ours: One side.
        peer: The other.
        repeats: Of each.
        say: Called with a line about each run.
        log: Gets what the commands print.

    Raises:
        CalledProcessError: A command failed.
    """
    runs: dict[str, list[Run]] = {"ours": [], "peer": []}
    sides = {"ours": ours, "peer": peer}
    for number in range(repeats):
        for name in ("ours", "peer") if number % 2 == 0 else ("peer", "ours"):
            side = sides[name]
            side.before(number)
            runs[name].append(run(side, log))
            side.after(number)
            say(f"{name} {number + 1}/{repeats}: {runs[name][-1].seconds:.2f} s")
    return Comparison(tuple(runs["ours"]), tuple(runs["peer"]), (ours.units, peer.units))


def run(side: Side, log: Path) -> Run:
    """Run a command once, measured by the system.

    A small process starts it: Linux counts the memory that a process once had as that of its children.
    """
    order = {
        "command": list(side.command),
        "log": str(log),
        "environment": {**os.environ, **(side.environment or {})},
    }
    done = subprocess.run(
        [sys.executable, "-S", "-E", __file__], input=json.dumps(order), stdout=subprocess.PIPE, text=True
    )
    found = json.loads(done.stdout)
    if found.pop("status") != 0:
        raise subprocess.CalledProcessError(1, side.command)
    return Run(**found)


def serve() -> None:
    """Read an order from standard input, carry it out from a small process, and print the result."""
    order = json.load(sys.stdin)
    with open(order["log"], "ab") as log:
        started = time.monotonic()
        pid = os.posix_spawnp(
            order["command"][0],
            order["command"],
            order["environment"],
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
            ],
        )
        _, status, usage = os.wait4(pid, 0)
        seconds = time.monotonic() - started
    found = {"status": status, "seconds": seconds, "cpu_s": usage.ru_utime + usage.ru_stime}
    print(json.dumps(found | {"peak_bytes": usage.ru_maxrss * 1024}))


if __name__ == "__main__":
    serve()
