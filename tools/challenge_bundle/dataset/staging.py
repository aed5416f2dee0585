"""Reading a source's images: each once, by several threads, found sound or named."""

import hashlib
import os
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.image_io import (
    FORMAT_OF_SUFFIX,
    READ_FAULTS,
    describe_fault,
    hash_picture,
    ignore_warnings,
    is_transparent,
    reading,
)
from challenge_bundle.metadata.detect import find_texts
from challenge_bundle.metadata.strip import strip_metadata
from challenge_bundle.sources.base import IMAGE_SUFFIXES, SourceImage
from challenge_bundle.sources.download_cache import Downloads

T = TypeVar("T")

IMAGES_A_TASK = 32
_TASKS_AHEAD = 16
_FIELDS_TOLD = 8

LARGEST_OWN_PIXELS = 1024 * 1024
"""What this project's training makes smaller; the number is its own, `bundle_training/data.py`."""


@dataclass(frozen=True, slots=True)
class SoundImage:
    """An image that was read and decoded to its last byte.

    Args:
        source: Where it came from.
        data: Its bytes, as they are stored.
        sha256: Of the bytes, in hexadecimal.
        pixels_sha256: Of what a network sees (see hash_picture); images that share it are the same picture.
        size: (width, height), pixels.
        mode: Of the pixels, as Pillow names it: `L`, `RGB`, ...
        format: Of the file, as Pillow names it: `JPEG`, `PNG`, ...
        texts: Names of the fields beside the pixels that somebody may have written.
        transparent: Whether a pixel is not opaque.
    """

    source: SourceImage
    data: bytes
    sha256: str
    pixels_sha256: str
    size: tuple[int, int]
    mode: str
    format: str
    texts: tuple[str, ...]
    transparent: bool


@dataclass(frozen=True, slots=True)
class StagedImage:
    """An image that was read, found sound and copied into the staging folder.

    Args:
        source: Where it came from.
        file: The copy.
        sha256: Of its bytes, in hexadecimal.
        pixels_sha256: Of what a network sees (see hash_picture); images that share it are the same picture.
        size: (width, height), pixels.
        format: Of the file, as Pillow names it: `JPEG`, `PNG`, ...
        transparent: Whether a pixel is not opaque.
        texts: Names of the fields beside its pixels that somebody may have written.
        split: Where it goes.
        name: Its name there.
    """

    source: SourceImage
    file: str
    sha256: str
    pixels_sha256: str
    size: tuple[int, int]
    format: str
    transparent: bool
    texts: tuple[str, ...] = ()
    split: str = ""
    name: str = ""


def stage_images(
    images: Sequence[SourceImage], folder: Path, downloads: Downloads, strip: bool = False
) -> Iterator[StagedImage | str]:
    """Copy images into a folder, in order; what is wrong with one comes in its place, as a sentence.

    Args:
        images: The images.
        folder: Where they are copied to.
        downloads: Keeps those that are fetched from afar, as they are there, and gives those that were.
        strip: Whether the copies lose all that stands beside the pixels.
    """

    def stage(number: int, image: SourceImage) -> StagedImage | str:
        sound = _check_once(image, downloads)
        if isinstance(sound, str):
            return sound
        try:
            data = strip_metadata(sound.data, sound.format) if strip else sound.data
        except READ_FAULTS as fault:
            return f"{image.origin}: {describe_fault(fault)}"
        file = f"{folder}/{number:08d}{suffix_of(image)}"
        with open(file, "wb") as out:
            out.write(data)
        same = data == sound.data
        downloads.keep(image, sound.sha256, file, None if same else sound.data)
        sha256 = sound.sha256 if same else hashlib.sha256(data).hexdigest()
        texts = sound.texts if same else ()
        return StagedImage(
            image, file, sha256, sound.pixels_sha256, sound.size, sound.format, sound.transparent, texts
        )

    return work_ahead(images, stage)


def _check_once(image: SourceImage, downloads: Downloads) -> SoundImage | str:
    """As check_image, but what was fetched before is not fetched again."""
    kept = downloads.read(image)
    if kept is not None:
        return check_image(replace(image, load=lambda: kept))
    try:
        return check_image(image)
    except UnavailableError as fault:
        hint = "; what was fetched is kept and not fetched again" if image.version else ""
        raise UnavailableError(f"{fault}{hint}") from None


