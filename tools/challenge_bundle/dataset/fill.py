"""Filling input_data/ as bundle.toml and the options of `data import` ask."""

import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from challenge_bundle.data_settings import ImportRequest, ImportSettings
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.dataset.placed import refuse_another_source
from challenge_bundle.dataset.summary import DataSummary, read_summary
from challenge_bundle.errors import DataError
from challenge_bundle.formats.group_rules import resolve_group
from challenge_bundle.formats.setting import settings_of
from challenge_bundle.formats.tasks import MULTILABEL, ORDINAL, REGRESSION
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.progress import StageDisplay
from challenge_bundle.settings import Bundle
from challenge_bundle.sources.choice import choose_source

CLASSES_SHOWN = 12


def fill(
    bundle: Bundle,
    layout: Layout,
    source: str | None,
    options: Mapping[str, Any],
    folder: Path,
    display: StageDisplay,
) -> DataSummary:
    """Import images, whether or not there are some.

    Args:
        bundle: The bundle.
        layout: Its paths.
        source: One of sources.choice.SOURCE_FORMS; None takes bundle.toml's.
        options: Settings that override those of bundle.toml, by name.
        folder: What paths in source and options are relative to.
        display: Shows how far it is.

    Raises:
        DataError: The source is at fault, or what is there would be lost.
        UnavailableError: The source cannot be reached.
    """
    # bundle.toml's sample_size is meant for its own source; another one is taken whole.
    request = make_request(bundle, layout, ({"sample_size": 0} if source else {}) | dict(options), folder)
    named = (source, folder) if source else (bundle.data.source, layout.root)
    chosen = choose_source(*named, options.get("anonymous", bundle.data.anonymous), layout)
    if not source and not request.replace:
        refuse_another_source(layout, chosen.description)
    display.begin("import")
    summary = import_images(chosen, request, layout, display.progress)
    display.end(describe(summary))
    return summary


def fill_if_empty(bundle: Bundle, layout: Layout, display: StageDisplay) -> DataSummary:
    """Import what bundle.toml names, if input_data/ is empty.

    Raises:
        DataError: The source is at fault, or what is there is incomplete or has other classes.
        UnavailableError: The source cannot be reached.
    """
    display.begin("data")
    source = choose_source(bundle.data.source, layout.root, bundle.data.anonymous, layout)
    request = make_request(bundle, layout)
    summary = read_summary(layout)
    if summary is not None:
        check_class_names(bundle, summary, layout)
        if summary.source == source.description and _differ(summary.request, request):
            display.line(
                "warning: imported with other settings than [data] in bundle.toml; see `data import`"
            )
        display.end(f"{describe(summary)}; already there, reused")
        return summary
    started = time.monotonic()
    summary = import_images(source, request, layout, display.progress)
    for finding in summary.findings:
        display.line(str(finding))
    display.end(f"{describe(summary)}; {time.monotonic() - started:.1f} s")
    display.line(describe_classes(summary))
    return summary


def make_request(
    bundle: Bundle, layout: Layout, options: Mapping[str, Any] | None = None, folder: Path | None = None
) -> ImportRequest:
    """What bundle.toml asks of an import, with options that override it; see fill for the arguments."""
    names = settings_of(ImportRequest)
    given = {name: value for name, value in (options or {}).items() if name in names}
    asked = {name: getattr(bundle.data, name) for name in settings_of(ImportSettings)} | given
    asked["group"] = resolve_group(asked["group"], folder if folder and "group" in given else layout.root)
    return ImportRequest(
        **asked,
        task=bundle.task,
        class_names=bundle.class_names,
        metric=bundle.evaluation.metric,
        metric_options=bundle.evaluation.metric_options,
    )


def check_class_names(bundle: Bundle, summary: DataSummary, layout: Layout) -> None:
    """Refuse images of other classes than bundle.toml names.

    Raises:
        DataError: They are.
    """
    if bundle.task != summary.task:
        raise DataError(
            f"expected data of the task {bundle.task}, as 'bundle.task' has it, but got {summary.task}",
            layout.input_data,
            code="other-task",
            hint="correct bundle.toml, or import again",
        )
    expected, found = bundle.class_names, summary.class_names
    if expected and (expected != found if bundle.task == ORDINAL else set(expected) != set(found)):
        raise DataError(
            f"expected the classes of 'bundle.class_names', {', '.join(bundle.class_names)}, but got"
            f" {', '.join(summary.class_names)}",
            layout.input_data,
            code="other-classes",
            hint="correct bundle.toml, or import again",
        )


def _differ(asked: ImportRequest | None, manifest: ImportRequest) -> bool:
    """Whether an import was asked for other data than bundle.toml asks for, as far as that can."""
    names = (*settings_of(ImportSettings), "class_names", "task")
    return asked is None or any(getattr(asked, name) != getattr(manifest, name) for name in names)


def describe(summary: DataSummary) -> str:
    """One line on the images: how many in each split, and from where."""
    counts = " + ".join(f"{summary.counts[split]:,} {split}" for split in SPLITS)
    kinds = {MULTILABEL: f"with {len(summary.class_names)} labels", REGRESSION: "with values"}
    kind = kinds.get(summary.task, f"in {len(summary.class_names)} classes")
    return f"{counts} images {kind}, from {summary.source}"


def describe_classes(summary: DataSummary) -> str:
    """One line on the classes of an import, and on its patient groups if there are some."""
    names = list(summary.classes)
    if len(names) > CLASSES_SHOWN:
        names = sorted(names, key=lambda name: (-summary.classes[name], name))[:CLASSES_SHOWN]
    text = ", ".join(f"{name} {summary.classes[name]:,}" for name in names)
    if rest := len(summary.classes) - len(names):
        text += f" and {rest:,} smaller ones, the smallest of {min(summary.classes.values()):,}"
    head = "labels" if summary.task == MULTILABEL else "classes"
    if summary.values:
        values = summary.values
        head = "values"
        text = f"{values[0]:g} to {values[-1]:g}, median {statistics.median(values):g}"
    groups, in_two = summary.patient_groups
    if groups:
        text += f"; {groups:,} patient groups, {format(in_two, ',') if in_two else 'none'} in two splits"
    return f"{head}: {text}"
