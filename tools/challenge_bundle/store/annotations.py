"""COCO's annotations, categories and licences in the image database; ids count within their file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from challenge_bundle.database.connect import lock_table, speaking
from challenge_bundle.errors import shown
from challenge_bundle.findings import WARNING, Finding
from challenge_bundle.formats.coco import Annotation, CocoFile
from challenge_bundle.store.bulk import insert_new
from challenge_bundle.store.coco_datasets import (
    AnnotatedSet,
    find_dataset,
    in_chunks,
    known_ids,
    set_licenses,
)
from challenge_bundle.store.images import ImageStore
from challenge_bundle.store.tables import (
    ANNOTATIONS,
    CATEGORIES,
    DATASET_IMAGES,
    DATASETS,
    IMAGES,
    SCHEMA,
    UNNAMED,
)

_COMPARED = ("image_id", "category_id", "left_px", "top_px", "width_px", "height_px", "area_px", "is_crowd")


@dataclass(slots=True)
class Changes:
    """How an ingest changed a data set's annotations.

    Args:
        added: Number of new annotations.
        changed: Number of annotations with other values than before.
        removed: Number of annotations that the file no longer has.
        relabelled: Origins of images whose class changed.
        findings: Annotations that the database may hold twice, or of an older version.
    """

    added: int = 0
    changed: int = 0
    removed: int = 0
    relabelled: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [(self.added, "new"), (self.changed, "changed"), (self.removed, "removed")]
        text = ", ".join(f"{count:,} {what}" for count, what in parts if count or what == "new")
        more = f"; images with another class: {len(self.relabelled):,}" if self.relabelled else ""
        return f"annotations: {text}{more}"


def add_annotations(store: ImageStore, found: AnnotatedSet, contents: Mapping[str, str]) -> Changes:
    """Make a data set's annotations of stored images equal to its file's; a second call changes nothing.

    Args:
        store: Holds the images.
        found: The annotations.
        contents: SHA-256 of images that may be stored under another origin, by the origin in the file.

    Raises:
        DataError: The file contradicts itself or another data set; nothing is changed.
    """
    wanted = found.coco.annotations_by_id()
    changes = Changes()
    with speaking(SCHEMA), store.engine.begin() as connection:
        # Locked, for what is compared here must not change meanwhile.
        lock_table(connection, DATASETS)
        numbers = _numbers(connection, found.origins, contents)
        dataset = find_dataset(connection, found, set(numbers.values()))
        set_licenses(connection, found, dataset, numbers)
        categories = _category_ids(connection, found.coco)
        rows = {
            name: _row(dataset, name, one, numbers[one.image_id], categories[one.category_id])
            for name, one in wanted.items()
            if one.image_id in numbers
        }
        _remove_lost(connection, dataset, wanted, rows, set(numbers.values()), changes)
        _adopt(connection, dataset, rows)
        for part in in_chunks(rows):
            _write(connection, dataset, {name: rows[name] for name in part}, changes)
        _relabel(connection, dataset, found, changes)
        if changes.added:
            changes.findings += _find_duplicates(connection, dataset, found, rows)
        if not (found.is_named and found.name == UNNAMED):
            changes.findings += _find_unnamed(connection, set(numbers.values()))
    return changes


def _row(dataset: int, name: str, one: Annotation, image: int, category: int) -> dict[str, Any]:
    left, top, width, height = one.bbox_xywh_px or (None, None, None, None)
    return {
        "dataset_id": dataset,
        "source_id": name,
        "image_id": image,
        "category_id": category,
        "left_px": left,
        "top_px": top,
        "width_px": width,
        "height_px": height,
        "area_px": one.area_px,
        "is_crowd": one.is_crowd,
    }


def _numbers(
    connection: sa.Connection, origins: Mapping[str, str], contents: Mapping[str, str]
) -> dict[str, int]:
    """Map the file's image ids to the store's numbers: by origin, otherwise by content."""
    by_origin = _ids_by(connection, IMAGES.c.origin, origins.values())
    by_content = _ids_by(connection, IMAGES.c.sha256, contents.values())
    numbers: dict[str, int] = {}
    for name, origin in origins.items():
        number = by_content.get(contents.get(origin, ""), by_origin.get(origin))
        if number is not None:
            numbers[name] = number
    return numbers


def _ids_by(connection: sa.Connection, key: sa.Column[Any], values: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in in_chunks(values):
        query = sa.select(key, IMAGES.c.id).where(key.in_(part)).order_by(IMAGES.c.id.desc())
        found |= {str(value): int(number) for value, number in connection.execute(query)}
    return found


def _category_ids(connection: sa.Connection, coco: CocoFile) -> dict[str, int]:
    """Map the file's category ids to the store's numbers; equal name and supercategory are one category."""
    stated = {
        number: {"name": one.name, "supercategory": one.supercategory, "is_street": one.is_street}
        for number, one in coco.categories.items()
    }
    return known_ids(connection, CATEGORIES, stated, ("name", "supercategory"))


def _remove_lost(
    connection: sa.Connection,
    dataset: int,
    wanted: Mapping[str, Annotation],
    rows: Mapping[str, Mapping[str, Any]],
    images: set[int],
    changes: Changes,
) -> None:
    """Delete annotations that the file no longer has, or has on an image that is not in the store."""
    columns = (ANNOTATIONS.c.id, ANNOTATIONS.c.source_id, ANNOTATIONS.c.image_id)
    query = sa.select(*columns).where(ANNOTATIONS.c.dataset_id == dataset)
    lost = [
        number
        for number, name, image in connection.execute(query)
        if name not in wanted or (name not in rows and image in images)
    ]
    for part in in_chunks(lost):
        connection.execute(sa.delete(ANNOTATIONS).where(ANNOTATIONS.c.id.in_(part)))
    changes.removed += len(lost)


def _adopt(connection: sa.Connection, dataset: int, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Take over annotations that an older version of the tool stored: the same id on the same image."""
    unnamed = connection.execute(sa.select(DATASETS.c.id).where(DATASETS.c.name == UNNAMED)).scalar()
    if unnamed is None or unnamed == dataset:
        return
    for part in in_chunks(rows):
        query = sa.select(ANNOTATIONS.c.id, ANNOTATIONS.c.source_id, ANNOTATIONS.c.image_id)
        query = query.where(ANNOTATIONS.c.dataset_id == unnamed, ANNOTATIONS.c.source_id.in_(part))
        own = [number for number, name, image in connection.execute(query) if image == rows[name]["image_id"]]
        if own:
            here = ANNOTATIONS.c.id.in_(own)
            connection.execute(sa.update(ANNOTATIONS).where(here).values(dataset_id=dataset))


