"""What a person sees while a command works: on a terminal a moving line, in a log a line now and then."""

import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.table import Table

QUIET_S = 10.0
"""In a log, progress is printed at most this often, and while submissions are evaluated not less often."""
SHOWN_AT_WORK = 4


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


class SubmissionDisplay:
    """Shows what becomes of submissions: on a terminal a table that moves, in a log a line for each step.

    In a log nothing is silent for long: what is at work is said every QUIET_S. Use as a context manager; may
    be told from several threads.

    Args:
        stream: Where to; standard output if not given.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self.stream = stream or sys.stdout
        self.lock = threading.Lock()
        self.at_work: dict[str, tuple[str, str, str, float]] = {}
        self.counts: Counter[str] = Counter()
        self.moving = self.stream.isatty()
        self.console = Console(file=self.stream, highlight=False)
        self.live = Live(
            console=self.console, get_renderable=self._table, refresh_per_second=4, transient=True
        )
        self.doing, self.since = "preparing what all submissions need", time.monotonic()
        self.ended = threading.Event()
        self.pulse = threading.Thread(target=self._pulse, daemon=True)

    def say(self, text: str) -> None:
        """Print what is being done now for all submissions."""
        with self.lock:
            self.doing, self.since = text, time.monotonic()
        self._print(text)

    def show(self, key: str, who: str, state: str, note: str, has_ended: bool) -> None:
        """A submission came to another state.

        Args:
            key: By which it is known.
            who: As it is shown.
            state: Such as `running`.
            note: The step, or the verdict.
            has_ended: Whether nothing more is to come of it now.
        """
        with self.lock:
            began = self.at_work[key][3] if key in self.at_work else time.monotonic()
            if has_ended:
                self.at_work.pop(key, None)
                self.counts[state] += 1
            else:
                self.at_work[key] = (who, state, note, began)
        if has_ended or not self.moving:
            self._print(f"{state:<8} {who}  {time.monotonic() - began:5.1f} s  {note}")

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def _pulse(self) -> None:
        while not self.ended.wait(QUIET_S):
            self._print(self.describe())

    def describe(self) -> str:
        """One line on what is at work."""
        now = time.monotonic()
        with self.lock:
            works = [f"{who} {note} ({now - began:.0f} s)" for who, _, note, began in self.at_work.values()]
            if not works:
                return f"at work  {self.doing} ({now - self.since:.0f} s)"
        more = f" and {len(works) - SHOWN_AT_WORK} more" if len(works) > SHOWN_AT_WORK else ""
        return f"at work  {', '.join(works[:SHOWN_AT_WORK])}{more}"

    def _table(self) -> "Table":
        from rich.table import Table
        from rich.text import Text

        table = Table("submission", "state", "step", "seconds", box=None)
        with self.lock:
            for who, state, note, started in self.at_work.values():
                table.add_row(Text(who), state, Text(note), f"{time.monotonic() - started:.0f}")
            ended = ", ".join(f"{count} {state}" for state, count in sorted(self.counts.items()))
        table.caption = ended or "none has ended yet"
        return table

    def __enter__(self) -> "SubmissionDisplay":
        if self.moving:
            self.live.start()
        else:
            self.pulse.start()
        return self

    def __exit__(self, *fault: object) -> None:
        if self.moving:
            self.live.stop()
        else:
            self.ended.set()
            self.pulse.join()