def work_ahead(
    images: Sequence[SourceImage], work: Callable[[int, SourceImage], T], images_a_task: int = IMAGES_A_TASK
) -> Iterator[T]:
    """Work on images by several threads and give what comes of each, in order.

    A bounded number is in flight: memory stays flat, Ctrl-C is quick.

    Args:
        images: The images.
        work: Called with an image's place and the image.
        images_a_task: Many, for one task an image costs as much as a small image does; fewer where what comes
            of an image is large.
    """

    def task(start: int) -> list[T]:
        part = images[start : start + images_a_task]
        return [work(start + offset, image) for offset, image in enumerate(part)]

    pending: deque[Future[list[T]]] = deque()
    # Around the threads, not in them: the filters are the whole process's.
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        ignore_warnings()
        try:
            for start in range(0, len(images), images_a_task):
                pending.append(pool.submit(task, start))
                if len(pending) > _TASKS_AHEAD:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            # Where a server does not answer, each of them would wait for it in vain.
            pool.shutdown(wait=True, cancel_futures=True)


def check_image(image: SourceImage) -> SoundImage | str:
    """Read an image and decode it to its last byte; gives what is wrong with it if it is not sound."""
    suffix = suffix_of(image)
    if suffix.lower() not in IMAGE_SUFFIXES:
        return (
            f"{image.origin}: '{suffix}' is not an image format; expected {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    try:
        data = image.load()
        with reading(data) as opened:
            size, mode, kind = opened.size, opened.mode, opened.format or ""
            pixels_sha256, transparent = hash_picture(opened), is_transparent(opened)
            texts = find_texts(opened, data)
    except DataError as fault:
        return str(fault)
    except READ_FAULTS as fault:
        return f"{image.origin}: {describe_fault(fault)}"
    sha256 = hashlib.sha256(data).hexdigest()
    return SoundImage(image, data, sha256, pixels_sha256, size, mode, kind, texts, transparent)


def suffix_of(image: SourceImage) -> str:
    """The file format that an image's name tells."""
    return image.suffix or os.path.splitext(image.origin)[1]


def describe_files(images: Sequence[StagedImage]) -> tuple[str, ...]:
    """Warn of what image files hold that is not expected: another format, transparency, texts."""
    told: list[str] = []
    misnamed = [image for image in images if image.format != FORMAT_OF_SUFFIX[_named(image)]]
    if misnamed:
        first = misnamed[0]
        told.append(
            f"images of another format than their names say: {len(misnamed)}, such as {first.source.origin}"
            f" ({first.format}); they are read by their content"
        )
    transparent = [image for image in images if image.transparent]
    if transparent:
        told.append(
            f"images with transparent pixels: {len(transparent)}, such as {transparent[0].source.origin}; the"
            " programs take the colours that are stored there and leave the transparency out"
        )
    large = [image for image in images if image.size[0] * image.size[1] > LARGEST_OWN_PIXELS]
    if large:
        name, (width, height) = large[0].source.origin, large[0].size
        told.append(
            f"images of more than {LARGEST_OWN_PIXELS:,} pixels: {len(large)}, such as {name}"
            f" ({width}x{height}); this project's training brings them to 224x224 unless --image-size says"
            " otherwise, so save them smaller or choose a size"
        )
    return (*told, *_describe_texts(images))


def _named(image: StagedImage) -> str:
    return os.path.splitext(image.file)[1].lower()


def _describe_texts(images: Sequence[StagedImage]) -> tuple[str, ...]:
    """Warn of images that carry texts: in which fields, never which texts."""
    written = [image for image in images if image.texts]
    if not written:
        return ()
    counts = Counter(field for image in written for field in image.texts).most_common()
    fields = ", ".join(f"{field} ({count})" for field, count in counts[:_FIELDS_TOLD])
    more = f" and {len(counts) - _FIELDS_TOLD} more" if len(counts) > _FIELDS_TOLD else ""
    return (
        f"images whose files hold texts besides the pixels, which may name a patient: {len(written)}, such as"
        f" {written[0].source.origin}; in {fields}{more}; remove them with --strip-metadata (in bundle.toml:"
        " data.strip_metadata = true)",
    )
