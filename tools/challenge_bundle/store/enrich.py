"""Fills in what was not known before of stored images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from challenge_bundle.database.connect import speaking
from challenge_bundle.store.images import ImageStore
from challenge_bundle.store.tables import IMAGES, SCHEMA

_KEYS_AT_A_TIME = 1000


class Details(NamedTuple):
    """An image's patient group, split and date, as its source has them; None where it has none."""

    group_name: str | None
    split: str | None
    taken: str | None


@dataclass(frozen=True, slots=True)
class StoredDetails:
    """The stored values of an image that another ingest may contradict.

    Args:
        label: Class name.
        origin: Where it came from.
        group_name: Patient group, as it is after filling in.
    """

    label: str
    origin: str
    group_name: str | None


def fill_in(
    store: ImageStore, key: sa.Column[Any], details: Sequence[tuple[str, Details]]
) -> tuple[list[StoredDetails | None], int]:
    """Store details that were not known before; known ones stay.

    Args:
        store: Holds the images.
        key: The column that images are found by: origin or sha256.
        details: A value of that column, and the source's details of that image.

    Returns:
        The stored values of each, None if it is not stored; and the number of images that were filled in.
    """
    found: list[StoredDetails | None] = []
    filled: set[int] = set()
    for start in range(0, len(details), _KEYS_AT_A_TIME):
        part = details[start : start + _KEYS_AT_A_TIME]
        with speaking(SCHEMA), store.engine.begin() as connection:
            known = _fill_part(connection, key, part, filled)
        found += [known.get(name) for name, _ in part]
    return found, len(filled)


def _fill_part(
    connection: sa.Connection, key: sa.Column[Any], details: Sequence[tuple[str, Details]], filled: set[int]
) -> Mapping[str, StoredDetails]:
    """See fill_in; the numbers of the images that are changed go to `filled`."""
    columns = [IMAGES.c[name] for name in Details._fields]
    query = sa.select(key, IMAGES.c.id, IMAGES.c.label, IMAGES.c.origin, *columns)
    rows = connection.execute(query.where(key.in_({name for name, _ in details})).order_by(IMAGES.c.id))
    there: dict[str, tuple[int, str, str]] = {}
    values: dict[str, Details] = {}
    for name, number, label, origin, *stored in rows:
        there.setdefault(name, (number, label, origin))
        values.setdefault(name, Details(*stored))
    changed: set[str] = set()
    for name, new in details:
        if name in values:
            old = values[name]
            values[name] = Details(
                *(after if before is None else before for before, after in zip(old, new, strict=True))
            )
            changed |= {name} if values[name] != old else set()
    if changed:
        statement = sa.update(IMAGES).where(IMAGES.c.id == sa.bindparam("number"))
        # Another ingest may have filled it in meanwhile; the first stays.
        only_new = {
            column: sa.func.coalesce(column, sa.bindparam(f"new_{column.name}")) for column in columns
        }
        rows_changed = [
            {"number": there[name][0]}
            | {f"new_{field}": value for field, value in values[name]._asdict().items()}
            for name in changed
        ]
        connection.execute(statement.values(only_new), rows_changed)
        filled |= {there[name][0] for name in changed}
    return {
        name: StoredDetails(label, origin, values[name].group_name)
        for name, (_, label, origin) in there.items()
    }
