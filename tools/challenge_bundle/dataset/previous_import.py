"""The import before this one: in which splits its images were, so that what was hidden can stay hidden."""

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from challenge_bundle.dataset.staging import StagedImage
from challenge_bundle.errors import DataError
from challenge_bundle.formats.origins import read_origins
from challenge_bundle.image_io import READ_FAULTS, hash_picture, ignore_warnings, reading
from challenge_bundle.layout import SPLITS, Layout


@dataclass(frozen=True, slots=True)
class Earlier:
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


def read_earlier(layout: Layout) -> Earlier:
    """Read what the last import left; empty where none is known."""
    found: dict[str, set[str]] = defaultdict(set)
    gone = 0
    origins = read_origins(layout.origins_csv)
    if any(image.split not in SPLITS for image in origins):
        # Damaged: an image whose split is lost would be taken for a new one, and might not stay hidden.
        return Earlier({})
    for image in origins:
        file = layout.split_dir(image.split) / image.file
        seen = image.pixels_sha256 or _hash_again(file, image.sha256)
        gone += seen is None
        for key in (image.sha256, seen):
            if key:
                found[key].add(image.split)
    return Earlier({key: frozenset(splits) for key, splits in found.items()}, gone)


def _hash_again(file: Path, sha256: str) -> str | None:
    """What an older version's import did not write down; None where the image is not in place any more."""
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


def check_known(images: Sequence[StagedImage], earlier: Earlier) -> None:
    """Refuse to keep splits where none is known: all would be dealt anew.

    Raises:
        DataError: There was no import, or it had none of these images.
    """
    if not any(map(earlier.splits_of, images)):
        had = (
            "the last import had none of these images"
            if earlier.splits
            else "no import is known here, or its list is damaged"
        )
        raise DataError(f"there are no splits to keep: {had} (.bundle/origins.csv); leave out --keep-splits")


def find_moves(placed: Sequence[StagedImage], earlier: Earlier, keep_splits: bool) -> list[str]:
    """Say how many images come from testing to where their classes are handed out, and back.

    Args:
        placed: All images, with their splits.
        earlier: The last import.
        keep_splits: Whether splits were to be kept.
    """
    moved = [(earlier.splits_of(image), image) for image in placed]
    moved = [(were, image) for were, image in moved if were and image.split not in were]
    published = [image for were, image in moved if "testing" in were]
    known = [image for were, image in moved if image.split == "testing"]
    mend = "" if keep_splits else "; --keep-splits deals out new images alone"
    told: list[str] = []
    if earlier.gone:
        told.append(
            f"images of the last import, made by an older version, that are no longer in input_data/:"
            f" {earlier.gone:,}; they are known again only where their files are the same to the byte"
        )
    if published:
        where = " and ".join(
            f"{count:,} in {split}"
            for split in SPLITS
            if (count := sum(image.split == split for image in published))
        )
        told.append(
            f"testing images of the last import whose classes are no longer hidden: {len(published):,}"
            f" ({where}), such as {published[0].source.origin}{mend}"
        )
    if known:
        told.append(
            f"testing images whose classes the last import gave away: {len(known):,}, such as"
            f" {known[0].source.origin}{mend}"
        )
    return told
