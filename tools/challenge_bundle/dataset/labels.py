"""The labels of what a source lists: in one spelling, and the classes that they are of."""

from collections.abc import Iterable
from dataclasses import replace

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.import_state import with_each
from challenge_bundle.findings import ERROR, Finding
from challenge_bundle.formats.tasks import (
    MULTILABEL,
    REGRESSION,
    LabelError,
    Task,
    labels_of,
    parse_label,
    parse_metric_options,
)
from challenge_bundle.sources.base import Listing, SourceImage, place_of


def read_labels(listing: Listing, request: ImportRequest) -> tuple[Listing, list[Finding]]:
    """Bring all label texts into one spelling.

    Returns:
        The listing with these, and an error for each image whose label is none of the task's.
    """
    if request.task not in (MULTILABEL, REGRESSION):
        return listing, []
    images: list[SourceImage] = []
    faults: list[str] = []
    for image in listing.images:
        try:
            images.append(replace(image, class_name=parse_label(request.task, image.class_name)))
        except LabelError as fault:
            faults.append(f"{place_of(image)}: {fault}")
    if not faults:
        return replace(listing, images=images), []
    message = f"labels that are no {request.task} labels: {len(faults)}, the first: {faults[0]}"
    hint = "correct them, name another column, or correct 'bundle.task' in bundle.toml"
    return listing, with_each(Finding("label-invalid", ERROR, "", message, hint), faults[1:])


def find_class_names(labels: Iterable[str], listing: Listing, request: ImportRequest) -> tuple[str, ...]:
    """The classes or labels: those of bundle.toml, else of the source, else of the images, sorted."""
    found = {name for label in set(labels) for name in labels_of(request.task, label)}
    return request.class_names or listing.label_names or tuple(sorted(found))


def task_of(class_names: tuple[str, ...], request: ImportRequest) -> Task:
    """The content of the task.json that an import writes."""
    return Task(request.task, class_names, request.metric, parse_metric_options(request.metric_options))
