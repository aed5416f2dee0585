"""Many submissions: taken in, then each brought through its steps, some at a time, until all have ended."""

import errno
import functools
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tools.errors import BundleError, DataError, UnavailableError
from tools.evaluation.feedback import write_feedback
from tools.evaluation.intake import Submission, check_zip, describe, kept_zip, phase_at, same_team, take_in
from tools.evaluation.receipts import write_receipt
from tools.evaluation.records import FINAL, REFUSED, RUNNING, WAITING, Records, Row
from tools.evaluation.site import Site, zips_dir
from tools.evaluation.steps import StepRecord
from tools.evaluation.verdicts import SCORED, Refusal, Verdict
from tools.evaluation.work import Doubtful, build, infer, score, work_dir
from tools.files import remove_tree, write_text
from tools.layout import RESULTS_NAME
from tools.manifest import Phase
from tools.programs import INFERENCE, plan_run
from tools.runners.docker import DockerRunner

BACKOFF_S = (1.0, 5.0, 20.0)
"""Between two tries where something here is missing; the last one again and again."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)

Show = Callable[[str, str, str, str, bool], None]
"""Told of a submission (its SHA-256, its name for people), its state, a note, and whether it has ended."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why an attempt did not bring a submission to its end.

    Args:
        reason: For the organiser.
        is_away: Whether it is in the way of all submissions.
        refusal: What the submission is refused with, if it is the same at the last attempt.
    """

    reason: str
    is_away: bool = False
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A zip as it came.

    Args:
        submission: What it is.
        is_new: Whether it was not known; the same bytes are the same submission, whoever sends them.
    """

    submission: Submission
    is_new: bool


def take_all(paths: Iterable[Path], site: Site, records: Records) -> list[Arrival]:
    """Take zips in, in the order in which they were received.

    Args:
        paths: The zips.
        site: Where they are evaluated.
        records: Get a row for each that is new.
    """
    taken = [take_in(path, zips_dir(site.layout), site.bundle.submission) for path in paths]
    taken.sort(key=lambda submission: (submission.received, submission.sha256, submission.file_name))
    known = records.rows()
    arrivals: list[Arrival] = []
    for submission in taken:
        if any(row.submission.sha256 == submission.sha256 for row in known):
            arrivals.append(Arrival(submission, is_new=False))
            continue
        phase, verdict = admit(submission, known, site.bundle.evaluation.phases)
        records.add(submission, phase, verdict)
        known = records.rows()
        arrivals.append(Arrival(submission, is_new=True))
    return arrivals


def admit(
    submission: Submission, known: Sequence[Row], phases: tuple[Phase, ...]
) -> tuple[str, Verdict | None]:
    """Tell a submission's phase, and why it is not evaluated, if it is not.

    Args:
        submission: The submission.
        known: All that were taken in before; of the same team and day they count.
        phases: Of the manifest.

    Returns:
        (name of the phase, empty if none was open; the verdict, None if it is to be evaluated)
    """
    phase_name = ""
    try:
        if not submission.team:
            raise Refusal("team")
        phase = phase_at(phases, submission.received)
        phase_name = phase.name
        used = sum(
            row.phase == phase.name
            and row.submission.received.date() == submission.received.date()
            and same_team(row.submission.team) == same_team(submission.team)
            and (row.verdict is None or row.verdict.code != "quota")
            for row in known
        )
        if phase.submissions_per_day and used >= phase.submissions_per_day:
            raise Refusal("quota", quota=phase.submissions_per_day)
    except Refusal as refusal:
        return phase_name, refusal.verdict
    return phase_name, None


def evaluate(
    site: Site, records: Records, connect: Callable[[], DockerRunner], workers: int, show: Show
) -> dict[str, str]:
    """Bring every submission that has not ended to its end.

    What an earlier run did, however it ended, is not done again.

    Args:
        site: Where they are evaluated.
        records: What is known of them.
        connect: Makes a connection to the engine; each worker has its own.
        workers: How many at a time.
        show: Told of each change.

    Returns:
        Why a submission still waits, by its SHA-256.

    Raises:
        UnavailableError: The engine is away from the start.
    """
    _sweep(site, connect)
    remove_tree(site.layout.evaluation / "work")
    pending = [row for row in records.rows() if row.state not in FINAL]
    away = threading.Event()
    with ThreadPoolExecutor(workers) as pool:
        one = _Evaluator(site, records, connect, show, away)
        try:
            reasons = list(pool.map(one.bring_to_end, pending))
        except BaseException:
            # Ctrl-C: nothing is taken for a submission's fault from here on, and nothing runs on.
            away.set()
            pool.shutdown(wait=False, cancel_futures=True)
            _sweep(site, connect)
            raise
    write_feedback(site.layout, records.rows())
    return {row.submission.sha256: reason for row, reason in zip(pending, reasons, strict=True) if reason}


def _sweep(site: Site, connect: Callable[[], DockerRunner]) -> None:
    with closing(connect()) as runner:
        runner.sweep(owner_of(site))


def owner_of(site: Site) -> str:
    """The label of this bundle's containers."""
    return plan_run(INFERENCE, site.bundle, site.layout, ()).owner


