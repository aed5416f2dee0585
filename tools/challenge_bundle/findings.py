"""What a check finds: returned as a list, not raised, so that a person sees all at once."""

from dataclasses import asdict, dataclass
from typing import Any

ERROR, WARNING, NOTE = "error", "warning", "note"
"""Severities: it will be refused; it will be accepted, and a person should know; good to know."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found, in data, a submission, a machine or a receipt, or that an error reports.

    Args:
        code: What kind of thing it is, for programs and tests: small letters, digits and dashes.
        severity: ERROR, WARNING or NOTE.
        location: The file, the setting or the subject that it is about; empty if there is none.
        message: What was found, and what was expected.
        hint: What to do; empty if nothing is to be done.
        row: The line of the file, counted from 1.
    """

    code: str
    severity: str
    location: str
    message: str
    hint: str = ""
    row: int | None = None

    @property
    def text(self) -> str:
        """All but code and severity, on one line: `labels.csv:14: 'a.png' appears twice; remove one`."""
        place = f"{self.location}:{self.row}" if self.location and self.row is not None else self.location
        sentence = f"{self.message}; {self.hint}" if self.hint else self.message
        return f"{place}: {sentence}" if place else sentence

    def __str__(self) -> str:
        return f"{self.severity}: {self.text}"

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)
