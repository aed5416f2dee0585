"""Checks of what a source lists, before any image is read: names, splits and patient groups."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.import_state import ALLOW_LEAKS, ImportState, with_each
from challenge_bundle.errors import readable, shown
from challenge_bundle.findings import ERROR, WARNING, Finding
from challenge_bundle.formats.csv_columns import PREFIX
from challenge_bundle.formats.group_rules import guess_groups


def file_names(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Names that no csv, page or message can hold: not in UTF-8, or with a line break in them."""
    odd = [image.origin for image in state.listing.images if not _is_plain(image.origin)]
    if not odd:
        return []
    message = (
        f"{len(odd)} of {len(state.listing.images)} file names are not UTF-8 or have control characters, the"
        f" first: {shown(odd[0])}"
    )
    return with_each(
        Finding("file-name-unprintable", ERROR, "", message, "rename the files"), map(shown, odd[1:])
    )


def _is_plain(name: str) -> bool:
    # A blank of another width does not print, but does no harm: macOS puts one into the time of day.
    return name.isprintable() or all(
        letter.isprintable() or unicodedata.category(letter) == "Zs" for letter in name
    )


def training_images(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Splits of which none is training: missing splits are cut from training images."""
    given = sorted({image.split for image in state.listing.images if image.split})
    if not given or "training" in given:
        return []
    message = f"the source has {', '.join(given)} but no training images"
    return [Finding("no-training-images", ERROR, "", message, "add a train/ folder")]


def patient_rule(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Images for which the rule that was given finds no patient group."""
    listed = state.listing.images
    unknown = [image.origin for image in listed if image.origin not in state.patient_groups]
    if not request.group or not unknown:
        return []
    hint = "correct it, or, if each such image is a patient group of its own, use '.*?(?:RULE)|(.+)'"
    if request.group.startswith(PREFIX):
        hint = "add their rows"
    message = (
        f"--group '{readable(request.group)}' gives no patient group for"
        f" {len(unknown)} of {len(listed)} images, the first: {unknown[0]}"
    )
    return with_each(Finding("patient-group-missing", ERROR, "", message, hint), unknown[1:])


def unknown_patients(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Images without a patient group where others have one, or where names look like patients'."""
    images, groups = state.images, state.patient_groups
    without = [image for image in images if image.origin not in groups]
    if groups and without and not request.group:
        message = (
            f"images without a patient group, though others have one: {len(without):,} of {len(images):,},"
            f" such as {without[0].origin}; each may come into any split"
        )
        hint = "name the patient groups of all with --group"
        return [Finding("patient-group-unknown", WARNING, "", message, hint)]
    if groups or request.group:
        return []
    pattern, guessed = guess_groups([(image.origin, image.class_name) for image in images])
    several = sum(count > 1 for group, count in Counter(guessed).items() if group)
    if not several:
        return []
    # (.+) fits from the start on, so what comes before it must too.
    rule = pattern if None not in guessed else f".*?(?:{pattern})|(.+)"
    # Splits of the source's own are never changed.
    is_split = all(image.split for image in images)
    effect = "refuse splits that share one" if is_split else "keep each in one split"
    return [
        Finding(
            "names-look-like-patients",
            WARNING,
            "",
            f"file names look like those of {several:,} patients with several images",
            f"if they are, add --group '{rule}' to {effect}",
        )
    ]


def _changes_groups(request: ImportRequest) -> bool:
    """Whether reading the images changes their patient groups, so that these are checked after it."""
    return request.drop_copies or request.group_duplicates


def patients_across_splits(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Patient groups that the source has in several splits."""
    if bool(state.staged) != _changes_groups(request):
        return []
    # Of each patient group the first image of each split.
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for image in state.images:
        if image.split and image.origin in state.patient_groups:
            found[state.patient_groups[image.origin]].setdefault(image.split, image.origin)
    shared = sorted(group for group, of_split in found.items() if len(of_split) > 1)
    leaking = [group for group in shared if {"training", "testing"} <= found[group].keys()]
    if leaking and not request.allow_leaks:
        named = [_name_in_splits(group, found[group], ("training", "testing")) for group in leaking]
        if state.listing.patient_hint and len(found) == 1:
            everybody = f"all {len(state.images):,} images are of one patient group, {named[0]}"
            other_tag = f"{state.listing.patient_hint}, or {ALLOW_LEAKS}"
            return [Finding("patient-group-leak", ERROR, "", everybody, other_tag)]
        message = f"patient groups with images in training and testing: {len(leaking)}, the first {named[0]}"
        hint = f"leave the source's splits out, to have them cut by patient group, or {ALLOW_LEAKS}"
        return with_each(Finding("patient-group-leak", ERROR, "", message, hint), named[1:])
    if not shared:
        return []
    named = [_name_in_splits(shared[0], found[shared[0]], sorted(found[shared[0]]))]
    message = f"patient groups in several of the given splits: {len(shared)}, such as {named[0]}"
    return [Finding("patient-group-across-splits", WARNING, "", message)]


def _name_in_splits(group: str, of_split: Mapping[str, str], splits: Sequence[str]) -> str:
    """A patient group, and an image of it in each of some splits."""
    where = " and ".join(f"{of_split[split]} in {split}" for split in splits)
    return f"{shown(group)} ({where})"


def one_patient(state: ImportState, request: ImportRequest) -> list[Finding]:
    """Images that are to be split and are all of one patient group: one word may stand for all patients."""
    if bool(state.staged) != _changes_groups(request):
        return []
    found = {state.patient_groups.get(image.origin) for image in state.images}
    group = found.pop() if len(found) == 1 else None
    if group is None or len(state.images) < 2 or all(image.split for image in state.images):
        return []
    message = (
        f"all {len(state.images):,} images are of one patient group, {shown(group)}, which cannot be split"
    )
    hint = state.listing.patient_hint or "name the patient groups with another --group"
    return [Finding("one-patient-group", ERROR, "", message, hint)]
