"""COCO's annotations, categories and licences in the image database."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from tools.database.opening import speaking
from tools.formats.coco import Annotation, CocoFile
from tools.store.bulk import insert_new
from tools.store.images import ImageStore
from tools.store.tables import ANNOTATIONS, CATEGORIES, IMAGES, LICENSES, SCHEMA

_ROWS_AT_A_TIME = 1000


def add_annotations(store: ImageStore, coco: CocoFile, origins: Mapping[int, str]) -> int:
    """Take in what is on images that are in the store; twice is once.

    Args:
        store: With the images.
        coco: The annotations file.
        origins: Of its images, by their numbers there.

    Returns:
        How many annotations were new.
    """
    new = 0
    with speaking(SCHEMA), store.engine.begin() as connection:
        licenses = [
            {"id": one.license_id, "name": one.name, "url": one.url} for one in coco.licenses.values()
        ]
        insert_new(connection, LICENSES, licenses, LICENSES.c.id)
        categories = [
            {
                "id": one.category_id,
                "name": one.name,
                "supercategory": one.supercategory,
                "is_street": one.is_street,
            }
            for one in coco.categories.values()
        ]
        insert_new(connection, CATEGORIES, categories, CATEGORIES.c.id)
        numbers = _numbers(connection, origins)
        _set_licenses(connection, coco, numbers)
        there = [one for one in coco.annotations if one.image_id in numbers]
        for start in range(0, len(there), _ROWS_AT_A_TIME):
            part = there[start : start + _ROWS_AT_A_TIME]
            rows = [_row(one, numbers[one.image_id]) for one in part]
            new += insert_new(connection, ANNOTATIONS, rows, ANNOTATIONS.c.id)
    return new


def _row(annotation: Annotation, image_id: int) -> dict[str, Any]:
    left, top, width, height = annotation.bbox_xywh_px
    return {
        "id": annotation.annotation_id,
        "image_id": image_id,
        "category_id": annotation.category_id,
        "left_px": left,
        "top_px": top,
        "width_px": width,
        "height_px": height,
        "area_px": annotation.area_px,
        "is_crowd": annotation.is_crowd,
    }


def _numbers(connection: sa.Connection, origins: Mapping[int, str]) -> dict[int, int]:
    """The store's numbers of images, by the file's."""
    pairs = list(origins.items())
    numbers: dict[int, int] = {}
    for start in range(0, len(pairs), _ROWS_AT_A_TIME):
        part = {origin: number for number, origin in pairs[start : start + _ROWS_AT_A_TIME]}
        query = sa.select(IMAGES.c.origin, IMAGES.c.id).where(IMAGES.c.origin.in_(list(part)))
        numbers |= {part[origin]: number for origin, number in connection.execute(query)}
    return numbers


def _set_licenses(connection: sa.Connection, coco: CocoFile, numbers: Mapping[int, int]) -> None:
    values = [
        {"number": numbers[image.image_id], "license": image.license_id}
        for image in coco.images
        if image.image_id in numbers and image.license_id in coco.licenses
    ]
    if values:
        here = IMAGES.c.id == sa.bindparam("number")
        connection.execute(sa.update(IMAGES).where(here).values(license_id=sa.bindparam("license")), values)
