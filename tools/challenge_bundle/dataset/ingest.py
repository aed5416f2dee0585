"""From a source to the image database: known images are not read again, an interrupted ingest goes on."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from challenge_bundle.dataset.checks import NAMES, run_checks
from challenge_bundle.dataset.import_state import ImportState, refuse
from challenge_bundle.dataset.patient_groups import find_patient_groups
from challenge_bundle.dataset.previous_import import PreviousImport
from challenge_bundle.dataset.staging import ReadImage, read_image, work_ahead
from challenge_bundle.dataset.stratify import stratified_sample
from challenge_bundle.errors import DataError, shown
from challenge_bundle.findings import ERROR, WARNING, Finding
from challenge_bundle.progress import Progress
from challenge_bundle.sources.base import AnnotatedSource, ImportRequest, Source, SourceImage, image_key
from challenge_bundle.store.annotations import Changes, add_annotations
from challenge_bundle.store.enrich import Known, Told, fill_in
from challenge_bundle.store.images import ImageStore
from challenge_bundle.store.stored_image import StoredImage
from challenge_bundle.store.tables import IMAGES

_IMAGES_A_BATCH = 1000
_BYTES_A_BATCH = 32 * 2**20
_IMAGES_A_TASK = 8

_REMOVE = "remove such images with `store remove`, and ingest them again"


@dataclass(frozen=True, slots=True)
class Ingested:
    """The result of an ingest.

    Args:
        listed: Images that were asked for.
        known: Of them, those that were in the store, by origin.
        new: Of them, those that were added.
        filled: Images that were there, whose patient group, split or date was filled in.
        findings: What was passed over, or is stored with other values.
        annotations: How the annotations changed; None if the source has none.
    """

    listed: int
    known: int
    new: int
    filled: int
    findings: tuple[Finding, ...]
    annotations: Changes | None = None

    def __str__(self) -> str:
        text = f"{self.new:,} new of {self.listed:,} images, {self.known:,} there already"
        text += f"; patient group, split or date filled in for {self.filled:,}" if self.filled else ""
        return f"{text}; {self.annotations}" if self.annotations else text


@dataclass(slots=True)
class _Differences:
    """Images of a source that are stored with other values, which stay.

    Args:
        duplicates: How many are byte-identical to other images.
        labels: Of which the class is another one, in words, by origin.
        patient_groups: Of which the patient group is another one, in words.
    """

    duplicates: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    patient_groups: list[str] = field(default_factory=list)

    def add(self, origin: str, label: str, patient_group: str | None, known: Known) -> None:
        """Compare an image of the source with what is stored."""
        if label != known.label:
            self.labels[origin] = f"{origin} ({label}) and {known.origin} ({known.label})"
        elif origin != known.origin:
            self.duplicates += 1
        if patient_group and patient_group != known.group_name:
            self.patient_groups.append(
                f"{origin} ({shown(patient_group)}, stored: {shown(str(known.group_name))})"
            )

    def findings(self) -> list[Finding]:
        """A finding for each kind there is."""
        found = []
        if self.duplicates:
            message = f"byte-identical duplicates of other images, stored once: {self.duplicates}"
            found.append(Finding("duplicate-images", WARNING, "", message))
        if self.labels:
            message = (
                f"images that are stored under another label: {len(self.labels)}, the first"
                f" {next(iter(self.labels.values()))}; the stored label stays"
            )
            found.append(Finding("stored-label-differs", WARNING, "", message, _REMOVE))
        if self.patient_groups:
            message = (
                f"images that are stored with another patient group: {len(self.patient_groups)}, the first"
                f" {self.patient_groups[0]}; the stored one stays"
            )
            found.append(Finding("stored-patient-group-differs", WARNING, "", message, _REMOVE))
        return found


def ingest_images(
    source: Source, store: ImageStore, request: ImportRequest, progress: Progress, by_path: bool = False
) -> Ingested:
    """Bring a source's images into a store; doing it twice changes nothing more.

    Of images that are there, in this sample or not, a patient group, split and date that was unknown is
    filled in.

    Args:
        source: Where they are.
        store: Where they go.
        request: Its sample_size is of all images, of each class in each split its share; 0 takes all.
        progress: Called for every image.
        by_path: Whether local images stay where they are, and the store keeps only their paths.

    Raises:
        DataError: An image cannot be read; all valid ones are in the store.
    """
    # Before any image is read: a file that cannot be taken in is refused at once.
    annotated = source.annotations() if isinstance(source, AnnotatedSource) else None
    if annotated is not None:
        annotated.coco.annotations_by_id()
    listing = source.list_images(request, progress)
    groups = find_patient_groups(listing.images, request.group)
    state = ImportState(listing, listing.images, groups, PreviousImport({}))
    refuse(run_checks(NAMES, state, request))
    chosen = _sample(listing.images, request)
    differences = _Differences()
    placed = [image for image in listing.images if _is_place(image.origin)]
    known, filled = _fill_known(placed, groups, store, differences)
    missing = [image for image in chosen if image.origin not in known]
    if by_path and missing and not Path(missing[0].origin).is_file():
        raise DataError(
            "is no local file", missing[0].origin, code="image-not-local", hint="leave out --by-path"
        )
    faults: list[Finding] = []
    contents: dict[str, str] = {}
    new, filled_duplicates = _take_in(
        missing, groups, store, faults, differences, progress, by_path, contents
    )
    changes = add_annotations(store, annotated, contents) if annotated is not None else None
    for origin in changes.relabelled if changes else ():
        differences.labels.pop(origin, None)
    _refuse_unreadable(faults, len(chosen))
    findings = [*listing.findings, *differences.findings()]
    findings += [
        Finding("annotations-differ", WARNING, "", text) for text in (changes.warnings if changes else ())
    ]
    there = len(chosen) - new - differences.duplicates
    return Ingested(len(chosen), there, new, filled + filled_duplicates, tuple(findings), changes)


def _sample(listed: Sequence[SourceImage], request: ImportRequest) -> list[SourceImage]:
    if not request.sample_size:
        return list(listed)
    return stratified_sample(
        listed,
        request.sample_size,
        request.seed,
        image_key,
        lambda image: (image.split, image.class_name),
    )


def _refuse_unreadable(faults: Sequence[Finding], asked: int) -> None:
    if not faults:
        return
    message = f"{len(faults)} of {asked} images cannot be read, the first: {faults[0].text}"
    hint = "fix or remove them; the others are in the store"
    refuse([Finding("image-unreadable", ERROR, "", message, hint), *faults[1:]])


def _is_place(origin: str) -> bool:
    """Whether an origin is the image's alone, so that the image need not be read to be recognised.

    Those of DICOM files begin with the patient, wherever the folder is, and synthetic images are nowhere.
    """
    return os.path.isabs(origin) or "://" in origin


def _fill_known(
    images: Sequence[SourceImage], groups: dict[str, str], store: ImageStore, differences: _Differences
) -> tuple[set[str], int]:
    """Fill in what was unknown of images that are in a store, and compare what was known.

    Returns:
        The origins of those that are there, and of how many something was filled in.
    """
    known = set[str]()
    filled = 0
    for start in range(0, len(images), _IMAGES_A_BATCH):
        batch = images[start : start + _IMAGES_A_BATCH]
        details = [(image.origin, _details(image, groups)) for image in batch]
        stored, count = fill_in(store, IMAGES.c.origin, details)
        filled += count
        for image, there in zip(batch, stored, strict=True):
            if there is not None:
                known.add(image.origin)
                differences.add(image.origin, image.class_name, groups.get(image.origin), there)
    return known, filled


def _take_in(
    images: Sequence[SourceImage],
    groups: dict[str, str],
    store: ImageStore,
    faults: list[Finding],
    differences: _Differences,
    progress: Progress,
    by_path: bool,
    contents: dict[str, str],
) -> tuple[int, int]:
    """Bring images into a store, a batch at a time, each whole or not at all.

    Returns:
        How many were new, and of how many others, with the same content, something was filled in. What is
        wrong with an image goes to `faults`, what is stored with other values to `differences`, and the
        SHA-256 of those that were read to `contents`, by origin.
    """
    added = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    new, filled = 0, 0
    for batch in _batches(images, faults, progress):
        records = [_record(image, groups, added, by_path) for image in batch]
        new += store.add(records)
        contents |= {record.origin: record.sha256 for record in records}
        details = [
            (record.sha256, _details(image.source, groups))
            for record, image in zip(records, batch, strict=True)
        ]
        stored, count = fill_in(store, IMAGES.c.sha256, details)
        filled += count
        for record, there in zip(records, stored, strict=True):
            if there is not None:
                differences.add(record.origin, record.label, record.group_name, there)
    return new, filled


def _batches(
    images: Sequence[SourceImage], faults: list[Finding], progress: Progress
) -> Iterator[list[ReadImage]]:
    """Valid images, up to a number and so many bytes at a time; what is wrong goes to `faults`."""
    batch: list[ReadImage] = []
    held = 0
    for done, result in enumerate(
        work_ahead(images, lambda _, image: read_image(image), _IMAGES_A_TASK), start=1
    ):
        progress("reading images", done, len(images))
        if isinstance(result, Finding):
            faults.append(result)
            continue
        batch.append(result)
        held += len(result.data)
        if len(batch) >= _IMAGES_A_BATCH or held >= _BYTES_A_BATCH:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _record(read: ReadImage, groups: dict[str, str], added: str, by_path: bool) -> StoredImage:
    image = read.source
    return StoredImage(
        sha256=read.sha256,
        width=read.size[0],
        height=read.size[1],
        mode=read.mode,
        format=read.format,
        label=image.class_name,
        origin=image.origin,
        added=added,
        **_details(image, groups)._asdict(),
        path=str(Path(image.origin).resolve()) if by_path else None,
        data=None if by_path else read.data,
    )


def _details(image: SourceImage, groups: dict[str, str]) -> Told:
    return Told(groups.get(image.origin), image.split, image.taken)
