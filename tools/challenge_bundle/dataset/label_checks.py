"""Checks of labels: of what is listed, of images that were read, and of the splits; each task has its own."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.duplicates import by_pixels
from challenge_bundle.dataset.import_state import ImportState, with_each
from challenge_bundle.errors import shown
from challenge_bundle.findings import ERROR, WARNING, Finding
from challenge_bundle.formats.tasks import (
    MULTILABEL,
    REGRESSION,
    WITH_ONE_CLASS,
    is_reserved,
    labels_of,
    show_label,
)
from challenge_bundle.layout import SPLITS
from challenge_bundle.sources.base import SourceImage, place_of

_LABELS_SHOWN = 8


def _labels(image: SourceImage, request: ImportRequest) -> tuple[str, ...]:
    return labels_of(request.task, image.class_name)


def expected_classes(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Other classes than bundle.toml names; labels that it does not name."""
    expected, images = request.class_names, state.listing.images
    found = {name for image in images for name in _labels(image, request)}
    if not expected or found == set(expected):
        return []
    odd = next((image for image in images if set(_labels(image, request)) - set(expected)), None)
    if request.task == MULTILABEL:
        unknown = sorted(found - set(expected))
        if odd is None:
            return []
        message = (
            f"labels that 'bundle.class_names' in bundle.toml does not list: {', '.join(map(shown, unknown))}"
            f" (such as of {place_of(odd)}); it lists {', '.join(expected)}"
        )
        return [Finding("unknown-label", ERROR, "", message, "correct the labels, or the setting")]
    example = f" ({odd.class_name} is the class of {place_of(odd)})" if odd else ""
    return [
        Finding(
            "other-classes",
            ERROR,
            "",
            f"the images' classes are {', '.join(sorted(found))}, but 'bundle.class_names' in bundle.toml"
            f" lists {', '.join(expected)}{example}",
            "correct the folders, or the setting, or use another bundle (--bundle)",
        )
    ]


