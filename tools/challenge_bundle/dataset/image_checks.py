"""Checks of images that were read, and of the splits that they are assigned to."""

import itertools
import os
from collections import Counter

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.duplicates import by_pixels
from challenge_bundle.dataset.import_state import ALLOW_LEAKS, ImportState, with_each
from challenge_bundle.dataset.staging import StagedImage
from challenge_bundle.errors import shown
from challenge_bundle.findings import ERROR, WARNING, Finding
from challenge_bundle.image_io import FORMAT_OF_SUFFIX
from challenge_bundle.layout import SPLITS
from challenge_bundle.sources.base import base_name

LARGEST_OWN_PIXELS = 1024 * 1024
"""What this project's training makes smaller; the number is its own, `bundle_training/data.py`."""

_FIELDS_SHOWN = 8


def unreadable_images(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Images that are no images, broken off, or of a kind that is not taken."""
    faults = state.unreadable
    if not faults:
        return []
    count = f"{len(faults)} of {len(faults) + len(state.staged)}"
    message = f"{count} images cannot be read, the first: {faults[0].text}"
    hint = "fix or remove them, nothing was imported"
    return [Finding("image-unreadable", ERROR, "", message, hint), *faults[1:]]


def image_sizes(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Images of another size than bundle.toml asks for or most images have."""
    if request.any_size or not state.staged:
        return []
    sizes = Counter(image.size for image in state.staged)
    expected = request.image_size or sizes.most_common(1)[0][0]
    wrong = [
        f"{image.source.origin}: {image.size[0]}x{image.size[1]} pixels"
        for image in state.staged
        if image.size != expected
    ]
    if not wrong:
        return []
    why = "'data.image_size' in bundle.toml asks" if request.image_size else "most images have"
    message = (
        f"{len(wrong)} of {len(state.staged)} images are not {expected[0]}x{expected[1]}, as {why},"
        f" the first: {wrong[0]}"
    )
    hint = "fix or remove them, or allow it with --any-size (in bundle.toml: data.any_size = true)"
    return with_each(Finding("image-size", ERROR, "", message, hint), wrong[1:])


def duplicates(state: ImportState, request: ImportRequest) -> list[Finding]:
    """One picture several times in a class."""
    count = len(state.staged) - len(by_pixels(state.staged))
    if not count:
        return []
    message = f"duplicates of other images, pixel for pixel: {count}"
    return [Finding("duplicate-images", WARNING, "", message, "keep one of each with --drop-copies")]


def known_splits(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Splits to keep where none is known: all images would be assigned again."""
    if not request.keep_splits or any(map(state.previous.splits_of, state.staged)):
        return []
    why = "no import is known here, or its list is damaged"
    if state.previous.splits:
        why = "the last import had none of these images"
    message = f"there are no splits to keep: {why} (.bundle/origins.csv)"
    return [Finding("no-splits-to-keep", ERROR, "", message, "leave out --keep-splits")]


def leaks(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Testing images whose class is handed out with another split: they need only be memorised."""
    found: dict[str, list[str]] = {"training": [], "validation": []}
    for same in by_pixels(state.staged):
        of_split = {image.split: image.source.origin for image in reversed(same)}
        tested = [image.source.origin for image in same if image.split == "testing"]
        for split, leaked in found.items():
            if split in of_split:
                leaked += [f"{origin} is {of_split[split]}" for origin in tested]
    findings: list[Finding] = []
    for split, leaked in found.items():
        if not leaked:
            continue
        message = f"testing images that are in the {split} split too: {len(leaked)}, the first: {leaked[0]}"
        if split == "training" and not request.allow_leaks:
            hint = f"they can be memorised: keep the testing ones alone (--drop-copies), or {ALLOW_LEAKS}"
            findings += with_each(Finding("testing-image-leak", ERROR, "", message, hint), leaked[1:])
        else:
            findings.append(Finding("testing-image-leak", WARNING, "", message))
    return findings


def moved_images(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Images that come from testing to where their classes are handed out, and back."""
    moved = [(state.previous.splits_of(image), image) for image in state.staged]
    moved = [(were, image) for were, image in moved if were and image.split not in were]
    published = [image for were, image in moved if "testing" in were]
    known = [image for were, image in moved if image.split == "testing"]
    hint = "" if request.keep_splits else "use --keep-splits to assign only new images"
    findings = []
    if state.previous.gone:
        message = (
            "images of the last import, made by an older version, that are no longer in input_data/:"
            f" {state.previous.gone:,}; they are recognised only where their files are the same to the byte"
        )
        findings.append(Finding("previous-images-gone", WARNING, "", message))
    if published:
        counts = Counter(image.split for image in published)
        where = " and ".join(f"{counts[split]:,} in {split}" for split in SPLITS if counts[split])
        message = (
            f"testing images of the last import now handed out with their classes: {len(published):,}"
            f" ({where}), such as {published[0].source.origin}"
        )
        findings.append(Finding("testing-image-published", WARNING, "", message, hint))
    if known:
        message = (
            f"testing images that the last import handed out with their classes: {len(known):,}, such as"
            f" {known[0].source.origin}"
        )
        findings.append(Finding("testing-image-known", WARNING, "", message, hint))
    return findings


def kept_names(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Names that cannot be kept: of two images, or with a character that does not print."""
    if not state.keeps_names:
        return []
    named = sorted((base_name(image.source), image.source.origin) for image in state.staged)
    findings = [
        Finding(
            "kept-name-unprintable",
            ERROR,
            "",
            f"{shown(name)} has a character that does not print, so the name cannot be kept",
            "rename it, or leave out --keep-names",
        )
        for name, _ in named
        if not name.isprintable()
    ]
    clashes = [
        f"{origin} and {other_origin}"
        for (name, origin), (other, other_origin) in itertools.pairwise(named)
        if name.casefold() == other.casefold()
    ]
    if clashes:
        message = f"{len(clashes)} base names appear twice, the first: {clashes[0]}"
        hint = "base names must be unique in a bundle: rename them (or leave out --keep-names)"
        findings += with_each(Finding("base-name-twice", ERROR, "", message, hint), clashes[1:])
    return findings


def file_formats(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Files whose content is of another format than their suffix."""
    odd = [image for image in state.staged if image.format != FORMAT_OF_SUFFIX[_suffix(image)]]
    if not odd:
        return []
    message = (
        f"images of another format than their names say: {len(odd)}, such as {odd[0].source.origin}"
        f" ({odd[0].format}); they are read by their content"
    )
    return [Finding("image-format-misnamed", WARNING, "", message)]


def _suffix(image: StagedImage) -> str:
    return os.path.splitext(image.file)[1].lower()


def transparency(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Pixels that are not opaque: what a network sees there is not what a person sees."""
    found = [image for image in state.staged if image.transparent]
    if not found:
        return []
    message = (
        f"images with transparent pixels: {len(found)}, such as {found[0].source.origin}; the programs take"
        " the colours that are stored there and leave the transparency out"
    )
    return [Finding("image-transparent", WARNING, "", message)]


def large_images(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Images that training makes much smaller, unless it is asked for a size."""
    large = [image for image in state.staged if image.size[0] * image.size[1] > LARGEST_OWN_PIXELS]
    if not large:
        return []
    name, (width, height) = large[0].source.origin, large[0].size
    message = (
        f"images of more than {LARGEST_OWN_PIXELS:,} pixels: {len(large)}, such as {name} ({width}x{height});"
        " this project's training resizes them to 224x224"
    )
    return [Finding("image-large", WARNING, "", message, "save them smaller, or choose --image-size")]


def metadata_texts(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Texts in image files: in which fields, never which texts."""
    found = [image for image in state.staged if image.texts]
    if not found:
        return []
    counts = Counter(field for image in found for field in image.texts).most_common()
    fields = ", ".join(f"{field} ({count})" for field, count in counts[:_FIELDS_SHOWN])
    more = f" and {len(counts) - _FIELDS_SHOWN} more" if len(counts) > _FIELDS_SHOWN else ""
    message = (
        f"images whose files hold texts besides the pixels, which may name a patient: {len(found)}, such as"
        f" {found[0].source.origin}; in {fields}{more}"
    )
    hint = "remove them with --strip-metadata (in bundle.toml: data.strip_metadata = true)"
    return [Finding("image-metadata-text", WARNING, "", message, hint)]
