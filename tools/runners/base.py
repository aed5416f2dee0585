"""What a runner is: something that runs one program on one input and says how it ended."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tools.manifest import Limits

OnLine = Callable[[str], None]
"""Called with each line that a program prints, made printable."""

MAX_LINE_CHARACTERS = 2000
"""A longer line of a program's output is shown in parts."""


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Args:
        exit_status: Of the program; above 128 it was ended by signal (status - 128).
        timed_out: Whether the runner ended it at its time limit.
        out_of_memory: Whether the kernel ended it at its memory limit.
        last_line: The last line that it printed, empty if none.
        seconds: Wall time.
    """

    exit_status: int
    timed_out: bool
    out_of_memory: bool
    last_line: str
    seconds: float


class Runner(Protocol):
    """Runs programs."""

    name: str

    def run(self, run: ProgramRun, on_line: OnLine) -> Outcome:
        """Run a program to its end; a program that fails is an Outcome, not an exception.

        Raises:
            UnavailableError: What the runner needs is not here.
            ProgramError: The program cannot even be started.
        """

    def close(self) -> None:
        """Let go of what the runner holds, such as a connection."""


def printable(text: str) -> str:
    """A program's line as it may be shown: control characters, which could rewrite a terminal, replaced."""
    return "".join(character if character.isprintable() else "�" for character in text.replace("\t", "    "))
