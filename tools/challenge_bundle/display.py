"""Progress on the screen: on a terminal a line that is redrawn, in a log a line every few seconds."""

import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.table import Table

QUIET_S = 10.0
"""In a log, progress is printed at most this often; while submissions are evaluated, at least this often."""
SHOWN_AT_WORK = 4


class TerminalDisplay:
    """Prints stages, lines of their programs and progress; a progress.StageDisplay.

    Args:
        stages: Number of stages of the command; 0 prints no numbers.
        stream: Standard output if not given.
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
        """A line that its program printed, or a message."""
        if text.strip():
            self._erase()
            print(f"      {text}", file=self.stream, flush=True)

    def progress(self, what: str, done: int, total: int) -> None:
        """How far the stage is; a progress.Progress."""
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
        """The stage ended well."""
        self._erase()
        print(f"{self.stage} {note}", file=self.stream, flush=True)

    def close(self) -> None:
        """Erase a line that is still drawn, also after an error."""
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
    """Shows the state of submissions: on a terminal a table that is redrawn, in a log a line for each step.

    In a log, the submissions at work are printed every QUIET_S. Use it as a context manager; its methods may
    be called from several threads.

    Args:
        stream: Standard output if not given.
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

    def announce(self, text: str) -> None:
        """Print what is being done for all submissions."""
        with self.lock:
            self.doing, self.since = text, time.monotonic()
        self._print(text)

    def show(self, key: str, who: str, state: str, note: str, has_ended: bool) -> None:
        """Show that the state of a submission has changed.

        Args:
            key: Identifies the submission.
            who: Its team and method, as shown.
            state: Such as `running`.
            note: The step, or the verdict.
            has_ended: Whether this run is finished with it.
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
        """One line on the submissions at work."""
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
