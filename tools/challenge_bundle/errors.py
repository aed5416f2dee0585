"""The error tree: every expected failure, each with the exit status it ends in."""

from pathlib import Path

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


def install_cure(extra: str) -> str:
    """How an extra of pyproject.toml comes here: from the folder, for the project is on no index."""
    return (
        f"run `.venv/bin/pip install -e '.[{extra}]'` in the project's folder (`make install` brings it too)"
    )


class BundleError(Exception):
    """An expected failure: one line for the user, no traceback.

    Args:
        message: Where, what was found, what was expected, what to do.
        details: Further findings, one line each, shown under the message.
    """

    exit_code = 1

    def __init__(self, message: str, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.details = details


class ManifestError(BundleError):
    """bundle.toml is at fault; the message begins with its path and line."""


class DataError(BundleError):
    """An image, a csv or another input file is at fault.

    Args:
        message: What was found, what was expected, what to do.
        path: The file at fault, if there is one.
        row: Its line, counted from 1 with the header.
        details: Further findings, one line each.
    """

    def __init__(
        self,
        message: str,
        path: Path | str | None = None,
        row: int | None = None,
        details: tuple[str, ...] = (),
    ) -> None:
        where = "" if path is None else f"{path}: " if row is None else f"{path}:{row}: "
        super().__init__(where + message, details)
        self.path = path
        self.row = row


class SubmissionError(DataError):
    """A participant's zip or csv is at fault."""


class ProgramError(BundleError):
    """A program failed, overran a limit or left out a file it promised."""

    exit_code = 3


class UnavailableError(BundleError):
    """Something this machine lacks: an engine, a server, an optional package."""

    exit_code = 4
