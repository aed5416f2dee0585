"""From a source to the image database: what is there is not read again, what broke off goes on."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from challenge_bundle.dataset.patient_groups import find_groups
from challenge_bundle.dataset.staging import SoundImage, check_image, work_ahead
from challenge_bundle.dataset.stratify import stratified_sample
from challenge_bundle.errors import DataError, shown
from challenge_bundle.progress import Progress
from challenge_bundle.sources.base import ImportRequest, Source, SourceImage, image_key, refuse_odd_names
from challenge_bundle.sources.coco import CocoSource
from challenge_bundle.store.annotations import Changes, add_annotations
from challenge_bundle.store.enrich import Known, Told, fill_in
from challenge_bundle.store.images import ImageStore
from challenge_bundle.store.stored_image import StoredImage
from challenge_bundle.store.tables import IMAGES

_IMAGES_A_BATCH = 1000
_BYTES_A_BATCH = 32 * 2**20
_IMAGES_A_TASK = 8

_MEND = "`store remove` removes such images, and the next ingest brings them anew"


@dataclass(frozen=True, slots=True)
class Ingested:
    """What came of it.

    Args:
        listed: Images that were asked for.
        known: Of them, those that were in the store, by origin.
        new: Of them, those that came into it.
        filled: Images that were there, and of which a group, split or date is known since.
        warnings: What was passed over, a sentence each.
        annotations: What became of an annotations file's; None if there is none.
    """

    listed: int
    known: int
    new: int
    filled: int
    warnings: tuple[str, ...]
    annotations: Changes | None = None

    def __str__(self) -> str:
        text = f"{self.new:,} new of {self.listed:,} images, {self.known:,} there already"
        text += f"; group, split or date filled in for {self.filled:,}" if self.filled else ""
        return f"{text}; {self.annotations}" if self.annotations else text


@dataclass(slots=True)
class _Differences:
    """What of a source's images is stored otherwise, and stays so.

    Args:
        twins: Byte-identical copies of other images.
        labels: Of which the class is another one, in words, by origin.
        groups: Of which the group is another one, in words.
    """

    twins: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)

    def add(self, origin: str, label: str, group: str | None, known: Known) -> None:
        """Compare what is told of an image with what is stored."""
        if label != known.label:
            self.labels[origin] = f"{origin} ({label}) and {known.origin} ({known.label})"
        elif origin != known.origin:
            self.twins += 1
        if group and group != known.group_name:
            self.groups.append(f"{origin} ({shown(group)}, stored: {shown(str(known.group_name))})")

    def warnings(self) -> list[str]:
        """A sentence for each kind there is."""
        found = [f"byte-identical copies of other images, stored once: {self.twins}"] if self.twins else []
        if self.labels:
            found.append(
                f"images that are stored under another label: {len(self.labels)}, the first"
                f" {next(iter(self.labels.values()))};"
                f" the first label stays; {_MEND}"
            )
        if self.groups:
            found.append(
                f"images that are stored with another group: {len(self.groups)}, the first {self.groups[0]};"
                f" the first group stays; {_MEND}"
            )
        return found


def ingest_images(
    source: Source, store: ImageStore, request: ImportRequest, progress: Progress, by_path: bool = False
) -> Ingested:
    """Bring a source's images into a store; twice is once.

    Of those that are there, of this sample or another one, a group, split and date that was not known before
    is filled in.

    Args:
        source: Where they are.
        store: Where they go.
        request: Its sample_size is of all images, of each class in each split its share; 0 takes all.
        progress: Told of every image.
        by_path: Whether local images stay where they are, and the store only says where.

    Raises:
        DataError: An image cannot be read; all sound ones are in the store.
    """
    # Before any image is read: a file that cannot be taken in is refused at once.
    annotated = source.annotations() if isinstance(source, CocoSource) else None
    if annotated is not None:
        annotated.coco.annotations_by_id()
    listing = source.list_images(request, progress)
    refuse_odd_names(listing.images)
    groups = find_groups(listing.images, request.group)
    chosen = list(listing.images)
    if request.sample_size:
        chosen = stratified_sample(
            chosen,
            request.sample_size,
            request.seed,
            image_key,
            lambda image: (image.split, image.class_name),
        )
    differences = _Differences()
    placed = [image for image in listing.images if _tells_place(image.origin)]
    known, filled = _fill_known(placed, groups, store, differences)
    missing = [image for image in chosen if image.origin not in known]
    if by_path and missing and not Path(missing[0].origin).is_file():
        raise DataError("is no local file; leave out --by-path", missing[0].origin)
    faults: list[str] = []
    contents: dict[str, str] = {}
    new, filled_twins = _take_in(missing, groups, store, faults, differences, progress, by_path, contents)
    changes = add_annotations(store, annotated, contents) if annotated is not None else None
    for origin in changes.relabelled if changes else ():
        differences.labels.pop(origin, None)
    if faults:
        raise DataError(
            f"{len(faults)} of {len(chosen)} images cannot be read, the first: {faults[0]};"
            " mend or remove them; the others are in the store",
            details=tuple(faults[1:]),
        )
    warnings = (*listing.warnings, *differences.warnings(), *(changes.warnings if changes else ()))
    there = len(chosen) - new - differences.twins
    return Ingested(len(chosen), there, new, filled + filled_twins, warnings, changes)


def _tells_place(origin: str) -> bool:
    """Tell whether an origin is the image's alone, so that the image need not be read to be known again.

    Those of DICOM files begin with the patient, wherever the folder lies, and phantoms lie nowhere.
    """
    return os.path.isabs(origin) or "://" in origin


def _fill_known(
    images: Sequence[SourceImage], groups: dict[str, str], store: ImageStore, differences: _Differences
) -> tuple[set[str], int]:
    """Fill in what was not known before of images that are in a store, and compare what was.

    Returns:
        The origins of those that are there, and of how many something was filled in.
    """
    known = set[str]()
    filled = 0
    for start in range(0, len(images), _IMAGES_A_BATCH):
        part = images[start : start + _IMAGES_A_BATCH]
        told = [(image.origin, _told(image, groups)) for image in part]
        stored, count = fill_in(store, IMAGES.c.origin, told)
        filled += count
        for image, there in zip(part, stored, strict=True):
            if there is not None:
                known.add(image.origin)
                differences.add(image.origin, image.class_name, groups.get(image.origin), there)
    return known, filled


def _take_in(
    images: Sequence[SourceImage],
    groups: dict[str, str],
    store: ImageStore,
    faults: list[str],
    differences: _Differences,
    progress: Progress,
    by_path: bool,
    contents: dict[str, str],
) -> tuple[int, int]:
    """Bring images into a store, a batch at a time, each whole or not at all.

    Returns:
        How many were new, and of how many others, with the same content, something was filled in; what is
        wrong with an image goes to `faults`, what is stored otherwise to `differences`, and the SHA-256 of
        those that were read to `contents`, by origin.
    """
    added = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    new, filled = 0, 0
    for batch in _batches(images, faults, progress):
        records = [_record(sound, groups, added, by_path) for sound in batch]
        new += store.add(records)
        contents |= {record.origin: record.sha256 for record in records}
        told = [
            (record.sha256, _told(image.source, groups)) for record, image in zip(records, batch, strict=True)
        ]
        stored, count = fill_in(store, IMAGES.c.sha256, told)
        filled += count
        for record, there in zip(records, stored, strict=True):
            if there is not None:
                differences.add(record.origin, record.label, record.group_name, there)
    return new, filled


def _batches(
    images: Sequence[SourceImage], faults: list[str], progress: Progress
) -> Iterator[list[SoundImage]]:
    """Sound images, up to a number and so many bytes at a time; what is wrong goes to `faults`."""
    batch: list[SoundImage] = []
    held = 0
    for done, result in enumerate(
        work_ahead(images, lambda _, image: check_image(image), _IMAGES_A_TASK), start=1
    ):
        progress("reading images", done, len(images))
        if isinstance(result, str):
            faults.append(result)
            continue
        batch.append(result)
        held += len(result.data)
        if len(batch) >= _IMAGES_A_BATCH or held >= _BYTES_A_BATCH:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _record(sound: SoundImage, groups: dict[str, str], added: str, by_path: bool) -> StoredImage:
    image = sound.source
    return StoredImage(
        sha256=sound.sha256,
        width=sound.size[0],
        height=sound.size[1],
        mode=sound.mode,
        format=sound.format,
        label=image.class_name,
        origin=image.origin,
        added=added,
        **_told(image, groups)._asdict(),
        path=str(Path(image.origin).resolve()) if by_path else None,
        data=None if by_path else sound.data,
    )


def _told(image: SourceImage, groups: dict[str, str]) -> Told:
    return Told(groups.get(image.origin), image.split, image.taken)
