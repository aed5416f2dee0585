"""What was not known before of images that are in the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from challenge_bundle.database.connect import speaking
from challenge_bundle.store.images import ImageStore
from challenge_bundle.store.tables import IMAGES, SCHEMA

_KEYS_AT_A_TIME = 1000


class Told(NamedTuple):
    """What a source tells of an image beside its class, each None if it does not; see StoredImage."""

    group_name: str | None
    split: str | None
    taken: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored of an image, as far as ingesting it again may tell it otherwise.

    Args:
        label: Its class.
        origin: Where it came from.
        group_name: Its group, with what was filled in.
    """

    label: str
    origin: str
    group_name: str | None


def fill_in(
    store: ImageStore, key: sa.Column[Any], told: Sequence[tuple[str, Told]]
) -> tuple[list[Known | None], int]:
    """Store what is told of images and was not known before; what was known stays.

    Args:
        store: With the images.
        key: What images are found by: origin or sha256.
        told: By that.

    Returns:
        What is stored of each, None if it is not there; and of how many images something was filled in.
    """
    found: list[Known | None] = []
    filled: set[int] = set()
    for start in range(0, len(told), _KEYS_AT_A_TIME):
        part = told[start : start + _KEYS_AT_A_TIME]
        with speaking(SCHEMA), store.engine.begin() as connection:
            known = _fill_part(connection, key, part, filled)
        found += [known.get(name) for name, _ in part]
    return found, len(filled)


def _fill_part(
    connection: sa.Connection, key: sa.Column[Any], told: Sequence[tuple[str, Told]], filled: set[int]
) -> Mapping[str, Known]:
    """See fill_in; the numbers of the images that are changed go to `filled`."""
    columns = [IMAGES.c[name] for name in Told._fields]
    query = sa.select(key, IMAGES.c.id, IMAGES.c.label, IMAGES.c.origin, *columns)
    rows = connection.execute(query.where(key.in_({name for name, _ in told})).order_by(IMAGES.c.id))
    there: dict[str, tuple[int, str, str]] = {}
    values: dict[str, Told] = {}
    for name, number, label, origin, *stored in rows:
        there.setdefault(name, (number, label, origin))
        values.setdefault(name, Told(*stored))
    changed: set[str] = set()
    for name, new in told:
        if name in values:
            old = values[name]
            values[name] = Told(
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
    return {name: Known(label, origin, values[name].group_name) for name, (_, label, origin) in there.items()}
