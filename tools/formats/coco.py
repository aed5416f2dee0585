"""COCO's instances_*.json: images, what is on them, and under which licence they are."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.errors import DataError

STREET_SUPERCATEGORIES = ("vehicle", "outdoor")
STREET_EXCEPTIONS = ("airplane", "train", "boat")


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of thing that is annotated.

    Args:
        category_id: Its number.
        name: Such as `traffic light`.
        supercategory: Such as `outdoor`.
    """

    category_id: int
    name: str
    supercategory: str

    @property
    def is_street(self) -> bool:
        """Whether such things stand or drive in a street."""
        return self.supercategory in STREET_SUPERCATEGORIES and self.name not in STREET_EXCEPTIONS


@dataclass(frozen=True, slots=True)
class License:
    """What an image may be used for.

    Args:
        license_id: Its number.
        name: Such as `Attribution License`.
        url: Its text.
    """

    license_id: int
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An image that is annotated.

    Args:
        image_id: Its number.
        file_name: Of the image file.
        size: (width, height), pixels.
        url: Where it can be fetched; empty if the file does not say.
        license_id: Of its licence; None if the file does not say.
        taken: When, as text; empty if the file does not say.
    """

    image_id: int
    file_name: str
    size: tuple[int, int]
    url: str
    license_id: int | None
    taken: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """A thing on an image; its outline is left out.

    Args:
        annotation_id: Its number.
        image_id: On which image.
        category_id: What it is.
        bbox_xywh_px: Left, top, width, height.
        area_px: Of its outline.
        is_crowd: Whether it is many, outlined as one.
    """

    annotation_id: int
    image_id: int
    category_id: int
    bbox_xywh_px: tuple[float, float, float, float]
    area_px: float
    is_crowd: bool


@dataclass(frozen=True, slots=True)
class CocoFile:
    """All of an annotations file.

    Args:
        images: In the file's order.
        annotations: In the file's order.
        categories: By number.
        licenses: By number.
    """

    images: tuple[CocoImage, ...]
    annotations: tuple[Annotation, ...]
    categories: Mapping[int, Category]
    licenses: Mapping[int, License]


def read_coco(path: Path) -> CocoFile:
    """Read an instances_*.json.

    Raises:
        DataError: Not there, not JSON, or not COCO's.

    Source:
        https://cocodataset.org/#format-data
    """
    try:
        with path.open(encoding="utf-8") as opened:
            # The outlines are nine tenths of the file: each is dropped as soon as it is parsed.
            document = json.load(opened, object_hook=_without_outline)
    except FileNotFoundError:
        raise DataError("no such file; give COCO's instances_*.json", path) from None
    except (OSError, ValueError) as fault:
        raise DataError(f"cannot be read as JSON ({fault}); give COCO's instances_*.json", path) from None
    return parse_coco(document, path)


def parse_coco(document: Any, path: Path) -> CocoFile:
    """Parse the JSON of an annotations file; see read_coco."""
    try:
        found = CocoFile(
            images=tuple(map(_image, document["images"])),
            annotations=tuple(map(_annotation, document["annotations"])),
            categories={
                int(item["id"]): Category(
                    int(item["id"]), str(item["name"]), str(item.get("supercategory", ""))
                )
                for item in document["categories"]
            },
            licenses={
                int(item["id"]): License(int(item["id"]), str(item["name"]), str(item.get("url", "")))
                for item in document.get("licenses", ())
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise DataError(
            f"is not COCO's: {type(fault).__name__} {fault}; it needs images, annotations and categories",
            path,
        ) from None
    numbers = {image.image_id for image in found.images}
    for annotation in found.annotations:
        if annotation.image_id not in numbers or annotation.category_id not in found.categories:
            raise DataError(
                f"annotation {annotation.annotation_id} is of image {annotation.image_id} and category"
                f" {annotation.category_id}, and one of them is not in the file; take a whole file",
                path,
            )
    return found


def _without_outline(item: dict[str, Any]) -> dict[str, Any]:
    item.pop("segmentation", None)
    return item


def _image(item: dict[str, Any]) -> CocoImage:
    name = str(item["file_name"])
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"the file name {name!r} leads out of the folder")
    return CocoImage(
        int(item["id"]),
        name,
        (int(item["width"]), int(item["height"])),
        str(item.get("coco_url") or ""),
        int(item["license"]) if item.get("license") is not None else None,
        str(item.get("date_captured") or ""),
    )


def _annotation(item: dict[str, Any]) -> Annotation:
    left, top, width, height = map(float, item["bbox"])
    return Annotation(
        int(item["id"]),
        int(item["image_id"]),
        int(item["category_id"]),
        (left, top, width, height),
        float(item.get("area", width * height)),
        bool(item.get("iscrowd")),
    )
