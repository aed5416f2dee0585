"""Many submissions: taken in, then each brought through its steps, some at a time, until all have ended."""

import functools
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from challenge_bundle.engines.docker.engine import DockerRunner
from challenge_bundle.errors import BundleError
from challenge_bundle.evaluation.context import Context, submission_lock, zips_dir
from challenge_bundle.evaluation.feedback import write_feedback
from challenge_bundle.evaluation.intake import (
    Submission,
    check_zip,
    describe,
    kept_zip,
)
from challenge_bundle.evaluation.receipts import write_receipt
from challenge_bundle.evaluation.records import FINAL, REFUSED, RUNNING, SET_ASIDE, WAITING, Records, Row
from challenge_bundle.evaluation.step_cache import StepRecord, forget_unfinished
from challenge_bundle.evaluation.steps import build, infer, score, work_dir
from challenge_bundle.evaluation.trial import is_well, one_line
from challenge_bundle.evaluation.verdicts import SCORED, Crowded, Inconclusive, Refusal, Verdict
from challenge_bundle.files import NO_ROOM, remove_tree, write_text
from challenge_bundle.layout import RESULTS_NAME
from challenge_bundle.wheelhouse import read_rules

BACKOFF_S = (1.0, 5.0, 20.0)
"""Between two tries where something here is missing; the last one again and again."""

Show = Callable[[str, str, str, str, bool], None]
"""Told of a submission (its SHA-256, its name for people), its state, a note, and whether it has ended."""


@dataclass(frozen=True, slots=True)
class AttemptFailure:
    """Why an attempt did not bring a submission to its end.

    Args:
        reason: For the organiser.
        may_be_here: Whether it may be in the way of all submissions.
        refusal: What the submission is refused with, if it is the same at the last attempt.
        is_crowded: Whether another submission beside it may be to blame; see Crowded.
    """

    reason: str
    may_be_here: bool = False
    refusal: Refusal | None = None
    is_crowded: bool = False


def evaluate(
    context: Context,
    records: Records,
    connect: Callable[[], DockerRunner],
    workers: int,
    show: Show,
) -> dict[str, str]:
    """Bring every submission that has not ended to its end.

    What an earlier run did, however it ended, is not done again.

    Args:
        context: Where they are evaluated.
        records: What is known of them.
        connect: Makes a connection to the engine; each worker has its own.
        workers: How many at a time.
        show: Told of each change.

    Returns:
        Why a submission still waits, by its id.

    Raises:
        UnavailableError: The engine is away from the start.
    """
    pending = [row for row in records.rows() if row.state not in FINAL]
    _sweep(context, connect, {row.submission.sha256 for row in pending})
    remove_tree(context.layout.evaluation / "work")
    forget_unfinished(context.layout.evaluation / "steps")
    away = threading.Event()
    with ThreadPoolExecutor(workers) as pool:
        one = _Evaluator(context, records, connect, show, away)
        bring_to_end = functools.partial(one.bring_to_end, is_alone=workers == 1)
        try:
            ids = [row.submission.id for row in pending]
            reasons = dict(zip(ids, pool.map(bring_to_end, pending), strict=True))
            reasons |= {row.submission.id: one.bring_to_end(row, is_alone=True) for row in one.crowded}
        except BaseException:
            # Ctrl-C: nothing is taken for a submission's fault from here on, and nothing runs on.
            away.set()
            pool.shutdown(wait=False, cancel_futures=True)
            _sweep(context, connect, {row.submission.sha256 for row in pending})
            raise
    write_feedback(context.layout, records.rows())
    return {submission: reason for submission, reason in reasons.items() if reason}


def _sweep(context: Context, connect: Callable[[], DockerRunner], pending: set[str]) -> None:
    """Remove what commands that were killed have left on the engine.

    An image that was finished stays for a submission that goes on; `step`, which holds its submission's lock
    alone, may be building another.
    """
    with closing(connect()) as runner:
        runner.sweep(context.owner)
        for key, builds in runner.left_builds(context.owner).items():
            kept = key in pending or not key
            with submission_lock(context, key, wait=False) as held:
                if held:
                    runner.forget_builds(
                        build for build, is_finished in builds.items() if not (is_finished and kept)
                    )


def run_steps(
    context: Context, records: Records, runner: DockerRunner, submission: Submission, show: Show
) -> None:
    """Bring one submission through its steps.

    Raises:
        Refusal: It is at fault.
        Inconclusive: It, or the engine, is.
        UnavailableError: Something is missing here.
    """
    sha256 = submission.sha256

    def step(name: str, do: Callable[[], StepRecord]) -> StepRecord:
        show(submission.id, describe(submission), RUNNING, name, False)
        started = time.monotonic()
        record = do()
        records.add_step(submission.id, name, record.key, round(time.monotonic() - started, 3))
        if record.verdict:
            raise Refusal(record.verdict.code, record.verdict.lines, **record.verdict.numbers)
        return record

    show(submission.id, describe(submission), RUNNING, "check", False)
    _check(context, runner, sha256)
    built = step("build", lambda: build(context, runner, sha256))
    try:
        inferred = step("inference", lambda: infer(context, runner, sha256, built))
    finally:
        # Hundreds of submissions would fill the disk; it can be built again from the zip.
        runner.forget_image(str(built.facts["tag"]))
    results = inferred.folder / RESULTS_NAME
    records.set_results(submission.id, inferred.files[RESULTS_NAME])
    scored = {
        part: step(f"scoring-{part}", functools.partial(score, context, runner, results, part))
        for part in context.parts
    }
    records.add_scores(
        [
            (submission.id, part, record.key, (record.folder / "scores.json").read_text(encoding="utf-8"))
            for part, record in scored.items()
        ]
    )
    write_receipt(context, records, submission, runner.engine, built, inferred, scored)


