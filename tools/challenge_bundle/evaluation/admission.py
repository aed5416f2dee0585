"""Which zips are taken in, into which phase, and which are known already."""

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from challenge_bundle.errors import BundleError, DataError, UnavailableError
from challenge_bundle.evaluation.context import Context, zips_dir
from challenge_bundle.evaluation.intake import Submission, describe, find_phase, is_too_large, take_in
from challenge_bundle.evaluation.records import DROPPED, Records, Row
from challenge_bundle.evaluation.step_cache import make_key
from challenge_bundle.evaluation.teams import same_team
from challenge_bundle.evaluation.trial import one_line
from challenge_bundle.evaluation.verdicts import Refusal, Verdict
from challenge_bundle.files import NO_ROOM
from challenge_bundle.settings import CODE, Phase


@dataclass(frozen=True, slots=True)
class Arrival:
    """A zip as it came.

    Args:
        submission: What it is; None if it could not be read.
        note: What the organiser should know of it; mostly empty.
        verdict: With which it was refused when it came; None if it is to be evaluated, or was known.
    """

    submission: Submission | None
    note: str = ""
    verdict: Verdict | None = None


NOT_TAKEN = ("closed", "quota", "team", "kind")
"""Verdicts on when and from whom a zip came, not on what it is."""


def take_all(
    paths: Iterable[Path], context: Context, records: Records, is_baseline: bool = False
) -> list[Arrival]:
    """Take zips in, in the order in which they were received.

    The same bytes are one submission in a phase, whoever sends them; one that came when it could not be taken
    may come again.

    Args:
        paths: The zips.
        context: Where they are evaluated.
        records: Get a row for each that is new.
        is_baseline: Whether they are the organiser's own, for comparison; see records.Row.
    """
    arrivals: list[Arrival] = []
    taken: list[tuple[Submission, bool]] = []
    settings = context.bundle.submission
    for path in paths:
        try:
            taken.append((take_in(path, zips_dir(context.layout), settings), is_too_large(path, settings)))
        except UnavailableError:
            raise
        except Exception as fault:
            # For example an upload in progress: the others do not wait for it.
            if isinstance(fault, OSError) and fault.errno in NO_ROOM:
                raise
            if not isinstance(fault, BundleError):
                fault = DataError(
                    f"cannot be taken in: {fault!r}",
                    path,
                    code="cannot-be-taken-in",
                    hint="check the file, and give it again",
                )
            arrivals.append(Arrival(None, one_line(fault)))
    taken.sort(key=lambda item: (item[0].received, item[0].sha256, item[0].file_name))
    known = records.rows()
    for submission, too_large in taken:
        phases = context.bundle.evaluation.phases
        phase, verdict = admit(submission, known, phases, settings.kinds, is_baseline)
        if too_large and verdict is None:
            line = f"error: the zip: larger than the {settings.zip_mb} MB that are taken"
            verdict = Verdict("zip", {}, (line,))
        arrivals.append(_enter(submission, phase, verdict, known, records, is_baseline))
        known = records.rows()
    return arrivals


def _enter(
    submission: Submission,
    phase: str,
    verdict: Verdict | None,
    known: Sequence[Row],
    records: Records,
    is_baseline: bool,
) -> Arrival:
    """Make or renew the record of a submission, unless there is one that stands."""
    same = [row for row in known if row.submission.sha256 == submission.sha256]
    for row in same:
        could_not_be_taken = row.verdict is not None and row.verdict.code in NOT_TAKEN
        if could_not_be_taken and (verdict is None or row.submission.received < submission.received):
            submission = dataclasses.replace(submission, entry=row.submission.id)
            records.admit_again(submission, phase, verdict, is_baseline)
            return Arrival(submission, verdict=verdict)
        if row.phase == phase or not phase:
            if is_baseline:
                records.mark_baseline(row.submission.id)
            name = f"{submission.file_name} has the same bytes as {describe(row.submission)}"
            return Arrival(submission, name if row.submission.file_name != submission.file_name else "")
    if same:
        submission = dataclasses.replace(submission, entry=make_key(submission.sha256, phase))
    records.add(submission, phase, verdict, is_baseline)
    return Arrival(submission, verdict=verdict)


def admit(
    submission: Submission,
    known: Sequence[Row],
    phases: tuple[Phase, ...],
    kinds: Collection[str] = (CODE,),
    is_baseline: bool = False,
) -> tuple[str, Verdict | None]:
    """Find a submission's phase, and why it is not evaluated, if it is not.

    Args:
        submission: The submission.
        known: All that were taken in before; of the same team and day they count.
        phases: Of the manifest.
        kinds: What phases take that do not say so themselves.
        is_baseline: Whether it is the organiser's own: of any kind, and in any number.

    Returns:
        (name of the phase, empty if none was open; the verdict, None if it is to be evaluated)
    """
    phase_name = ""
    try:
        phase = find_phase(submission.team, submission.received, phases)
        phase_name = phase.name
        if is_baseline:
            return phase_name, None
        if submission.kind not in (phase.kinds or kinds):
            raise Refusal("kind")
        used = sum(
            row.phase == phase.name
            and row.submission.received.date() == submission.received.date()
            and same_team(row.submission.team, submission.team)
            and (row.verdict is None or row.verdict.code not in ("quota", "kind", DROPPED))
            and not row.is_baseline
            and row.submission.sha256 != submission.sha256
            for row in known
        )
        if phase.submissions_per_day and used >= phase.submissions_per_day:
            raise Refusal("quota", quota=phase.submissions_per_day)
    except Refusal as refusal:
        return phase_name, refusal.verdict
    return phase_name, None
