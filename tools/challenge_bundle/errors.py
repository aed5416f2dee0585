"""The error tree: every expected failure, each with the exit status it ends in."""

from pathlib import Path
from typing import Self

from challenge_bundle.findings import ERROR, Finding

SHOWN_CHARACTERS = 80


def shown(text: str) -> str:
    """Quote a foreign text for a message: control characters escaped, long ones cut."""
    return repr(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "...")


def readable(text: str) -> str:
    """A foreign text for a message as it is, or, where it would not stay on one line, as `shown` has it."""
    return text if text.isprintable() else shown(text)


def without_controls(text: str) -> str:
    """A foreign text with ? for each character that does not print: none may command a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


class BundleError(Exception):
    """An expected failure: one line for the user, no traceback.

    Args:
        message: What was found and what was expected.
        path: Where: a file, or what else names the place.
        row: Its line, counted from 1 with the header.
        details: Further findings, or what a program printed, one line each, shown under the message.
        code: What kind of failure it is, for programs and tests: small letters, digits and dashes.
        hint: What to do.

    Attributes:
        finding: All of this but the details.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        path: Path | str | None = None,
        row: int | None = None,
        details: tuple[str, ...] = (),
        *,
        code: str,
        hint: str = "",
    ) -> None:
        location = "" if path is None else str(path)
        self.finding = Finding(code, ERROR, location, message, hint, row)
        super().__init__(self.finding.text)
        self.path = path
        self.row = row
        self.details = details

    @classmethod
    def of(cls, finding: Finding) -> Self:
        """The error that a finding is."""
        location = finding.location or None
        return cls(finding.message, location, finding.row, code=finding.code, hint=finding.hint)

    @property
    def code(self) -> str:
        """What kind of failure it is."""
        return self.finding.code


class ManifestError(BundleError):
    """bundle.toml is at fault."""


class DataError(BundleError):
    """An image, a csv or another input file is at fault."""


class SubmissionError(DataError):
    """A participant's zip or csv is at fault."""


class ProgramError(BundleError):
    """A program failed, overran a limit or left out a file it promised."""

    exit_code = 3


class UnavailableError(BundleError):
    """Something this machine lacks: an engine, a server, an optional package."""

    exit_code = 4
