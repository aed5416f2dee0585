"""From a source to input_data/: list, read, check, assign splits, write, and publish all of it or nothing."""

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.checks import ASSIGNED, LISTED, READ, run_checks
from challenge_bundle.dataset.download_cache import Downloads, open_downloads
from challenge_bundle.dataset.duplicates import Dropped, drop_duplicates
from challenge_bundle.dataset.import_state import ImportState, refuse
from challenge_bundle.dataset.invalidate import keep_evaluation
from challenge_bundle.dataset.labels import find_class_names, read_labels, task_of
from challenge_bundle.dataset.near_duplicates import join_near_duplicates
from challenge_bundle.dataset.patient_groups import find_patient_groups
from challenge_bundle.dataset.placed import refuse_to_replace_foreign
from challenge_bundle.dataset.previous_import import read_previous_import
from challenge_bundle.dataset.pseudonyms import name_groups
from challenge_bundle.dataset.publish import recover_import, staging_folders
from challenge_bundle.dataset.split_assignment import assign_splits
from challenge_bundle.dataset.staging import StagedImage, stage_images
from challenge_bundle.dataset.strata import make_stratum
from challenge_bundle.dataset.stratify import missing_splits, rank, sample
from challenge_bundle.dataset.summary import DataSummary
from challenge_bundle.dataset.write import name_images, write_images, write_record
from challenge_bundle.findings import Finding
from challenge_bundle.layout import Layout
from challenge_bundle.progress import Progress
from challenge_bundle.sources.base import Source, SourceImage, image_key


def import_images(source: Source, request: ImportRequest, layout: Layout, progress: Progress) -> DataSummary:
    """Fill input_data/ and the reference from a source; the old data stay whole until the new are complete.

    Raises:
        DataError: The source or an image in it is at fault; nothing was changed.
        UnavailableError: The source cannot be reached.
    """
    recover_import(layout)
    if not request.replace:
        refuse_to_replace_foreign(layout)
    with staging_folders(layout) as (staging, secret):
        state = _list_images(source, request, layout, progress)
        findings = [*state.listing.findings, *run_checks(LISTED, state, request)]
        refuse(findings)

        # Not before it is known that there is such a source: a slip in its name must cost nothing.
        downloads = open_downloads(source.description, layout)
        state, dropped = _read_images(state, staging, downloads, request, progress)
        findings += dropped.findings
        if request.group_duplicates:
            groups, found = join_near_duplicates(state.staged, state.patient_groups, dropped, progress)
            state = replace(state, patient_groups=groups)
            findings += found
        findings += run_checks(READ, state, request)
        if state.unreadable:
            # Classes that lack only these would be reported as too small.
            refuse(findings)

        assigned, found = assign_splits(state.staged, state.patient_groups, request, state.previous, dropped)
        state = replace(state, staged=assigned)
        findings += [*found, *run_checks(ASSIGNED, state, request)]
        refuse(findings)

        named = name_images(assigned, state.keeps_names)
        pseudonyms = name_groups(named, state.patient_groups, dropped)
        write_images(
            named, pseudonyms, task_of(state.class_names, request), request.subgroups, staging, secret
        )
        # With duplicates, and what is left over where they make a sample uneven.
        shutil.rmtree(staging / "images")
        # The record of this import has no need of what becomes of an evaluation.
        summary = write_record(
            named,
            state.patient_groups,
            source.description,
            findings,
            request,
            layout,
            secret,
            state.class_names,
        )
        invalidated = keep_evaluation(layout, staging, secret, request.replace)
    recover_import(layout)
    _open_outputs(layout)
    return replace(summary, findings=(*summary.findings, *invalidated))


def _list_images(source: Source, request: ImportRequest, layout: Layout, progress: Progress) -> ImportState:
    listing, faults = read_labels(source.list_images(request, progress), request)
    refuse(faults)
    return ImportState(
        listing,
        _sample(listing.images, request),
        find_patient_groups(listing.images, request.group),
        read_previous_import(layout),
        keeps_names=request.keep_names or (source.names_are_public and not request.new_names),
        class_names=find_class_names((image.class_name for image in listing.images), listing, request),
    )


def _sample(listed: Sequence[SourceImage], request: ImportRequest) -> list[SourceImage]:
    ranked = sorted(listed, key=lambda image: rank(request.seed, image_key(image)))
    if not request.sample_size:
        return ranked
    given = {image.split for image in listed if image.split}
    shared = len(missing_splits(given)) + bool(given)

    def room(image: SourceImage) -> int:
        cut_from = image.split is None or (image.split == "training" and given)
        return request.sample_size * (shared if cut_from else 1)

    stratum = make_stratum(request.task, (image.class_name for image in listed))
    chosen: list[SourceImage] = []
    for count in {room(image) for image in ranked}:
        same_room = [image for image in ranked if room(image) == count]
        chosen += sample(
            same_room, count, request.seed, image_key, lambda image: (image.split, stratum(image.class_name))
        )
    return sorted(chosen, key=lambda image: rank(request.seed, image_key(image)))


def _read_images(
    state: ImportState, staging: Path, downloads: Downloads, request: ImportRequest, progress: Progress
) -> tuple[ImportState, Dropped]:
    """Copy the images, hashed and perhaps stripped of metadata, into staging; drop duplicates if asked."""
    (staging / "images").mkdir()
    staged: list[StagedImage] = []
    unreadable: list[Finding] = []
    results = stage_images(state.images, staging / "images", downloads, request.strip_metadata)
    for done, result in enumerate(results, start=1):
        if isinstance(result, Finding):
            unreadable.append(result)
        else:
            staged.append(result)
        progress("checking images", done, len(state.images))
    dropped = Dropped()
    if request.drop_copies:
        staged, dropped = drop_duplicates(staged, state.patient_groups)
    images = [image.source for image in staged]
    return replace(state, images=images, staged=staged, unreadable=unreadable), dropped


def _open_outputs(layout: Layout) -> None:
    """Let the images' user, who is nobody here, write where the README's docker commands write."""
    for folder in (layout.model_output, layout.results_dir, layout.scoring_output):
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(PermissionError):
            folder.chmod(0o777)
