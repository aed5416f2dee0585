"""What can be wrong with predictions: a closed list, so that a message can be shown to anybody.

findings.json holds, for each code, a message and a hint that contain nothing of the data. Whoever may see the
predictions (a participant who checks a file of one's own) gets the full message; an evaluation of hidden
data shows code, row and the listed texts alone.
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SHOWN_CHARACTERS = 80
MOST_FINDINGS = 20
"""More of them help nobody, and a csv can have a million."""


@dataclass(frozen=True)
class Finding:
    """One fault.

    Args:
        code: A key of findings.json.
        location: The file.
        message: What was found, and what was expected.
        row: The line of the file, counted from 1.
        severity: "error", or "warning" for what refuses nothing.
    """

    code: str
    location: str
    message: str
    row: int | None = None
    severity: str = "error"

    @property
    def hint(self) -> str:
        """What to do."""
        return listed_findings()[self.code]["hint"]

    def __str__(self) -> str:
        place = self.location if self.row is None else f"{self.location}:{self.row}"
        return f"{place}: {self.message}; {self.hint}"

    def document(self) -> dict[str, Any]:
        """The finding for JSON."""
        return {**asdict(self), "hint": self.hint}


class InputError(Exception):
    """The input is at fault.

    Args:
        findings: What is wrong; at least one.
    """

    def __init__(self, *findings: Finding) -> None:
        super().__init__(str(findings[0]))
        self.findings = findings


@functools.lru_cache(maxsize=1)
def listed_findings() -> dict[str, dict[str, str]]:
    """The closed list: message and hint of each code."""
    path = Path(__file__).resolve().with_name("findings.json")
    listed: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return listed


def shown(text: str) -> str:
    """Quote somebody's text for a message: control characters escaped, long ones cut."""
    return repr(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "...")
