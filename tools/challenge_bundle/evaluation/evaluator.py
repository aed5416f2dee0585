"""Many submissions: taken in, then each brought to its end, some at a time, until all have ended."""

import functools
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from challenge_bundle.engines.base import Engine
from challenge_bundle.evaluation.admission import Arrival, take_all
from challenge_bundle.evaluation.attempts import Attempts
from challenge_bundle.evaluation.baseline import check_ready
from challenge_bundle.evaluation.context import Connect, Context, submission_lock
from challenge_bundle.evaluation.feedback import write_feedback
from challenge_bundle.evaluation.intake import describe, find_zips
from challenge_bundle.evaluation.records import FINAL, Records, Row, cause_lines
from challenge_bundle.evaluation.step_cache import forget_unfinished
from challenge_bundle.evaluation.step_sequence import Show
from challenge_bundle.evaluation.stored_scores import is_stale
from challenge_bundle.files import remove_tree
from challenge_bundle.settings import CODE
from challenge_bundle.submission.predictions_alone import CSV


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What an evaluation came to.

    Args:
        arrivals: The zips that were given.
        rows: All submissions, those of earlier days among them.
        waiting: Why a submission still waits, by its id.
        is_stale: Whether scores are of another reference or scoring program.
    """

    arrivals: list[Arrival]
    rows: list[Row]
    waiting: dict[str, str]
    is_stale: bool = False

    def document(self) -> dict[str, Any]:
        """The outcome for `--json`."""
        return {
            "arrivals": [
                {
                    "submission": arrival.submission.id if arrival.submission else None,
                    "note": arrival.note,
                    "finding": arrival.verdict.finding if arrival.verdict else None,
                }
                for arrival in self.arrivals
            ],
            "states": Counter(row.state for row in self.rows),
            "waiting": self.waiting,
            "is_stale": self.is_stale,
        }

    def lines(self) -> list[str]:
        """The outcome for the terminal: the zips that were given, then the number in each state."""
        lines = [
            f"again    {arrival.note}" for arrival in self.arrivals if arrival.note and arrival.submission
        ]
        lines += [f"skipped  {arrival.note}" for arrival in self.arrivals if not arrival.submission]
        lines += [
            f"refused  {describe(arrival.submission)}  {arrival.verdict}"
            for arrival in self.arrivals
            if arrival.submission and arrival.verdict
        ]
        lines += cause_lines(self.rows)
        if self.is_stale:
            lines.append("the reference or the scoring program has changed: run `evaluate --rescore`")
        counts = Counter(row.state for row in self.rows)
        return [
            *lines,
            "in all: "
            + (", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no submissions"),
        ]


def run_evaluation(
    context: Context,
    records: Records,
    connect: Connect,
    paths: tuple[Path, ...],
    workers: int,
    show: Show,
    notify: Callable[[str], None],
    is_baseline: bool = False,
) -> Evaluated:
    """Take zips in and bring all submissions to their end.

    Args:
        context: Where they are evaluated.
        records: What is known of them.
        connect: Makes a connection to the engine.
        paths: Zips and folders of zips; none goes on with what is known.
        workers: How many at a time; 0 is as many as the engine's machine holds.
        show: Gets each change.
        notify: Gets a line with how many there are.
        is_baseline: Whether the zips are the organiser's own, for comparison.
    """
    zips = find_zips(paths)
    with closing(connect()) as engine:
        workers = workers or default_workers(context, engine)
        rows = [row for row in records.rows() if row.state not in FINAL]
        if zips or rows:
            builds = any(path.suffix.lower() != CSV for path in zips) or any(row.kind == CODE for row in rows)
            check_ready(context, engine, notify, builds)
    arrivals = take_all(zips, context, records, is_baseline)
    notify(f"{sum(row.state not in FINAL for row in records.rows())} to evaluate, {workers} at a time")
    waiting = evaluate(context, records, connect, workers, show)
    return Evaluated(arrivals, records.rows(), waiting, is_stale(context, records))


def evaluate(
    context: Context,
    records: Records,
    connect: Connect,
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
        show: Gets each change.

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
        one = Attempts(context, records, connect, show, away)
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


def _sweep(context: Context, connect: Connect, pending: set[str]) -> None:
    """Remove what commands that were killed have left on the engine.

    An image that was finished stays for a submission that goes on; `step`, which holds its submission's lock
    alone, may be building another.
    """
    with closing(connect()) as engine:
        engine.sweep(context.owner, pending, functools.partial(submission_lock, context, wait=False))


def default_workers(context: Context, engine: Engine) -> int:
    """As many at a time as the engine's processors and memory hold, whatever step each of them is at."""
    inference, scoring = context.bundle.limits["inference"], context.bundle.limits["scoring"]
    most_mb = max(inference.memory_mb, scoring.memory_mb, context.bundle.evaluation.build_memory_mb)
    by_cpus = engine.capacity.cpus / min(inference.cpus, engine.capacity.cpus)
    by_memory = engine.capacity.memory_bytes / (most_mb * 2**20)
    return max(1, int(min(by_cpus, by_memory)))
