"""findings.json in a scoring program's folder: the closed list of what can be wrong with predictions.

A scoring program that has read a submission may have been taken over by it, so that no text of its output is
ever shown. It names a code, and the message and the hint come from this list, which the organiser wrote.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from challenge_bundle.errors import DataError
from challenge_bundle.findings import ERROR
from challenge_bundle.formats.bounded_json import read_bounded_json

NAME = "findings.json"
MAX_ROW = 10**9
_ORGANISERS = ("reference-", "task-", "output-")
"""How codes begin of faults that are not the predictions'."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What is shown for a code.

    Args:
        message: What is wrong.
        hint: What to do.
    """

    message: str
    hint: str


def read_listed(folder: Path) -> dict[str, Listed]:
    """Read the list of a scoring program; empty if it has none.

    Raises:
        DataError: It is not an object of `{code: {"message": ..., "hint": ...}}`.
    """
    path = folder / NAME
    if not path.is_file():
        return {}
    document = read_bounded_json(path)
    if isinstance(document, dict) and all(map(_is_entry, document.values())):
        return {code: Listed(entry["message"], entry["hint"]) for code, entry in document.items()}
    raise DataError(
        'expected an object of {code: {"message": ..., "hint": ...}}',
        path,
        code="not-listed-findings",
        hint="correct the file, or remove it: participants then get one general message",
    )


def first_fault(path: Path) -> tuple[str, int | None] | None:
    """The first fault of the predictions that a scoring program found: (code, row).

    Args:
        path: Of the findings that it wrote, a list of objects; perhaps a submission wrote them, so that
            nothing but a word and a number is taken.

    Returns:
        None if there is no such file, or no fault of the predictions in it.
    """
    try:
        found = read_bounded_json(path)
    except DataError:
        return None
    if not isinstance(found, list):
        return None
    faults = (_parse_fault(item) for item in found)
    return next((fault for fault in faults if fault is not None), None)


def _parse_fault(item: Any) -> tuple[str, int | None] | None:
    if not isinstance(item, dict):
        return None
    code, row = item.get("code"), item.get("row")
    if not isinstance(code, str) or code.startswith(_ORGANISERS) or item.get("severity", ERROR) != ERROR:
        return None
    return code, row if type(row) is int and 0 < row <= MAX_ROW else None


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, Mapping) and all(isinstance(entry.get(key), str) for key in ("message", "hint"))
