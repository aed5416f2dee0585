"""What a check of a data set gets, and what it gives back."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from challenge_bundle.findings import ERROR, NOTE, WARNING, Finding
from challenge_bundle.formats.tasks import MULTILABEL, REGRESSION, labels_of, show_label
from challenge_bundle.layout import SPLITS

SEVERITIES = (ERROR, WARNING, NOTE)
"""The worst first. An error: scores mean nothing until it is fixed; a warning: look at it."""

SMALL_SIDE_PX = 32
FULL_SIDE_PX = 64

MAX_EXAMPLES = 200
"""Listed examples of a finding."""

UNKNOWN = -1
"""The label of an image whose class is not known here, such as a participant's testing images."""

TRAINING, VALIDATION, TESTING = range(len(SPLITS))


@dataclass(frozen=True, slots=True)
class ImageTable:
    """The images of a bundle that can be read, one row per image (N), by split in the order of the csvs.

    Args:
        task: What the images are labelled for.
        class_names: The classes in order, or the labels of a multilabel task (K); none of values.
        label_texts: The different label texts (L); a label is a place in them. They are the classes where
            every image has one.
        files: (N,) path below input_data/, such as `training-data/000001.jpg`.
        origins: (N,) the path before the import, where that is known, else the file.
        groups: (N,) the patient group, as given to the import; None where none was given.
        splits: (N,) place in SPLITS.
        labels: (N,) place in label_texts, or UNKNOWN.
        sizes_px: (N, 2) width, height.
        modes: (N,) Pillow's mode, such as `L`.
        sizes_bytes: (N,) of the files.
        times_ns: (N,) when the files were changed.
        metadata: (N,) what the file has besides the pixels: format, compression, EXIF.
        texts: (N,) names of the fields with free text, one per line; empty if there are none.
        file_hashes: (N,) SHA-256 of the bytes.
        pixel_hashes: (N,) SHA-256 of the pixels.
        brightness: (N, 4) mean, standard deviation, least and greatest gray level, 0..255, of all pixels.
        small: (N, 32 * 32) uint8, gray levels, resized.
        full: (N, P) uint8, gray levels of all pixels, where the first image is at most 64 x 64 and they were
            asked for; else None.
        unreadable: (file, why) of each file that is not a valid image.
    """

    task: str
    class_names: tuple[str, ...]
    label_texts: tuple[str, ...]
    files: tuple[str, ...]
    origins: tuple[str, ...]
    groups: tuple[str | None, ...]
    splits: NDArray[np.int64]
    labels: NDArray[np.int64]
    sizes_px: NDArray[np.int64]
    modes: tuple[str, ...]
    sizes_bytes: NDArray[np.int64]
    times_ns: NDArray[np.int64]
    metadata: tuple[str, ...]
    texts: tuple[str, ...]
    file_hashes: tuple[str, ...]
    pixel_hashes: tuple[str, ...]
    brightness: NDArray[np.float64]
    small: NDArray[np.uint8]
    full: NDArray[np.uint8] | None
    unreadable: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.files)

    def class_name(self, row: int) -> str | None:
        """The class, labels or value of a row's image as text; None if it is not known."""
        label = int(self.labels[row])
        return None if label == UNKNOWN else show_label(self.label_texts[label])

    def targets(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """What methods predict for rows whose label is known.

        Args:
            rows: (M,).

        Returns:
            Places in class_names (M,), int64; of a multilabel task whether each label is there (M, K), bool;
            of a regression values (M,), float64.
        """
        if self.task == REGRESSION:
            values = np.array([float(text) for text in self.label_texts])
            return values[self.labels[rows]] if len(values) else np.empty(0)
        if self.task == MULTILABEL:
            sets = [set(labels_of(self.task, text)) for text in self.label_texts]
            there = np.array([[name in found for name in self.class_names] for found in sets], bool)
            return there.reshape(len(sets), -1)[self.labels[rows]]
        return self.labels[rows]

    def origin_name(self, row: int) -> str:
        """The base name that a row's image had before the import."""
        return self.origins[row].replace("\\", "/").rpartition("/")[2]

    def of_split(self, split: int) -> NDArray[np.int64]:
        """Rows of a split's images whose class is known."""
        return np.flatnonzero((self.splits == split) & (self.labels != UNKNOWN))


@dataclass(frozen=True, slots=True)
class Figures:
    """Numbers that belong to a finding, as a table."""

    header: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture that shows what an image of the table alone does not.

    Args:
        caption: What it shows.
        image: It.
    """

    caption: str
    image: Image.Image


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """A finding in a data set, with the images and figures that show it.

    Args:
        check: The check that found it, such as `copies`; stable, for programs that read the JSON.
        finding: The finding; its message begins with how many, where it is counted.
        count: How many images, pairs or groups.
        examples: Rows of the image table that show it, those of one example together.
        labels: What each example shows, such as its size; empty where the message does.
        files: Files without a row that show it, each with what is wrong with it.
        drawings: Pictures that show it where rows cannot.
        figures: Its numbers.
        pairs: (M, 2) rows of all pairs that show it, where a file lists them.
        distances: (M,) of their pictures, 1 less the correlation.
    """

    check: str
    finding: Finding
    count: int = 0
    examples: tuple[tuple[int, ...], ...] = ()
    files: tuple[str, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    figures: Figures | None = None
    labels: tuple[str, ...] = ()
    pairs: NDArray[np.int64] | None = field(default=None, compare=False)
    distances: NDArray[np.float64] | None = field(default=None, compare=False)

    @property
    def severity(self) -> str:
        """The finding's severity."""
        return self.finding.severity


Check = Callable[[ImageTable], list[AuditFinding]]
"""A check finds nothing in a valid data set, or notes alone; it changes and prints nothing."""


def repeated(keys: Iterable[Hashable]) -> list[tuple[int, ...]]:
    """The rows that share a key, together, in the order of their first; keys that stand once are left out."""
    rows: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return [tuple(same) for same in rows.values() if len(same) > 1]


def left_out(check: str, reason: str) -> AuditFinding:
    """The finding of a check that could not be made: nothing found would look like a valid data set."""
    return AuditFinding(check, Finding("check-left-out", NOTE, "", f"left out: {reason}"))


def counted(count: int, one: str, many: str) -> str:
    """`1 image` or `1,200 images`."""
    return f"{count:,} {one if count == 1 else many}"
