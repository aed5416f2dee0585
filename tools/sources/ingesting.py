"""From a source to the image database: what is there is not read again, what broke off goes on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tools.errors import DataError
from tools.sources.base import ImportRequest, Progress, Source, SourceImage, image_key
from tools.sources.coco import CocoSource
from tools.sources.grouping import find_groups
from tools.sources.splitting import stratified_sample
from tools.sources.staging import SoundImage, check_image, work_ahead
from tools.store.annotations import add_annotations
from tools.store.images import ImageStore, StoredImage

_IMAGES_A_BATCH = 1000
_BYTES_A_BATCH = 32 * 2**20
_IMAGES_A_TASK = 8


@dataclass(frozen=True, slots=True)
class Ingested:
    """What came of it.

    Args:
        listed: Images that were asked for.
        known: Of them, those that were in the store, by origin.
        new: Of them, those that came into it.
        warnings: What was passed over, a sentence each.
    """

    listed: int
    known: int
    new: int
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.new:,} new of {self.listed:,} images, {self.known:,} there already"


def ingest_images(
    source: Source, store: ImageStore, request: ImportRequest, progress: Progress, by_path: bool = False
) -> Ingested:
    """Bring a source's images into a store; twice is once.

    Args:
        source: Where they are.
        store: Where they go.
        request: Its sample_size is of all images, of each class in each split its share; 0 takes all.
        progress: Told of every image.
        by_path: Whether local images stay where they are, and the store only says where.

    Raises:
        DataError: An image cannot be read; all sound ones are in the store.
    """
    listing = source.list_images(request, progress)
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
    known = store.known_origins([image.origin for image in chosen])
    missing = [image for image in chosen if image.origin not in known]
    if by_path and missing and not Path(missing[0].origin).is_file():
        raise DataError("is no local file; leave out --by-path", missing[0].origin)
    faults: list[str] = []
    new, warnings = _take_in(missing, groups, store, faults, progress, by_path)
    if isinstance(source, CocoSource):
        add_annotations(store, *source.annotations())
    if faults:
        raise DataError(
            f"{len(faults)} of {len(chosen)} images cannot be read, the first: {faults[0]};"
            " mend or remove them; the others are in the store",
            details=tuple(faults[1:]),
        )
    return Ingested(len(chosen), len(known), new, (*listing.warnings, *warnings))


def _take_in(
    images: Sequence[SourceImage],
    groups: dict[str, str],
    store: ImageStore,
    faults: list[str],
    progress: Progress,
    by_path: bool,
) -> tuple[int, list[str]]:
    """Bring images into a store, a batch at a time, each whole or not at all.

    Returns:
        How many were new, and what was passed over; what is wrong with an image goes to `faults`.
    """
    added = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    new, twins, conflicts = 0, 0, list[str]()
    for batch in _batches(images, faults, progress):
        records = [_record(sound, groups, added, by_path) for sound in batch]
        new += store.add(records)
        there = store.labels([record.sha256 for record in records])
        for record in records:
            label, origin = there[record.sha256]
            twins += origin != record.origin
            if label != record.label:
                conflicts.append(f"{record.origin} ({record.label}) and {origin} ({label})")
    return new, _passed_over(twins, conflicts)


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
        group_name=groups.get(image.origin),
        split=image.split,
        taken=image.taken,
        path=str(Path(image.origin).resolve()) if by_path else None,
        data=None if by_path else sound.data,
    )


def _passed_over(twins: int, conflicts: Sequence[str]) -> list[str]:
    warnings = [f"byte-identical copies of other images, stored once: {twins}"] if twins else []
    if conflicts:
        warnings.append(
            f"images that are stored under another label: {len(conflicts)}, the first {conflicts[0]};"
            " the first label stays"
        )
    return warnings
