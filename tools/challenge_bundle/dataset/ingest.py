"""From a source to the image database: known images are not read again, an interrupted ingest goes on."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.checks import NAMES, run_checks
from challenge_bundle.dataset.import_state import ImportState, refuse
from challenge_bundle.dataset.patient_groups import find_patient_groups
from challenge_bundle.dataset.previous_import import PreviousImport
from challenge_bundle.dataset.staging import ReadImage, read_image, work_ahead
from challenge_bundle.dataset.stratify import stratified_sample
from challenge_bundle.errors import DataError, shown
from challenge_bundle.findings import ERROR, WARNING, Finding
from challenge_bundle.progress import Progress
from challenge_bundle.sources.base import AnnotatedSource, Source, SourceImage, image_key
from challenge_bundle.store.annotations import Changes, add_annotations
from challenge_bundle.store.enrich import Details, StoredDetails, fill_in
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

    def add(self, origin: str, label: str, patient_group: str | None, known: StoredDetails) -> None:
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
    patient_groups = find_patient_groups(listing.images, request.group)
    state = ImportState(listing, listing.images, patient_groups, PreviousImport({}))
    refuse(run_checks(NAMES, state, request))
    chosen = _sample(listing.images, request)
    ingest = _Ingest(store, patient_groups, by_path, progress)
    known = ingest.fill_known([image for image in listing.images if _is_place(image.origin)])
    missing = [image for image in chosen if image.origin not in known]
    if by_path and missing and not Path(missing[0].origin).is_file():
        raise DataError(
            "is no local file", missing[0].origin, code="image-not-local", hint="leave out --by-path"
        )
    ingest.take_in(missing)
    differences = ingest.differences
    changes = add_annotations(store, annotated, ingest.contents) if annotated is not None else None
    for origin in changes.relabelled if changes else ():
        differences.labels.pop(origin, None)
    _refuse_unreadable(ingest.faults, len(chosen))
    findings = [*listing.findings, *differences.findings(), *(changes.findings if changes else ())]
    there = len(chosen) - ingest.new - differences.duplicates
    return Ingested(len(chosen), there, ingest.new, ingest.filled, tuple(findings), changes)


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


@dataclass(slots=True)
class _Ingest:
    """Bringing images into a store, and what is found on the way.

    Args:
        store: Where they go.
        patient_groups: Patient group by origin.
        by_path: Whether the store keeps only paths.
        progress: Called for every image.
        new: How many images were added.
        filled: Of how many others something was filled in.
        faults: What is wrong with images that cannot be read.
        differences: What is stored with other values.
        contents: SHA-256 of the images that were read, by origin.
    """

    store: ImageStore
    patient_groups: Mapping[str, str]
    by_path: bool
    progress: Progress
    new: int = 0
    filled: int = 0
    faults: list[Finding] = field(default_factory=list)
    differences: _Differences = field(default_factory=_Differences)
    contents: dict[str, str] = field(default_factory=dict)

    def fill_known(self, images: Sequence[SourceImage]) -> set[str]:
        """Fill in what was unknown of images that are in the store; returns the origins of those."""
        known = set[str]()
        for start in range(0, len(images), _IMAGES_A_BATCH):
            batch = images[start : start + _IMAGES_A_BATCH]
            details = [(image.origin, self._details(image)) for image in batch]
            stored, count = fill_in(self.store, IMAGES.c.origin, details)
            self.filled += count
            for image, there in zip(batch, stored, strict=True):
                if there is not None:
                    known.add(image.origin)
                    group = self.patient_groups.get(image.origin)
                    self.differences.add(image.origin, image.class_name, group, there)
        return known

    def take_in(self, images: Sequence[SourceImage]) -> None:
        """Bring images into the store, a batch at a time, each whole or not at all."""
        added = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for batch in self._batches(images):
            records = [self._record(image, added) for image in batch]
            self.new += self.store.add(records)
            self.contents |= {record.origin: record.sha256 for record in records}
            details = [
                (record.sha256, self._details(image.source))
                for record, image in zip(records, batch, strict=True)
            ]
            stored, count = fill_in(self.store, IMAGES.c.sha256, details)
            self.filled += count
            for record, there in zip(records, stored, strict=True):
                if there is not None:
                    self.differences.add(record.origin, record.label, record.group_name, there)

    def _batches(self, images: Sequence[SourceImage]) -> Iterator[list[ReadImage]]:
        """Valid images, up to a number and so many bytes at a time."""
        batch: list[ReadImage] = []
        held = 0
        results = work_ahead(images, lambda _, image: read_image(image), _IMAGES_A_TASK)
        for done, result in enumerate(results, start=1):
            self.progress("reading images", done, len(images))
            if isinstance(result, Finding):
                self.faults.append(result)
                continue
            batch.append(result)
            held += len(result.data)
            if len(batch) >= _IMAGES_A_BATCH or held >= _BYTES_A_BATCH:
                yield batch
                batch, held = [], 0
        if batch:
            yield batch

    def _record(self, read: ReadImage, added: str) -> StoredImage:
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
            **self._details(image)._asdict(),
            path=str(Path(image.origin).resolve()) if self.by_path else None,
            data=None if self.by_path else read.data,
        )

    def _details(self, image: SourceImage) -> Details:
        return Details(self.patient_groups.get(image.origin), image.split, image.taken)
