"""What the organiser's commands do, with everything that they need opened before and closed after."""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.errors import ProgramError, SubmissionError, UnavailableError
from tools.evaluation.admission import Arrival, take_all
from tools.evaluation.baseline import check_baseline
from tools.evaluation.evaluate import Show, default_workers, evaluate, run_one_step
from tools.evaluation.intake import describe, find_zips
from tools.evaluation.outputs import stale_rows
from tools.evaluation.probing import probe_all
from tools.evaluation.receipts import check_scores
from tools.evaluation.records import FINAL, Records, Row, cause_lines
from tools.evaluation.rescore import Rescored, rescore
from tools.evaluation.site import Site, read_site
from tools.evaluation.steps import StepRecord
from tools.evaluation.verdicts import Doubtful, Refusal
from tools.formats.receipt import Check
from tools.layout import Layout
from tools.manifest import Bundle
from tools.programs import SCORING, Program, plan_run
from tools.progress import Progress
from tools.runners.docker import DockerRunner
from tools.wheelhouse import give_wheels

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
def opened(bundle: Bundle, layout: Layout, database: str | None) -> Iterator[tuple[Site, Records]]:
    """The site and the records of a bundle.

    Args:
        bundle: The manifest.
        layout: Its paths.
        database: URL; None is a file in the bundle's own folder.
    """
    site = read_site(bundle, layout)
    layout.evaluation.mkdir(parents=True, exist_ok=True)
    records = Records(database or f"sqlite:///{layout.evaluation / 'records.sqlite'}")
    with closing(records):
        yield site, records


def run_evaluation(
    site: Site,
    records: Records,
    connect: Connect,
    paths: tuple[Path, ...],
    workers: int,
    show: Show,
    say: Callable[[str], None],
) -> Evaluated:
    """Take zips in and bring all submissions to their end.

    Args:
        site: Where they are evaluated.
        records: What is known of them.
        connect: Makes a connection to the engine.
        paths: Zips and folders of zips; none goes on with what is known.
        workers: How many at a time; 0 is as many as the engine's machine holds.
        show: Told of each change.
        say: Told how many there are.
    """
    zips = find_zips(paths)
    with closing(connect()) as runner:
        workers = workers or default_workers(site, runner)
        if zips or any(row.state not in FINAL for row in records.rows()):
            _start(site, runner, say)
    arrivals = take_all(zips, site, records)
    say(f"{sum(row.state not in FINAL for row in records.rows())} to evaluate, {workers} at a time")
    waiting = evaluate(site, records, connect, workers, show)
    return Evaluated(arrivals, records.rows(), waiting, is_stale(site, records))


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


def _start(site: Site, runner: DockerRunner, say: Callable[[str], None]) -> None:
    """Find out whether what all submissions need is here, before one of them is taken in.

    Raises:
        UnavailableError: It is not.
    """
    check_baseline(site, runner, say)
    try:
        runner.build(plan_run(SCORING, site.bundle, site.layout, ()), lambda line: None)
    except ProgramError as fault:
        raise UnavailableError(str(fault), fault.details) from None


def is_stale(site: Site, records: Records) -> bool:
    """Tell whether any scores are of another reference or scoring program than those that are there."""
    rows = records.rows()
    return any(stale_rows(site, records, part, rows) for part in site.parts)


def run_rescore(site: Site, records: Records, connect: Connect, progress: Progress) -> Rescored:
    """See rescore."""
    with closing(connect()) as runner:
        runner.sweep(site.owner)
        return rescore(site, records, runner, progress)


def run_probe(site: Site, records: Records, connect: Connect, progress: Progress) -> list[Row]:
    """Probe all scored submissions that were not; gives all rows that were."""
    with closing(connect()) as runner:
        runner.sweep(site.owner)
        probe_all(site, records, runner, progress)
    return [row for row in records.rows() if row.probe is not None]


def run_verify(site: Site, records: Records, connect: Connect, receipt: dict[str, Any]) -> list[Check]:
    """See receipts.check_scores."""
    with closing(connect()) as runner:
        return check_scores(site, runner, records, receipt)


def run_step(bundle: Bundle, layout: Layout, connect: Connect, sha256: str, name: str) -> StepRecord:
    """See run_one_step."""
    site = read_site(bundle, layout)
    with closing(connect()) as runner:
        try:
            return run_one_step(site, runner, sha256, name)
        except Refusal as refusal:
            raise SubmissionError(str(refusal.verdict), sha256, details=refusal.verdict.lines) from None
        except Doubtful as doubt:
            raise UnavailableError(
                f"it may be the engine's fault; try again: {doubt.refusal.verdict}"
            ) from None