def run_steps(site: Site, records: Records, runner: DockerRunner, submission: Submission, show: Show) -> None:
    """Bring one submission through its steps.

    Raises:
        Refusal: It is at fault.
        Doubtful: It, or the engine, is.
        UnavailableError: Something is missing here.
    """
    sha256 = submission.sha256

    def step(name: str, do: Callable[[], StepRecord]) -> StepRecord:
        show(sha256, describe(submission), RUNNING, name, False)
        started = time.monotonic()
        record = do()
        records.add_step(sha256, name, record.key, round(time.monotonic() - started, 3))
        if record.verdict:
            raise Refusal(record.verdict.code, record.verdict.lines, **record.verdict.numbers)
        return record

    show(sha256, describe(submission), RUNNING, "check", False)
    check_zip(kept_zip(zips_dir(site.layout), sha256), site.bundle.submission, site.class_names)
    built = step("build", lambda: build(site, runner, sha256))
    try:
        inferred = step("inference", lambda: infer(site, runner, sha256, built))
    finally:
        # Hundreds of submissions would fill the disk; it can be built again from the zip.
        runner.forget_image(str(built.facts["tag"]))
    results = inferred.folder / RESULTS_NAME
    records.set_results(sha256, inferred.files[RESULTS_NAME])
    scored = {
        part: step(f"scoring-{part}", functools.partial(score, site, runner, results, part))
        for part in site.parts
    }
    records.add_scores(
        [
            (sha256, part, record.key, (record.folder / "scores.json").read_text(encoding="utf-8"))
            for part, record in scored.items()
        ]
    )
    write_receipt(site, submission, runner.engine, built, inferred, scored)


def run_one_step(site: Site, runner: DockerRunner, sha256: str, name: str) -> StepRecord:
    """Do one step of a submission that was taken in, and those before it where they are not done.

    For a scheduler of one's own: with the same folder and database, steps may run on any machine.

    Args:
        site: Where it is evaluated.
        runner: Speaks to the engine.
        sha256: Of the zip.
        name: `build`, `inference` or `scoring`.

    Raises:
        DataError: No such zip was taken in.
        UnavailableError: Something is missing here.
    """
    zip_path = kept_zip(zips_dir(site.layout), sha256)
    if not zip_path.exists():
        raise DataError("no such submission was taken in; `evaluate` takes zips in", zip_path)
    record = build(site, runner, sha256)
    if name != "build" and not record.verdict:
        record = infer(site, runner, sha256, record)
    if name == "scoring" and not record.verdict:
        results = record.folder / RESULTS_NAME
        for part in site.parts:
            record = score(site, runner, results, part)
    return record


class _Evaluator:
    """Brings submissions to their end; one for all workers."""

    def __init__(
        self,
        site: Site,
        records: Records,
        connect: Callable[[], DockerRunner],
        show: Show,
        away: threading.Event,
    ) -> None:
        self.site, self.records, self.connect, self.show, self.away = site, records, connect, show, away

    def bring_to_end(self, row: Row) -> str:
        """Evaluate a submission; tells why it still waits, empty if it does not."""
        submission, attempts = row.submission, self.site.bundle.evaluation.attempts
        obstacle = Obstacle("something was missing before it came to its turn")
        for attempt in range(attempts):
            if self.away.is_set():
                return obstacle.reason
            found = self._attempt(submission)
            if found is None:
                return ""
            obstacle = found
            self.records.count_attempt(submission.sha256)
            self.show(submission.sha256, describe(submission), WAITING, obstacle.reason, False)
            if attempt + 1 < attempts:
                self.away.wait(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
        if obstacle.refusal is not None and not self.away.is_set():
            self._end(submission, REFUSED, obstacle.refusal.verdict)
            return ""
        if obstacle.is_away:
            # What is missing here is missing for the others as well.
            self.away.set()
        self.show(submission.sha256, describe(submission), WAITING, obstacle.reason, True)
        return obstacle.reason

    def _attempt(self, submission: Submission) -> Obstacle | None:
        """Try once; gives what was in the way, None if the submission has ended."""
        try:
            self._try(submission)
        except Refusal as refusal:
            self._end(submission, REFUSED, refusal.verdict)
            return None
        except Doubtful as doubt:
            return Obstacle(str(doubt.refusal.verdict), refusal=doubt.refusal)
        except BundleError as fault:
            return Obstacle(str(fault), is_away=isinstance(fault, UnavailableError))
        except OSError as fault:
            return Obstacle(str(fault), is_away=fault.errno in _NO_ROOM)
        except Exception:
            # A fault of this tool that one submission brings out must not end the evaluation of the others.
            path = self.site.layout.evaluation / "faults" / f"{submission.sha256}.txt"
            write_text(path, traceback.format_exc())
            return Obstacle(f"a fault of this tool, please report it: {path}")
        self._end(submission, SCORED, Verdict(SCORED))
        return None

    def _try(self, submission: Submission) -> None:
        runner = self.connect()
        self.records.set_state(submission.sha256, RUNNING)
        try:
            run_steps(self.site, self.records, runner, submission, self.show)
        finally:
            runner.close()

    def _end(self, submission: Submission, state: str, verdict: Verdict) -> None:
        self.records.set_state(submission.sha256, state, verdict)
        remove_tree(work_dir(self.site, submission.sha256))
        self.show(submission.sha256, describe(submission), state, str(verdict), True)


def default_workers(site: Site, runner: DockerRunner) -> int:
    """As many at a time as the engine's processors and memory hold, by the limits of inference."""
    limits = site.bundle.limits["inference"]
    by_cpus = runner.host.cpus / min(limits.cpus, runner.host.cpus)
    by_memory = runner.host.memory_bytes / (limits.memory_mb * 2**20)
    return max(1, int(min(by_cpus, by_memory)))
