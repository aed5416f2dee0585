"""What a person sees while submissions are evaluated, where there is no terminal."""

import io
import re
import time

import pytest

from challenge_bundle import display
from challenge_bundle.display import QUIET_S, SubmissionDisplay


def shown(stream: io.StringIO) -> list[str]:
    return [re.sub(r"\d+\.\d s", "N s", line) for line in stream.getvalue().splitlines()]


def test_each_step_begins_and_ends_with_a_line() -> None:
    stream = io.StringIO()
    with SubmissionDisplay(stream) as table:
        table.announce("2 to evaluate, 1 at a time")
        table.show("a", "A/one", "running", "check", False)
        table.show("a", "A/one", "running", "build", False)
        table.show("a", "A/one", "scored", "evaluated and scored", True)
        table.show("b", "B/[two]", "waiting", "the engine is away", False)
    assert shown(stream) == [
        "2 to evaluate, 1 at a time",
        "running  A/one    N s  check",
        "running  A/one    N s  build",
        "scored   A/one    N s  evaluated and scored",
        "waiting  B/[two]    N s  the engine is away",
    ]


def test_nothing_is_silent_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before the first submission, while images are built; and it ends with the display."""
    assert 1 <= QUIET_S <= 15
    monkeypatch.setattr(display, "QUIET_S", 0.01)
    stream = io.StringIO()

    def wait_for(text: str) -> None:
        deadline = time.monotonic() + 60
        while text not in re.sub(r"\(\d+ s\)", "(N s)", stream.getvalue()):
            assert time.monotonic() < deadline, stream.getvalue()
            time.sleep(0.005)

    with SubmissionDisplay(stream) as table:
        wait_for("at work  preparing what all submissions need (N s)\n")
        table.announce("7 to evaluate, 6 at a time")
        wait_for("at work  7 to evaluate, 6 at a time (N s)\n")
        for number in range(4):
            table.show(str(number), f"T{number}", "running", "build", False)
        wait_for("at work  T0 build (N s), T1 build (N s), T2 build (N s), T3 build (N s)\n")
        for number in (4, 5):
            table.show(str(number), f"T{number}", "running", "build", False)
        wait_for("T3 build (N s) and 2 more\n")
        table.show("0", "T0", "scored", "done", True)
        wait_for("at work  T1 build (N s)")
    assert not table.pulse.is_alive()


def test_on_a_terminal_the_table_says_it_and_no_lines_do() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with SubmissionDisplay(stream) as table:
        table.show("a", "A/one", "running", "build", False)
        table.show("a", "A/one", "scored", "evaluated and scored", True)
        assert not table.pulse.is_alive()
    assert "running  A/one" not in stream.getvalue()
    assert "scored   A/one" in stream.getvalue()
