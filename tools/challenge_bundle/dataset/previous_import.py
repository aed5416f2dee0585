"""The import before this one: in which splits its images were, so that what was hidden can stay hidden."""

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from challenge_bundle.dataset.staging import StagedImage
from challenge_bundle.formats.origins import read_origins
from challenge_bundle.image_io import READ_FAULTS, hash_picture, ignore_warnings, reading
from challenge_bundle.layout import SPLITS, Layout


@dataclass(frozen=True, slots=True)
class PreviousImport:
    """What is remembered of the last import.

    Args:
        splits: In which splits an image was, by SHA-256 of its bytes and of what a network sees of it.
        gone: Images of an older version's import that are no longer in place, and so known by their bytes
            alone.
    """

    splits: Mapping[str, frozenset[str]]
    gone: int = 0

    def splits_of(self, image: StagedImage) -> frozenset[str]:
        """In which splits an image was; empty if it is new."""
        nowhere: frozenset[str] = frozenset()
        return self.splits.get(image.sha256, nowhere) | self.splits.get(image.pixels_sha256, nowhere)


def read_previous_import(layout: Layout) -> PreviousImport:
    """Read what the last import recorded; empty where none is known."""
    found: dict[str, set[str]] = defaultdict(set)
    gone = 0
    origins = read_origins(layout.origins_csv)
    if any(image.split not in SPLITS for image in origins):
        # Damaged: an image whose split is lost would be taken for a new one, and might not stay hidden.
        return PreviousImport({})
    for image in origins:
        file = layout.split_dir(image.split) / image.file
        pixels_sha256 = image.pixels_sha256 or _hash_again(file, image.sha256)
        gone += pixels_sha256 is None
        for key in (image.sha256, pixels_sha256):
            if key:
                found[key].add(image.split)
    return PreviousImport({key: frozenset(splits) for key, splits in found.items()}, gone)


def _hash_again(file: Path, sha256: str) -> str | None:
    """What an older version did not record; None where the image is not in place any more."""
    with warnings.catch_warnings():
        ignore_warnings()
        try:
            data = file.read_bytes()
            if hashlib.sha256(data).hexdigest() != sha256:
                return None
            with reading(data) as image:
                return hash_picture(image)
        except READ_FAULTS:
            return None


def strongest(splits: frozenset[str]) -> str | None:
    """The split that an image keeps that was in several: testing first, for its class was hidden."""
    return max(splits, key=SPLITS.index, default=None)
