"""What a container uses, read from the kernel's control groups: the engine's figures take up to a second."""

import contextlib
from pathlib import Path

PROC = Path("/proc")
GROUPS = Path("/sys/fs/cgroup")

_MEMORY_FILES = ("memory.peak", "memory.max_usage_in_bytes", "memory.current")
"""Of version 2, of version 1, and of a version 2 that keeps no peak."""


class Usage:
    """The most that a container was seen to use.

    It is looked at while it runs, so its last moment is not in it. Where the engine is on another machine
    nothing is seen, and all stays 0.

    Args:
        container: Its full identifier.
        pid: Of its first process, as the engine gives it.
    """

    def __init__(self, container: str, pid: int) -> None:
        self.peak_memory_bytes = 0
        self.cpu_seconds = 0.0
        self.folders: list[Path] = []
        with contextlib.suppress(OSError, ValueError):
            for line in (PROC / str(pid) / "cgroup").read_text().splitlines():
                _, names, path = line.split(":", 2)
                # A process of that number may be another's, where the engine is not of this machine.
                if container in path:
                    hierarchies = [name.removeprefix("name=") for name in names.split(",")] if names else [""]
                    self.folders += [GROUPS / name / path.lstrip("/") for name in hierarchies]

    def look(self) -> None:
        """Take up the kernel's figures of now."""
        for folder in self.folders:
            for name in _MEMORY_FILES:
                self.peak_memory_bytes = max(self.peak_memory_bytes, _read_number(folder / name))
            self.cpu_seconds = max(self.cpu_seconds, _read_number(folder / "cpuacct.usage") / 1e9)
            with contextlib.suppress(OSError):
                for line in (folder / "cpu.stat").read_text().splitlines():
                    if line.startswith("usage_usec "):
                        self.cpu_seconds = max(self.cpu_seconds, int(line.split()[1]) / 1e6)


def _read_number(path: Path) -> int:
    """The number in a file; 0 where there is none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
