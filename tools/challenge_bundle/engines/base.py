"""What a runner is: something that runs one program on one input and says how it ended."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from challenge_bundle.settings import Limits

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

OnLine = Callable[[str], None]
"""Called with each line that a program prints, made printable."""

MAX_LINE_CHARACTERS = 2000
"""A longer line of a program's output is shown in parts."""

KILLED = (128 + 9, 128 + 15)
"""Exit statuses of what was ended by SIGKILL or SIGTERM, whoever sent them."""


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """One run of one program.

    Args:
        name: Of the program, such as `training`.
        program_dir: Its folder.
        script: Its file there.
        dockerfile: Its Dockerfile.
        context: What its image is built from.
        input_dir: What it reads; never written to.
        output_dir: What it writes; exists.
        arguments: Options after the two folders.
        model_dir: The model that inference loads: in its image, or else given by an option.
        limits: What it may use.
        image_name: What the images of this bundle are called.
        base_image: What its image is built on; empty takes the Dockerfile's own.
        owner: The bundle, by a name of its own, so that what a killed command left is found again.
        key: What is run at most once at a time, such as a submission; empty if nothing hangs on it.
        names_folders: Whether a container is told its folders: ours find /mnt/in and /mnt/out by themselves.
        wants_gpu: Whether it uses a GPU if there is one.
    """

    name: str
    program_dir: Path
    script: str
    dockerfile: Path
    context: Path
    input_dir: Path
    output_dir: Path
    arguments: tuple[str, ...]
    model_dir: Path | None
    limits: Limits
    image_name: str = "bundle"
    base_image: str = ""
    owner: str = ""
    key: str = ""
    names_folders: bool = False
    wants_gpu: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Args:
        exit_status: Of the program; above 128 it was ended by signal (status - 128).
        limit: The limit at which it was ended: `time`, `memory`, `output`, `disk` (of the host), or empty.
        last_line: The last line that it printed, empty if none.
        seconds: Wall time.
        peak_memory_bytes: The most that it was seen to use; 0 if nobody looked.
        cpu_seconds: Processor time, likewise.
    """

    exit_status: int
    limit: str
    last_line: str
    seconds: float
    peak_memory_bytes: int = 0
    cpu_seconds: float = 0.0


class Runner(Protocol):
    """Runs programs."""

    name: str

    def run(self, run: ProgramRun, on_line: OnLine) -> Outcome:
        """Run a program to its end; a program that fails is an Outcome, not an exception.

        Raises:
            UnavailableError: What the runner needs is not here.
            ProgramError: The program cannot even be started.
        """

    def build(self, run: ProgramRun, on_line: OnLine) -> str:
        """Build ahead what a run needs, unless it is there; raises as `run` does.

        Returns:
            Its full name; empty if the runner needs nothing built.
        """

    def close(self) -> None:
        """Let go of what the runner holds, such as a connection."""


def printable(text: str) -> str:
    """A program's line as it may be shown: colours left out, other control characters replaced."""
    text = _COLOUR.sub("", text).replace("\t", "    ")
    return "".join(character if character.isprintable() else "�" for character in text)


def split_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Cut a stream of bytes into printable lines, none longer than MAX_LINE_CHARACTERS."""
    pending = b""
    for chunk in chunks:
        *whole, pending = (pending + chunk).split(b"\n")
        for line in whole:
            yield from _parts(line)
        while len(pending) > MAX_LINE_CHARACTERS:
            yield _text(pending[:MAX_LINE_CHARACTERS])
            pending = pending[MAX_LINE_CHARACTERS:]
    if pending:
        yield from _parts(pending)


def _parts(line: bytes) -> Iterator[str]:
    for start in range(0, max(len(line), 1), MAX_LINE_CHARACTERS):
        yield _text(line[start : start + MAX_LINE_CHARACTERS])


def _text(line: bytes) -> str:
    return printable(line.decode("utf-8", "replace").rstrip("\r"))
