"""What a source is: it lists images with their classes, and gives their bytes."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.findings import Finding
from challenge_bundle.formats.group_rules import name_below
from challenge_bundle.image_io import FORMAT_OF_SUFFIX
from challenge_bundle.progress import Progress

if TYPE_CHECKING:
    from challenge_bundle.store.coco_datasets import AnnotatedSet

IMAGE_SUFFIXES = frozenset(FORMAT_OF_SUFFIX)


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One image of a source.

    Args:
        origin: Where it is, in the source's own terms; unique within the source, and shown in messages.
        class_name: Its label text (see formats/tasks.py): a class, labels joined by `|`, or a number.
        split: Its split if the source has splits, else None.
        load: Gives its bytes, as they are stored.
        patient_group: What it shares with images that must not be in another split, such as a patient; None
            if the source knows of none.
        suffix: Of the file format of those bytes, such as `.png`; empty where it is origin's own.
        taken: When it was made or stored, if the source knows; else None.
        version: Changes when the bytes change, as a server reports it; it also marks an image that is
            downloaded when it is loaded. None for local images.
        key: Its name in the random order, independent of where the source is; empty takes the path below the
            class folder, else the last part of origin.
        label_place: Where its label is written, such as a row of a csv; empty where origin shows it.
        attributes: Subgroup attributes, such as sex, that the source has of those that were asked for.
    """

    origin: str
    class_name: str
    split: str | None
    load: Callable[[], bytes]
    patient_group: str | None = None
    suffix: str = ""
    taken: str | None = None
    version: str | None = None
    key: str = ""
    label_place: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source holds.

    Args:
        images: The images.
        findings: What was passed over, or wants a look.
        patient_hint: How to give each image another patient group, where the source has a way of its own.
        label_names: All labels of a multilabel task in order, where the source knows of more than those that
            images have.
    """

    images: Sequence[SourceImage]
    findings: tuple[Finding, ...] = ()
    patient_hint: str = ""
    label_names: tuple[str, ...] = ()


def image_key(image: SourceImage) -> str:
    """What an image's place in the random order depends on: not on where the source lies on this machine."""
    return f"{image.split}/{image.class_name}/{image.key or name_below(image.origin, image.class_name)}"


def place_of(image: SourceImage) -> str:
    """Where an image is, and where its class is written, for messages."""
    return f"{image.origin} ({image.label_place})" if image.label_place else image.origin


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


@runtime_checkable
class AnnotatedSource(Source, Protocol):
    """A source whose images have annotations, which the image database keeps."""

    def annotations(self) -> "AnnotatedSet":
        """All annotations, with the origins of their images.

        Raises:
            DataError: They are at fault.
        """
