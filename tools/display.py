"""What a person sees while a command works: on a terminal a moving line, in a log a line now and then."""

import sys
import time
from typing import TextIO

QUIET_S = 10.0
"""In a log, progress is printed at most this often."""


class TerminalDisplay:
    """Prints stages, their programs' lines and their progress.

    Args:
        stages: How many stages there will be; 0 does not number them.
        stream: Where to; standard output if not given.
    """

    def __init__(self, stages: int = 0, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.stages, self.number = stages, 0
        self.stage = ""
        self.moving = self.stream.isatty()
        self.printed_at = 0.0
        self.drawn = 0

    def begin(self, stage: str) -> None:
        """A stage begins."""
        self.number += 1
        self.stage = f"[{self.number}/{self.stages}] {stage:<9}" if self.stages else stage
        self.printed_at = time.monotonic()
        if self.moving:
            self._draw(f"{self.stage} ...")

    def line(self, text: str) -> None:
        """Its program printed a line."""
        if text.strip():
            self._erase()
            print(f"      {text}", file=self.stream, flush=True)

    def progress(self, what: str, done: int, total: int) -> None:
        """It has come so far."""
        now = time.monotonic()
        if now - self.printed_at < (0.1 if self.moving else QUIET_S):
            return
        self.printed_at = now
        share = f" ({100 * done // total} %)" if total else ""
        text = f"{what}: {done:,} of {total:,}{share}" if total else f"{what}: {done:,}"
        if self.moving:
            self._draw(f"{self.stage} {text}")
        else:
            self.line(text)

    def end(self, note: str) -> None:
        """It ended well."""
        self._erase()
        print(f"{self.stage} {note}", file=self.stream, flush=True)

    def close(self) -> None:
        """Leave a clean line, whatever happened."""
        self._erase()

    def _draw(self, text: str) -> None:
        self._erase()
        self.stream.write(text)
        self.stream.flush()
        self.drawn = len(text)

    def _erase(self) -> None:
        if self.drawn:
            self.stream.write("\r" + " " * self.drawn + "\r")
            self.drawn = 0
