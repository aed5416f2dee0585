"""Reading a source's images: each once, by several threads."""

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from challenge_bundle.dataset.download_cache import Downloads
from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.findings import ERROR, Finding
from challenge_bundle.image_io import (
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

T = TypeVar("T")

IMAGES_A_TASK = 32
_TASKS_AHEAD = 16


@dataclass(frozen=True, slots=True)
class ReadImage:
    """An image that was read and decoded to its last byte.

    Args:
        source: Where it came from.
        data: Its bytes, as they are stored.
        sha256: Of the bytes, in hexadecimal.
        pixels_sha256: Of what a network sees (see hash_picture); images that share it are the same picture.
        size: (width, height), pixels.
        mode: Of the pixels, as Pillow names it: `L`, `RGB`, ...
        format: Of the file, as Pillow names it: `JPEG`, `PNG`, ...
        texts: Names of the metadata fields that somebody may have written.
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
    """An image that was read and copied into the staging folder.

    Args:
        source: Where it came from.
        file: The copy.
        sha256: Of its bytes, in hexadecimal.
        pixels_sha256: Of what a network sees (see hash_picture); images that share it are the same picture.
        size: (width, height), pixels.
        format: Of the file, as Pillow names it: `JPEG`, `PNG`, ...
        transparent: Whether a pixel is not opaque.
        texts: Names of the metadata fields that somebody may have written.
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
) -> Iterator[StagedImage | Finding]:
    """Copy images into a folder, in order; what is wrong with one comes in its place.

    Args:
        images: The images.
        folder: Where they are copied to.
        downloads: Keeps those that are fetched from a server, as they are there, and gives those that were.
        strip: Whether the copies lose their metadata.

    Raises:
        UnavailableError: A server does not answer.
    """

    def stage(number: int, image: SourceImage) -> StagedImage | Finding:
        read = _read_once(image, downloads)
        if isinstance(read, Finding):
            return read
        try:
            data = strip_metadata(read.data, read.format) if strip else read.data
        except READ_FAULTS as fault:
            return Finding("image-unreadable", ERROR, image.origin, describe_fault(fault))
        file = f"{folder}/{number:08d}{suffix_of(image)}"
        with open(file, "wb") as out:
            out.write(data)
        same = data == read.data
        downloads.keep(image, read.sha256, file, None if same else read.data)
        sha256 = read.sha256 if same else hashlib.sha256(data).hexdigest()
        texts = read.texts if same else ()
        return StagedImage(
            image, file, sha256, read.pixels_sha256, read.size, read.format, read.transparent, texts
        )

    return work_ahead(images, stage)


def _read_once(image: SourceImage, downloads: Downloads) -> ReadImage | Finding:
    """As read_image, but what was fetched before is not fetched again."""
    kept = downloads.read(image)
    if kept is not None:
        return read_image(replace(image, load=lambda: kept))
    try:
        return read_image(image)
    except UnavailableError as fault:
        if image.version is None:
            raise
        found = fault.finding
        hint = "; ".join(filter(None, [found.hint, "what was fetched is kept and not fetched again"]))
        raise UnavailableError(
            found.message, found.location or None, found.row, code=found.code, hint=hint
        ) from None


def work_ahead(
    images: Sequence[SourceImage], work: Callable[[int, SourceImage], T], images_a_task: int = IMAGES_A_TASK
) -> Iterator[T]:
    """Work on images by several threads and give the results in order.

    A bounded number is in flight: memory stays flat, Ctrl-C is quick.

    Args:
        images: The images.
        work: Called with an image's place and the image.
        images_a_task: Many, for one task per image costs as much as a small image does; fewer where the
            result for an image is large.
    """

    def task(start: int) -> list[T]:
        batch = images[start : start + images_a_task]
        return [work(start + offset, image) for offset, image in enumerate(batch)]

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


def read_image(image: SourceImage) -> ReadImage | Finding:
    """Read an image and decode it to its last byte; gives what is wrong with it if that fails."""
    suffix = suffix_of(image)
    if suffix.lower() not in IMAGE_SUFFIXES:
        message = f"'{suffix}' is not an image format; expected {', '.join(sorted(IMAGE_SUFFIXES))}"
        return Finding("image-suffix", ERROR, image.origin, message)
    try:
        data = image.load()
        with reading(data) as opened:
            size, mode, kind = opened.size, opened.mode, opened.format or ""
            pixels_sha256, transparent = hash_picture(opened), is_transparent(opened)
            texts = find_texts(opened, data)
    except DataError as fault:
        return fault.finding
    except READ_FAULTS as fault:
        return Finding("image-unreadable", ERROR, image.origin, describe_fault(fault))
    sha256 = hashlib.sha256(data).hexdigest()
    return ReadImage(image, data, sha256, pixels_sha256, size, mode, kind, texts, transparent)


def suffix_of(image: SourceImage) -> str:
    """The suffix that names the image's file format."""
    return image.suffix or os.path.splitext(image.origin)[1]