def _check(context: Context, runner: DockerRunner, sha256: str) -> None:
    """Refuse a zip for what `check` finds with a kit of this challenge; see check_zip."""
    rules = read_rules(context.bundle, context.layout, runner.wheelhouse)
    check_zip(
        kept_zip(zips_dir(context.layout), sha256), context.bundle.submission, context.class_names, rules
    )


def run_one_step(context: Context, runner: DockerRunner, sha256: str, name: str) -> StepRecord:
    """Do one step of a submission that was taken in, and those before it where they are not done.

    For a scheduler of one's own: with the same folder and database, steps may run on any machine.

    Args:
        context: Where it is evaluated.
        runner: Speaks to the engine.
        sha256: Of the zip.
        name: `build`, `inference` or `scoring`.

    Raises:
        Refusal: The zip is at fault.
        Inconclusive: The submission, or the engine, is.
        UnavailableError: Something is missing here, or no such zip was taken in.
    """
    with submission_lock(context, sha256):
        _check(context, runner, sha256)
        record = build(context, runner, sha256)
        if name != "build" and not record.verdict:
            record = infer(context, runner, sha256, record)
        if name == "scoring" and not record.verdict:
            results = record.folder / RESULTS_NAME
            for part in context.parts:
                record = score(context, runner, results, part)
    return record


class _Evaluator:
    """Brings submissions to their end; one for all workers."""

    def __init__(
        self,
        context: Context,
        records: Records,
        connect: Callable[[], DockerRunner],
        show: Show,
        away: threading.Event,
    ) -> None:
        self.context, self.records, self.connect, self.show, self.away = context, records, connect, show, away
        self.crowded: list[Row] = []
        """What is to be tried again when no other is at work."""

    def bring_to_end(self, row: Row, is_alone: bool) -> str:
        """Evaluate a submission; tells why it still waits, empty if it does not.

        An attempt that fails while the engine works counts against the submission; one that fails because
        something is missing here, or because of another submission, does not.
        """
        submission, attempts = row.submission, self.context.bundle.evaluation.attempts
        obstacle = AttemptFailure("something was missing before it came to its turn")
        failed = missing = 0
        while failed < attempts and missing < attempts:
            if self.away.is_set():
                return obstacle.reason
            found = self._attempt(submission)
            if found is None:
                return ""
            obstacle = found
            if obstacle.is_crowded and not is_alone:
                self.crowded.append(row)
                self.records.set_state(submission.id, WAITING)
                self.show(submission.id, describe(submission), WAITING, "until it is alone", False)
                return ""
            if self._lacks_something(obstacle):
                missing += 1
            else:
                failed += 1
            self.records.count_attempt(submission.id, obstacle.reason)
            self.show(submission.id, describe(submission), WAITING, obstacle.reason, False)
            if max(failed, missing) < attempts:
                self.away.wait(BACKOFF_S[min(failed + missing, len(BACKOFF_S)) - 1])
        if failed >= attempts and not self.away.is_set():
            self._give_up(submission, obstacle)
            return ""
        # What is missing here is missing for the others as well.
        self.away.set()
        self.show(submission.id, describe(submission), WAITING, obstacle.reason, True)
        return obstacle.reason

    def _lacks_something(self, obstacle: AttemptFailure) -> bool:
        """Tell whether something is missing here, by trying what is harmless."""
        if self.away.is_set():
            return True
        if not obstacle.may_be_here:
            return False
        try:
            with closing(self.connect()) as runner:
                return not is_well(self.context, runner)
        except BundleError:
            return True

    def _give_up(self, submission: Submission, obstacle: AttemptFailure) -> None:
        if obstacle.refusal is not None:
            self._end(submission, REFUSED, obstacle.refusal.verdict)
            return
        self.records.set_aside(submission.id, obstacle.reason)
        self.show(submission.id, describe(submission), SET_ASIDE, obstacle.reason, True)

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
        runner = self.connect()
        self.records.set_state(submission.id, RUNNING)
        try:
            run_steps(self.context, self.records, runner, submission, self.show)
        finally:
            runner.close()

    def _end(self, submission: Submission, state: str, verdict: Verdict) -> None:
        remove_tree(work_dir(self.context, submission.sha256))
        self.records.set_state(submission.id, state, verdict)
        self.show(submission.id, describe(submission), state, str(verdict), True)


def default_workers(context: Context, runner: DockerRunner) -> int:
    """As many at a time as the engine's processors and memory hold, whatever step each of them is at."""
    inference, scoring = context.bundle.limits["inference"], context.bundle.limits["scoring"]
    most_mb = max(inference.memory_mb, scoring.memory_mb, context.bundle.evaluation.build_memory_mb)
    by_cpus = runner.host.cpus / min(inference.cpus, runner.host.cpus)
    by_memory = runner.host.memory_bytes / (most_mb * 2**20)
    return max(1, int(min(by_cpus, by_memory)))
