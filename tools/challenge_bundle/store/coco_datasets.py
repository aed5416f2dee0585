"""Annotated data sets: the one that a file's ids belong to, its images, and their licences."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from challenge_bundle.errors import DataError, shown
from challenge_bundle.formats.coco import CocoFile
from challenge_bundle.store.bulk import insert_new
from challenge_bundle.store.tables import ANNOTATIONS, DATASET_IMAGES, DATASETS, IMAGES, LICENSES

T = TypeVar("T")

_ROWS_AT_A_TIME = 1000
_MOST_ID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class AnnotatedSet:
    """The content of an annotations file, for the image database.

    Args:
        name: Name of the data set that the file's ids belong to.
        is_named: Whether the source gives the name (`&dataset=NAME`); otherwise it is the file's path.
        sha256: SHA-256 of the file, in hexadecimal.
        coco: The parsed file.
        origins: Origin of each image, by its id in the file.
        class_names: The two classes of the source's question; empty where it asks for all categories.
        labels: Label text of each image that the source gives, by origin.
    """

    name: str
    is_named: bool
    sha256: str
    coco: CocoFile
    origins: Mapping[str, str]
    class_names: tuple[str, ...]
    labels: Mapping[str, str]


def in_chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield the items in lists of as many as one statement takes."""
    listed = list(items)
    for start in range(0, len(listed), _ROWS_AT_A_TIME):
        yield listed[start : start + _ROWS_AT_A_TIME]


def find_dataset(connection: sa.Connection, found: AnnotatedSet, images: set[int]) -> int:
    """Find the data set by its name, then by the same file at another path; otherwise make a new one."""
    columns = (DATASETS.c.name, DATASETS.c.id, DATASETS.c.file_sha256)
    known = {name: (number, digest) for name, number, digest in connection.execute(sa.select(*columns))}
    path = str(found.coco.path)
    if found.is_named and found.name not in known and path in known:
        # The file's own data set is given a name.
        _update_dataset(connection, known[path][0], found)
        return int(known[path][0])
    if found.is_named and found.name != path and path in known:
        _drop_dataset(connection, known[path][0])
    if found.name in known:
        _update_dataset(connection, known[found.name][0], found)
        return int(known[found.name][0])
    if not found.is_named:
        for name, (number, digest) in known.items():
            if digest == found.sha256 and images & _images_of(connection, number):
                if not Path(name).is_file():
                    _update_dataset(connection, number, found)
                return int(number)
    made = sa.insert(DATASETS).values(name=found.name, file_sha256=found.sha256)
    (key,) = connection.execute(made).inserted_primary_key or (0,)
    return int(key)


def _update_dataset(connection: sa.Connection, number: int, found: AnnotatedSet) -> None:
    here = DATASETS.c.id == number
    connection.execute(sa.update(DATASETS).where(here).values(name=found.name, file_sha256=found.sha256))


def _drop_dataset(connection: sa.Connection, number: int) -> None:
    """Delete a data set whose file is about to be stored under another name."""
    connection.execute(sa.delete(ANNOTATIONS).where(ANNOTATIONS.c.dataset_id == number))
    connection.execute(sa.delete(DATASET_IMAGES).where(DATASET_IMAGES.c.dataset_id == number))
    connection.execute(sa.delete(DATASETS).where(DATASETS.c.id == number))


def _images_of(connection: sa.Connection, dataset: int) -> set[int]:
    query = sa.select(DATASET_IMAGES.c.image_id).where(DATASET_IMAGES.c.dataset_id == dataset)
    return set(connection.execute(query).scalars())


