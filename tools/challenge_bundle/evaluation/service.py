"""What the organiser's commands do, with everything that they need opened before and closed after."""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from challenge_bundle.engines.docker.engine import DockerRunner
from challenge_bundle.errors import ProgramError, SubmissionError, UnavailableError
from challenge_bundle.evaluation.admission import Arrival, take_all
from challenge_bundle.evaluation.baseline import check_baseline
from challenge_bundle.evaluation.context import Context, read_context
from challenge_bundle.evaluation.evaluator import Show, default_workers, evaluate, run_one_step
from challenge_bundle.evaluation.intake import describe, find_zips
from challenge_bundle.evaluation.invariance import probe_all
from challenge_bundle.evaluation.receipts import check_scores
from challenge_bundle.evaluation.records import FINAL, Records, Row, cause_lines
from challenge_bundle.evaluation.rescore import Rescored, rescore
from challenge_bundle.evaluation.step_cache import StepRecord
from challenge_bundle.evaluation.step_outputs import stale_rows
from challenge_bundle.evaluation.verdicts import Inconclusive, Refusal
from challenge_bundle.findings import Finding
from challenge_bundle.layout import Layout
from challenge_bundle.progress import Progress
from challenge_bundle.runs.programs import SCORING, Program, plan_run
from challenge_bundle.settings import Bundle
from challenge_bundle.wheelhouse import give_wheels

Connect = Callable[[], DockerRunner]


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

    def lines(self) -> list[str]:
        """What is to be said at the end: of zips that came, and how all stand."""
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


@contextmanager
def opened(bundle: Bundle, layout: Layout, database: str | None) -> Iterator[tuple[Context, Records]]:
    """The context and the records of a bundle.

    Args:
        bundle: The manifest.
        layout: Its paths.
        database: URL; None is a file in the bundle's own folder.
    """
    context = read_context(bundle, layout)
    layout.evaluation.mkdir(parents=True, exist_ok=True)
    records = Records(database or f"sqlite:///{layout.evaluation / 'records.sqlite'}")
    with closing(records):
        yield context, records


def run_evaluation(
    context: Context,
    records: Records,
    connect: Connect,
    paths: tuple[Path, ...],
    workers: int,
    show: Show,
    say: Callable[[str], None],
) -> Evaluated:
    """Take zips in and bring all submissions to their end.

    Args:
        context: Where they are evaluated.
        records: What is known of them.
        connect: Makes a connection to the engine.
        paths: Zips and folders of zips; none goes on with what is known.
        workers: How many at a time; 0 is as many as the engine's machine holds.
        show: Told of each change.
        say: Told how many there are.
    """
    zips = find_zips(paths)
    with closing(connect()) as runner:
        workers = workers or default_workers(context, runner)
        if zips or any(row.state not in FINAL for row in records.rows()):
            _start(context, runner, say)
    arrivals = take_all(zips, context, records)
    say(f"{sum(row.state not in FINAL for row in records.rows())} to evaluate, {workers} at a time")
    waiting = evaluate(context, records, connect, workers, show)
    return Evaluated(arrivals, records.rows(), waiting, is_stale(context, records))


def connector(
    bundle: Bundle,
    layout: Layout,
    wheelhouse: Path | None,
    programs: Sequence[Program],
    say: Callable[[str], None],
) -> Connect:
    """How submissions are run: in containers, or not at all; built from wheels where there is no network.

    Args:
        bundle: The manifest.
        layout: Its paths.
        wheelhouse: Named by the organiser; None takes the bundle's own.
        programs: Whose wheels are needed; inference's are those of submissions.
        say: Told of what is downloaded.

    Raises:
        UnavailableError: No engine answers.
    """
    with closing(DockerRunner.connect("none", wheelhouse)) as runner:
        if wheelhouse or not bundle.evaluation.build_network:
            give_wheels(runner, programs, bundle, layout, say, for_submissions=True)
        return functools.partial(DockerRunner.connect, "none", runner.wheelhouse)


def _start(context: Context, runner: DockerRunner, say: Callable[[str], None]) -> None:
    """Find out whether what all submissions need is here, before one of them is taken in.

    Raises:
        UnavailableError: It is not.
    """
    check_baseline(context, runner, say)
    try:
        runner.build(plan_run(SCORING, context.bundle, context.layout, ()), lambda line: None)
    except ProgramError as fault:
        raise UnavailableError(str(fault), details=fault.details) from None


def is_stale(context: Context, records: Records) -> bool:
    """Tell whether any scores are of another reference or scoring program than those that are there."""
    rows = records.rows()
    return any(stale_rows(context, records, part, rows) for part in context.parts)


def run_rescore(context: Context, records: Records, connect: Connect, progress: Progress) -> Rescored:
    """See rescore."""
    with closing(connect()) as runner:
        runner.sweep(context.owner)
        return rescore(context, records, runner, progress)


def run_probe(context: Context, records: Records, connect: Connect, progress: Progress) -> list[Row]:
    """Probe all scored submissions that were not; gives all rows that were."""
    with closing(connect()) as runner:
        runner.sweep(context.owner)
        probe_all(context, records, runner, progress)
    return [row for row in records.rows() if row.probe is not None]


def run_verify(
    context: Context, records: Records, connect: Connect, receipt: dict[str, Any]
) -> list[Finding]:
    """See receipts.check_scores."""
    with closing(connect()) as runner:
        return check_scores(context, runner, records, receipt)


def run_step(bundle: Bundle, layout: Layout, connect: Connect, sha256: str, name: str) -> StepRecord:
    """See run_one_step."""
    context = read_context(bundle, layout)
    with closing(connect()) as runner:
        try:
            return run_one_step(context, runner, sha256, name)
        except Refusal as refusal:
            raise SubmissionError(str(refusal.verdict), sha256, details=refusal.verdict.lines) from None
        except Inconclusive as doubt:
            raise UnavailableError(
                f"it may be the engine's fault; try again: {doubt.refusal.verdict}"
            ) from None
