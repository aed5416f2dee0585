"""What the organiser decides of a submission: that it is evaluated again, or taken out."""

import shutil
from pathlib import Path

from challenge_bundle.errors import BundleError, DataError, shown
from challenge_bundle.evaluation.context import Context, steps_dir
from challenge_bundle.evaluation.intake import Submission
from challenge_bundle.evaluation.records import DROPPED, QUEUED, REFUSED, RUNNING, SET_ASIDE, WAITING, Records
from challenge_bundle.evaluation.step_cache import read_record
from challenge_bundle.evaluation.verdicts import SCORED


def reopen(context: Context, records: Records, prefix: str) -> list[Submission]:
    """Let a submission that was refused, set aside or dropped be evaluated again.

    What it was refused for is forgotten, and what was left of a step that cannot be read.

    Args:
        context: Where it is evaluated.
        records: What is known of it.
        prefix: Of its SHA-256; `set-aside` is all that were set aside.

    Returns:
        The submission, in each phase in which it came.

    Raises:
        DataError: None of these, or more than one, begins so.
    """
    if prefix == SET_ASIDE:
        found = [row.submission for row in records.rows() if row.state == SET_ASIDE]
    else:
        found = _find(records, prefix, (REFUSED, SET_ASIDE, DROPPED), "refused, set aside or dropped")
    for submission in found:
        for name, (key, _) in records.steps(submission.id).items():
            folder = steps_dir(context.layout, name) / key
            if folder.is_dir() and _is_in_the_way(folder):
                shutil.rmtree(folder)
        records.reopen(submission.id)
    return found


def drop(records: Records, prefix: str) -> list[Submission]:
    """Take a submission out: it counts for no rank and no quota, and is not evaluated; its record stays.

    Args:
        records: What is known of it.
        prefix: Of its SHA-256.

    Returns:
        The submission, in each phase in which it came.

    Raises:
        DataError: None, or more than one, begins so.
    """
    found = _find(records, prefix, (QUEUED, RUNNING, WAITING, SCORED, REFUSED, SET_ASIDE), "not dropped yet")
    for submission in found:
        records.drop(submission.id)
    return found


def _find(records: Records, prefix: str, states: tuple[str, ...], what: str) -> list[Submission]:
    """The submission in some states whose SHA-256 begins so.

    Raises:
        DataError: There is none, or more than one.
    """
    found = [
        row.submission
        for row in records.rows()
        if row.state in states and row.submission.sha256.startswith(prefix.lower())
    ]
    different = len({submission.sha256 for submission in found})
    if different != 1:
        raise DataError(
            f"{different} submissions that are {what} have a SHA-256 that begins with {shown(prefix)};"
            " expected one; feedback/all.csv lists them"
        )
    return found


def _is_in_the_way(folder: Path) -> bool:
    try:
        return read_record(folder).verdict is not None
    except BundleError:
        return True
