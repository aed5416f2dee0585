"""From images to a report in one go: each stage that is not current is run, the others are reused."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from challenge_bundle.dataset.importer import import_images
from challenge_bundle.dataset.summary import DataSummary, read_summary
from challenge_bundle.engines.base import Engine
from challenge_bundle.errors import DataError
from challenge_bundle.files import signature
from challenge_bundle.formats.group_rules import resolve_group
from challenge_bundle.formats.scores import Scores, read_scores
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.runs.programs import (
    INFERENCE,
    SCORING,
    TRAINING,
    Program,
    build_image,
    is_current,
    output_files,
    run_program,
)
from challenge_bundle.runs.stage_record import StageBook
from challenge_bundle.settings import Bundle
from challenge_bundle.sources.base import ImportRequest

CLASSES_SHOWN = 12


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
    display: Display,
    fresh: bool,
) -> Verdict:
    """Import if input_data/ is empty, train, infer, and, where the reference is, score and report.

    Args:
        bundle: The bundle.
        layout: Its paths.
        engine: Runs the programs.
        training_arguments: Options of training, after those of the bundle.
        display: Told of every step.
        fresh: Whether to run what is unchanged as well.

    Raises:
        BundleError: A stage failed; those before it are kept.
    """
    summary = import_if_empty(bundle, layout, display)
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
        return Verdict(None, None)
    display.begin("report")
    report = make_report(bundle, layout, summary.source, display, fresh)
    return Verdict(read_scores(layout.scoring_output / "scores.json"), report)


def import_if_empty(bundle: Bundle, layout: Layout, display: Display) -> DataSummary:
    """Fill input_data/ as bundle.toml says, if there is nothing in it.

    Raises:
        DataError: The source is at fault, or what is there is not whole or of other classes.
        UnavailableError: The source cannot be reached.
    """
    from challenge_bundle.sources.choice import choose_source

    display.begin("data")
    source = choose_source(bundle.data.source, layout.root, bundle.data.anonymous, layout)
    summary = read_summary(layout)
    if summary is not None:
        check_class_names(bundle, summary, layout)
        if summary.source == source.description and _differ(summary.request, make_request(bundle, layout)):
            display.line(
                "warning: imported with other settings than [data] in bundle.toml; see `data import`"
            )
        display.end(f"{describe(summary)}; already there, reused")
        return summary
    started = time.monotonic()
    summary = import_images(source, make_request(bundle, layout), layout, display.progress)
    for warning in summary.warnings:
        display.line(f"warning: {warning}")
    display.end(f"{describe(summary)}; {time.monotonic() - started:.1f} s")
    display.line(describe_classes(summary))
    return summary


def check_class_names(bundle: Bundle, summary: DataSummary, layout: Layout) -> None:
    """Refuse images of other classes than bundle.toml names.

    Raises:
        DataError: They are.
    """
    if bundle.class_names and set(bundle.class_names) != set(summary.class_names):
        raise DataError(
            f"holds the classes {', '.join(summary.class_names)}, but 'bundle.class_names' in bundle.toml"
            f" says {', '.join(bundle.class_names)}; correct the line, or import again",
            layout.input_data,
        )


def make_request(bundle: Bundle, layout: Layout) -> ImportRequest:
    """What the manifest asks of an import; its paths are relative to its own folder."""
    return ImportRequest(
        sample_size=bundle.data.sample_size,
        seed=bundle.data.seed,
        image_size=bundle.data.image_size,
        any_size=bundle.data.any_size,
        class_names=bundle.class_names,
        split=bundle.data.split,
        allow_leaks=bundle.data.allow_leaks,
        group=resolve_group(bundle.data.group, layout.root),
        strip_metadata=bundle.data.strip_metadata,
    )


def _differ(asked: ImportRequest | None, manifest: ImportRequest) -> bool:
    """Tell whether an import was asked for other data than bundle.toml says, as far as that can say it."""
    if asked is None:
        return True
    unsaid = ("replace", "keep_names", "new_names", "keep_splits", "drop_copies")
    return replace(asked, **{name: getattr(manifest, name) for name in unsaid}) != manifest


def describe(summary: DataSummary) -> str:
    """One line on what was imported."""
    counts = " + ".join(f"{summary.counts[split]:,} {split}" for split in SPLITS)
    return f"{counts} images in {len(summary.class_names)} classes, from {summary.source}"


def describe_classes(summary: DataSummary) -> str:
    """One line on what an import made of it: its classes, and its groups if it knows of some."""
    names = sorted(summary.classes)
    if len(names) > CLASSES_SHOWN:
        names = sorted(names, key=lambda name: (-summary.classes[name], name))[:CLASSES_SHOWN]
    told = ", ".join(f"{name} {summary.classes[name]:,}" for name in names)
    if rest := len(summary.classes) - len(names):
        told += f" and {rest:,} smaller ones, the smallest of {min(summary.classes.values()):,}"
    groups, parted = summary.groups
    if groups:
        told += f"; {groups:,} groups (patients), {format(parted, ',') if parted else 'none'} in two splits"
    return f"classes: {told}"


def make_report(bundle: Bundle, layout: Layout, source: str, display: Display, fresh: bool) -> Path:
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
