"""From images to a report: each stage whose input or code has changed is run, the others are reused."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from challenge_bundle.dataset.fill import fill_if_empty
from challenge_bundle.dataset.summary import read_summary
from challenge_bundle.engines.base import Engine
from challenge_bundle.errors import DataError
from challenge_bundle.files import signature
from challenge_bundle.findings import WARNING, Finding
from challenge_bundle.formats.scores import Scores, read_scores
from challenge_bundle.layout import Layout
from challenge_bundle.progress import StageDisplay
from challenge_bundle.runs.programs import (
    INFERENCE,
    SCORING,
    TRAINING,
    Program,
    build_image,
    is_current,
    may_be_of_other_data,
    output_files,
    run_program,
)
from challenge_bundle.runs.stage_record import StageBook
from challenge_bundle.settings import Bundle


@dataclass(frozen=True, slots=True)
class RunAllResult:
    """How a whole run ended.

    Args:
        scores: Of the bundle's own model; None where the reference is not here, as at a participant's.
        report: The page to look at; None likewise.
    """

    scores: Scores | None
    report: Path | None


def run_all(
    bundle: Bundle,
    layout: Layout,
    engine: Engine,
    training_arguments: Sequence[str],
    display: StageDisplay,
    fresh: bool,
) -> RunAllResult:
    """Import if input_data/ is empty, train, infer, and, where the reference is, score and report.

    Args:
        bundle: The bundle.
        layout: Its paths.
        engine: Runs the programs.
        training_arguments: Options of training, after those of the bundle.
        display: Shows each stage.
        fresh: Whether to run what is unchanged as well.

    Raises:
        BundleError: A stage failed; those before it are kept.
    """
    summary = fill_if_empty(bundle, layout, display)
    stages: list[tuple[Program, Sequence[str]]] = [(TRAINING, training_arguments), (INFERENCE, ())]
    if summary.has_reference:
        stages.append((SCORING, ()))
        # Now, not after hours of training: it needs all that the other images need.
        build_image(engine, SCORING, bundle, layout, display.line)
    for program, arguments in stages:
        display.begin(program.name)
        if not output_files(program, layout):
            display.end("nothing to train: program.toml names no outputs")
        elif not fresh and is_current(program, bundle, layout, engine, arguments):
            display.end("unchanged, reused")
        else:
            seconds = run_program(program, bundle, layout, engine, arguments, display.line)
            display.end(f"{seconds:.1f} s")
    if not summary.has_reference:
        return RunAllResult(None, None)
    display.begin("report")
    report = make_report(bundle, layout, summary.source, display, fresh)
    return RunAllResult(read_scores(layout.scoring_output / "scores.json"), report)


def make_report(bundle: Bundle, layout: Layout, source: str, display: StageDisplay, fresh: bool) -> Path:
    """Write the report, unless the one that is there is of the same scores and model.

    Raises:
        DataError: As write_report.
    """
    from challenge_bundle.report.model_page import write_report

    inputs = [layout.manifest, layout.scoring_output / "scores.json", *output_files(TRAINING, layout)]
    key = signature([*inputs, Path(__file__).parent / "report"])
    book = StageBook(layout)
    if not fresh and book.is_current("report", key, [layout.report_html]):
        display.end("unchanged, reused")
        return layout.report_html
    started = time.monotonic()
    path = write_report(bundle, layout, source)
    book.record("report", key, [path])
    display.end(f"{time.monotonic() - started:.1f} s")
    return path


def report_again(bundle: Bundle, layout: Layout) -> Path:
    """Write the report of what is there, whether or not it has changed.

    Raises:
        DataError: There is nothing to report, or the reference is not here.
    """
    from challenge_bundle.report.model_page import write_report

    summary = read_summary(layout)
    if summary is None:
        raise DataError(
            "there is nothing to report yet",
            layout.scoring_output,
            code="nothing-to-report",
            hint="run `run-all` first",
        )
    if not summary.has_reference:
        raise DataError(
            "not found; the organiser has it, and the report",
            layout.solution_csv("testing"),
            code="no-reference",
            hint="ask the organiser for the report",
        )
    return write_report(bundle, layout, summary.source)


def find_stale_model(layout: Layout) -> list[Finding]:
    """A warning if images were imported since the model was trained."""
    if not may_be_of_other_data(layout):
        return []
    message = "the model is older than the last import: it may have memorised images that are tested now"
    return [Finding("stale-model", WARNING, "", message, "run `train` again")]