def known_ids(
    connection: sa.Connection,
    table: sa.Table,
    stated: Mapping[str, Mapping[str, Any]],
    key: tuple[str, str],
) -> dict[str, int]:
    """Map a file's ids to numbers of rows; a new row gets the file's own number if that is free."""
    query = sa.select(table.c.id, *(table.c[name] for name in key))
    known = {(first, second): number for number, first, second in connection.execute(query)}
    taken = set(known.values())
    numbers: dict[str, int] = {}
    new: list[dict[str, Any]] = []
    for source_id, row in stated.items():
        key_of_row = (row[key[0]], row[key[1]])
        if key_of_row not in known:
            own = int(source_id) if source_id.isdecimal() and len(source_id) < 10 else -1
            number = own if 0 <= own <= _MOST_ID and own not in taken else max(taken, default=0) + 1
            known[key_of_row] = number
            taken.add(number)
            new.append({"id": number, **row})
        numbers[source_id] = known[key_of_row]
    if new:
        connection.execute(sa.insert(table), new)
    return numbers


def set_licenses(
    connection: sa.Connection, found: AnnotatedSet, dataset: int, numbers: Mapping[str, int]
) -> None:
    """Store which images the data set has, and their licences.

    Raises:
        DataError: An image has another licence under another name in this file, or in another data set.
    """
    stated = {number: {"name": one.name, "url": one.url} for number, one in found.coco.licenses.items()}
    ids = known_ids(connection, LICENSES, stated, ("name", "url"))
    of_image: dict[int, int | None] = {}
    first: dict[int, str] = {}
    for image in found.coco.images:
        if image.image_id not in numbers:
            continue
        number, own = numbers[image.image_id], ids.get(image.license_id or "")
        other = of_image.get(number)
        if own is not None and other is not None and own != other:
            raise _contradiction(connection, found, image.file_name, own, other, shown(first[number]))
        if number not in of_image or own is not None:
            of_image[number], first[number] = own, image.file_name
    for part in in_chunks(of_image):
        _check_other_licenses(
            connection, found, dataset, {number: of_image[number] for number in part}, first
        )
        rows = [
            {"dataset_id": dataset, "image_id": number, "license_id": of_image[number]} for number in part
        ]
        mine = sa.and_(DATASET_IMAGES.c.dataset_id == dataset, DATASET_IMAGES.c.image_id.in_(part))
        connection.execute(sa.delete(DATASET_IMAGES).where(mine))
        insert_new(connection, DATASET_IMAGES, rows, DATASET_IMAGES.c.dataset_id, DATASET_IMAGES.c.image_id)
    _write_licenses(connection, of_image)


def _write_licenses(connection: sa.Connection, of_image: Mapping[int, int | None]) -> None:
    values = [{"number": number, "own": own} for number, own in of_image.items() if own is not None]
    if values:
        here = IMAGES.c.id == sa.bindparam("number")
        connection.execute(sa.update(IMAGES).where(here).values(license_id=sa.bindparam("own")), values)


def _check_other_licenses(
    connection: sa.Connection,
    found: AnnotatedSet,
    dataset: int,
    of_image: Mapping[int, int | None],
    names: Mapping[int, str],
) -> None:
    query = (
        sa.select(DATASET_IMAGES.c.image_id, DATASET_IMAGES.c.license_id, DATASETS.c.name)
        .join(DATASETS, DATASETS.c.id == DATASET_IMAGES.c.dataset_id)
        .where(DATASET_IMAGES.c.image_id.in_(list(of_image)), DATASET_IMAGES.c.dataset_id != dataset)
        .where(DATASET_IMAGES.c.license_id.is_not(None))
    )
    for number, other, name in connection.execute(query):
        own = of_image[number]
        if own is not None and own != other:
            raise _contradiction(connection, found, names[number], own, other, f"data set {name!r}")


def _contradiction(
    connection: sa.Connection, found: AnnotatedSet, image: str, own: int, other: int, where: str
) -> DataError:
    query = sa.select(LICENSES.c.id, LICENSES.c.name, LICENSES.c.url).where(LICENSES.c.id.in_((own, other)))
    texts = {number: f"{shown(name)} ({url})" for number, name, url in connection.execute(query)}
    return DataError(
        f"image {shown(image)} has the licence {texts[own]}, but the same image in {where} has"
        f" {texts[other]}; no annotation was stored",
        found.coco.path,
        code="licence-conflict",
        hint="correct one of the two",
    )
