"""What a source is: something that lists images with their classes and hands out their bytes."""

import os
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from challenge_bundle.data_settings import ImportRequest as ImportRequest
from challenge_bundle.errors import DataError, shown
from challenge_bundle.formats.group_rules import name_below
from challenge_bundle.image_io import FORMAT_OF_SUFFIX
from challenge_bundle.progress import Progress

IMAGE_SUFFIXES = frozenset(FORMAT_OF_SUFFIX)


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One image of a source.

    Args:
        origin: Where it is, in the source's own terms; unique within the source, and shown in messages.
        class_name: Its class.
        split: Its split if the source says so, else None.
        load: Gives its bytes, as they are stored.
        group: What it shares with images that must not be in another split, such as a patient; None if the
            source knows of none.
        suffix: Of the file format of those bytes, such as `.png`; empty where it is origin's own.
        taken: When it was made or stored, as the source says; None if it does not.
        version: What is another when its bytes are others, as a server tells it, and the sign that to load it
            is to fetch it from afar; None if none is told.
        key: What it is called in the random order, wherever the source lies; empty where origin tells it: by
            the path below its class folder, else by the last part.
        told: Where its class stands, such as a row of a csv; empty where origin says it.
    """

    origin: str
    class_name: str
    split: str | None
    load: Callable[[], bytes]
    group: str | None = None
    suffix: str = ""
    taken: str | None = None
    version: str | None = None
    key: str = ""
    told: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source holds.

    Args:
        images: The images.
        warnings: What was passed over, a sentence each.
        group_hint: How another group (patient) of each image is told, where the source has a way of its own.
    """

    images: Sequence[SourceImage]
    warnings: tuple[str, ...] = ()
    group_hint: str = ""


def refuse_odd_names(images: Sequence[SourceImage]) -> None:
    """Refuse names that no csv, page or message can hold: not in UTF-8, or with a line break in them.

    Raises:
        DataError: There is one.
    """
    odd = [image.origin for image in images if not _is_plain(image.origin)]
    if odd:
        raise DataError(
            f"{len(odd)} of {len(images)} file names are not UTF-8 or have control characters, the first:"
            f" {shown(odd[0])}; rename the files",
            details=tuple(map(shown, odd[1:])),
        )


def _is_plain(name: str) -> bool:
    # A blank of another width is none that prints, but does no harm: macOS puts one into the time of day.
    return name.isprintable() or all(
        letter.isprintable() or unicodedata.category(letter) == "Zs" for letter in name
    )


def image_key(image: SourceImage) -> str:
    """What an image's place in the random order depends on: not on where the source lies on this machine."""
    return f"{image.split}/{image.class_name}/{image.key or name_below(image.origin, image.class_name)}"


def place_of(image: SourceImage) -> str:
    """Where an image is, and where its class stands, for messages."""
    return f"{image.origin} ({image.told})" if image.told else image.origin


def base_name(image: SourceImage) -> str:
    """The last part of where it is."""
    name = PurePosixPath(image.origin.replace(os.sep, "/"))
    return name.with_suffix(image.suffix).name if image.suffix else name.name


class Source(Protocol):
    """Something that images are imported from."""

    @property
    def description(self) -> str:
        """What is imported, for messages: a name, a path or a URL."""

    @property
    def names_are_public(self) -> bool:
        """Whether file names are the bundle's already, so that they are kept."""

    def list_images(self, request: ImportRequest, progress: Progress) -> Listing:
        """List the images there are.

        Raises:
            DataError: The source is not what it should be.
            UnavailableError: It cannot be reached from here.
        """