def number_of_classes(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Fewer than two classes; no label at all; one value for all images."""
    images = state.listing.images
    if request.task == MULTILABEL:
        if any(image.class_name for image in images):
            return []
        message = f"none of the {len(images):,} images has a label"
        hint = "look at the columns that hold them, or at the source's options"
        return [Finding("no-labels", ERROR, "", message, hint)]
    found = sorted({image.class_name for image in images})
    if len(found) > 1:
        return []
    if request.task == REGRESSION:
        message = f"all {len(images):,} images have the value {found[0]}: there is nothing to predict"
        return [Finding("values-constant", ERROR, "", message, "name the column that holds the values")]
    message = f"found {len(found)} class ({', '.join(found)}); a classification needs two or more"
    return [Finding("too-few-classes", ERROR, "", message, "add images of another class")]


def class_names(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Class names that cannot be written, and two of one name: an accent may be one character or two."""
    findings = []
    known: dict[str, str] = {}
    found = {name for image in state.listing.images for name in _labels(image, request)}
    for name in sorted(found | set(state.class_names)):
        if not name.isprintable() or name != name.strip():
            message = f"the class name {shown(name)} has blanks at its ends or unprintable characters"
            findings.append(Finding("class-name-unprintable", ERROR, "", message, "rename it"))
        if request.task == MULTILABEL and is_reserved(name):
            message = f"no label can be called {shown(name)}: another column of the csv files has that name"
            findings.append(Finding("label-name-reserved", ERROR, "", message, "rename it"))
        other = known.setdefault(unicodedata.normalize("NFC", name), name)
        if other != name:
            message = f"the classes {other!a} and {name!a} are one name, {name}, in two spellings"
            findings.append(Finding("class-spelled-twice", ERROR, "", message, "rename one"))
    return findings


def known_attributes(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Subgroup attributes that the source does not have."""
    images = state.listing.images
    absent = [name for name in request.subgroups if not any(name in image.attributes for image in images)]
    if not absent:
        return []
    message = f"'data.subgroups' lists what no image has: {', '.join(map(shown, absent))}"
    hint = "a csv has subgroups as columns, DICOM files as tags; correct the names, or leave them out"
    return [Finding("subgroup-unknown", ERROR, "", message, hint)]


def label_conflicts(state: ImportState, request: ImportRequest) -> list[Finding]:
    """One picture with two labels."""
    conflicts = [
        f"{one.source.origin} ({show_label(one.source.class_name)}) and {other.source.origin}"
        f" ({show_label(other.source.class_name)})"
        for one, *others in by_pixels(state.staged)
        for other in others
        if other.source.class_name != one.source.class_name
    ]
    if not conflicts:
        return []
    what, hint = "in two classes", "keep each in one class"
    if request.task not in WITH_ONE_CLASS:
        what, hint = "with different labels", "correct them, or keep one image of each picture"
    message = f"label conflicts, images with the same pixels {what}: {len(conflicts)}, the first:"
    return with_each(Finding("label-conflict", ERROR, "", f"{message} {conflicts[0]}", hint), conflicts[1:])


def small_classes(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Classes with fewer images than were asked for; each is then cut by the shares of 'data.split'."""
    if request.task not in WITH_ONE_CLASS:
        return []
    counts = Counter((image.source.split, image.source.class_name) for image in state.staged)
    return [
        Finding(
            "class-smaller-than-sample",
            WARNING,
            "",
            f"class {class_name} has {count} {split or 'unsplit'} images, less than the sample size",
        )
        for (split, class_name), count in sorted(counts.items(), key=str)
        if request.sample_size and count < request.sample_size * (3 if split is None else 1)
    ]


def classes_in_splits(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Classes of which a split has no image."""
    if request.task not in WITH_ONE_CLASS:
        return []
    classes = {image.source.class_name for image in state.staged}
    hint = "every split needs at least one of each class: correct the name of the class, or add images"
    hint += ", or leave out --keep-splits" if request.keep_splits else ""
    findings = []
    for split in SPLITS:
        present = {image.source.class_name for image in state.staged if image.split == split}
        for name in sorted(classes - present):
            others = [image for image in state.staged if image.source.class_name == name]
            count = f"{len(others):,} in other splits, such as" if len(others) > 1 else "only"
            message = f"class {name} has no {split} image, {count} {place_of(others[0].source)}"
            findings.append(Finding("class-without-images", ERROR, "", message, hint))
    return findings


def labels_without_cases(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Labels that no image of a split has, or all have: they cannot be learned, or not be scored."""
    if request.task != MULTILABEL:
        return []
    hint = "add images, or leave the labels out of 'bundle.class_names'"
    findings = []
    for split in SPLITS:
        images = [image for image in state.staged if image.split == split]
        counts = Counter(name for image in images for name in _labels(image.source, request))
        effect = "cannot be learned" if split == "training" else "have no AUROC there"
        never = [name for name in state.class_names if images and not counts[name]]
        always = [name for name in state.class_names if images and counts[name] == len(images)]
        if never:
            message = f"labels that no {split} image has, which {effect}: {_named(never)}"
            findings.append(Finding("label-without-positive", WARNING, "", message, hint))
        if always:
            message = f"labels that all {split} images have, which {effect}: {_named(always)}"
            findings.append(Finding("label-without-negative", WARNING, "", message, hint))
    return findings


def _named(names: Sequence[str]) -> str:
    """How many labels, and the first of them."""
    more = f" and {len(names) - _LABELS_SHOWN} more" if len(names) > _LABELS_SHOWN else ""
    return f"{len(names)} ({', '.join(names[:_LABELS_SHOWN])}{more})"


def classes_in_one_group(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Classes whose testing images are of one patient group: only one of two splits can have them."""
    tested = [image.source for image in state.staged if image.split == "testing"]
    groups_of: dict[str, set[str]] = {}
    for image in tested:
        for name in _labels(image, request):
            group = state.patient_groups.get(image.origin, image.origin)
            groups_of.setdefault(name, set()).add(group)
    alone = sorted(name for name, groups in groups_of.items() if len(groups) == 1)
    if not alone or not state.patient_groups:
        return []
    message = (
        "classes whose testing images are all of one patient group, so that they cannot be both in a public"
        f" and in a private split of the test set: {', '.join(alone[:_LABELS_SHOWN])}"
    )
    hint = "add images of other patients, or keep 'evaluation.public_share' at 1"
    return [Finding("class-in-one-group", WARNING, "", message, hint)]
