"""How work reports how far it is: to a callback, or, where it has stages, to a display."""

from collections.abc import Callable
from typing import Protocol

Progress = Callable[[str, int, int], None]
"""Called with (what is done, how many are done, how many there are; 0 where that is unknown)."""


class StageDisplay(Protocol):
    """Shows a person the stages of a command, one after the other."""

    def begin(self, stage: str) -> None:
        """A stage begins."""

    def line(self, text: str) -> None:
        """A line that its program printed, or a message."""

    def progress(self, what: str, done: int, total: int) -> None:
        """How far the stage is; a Progress."""

    def end(self, note: str) -> None:
        """The stage ended well."""
