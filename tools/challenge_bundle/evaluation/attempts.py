"""One submission to its end: retried where the engine may be at fault, set aside where this tool is."""

import threading
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from challenge_bundle.engines.base import Engine
from challenge_bundle.errors import BundleError
from challenge_bundle.evaluation.context import Context, submission_lock
from challenge_bundle.evaluation.intake import Submission, describe
from challenge_bundle.evaluation.records import REFUSED, RUNNING, SET_ASIDE, WAITING, Records, Row
from challenge_bundle.evaluation.step_sequence import Show, run_steps
from challenge_bundle.evaluation.steps import work_dir
from challenge_bundle.evaluation.trial import is_well, one_line
from challenge_bundle.evaluation.verdicts import SCORED, Crowded, Inconclusive, Refusal, Verdict
from challenge_bundle.files import NO_ROOM, remove_tree, write_text

BACKOFF_S = (1.0, 5.0, 20.0)
"""Between two tries where something here is missing; the last one again and again."""


@dataclass(frozen=True, slots=True)
class AttemptFailure:
    """Why an attempt did not bring a submission to its end.

    Args:
        reason: For the organiser.
        may_be_here: Whether it may be in the way of all submissions.
        refusal: What the submission is refused with, if it is the same at the last attempt.
        is_crowded: Whether another submission that runs at the same time may be to blame; see Crowded.
    """

    reason: str
    may_be_here: bool = False
    refusal: Refusal | None = None
    is_crowded: bool = False


class Attempts:
    """Brings submissions to their end; one for all workers.

    Args:
        context: Where they are evaluated.
        records: What is known of them.
        connect: Makes a connection to the engine; each attempt has its own.
        show: Gets each change.
        away: Set when something is missing here: no further attempt is begun.
    """

    def __init__(
        self,
        context: Context,
        records: Records,
        connect: Callable[[], Engine],
        show: Show,
        away: threading.Event,
    ) -> None:
        self.context, self.records, self.connect, self.show, self.away = context, records, connect, show, away
        self.crowded: list[Row] = []
        """What is to be tried again when no other is at work."""

    def bring_to_end(self, row: Row, is_alone: bool) -> str:
        """Evaluate a submission; returns why it still waits, empty if it does not.

        An attempt that fails while the engine works counts against the submission; one that fails because
        something is missing here, or because of another submission, does not.
        """
        submission, attempts = row.submission, self.context.bundle.evaluation.attempts
        failure = AttemptFailure("something was missing before it came to its turn")
        failed = missing = 0
        while failed < attempts and missing < attempts:
            if self.away.is_set():
                return failure.reason
            found = self._attempt(submission)
            if found is None:
                return ""
            failure = found
            if failure.is_crowded and not is_alone:
                self.crowded.append(row)
                self.records.set_state(submission.id, WAITING)
                self.show(submission.id, describe(submission), WAITING, "until it is alone", False)
                return ""
            if self._lacks_something(failure):
                missing += 1
            else:
                failed += 1
            self.records.count_attempt(submission.id, failure.reason)
            self.show(submission.id, describe(submission), WAITING, failure.reason, False)
            if max(failed, missing) < attempts:
                self.away.wait(BACKOFF_S[min(failed + missing, len(BACKOFF_S)) - 1])
        if failed >= attempts and not self.away.is_set():
            self._give_up(submission, failure)
            return ""
        # What is missing here is missing for the others as well.
        self.away.set()
        self.show(submission.id, describe(submission), WAITING, failure.reason, True)
        return failure.reason

    def _lacks_something(self, failure: AttemptFailure) -> bool:
        """Whether something is missing here, by trying what is harmless."""
        if self.away.is_set():
            return True
        if not failure.may_be_here:
            return False
        try:
            with closing(self.connect()) as engine:
                return not is_well(self.context, engine)
        except BundleError:
            return True

    def _give_up(self, submission: Submission, failure: AttemptFailure) -> None:
        if failure.refusal is not None:
            self._end(submission, REFUSED, failure.refusal.verdict)
            return
        self.records.set_aside(submission.id, failure.reason)
        self.show(submission.id, describe(submission), SET_ASIDE, failure.reason, True)

    def _attempt(self, submission: Submission) -> AttemptFailure | None:
        """Try once; gives what was in the way, None if the submission has ended."""
        try:
            try:
                with submission_lock(self.context, submission.sha256):
                    self._try(submission)
            except Refusal as refusal:
                self._end(submission, REFUSED, refusal.verdict)
            else:
                self._end(submission, SCORED, Verdict(SCORED))
        except Crowded as crowd:
            return AttemptFailure(str(crowd.refusal.verdict), refusal=crowd.refusal, is_crowded=True)
        except Inconclusive as doubt:
            return AttemptFailure(str(doubt.refusal.verdict), may_be_here=True, refusal=doubt.refusal)
        except BundleError as fault:
            # A scoring program that cannot be built is a fault here as well: the trial builds it.
            return AttemptFailure(one_line(fault), may_be_here=True)
        except OSError as fault:
            return AttemptFailure(one_line(fault), may_be_here=fault.errno in NO_ROOM)
        except Exception:
            # A fault of this tool that one submission brings out must not end the evaluation of the others.
            path = self.context.layout.evaluation / "faults" / f"{submission.id}.txt"
            write_text(path, traceback.format_exc())
            return AttemptFailure(f"a fault of this tool, please report it: {path}")
        return None

    def _try(self, submission: Submission) -> None:
        engine = self.connect()
        self.records.set_state(submission.id, RUNNING)
        try:
            run_steps(self.context, self.records, engine, submission, self.show)
        finally:
            engine.close()

    def _end(self, submission: Submission, state: str, verdict: Verdict) -> None:
        remove_tree(work_dir(self.context, submission.sha256))
        self.records.set_state(submission.id, state, verdict)
        self.show(submission.id, describe(submission), state, str(verdict), True)