def _write(
    connection: sa.Connection, dataset: int, rows: Mapping[str, dict[str, Any]], changes: Changes
) -> None:
    """Insert new annotations, update changed ones."""
    compared = [ANNOTATIONS.c[name] for name in _COMPARED]
    query = sa.select(ANNOTATIONS.c.source_id, *compared).where(
        ANNOTATIONS.c.dataset_id == dataset, ANNOTATIONS.c.source_id.in_(list(rows))
    )
    stored = {name: values for name, *values in connection.execute(query)}
    changed = [
        row
        for name, row in rows.items()
        if name in stored and stored[name] != [row[column] for column in _COMPARED]
    ]
    if changed:
        here = sa.and_(
            ANNOTATIONS.c.dataset_id == dataset, ANNOTATIONS.c.source_id == sa.bindparam("of_source")
        )
        values: dict[str, Any] = {column: sa.bindparam(f"new_{column}") for column in _COMPARED}
        connection.execute(
            sa.update(ANNOTATIONS).where(here).values(values),
            [
                {"of_source": row["source_id"]} | {f"new_{column}": row[column] for column in _COMPARED}
                for row in changed
            ],
        )
    new = [row for name, row in rows.items() if name not in stored]
    key = (ANNOTATIONS.c.dataset_id, ANNOTATIONS.c.source_id)
    changes.added += insert_new(connection, ANNOTATIONS, new, *key)
    changes.changed += len(changed)


def _relabel(connection: sa.Connection, dataset: int, found: AnnotatedSet, changes: Changes) -> None:
    """Update the label of images that only this data set has, if it was one of the two classes."""
    others = sa.select(DATASET_IMAGES.c.image_id).where(
        DATASET_IMAGES.c.image_id == IMAGES.c.id, DATASET_IMAGES.c.dataset_id != dataset
    )
    for part in in_chunks(found.labels):
        query = sa.select(IMAGES.c.id, IMAGES.c.origin, IMAGES.c.label)
        query = query.where(IMAGES.c.origin.in_(part), ~others.exists())
        if found.class_names:
            query = query.where(IMAGES.c.label.in_(found.class_names))
        other = [
            (number, origin)
            for number, origin, label in connection.execute(query)
            if label != found.labels[origin]
        ]
        for number, origin in other:
            here = IMAGES.c.id == number
            connection.execute(sa.update(IMAGES).where(here).values(label=found.labels[origin]))
            changes.relabelled.add(origin)


def _find_duplicates(
    connection: sa.Connection, dataset: int, found: AnnotatedSet, rows: Mapping[str, Mapping[str, Any]]
) -> list[Finding]:
    """Find annotations that another data set seems to hold as well."""
    others = sa.select(DATASETS.c.name).where(DATASETS.c.id != dataset).order_by(DATASETS.c.id)
    same = dict.fromkeys(connection.execute(others).scalars(), 0)
    if not same:
        return []
    columns = (DATASETS.c.name, ANNOTATIONS.c.source_id, ANNOTATIONS.c.image_id)
    joined = sa.select(*columns).join(DATASETS, DATASETS.c.id == ANNOTATIONS.c.dataset_id)
    for part in in_chunks(rows):
        query = joined.where(ANNOTATIONS.c.dataset_id != dataset, ANNOTATIONS.c.source_id.in_(part))
        for name, source_id, image in connection.execute(query):
            same[name] += image == rows[source_id]["image_id"]
    return [
        Finding(
            "annotations-in-two-sets",
            WARNING,
            "",
            f"annotations with the same id on the same image as in data set {name!r}: {count:,} of"
            f" {len(rows):,}",
            f"if {found.coco.path.name} is a corrected version of that file, ingest it with"
            f" &dataset={quote(name, safe='/ ')}, which updates that data set",
        )
        for name, count in same.items()
        if count > len(rows) / 2
    ]


def _find_unnamed(connection: sa.Connection, images: set[int]) -> list[Finding]:
    """Find annotations of an older version of the tool that no file has taken over."""
    unnamed = connection.execute(sa.select(DATASETS.c.id).where(DATASETS.c.name == UNNAMED)).scalar()
    if unnamed is None:
        return []
    query = sa.select(ANNOTATIONS.c.image_id).where(ANNOTATIONS.c.dataset_id == unnamed)
    left = sum(image in images for image in connection.execute(query).scalars())
    if not left:
        return []
    message = (
        "annotations of these images that an older version of the tool stored, and that are not in this"
        f" file: {left:,}, in the data set {shown(UNNAMED)}"
    )
    hint = "to remove them, run `store remove` on those images, and ingest again"
    return [Finding("annotations-of-older-version", WARNING, "", message, hint)]
