"""What the organiser decides about a submission: to evaluate it again, or to withdraw it."""

import shutil
from pathlib import Path

from challenge_bundle.errors import BundleError, DataError, shown
from challenge_bundle.evaluation.context import Context, steps_dir
from challenge_bundle.evaluation.intake import Submission
from challenge_bundle.evaluation.records import DROPPED, QUEUED, REFUSED, RUNNING, SET_ASIDE, WAITING, Records
from challenge_bundle.evaluation.step_cache import read_record
from challenge_bundle.evaluation.verdicts import SCORED


def reopen(context: Context, records: Records, prefix: str) -> list[Submission]:
    """Queue a submission that was refused, set aside or dropped for another evaluation.

    Kept steps that ended in a refusal, or that cannot be read, are removed, so that they run again.

    Args:
        context: Where it is evaluated.
        records: The records of all submissions.
        prefix: The start of its SHA-256; `set-aside` stands for all that were set aside.

    Returns:
        The submission, once for each phase in which it was received.

    Raises:
        DataError: No such submission, or more than one, has a SHA-256 that starts so.
    """
    if prefix == SET_ASIDE:
        found = [row.submission for row in records.rows() if row.state == SET_ASIDE]
    else:
        found = _find(records, prefix, (REFUSED, SET_ASIDE, DROPPED), "refused, set aside or dropped")
    for submission in found:
        for name, (key, _) in records.steps(submission.id).items():
            folder = steps_dir(context.layout, name) / key
            if folder.is_dir() and _is_refusal_or_unreadable(folder):
                shutil.rmtree(folder)
        records.reopen(submission.id)
    return found


def drop(records: Records, prefix: str) -> list[Submission]:
    """Withdraw a submission: no rank, no evaluation, not counted for the daily limit; its record stays.

    Args:
        records: The records of all submissions.
        prefix: The start of its SHA-256.

    Returns:
        The submission, once for each phase in which it was received.

    Raises:
        DataError: No submission, or more than one, has a SHA-256 that starts so.
    """
    found = _find(records, prefix, (QUEUED, RUNNING, WAITING, SCORED, REFUSED, SET_ASIDE), "not dropped yet")
    for submission in found:
        records.drop(submission.id)
    return found


def _find(records: Records, prefix: str, states: tuple[str, ...], what: str) -> list[Submission]:
    found = [
        row.submission
        for row in records.rows()
        if row.state in states and row.submission.sha256.startswith(prefix.lower())
    ]
    different = len({submission.sha256 for submission in found})
    if different != 1:
        raise DataError(
            f"expected one submission that is {what} with a SHA-256 that begins with {shown(prefix)},"
            f" but got {different}",
            code="ambiguous-submission" if different else "no-such-submission",
            hint="see feedback/all.csv for the SHA-256 of every submission",
        )
    return found


def _is_refusal_or_unreadable(folder: Path) -> bool:
    try:
        return read_record(folder).verdict is not None
    except BundleError:
        return True
