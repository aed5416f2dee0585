"""From images to a report in one go: each stage that is not current is run, the others are reused."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tools.files import signature
from tools.formats.scores import Scores, read_scores
from tools.layout import SPLITS, Layout
from tools.manifest import Bundle
from tools.programs import INFERENCE, SCORING, TRAINING, is_current, run_program
from tools.runners.base import Runner
from tools.sources.base import ImportRequest
from tools.sources.importing import DataSummary, import_images, read_summary
from tools.stages import StageBook


class Display(Protocol):
    """What the person sees of a run."""

    def begin(self, stage: str) -> None:
        """A stage begins."""

    def line(self, text: str) -> None:
        """Its program printed a line."""

    def progress(self, what: str, done: int, total: int) -> None:
        """It has come so far."""

    def end(self, note: str) -> None:
        """It ended well."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a whole run ended.

    Args:
        scores: Of the bundle's own model.
        report: The page to look at.
    """

    scores: Scores
    report: Path


def run_all(
    bundle: Bundle,
    layout: Layout,
    runner: Runner,
    training_arguments: Sequence[str],
    display: Display,
    fresh: bool,
) -> Verdict:
    """Import if input_data/ is empty, train, infer, score, report.

    Args:
        bundle: The bundle.
        layout: Its paths.
        runner: Runs the programs.
        training_arguments: Options of training, after those of the bundle.
        display: Told of every step.
        fresh: Whether to run what is unchanged as well.

    Raises:
        BundleError: A stage failed; those before it are kept.
    """
    import_if_empty(bundle, layout, display)
    for program, arguments in ((TRAINING, training_arguments), (INFERENCE, ()), (SCORING, ())):
        display.begin(program.name)
        if not fresh and is_current(program, bundle, layout, runner, arguments):
            display.end("unchanged, reused")
        else:
            seconds = run_program(program, bundle, layout, runner, arguments, display.line)
            display.end(f"{seconds:.1f} s")
    display.begin("report")
    report = make_report(bundle, layout, display, fresh)
    return Verdict(read_scores(layout.scoring_output / "scores.json"), report)


def import_if_empty(bundle: Bundle, layout: Layout, display: Display) -> None:
    """Fill input_data/ as bundle.toml says, if there is nothing in it."""
    from tools.sources.choice import choose_source

    display.begin("data")
    summary = read_summary(layout)
    if summary is not None:
        display.end(f"{describe(summary)}; already there, reused")
        return
    started = time.monotonic()
    source = choose_source(bundle.data.source, layout.root)
    summary = import_images(source, make_request(bundle), layout, display.progress)
    for warning in summary.warnings:
        display.line(f"warning: {warning}")
    display.end(f"{describe(summary)}; {time.monotonic() - started:.1f} s")


def make_request(bundle: Bundle) -> ImportRequest:
    """What the manifest asks of an import."""
    return ImportRequest(
        sample_size=bundle.data.sample_size,
        seed=bundle.data.seed,
        image_size=bundle.data.image_size,
        class_names=bundle.class_names,
        split=bundle.data.split,
    )


def describe(summary: DataSummary) -> str:
    """One line on what was imported."""
    counts = " + ".join(f"{summary.counts[split]:,} {split}" for split in SPLITS)
    return f"{counts} images in {len(summary.class_names)} classes, from {summary.source}"


def make_report(bundle: Bundle, layout: Layout, display: Display, fresh: bool) -> Path:
    """Write the report, unless the one that is there is of the same scores and model."""
    from tools.report.page import write_report

    inputs = [layout.manifest, layout.scoring_output / "scores.json", layout.model_output / "model.json"]
    key = signature([*inputs, Path(__file__).parent / "report"])
    book = StageBook(layout)
    if not fresh and book.is_current("report", key, [layout.report_html]):
        display.end("unchanged, reused")
        return layout.report_html
    started = time.monotonic()
    path = write_report(bundle, layout)
    book.record("report", key, [path])
    display.end(f"{time.monotonic() - started:.1f} s")
    return path
