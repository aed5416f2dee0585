"""Whether a program's run ended well, and what to do if it did not."""

import signal
import sys
from typing import Protocol

from challenge_bundle.engines.base import Outcome
from challenge_bundle.errors import ProgramError
from challenge_bundle.installation import install_hint, is_installed
from challenge_bundle.settings import Limits

LIMIT_KEYS = {
    "time": ("time_s", "s"),
    "memory": ("memory_mb", "MB"),
    "output": ("output_mb", "MB (or of the number and depth of files)"),
}

_NO_PROCESS = ("can't start new thread", "Resource temporarily unavailable", "pthread_create failed")

_NO_MODULE = "No module named"


class _Program(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def folder(self) -> str: ...


def check_outcome(program: _Program, outcome: Outcome, limits: Limits) -> None:
    """Refuse a run that did not end well.

    Raises:
        ProgramError: It was ended at a limit or by a signal, or its exit status is not 0.
    """
    name = program.name
    if outcome.limit == "disk":
        raise ProgramError(
            f"{name} was ended because the disk ran short",
            code="disk-short-of-room",
            hint="free some space, or look at what it writes",
        )
    if outcome.limit:
        key, unit = LIMIT_KEYS[outcome.limit]
        raise ProgramError(
            f"{name} was ended at its {outcome.limit} limit of {getattr(limits, key)} {unit}",
            code="program-over-limit",
            hint=f"use less, or raise '{key}' under [{name}] in bundle.toml",
        )
    # The program's own lines were shown as it printed them, and are kept in .bundle/logs/.
    printed = f"; its last line: {outcome.last_line}" if outcome.last_line else "; it printed nothing"
    hint = _hint_of(program, outcome.last_line, limits)
    if outcome.exit_status > 128:
        number = outcome.exit_status - 128
        by = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        raise ProgramError(f"{name} was ended by {by}{printed}", code="program-ended-by-signal", hint=hint)
    if outcome.exit_status != 0:
        raise ProgramError(
            f"{name} failed (exit status {outcome.exit_status}){printed}", code="program-failed", hint=hint
        )


def _hint_of(program: _Program, last_line: str, limits: Limits) -> str:
    """What to do about a last line whose usual cause is not the one that it names."""
    if any(sign in last_line for sign in _NO_PROCESS):
        return f"it may have met its limit of {limits.pids} processes: raise 'pids' under [{program.name}]"
    if _NO_MODULE in last_line:
        return (
            f"add the package to {program.folder}/requirements.txt, from which its image is built; for"
            f" --runner local, {_local_hint()}"
        )
    return ""


def _local_hint() -> str:
    if is_installed():
        return install_hint("programs")
    return f"run `pip install -r` on that file with this Python, {sys.executable}"
