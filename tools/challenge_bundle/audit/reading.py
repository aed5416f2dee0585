"""From a bundle's folders to the table that all checks look at: every image is read once."""

import functools
import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from challenge_bundle.audit.base import FULL_SIDE_PX, SMALL_SIDE_PX, UNKNOWN, ImageTable
from challenge_bundle.audit.near_duplicates import small_picture
from challenge_bundle.audit.parallel import work_in_parallel
from challenge_bundle.formats.origins import read_origins
from challenge_bundle.formats.reference import read_reference
from challenge_bundle.formats.task_json import read_task
from challenge_bundle.formats.tasks import REGRESSION, WITH_ONE_CLASS, Task
from challenge_bundle.image_io import (
    READ_FAULTS,
    check_plain,
    describe_fault,
    hash_picture,
    ignore_warnings,
    reading,
    to_eight_bits,
)
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.metadata.detect import find_texts
from challenge_bundle.progress import Progress

MIN_IMAGES_FOR_PROCESSES = 4000
"""Fewer are read by threads; processes take 0.3 s to start."""

_IMAGES_A_TASK = 128
_LEVELS = np.arange(256.0)
_TEXT_TAGS = {271: "make", 272: "model", 305: "software", 270: "description"}


@dataclass(frozen=True, slots=True)
class _Entry:
    """An image before it is read."""

    split: int
    name: str
    label: str | None
    path: str


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is kept of an image besides its gray levels."""

    size_px: tuple[int, int]
    mode: str
    size_bytes: int
    time_ns: int
    metadata: str
    texts: str
    file_hash: str
    pixel_hash: str
    brightness: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class _Part:
    """Some images that were read: (N, 32 * 32) and (N, P) gray levels; zeros of those that cannot be read."""

    facts: list[_Facts | str]
    small: NDArray[np.uint8]
    full: NDArray[np.uint8]


def read_images(layout: Layout, progress: Progress, full: bool = True) -> ImageTable:
    """Read every image of a bundle once.

    Args:
        layout: Of a bundle whose csvs fit its folders.
        progress: Called for every image.
        full: Whether all pixels are kept where images are small.

    Returns:
        The table; memory grows by 1 kB an image, and 4 kB more where images are at most 64 x 64.

    Raises:
        UnavailableError: A process that read images was ended from outside.
    """
    task, entries = _list_entries(layout)
    shape = _full_shape(entries) if full else None
    small = np.zeros((len(entries), SMALL_SIDE_PX**2), np.uint8)
    pixels = None if shape is None else np.zeros((len(entries), shape[0] * shape[1]), np.uint8)
    facts: list[_Facts | str] = []
    paths = [entry.path for entry in entries]
    tasks = [paths[start : start + _IMAGES_A_TASK] for start in range(0, len(paths), _IMAGES_A_TASK)]
    read = functools.partial(_read_part, shape=shape)
    # The filters are the whole process's, so they are set around the threads, not in them.
    with warnings.catch_warnings():
        for part in work_in_parallel(read, tasks, ignore_warnings, len(paths) >= MIN_IMAGES_FOR_PROCESSES):
            rows = slice(len(facts), len(facts) + len(part.facts))
            small[rows] = part.small
            if pixels is not None:
                pixels[rows] = part.full
            facts += part.facts
            progress("reading images", len(facts), len(entries))
    return _make_table(task, entries, facts, small, pixels, layout)


def _list_entries(layout: Layout) -> tuple[Task, list[_Entry]]:
    entries: list[_Entry] = []
    task = read_task(layout.input_data)
    for number, split in enumerate(SPLITS):
        folder, solution = layout.split_dir(split), layout.solution_csv(split)
        if solution.exists():
            reference = read_reference(solution)
            task = reference.task
            classes: dict[str, str | None] = {**reference.label_of}
        else:
            names = [entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")]
            classes = dict.fromkeys(sorted(names))
        entries += [_Entry(number, name, found, f"{folder}/{name}") for name, found in classes.items()]
    return task, entries


def _full_shape(entries: Sequence[_Entry]) -> tuple[int, int] | None:
    """(H, W) of the first image that can be opened, where it is small; others are resized to it."""
    for entry in entries:
        try:
            with reading(entry.path) as opened:
                width, height = opened.size
        except READ_FAULTS:
            continue
        return None if max(width, height) > FULL_SIDE_PX else (height, width)
    return None


def _read_part(paths: Sequence[str], shape: tuple[int, int] | None) -> _Part:
    """Read some images, one after the other."""
    small = np.zeros((len(paths), SMALL_SIDE_PX**2), np.uint8)
    full = np.zeros((len(paths), 0 if shape is None else shape[0] * shape[1]), np.uint8)
    facts = [_read_one(path, shape, small[row], full[row]) for row, path in enumerate(paths)]
    return _Part(facts, small, full)


def _read_one(
    path: str, shape: tuple[int, int] | None, small: NDArray[np.uint8], full: NDArray[np.uint8]
) -> _Facts | str:
    """Read an image and fill in its gray levels; gives why it cannot be read instead."""
    try:
        check_plain(path)
        with open(path, "rb") as file:
            data, time_ns = file.read(), os.fstat(file.fileno()).st_mtime_ns
        with reading(data) as opened:
            metadata = _metadata(opened)
            pixel_hash = hash_picture(opened)
            size, mode = opened.size, opened.mode
            gray = to_eight_bits(opened).convert("L")
            texts = "\n".join(find_texts(opened, data))
    except READ_FAULTS as fault:
        return describe_fault(fault)
    small[:] = small_picture(gray)
    if shape is not None:
        full[:] = np.asarray(gray.resize(shape[::-1], Image.Resampling.BOX)).ravel()
    file_hash = hashlib.sha256(data).hexdigest()
    return _Facts(size, mode, len(data), time_ns, metadata, texts, file_hash, pixel_hash, _brightness(gray))


def _brightness(gray: Image.Image) -> tuple[float, float, float, float]:
    """Mean, standard deviation, least and greatest gray level."""
    counts = np.array(gray.histogram())
    mean = counts @ _LEVELS / counts.sum()
    deviation = np.sqrt(counts @ np.square(_LEVELS - mean) / counts.sum())
    there = np.flatnonzero(counts)
    return float(mean), float(deviation), float(there[0]), float(there[-1])


def _metadata(image: Image.Image) -> str:
    """What a file has besides the pixels, in a form that is equal for files that one program wrote."""
    parts = [str(image.format), image.mode]
    try:
        exif = image.getexif()
        parts += [f"{_TEXT_TAGS[tag]}={str(exif[tag])[:40]}" for tag in sorted(_TEXT_TAGS) if tag in exif]
        parts.append("exif=" + ",".join(str(tag) for tag in sorted(exif)))
    except Exception:  # of damaged metadata, which do not concern the pixels
        parts.append("exif=spoiled")
    parts += [f"{key}={str(image.info[key])[:40]}" for key in ("dpi", "comment", "jfif") if key in image.info]
    tables = getattr(image, "quantization", None) or {}
    parts.append("quantization=" + ",".join(str(sum(tables[key])) for key in sorted(tables)))
    return " ".join(parts)


def _make_table(
    task: Task,
    entries: Sequence[_Entry],
    facts: Sequence[_Facts | str],
    small: NDArray[np.uint8],
    full: NDArray[np.uint8] | None,
    layout: Layout,
) -> ImageTable:
    names = [f"{layout.split_dir(SPLITS[entry.split]).name}/{entry.name}" for entry in entries]
    unreadable = tuple((name, fact) for name, fact in zip(names, facts, strict=True) if isinstance(fact, str))
    rows = [row for row, fact in enumerate(facts) if not isinstance(fact, str)]
    kept = [entries[row] for row in rows]
    found = [fact for fact in facts if not isinstance(fact, str)]
    found_texts = tuple(sorted({entry.label for entry in entries if entry.label is not None}))
    class_names = () if task.name == REGRESSION else task.class_names or found_texts
    label_texts = class_names if task.name in WITH_ONE_CLASS else found_texts
    label_of = {text: label for label, text in enumerate(label_texts)}
    if unreadable:
        small = small[rows]
        full = None if full is None else full[rows]
    known = {
        (one.split, one.file, one.sha256): (one.origin, one.patient_group)
        for one in read_origins(layout.origins_csv)
    }
    recorded = [
        known.get((SPLITS[entry.split], entry.name, fact.file_hash), (entry.name, None))
        for entry, fact in zip(kept, found, strict=True)
    ]
    return ImageTable(
        task=task.name,
        class_names=class_names,
        label_texts=label_texts,
        files=tuple(names[row] for row in rows),
        origins=tuple(origin for origin, _ in recorded),
        groups=tuple(group for _, group in recorded),
        splits=np.array([entry.split for entry in kept], np.int64),
        labels=np.array([_place(label_of, entry.label) for entry in kept], np.int64),
        sizes_px=np.array([fact.size_px for fact in found], np.int64).reshape(-1, 2),
        modes=tuple(fact.mode for fact in found),
        sizes_bytes=np.array([fact.size_bytes for fact in found], np.int64),
        times_ns=np.array([fact.time_ns for fact in found], np.int64),
        metadata=tuple(fact.metadata for fact in found),
        texts=tuple(fact.texts for fact in found),
        file_hashes=tuple(fact.file_hash for fact in found),
        pixel_hashes=tuple(fact.pixel_hash for fact in found),
        brightness=np.array([fact.brightness for fact in found], np.float64).reshape(-1, 4),
        small=small,
        full=full,
        unreadable=unreadable,
    )


def _place(label_of: Mapping[str, int], text: str | None) -> int:
    # An image without any label has the empty text, which is known.
    return UNKNOWN if text is None else label_of.get(text, UNKNOWN)
