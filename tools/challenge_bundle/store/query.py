"""Tables out of the image database: named ones, and the images that meet a condition."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import sqlalchemy as sa

from challenge_bundle.database.connect import speaking
from challenge_bundle.errors import UnavailableError
from challenge_bundle.installation import install_hint
from challenge_bundle.store.tables import (
    ANNOTATIONS,
    CATEGORIES,
    DATASET_IMAGES,
    DATASETS,
    IMAGES,
    LICENSES,
    SCHEMA,
)
from challenge_bundle.store.where import COLUMNS

if TYPE_CHECKING:
    import pandas

_COUNT = sa.func.count().label("images")


def _count_by(*columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    return sa.select(*columns, _COUNT).group_by(*columns).order_by(*columns)


def _count_of(table: sa.Table, name: str) -> sa.Label[int]:
    """How many rows of a table are of a data set."""
    counted = sa.select(sa.func.count()).select_from(table).where(table.c.dataset_id == DATASETS.c.id)
    return counted.scalar_subquery().label(name)


NAMED: Mapping[str, sa.Select[Any]] = {
    "labels": _count_by(IMAGES.c.label, IMAGES.c.split),
    "sizes": _count_by(IMAGES.c.width, IMAGES.c.height, IMAGES.c.mode, IMAGES.c.format),
    "groups": sa.select(IMAGES.c.group_name.label("group"), IMAGES.c.label, _COUNT)
    .group_by(IMAGES.c.group_name, IMAGES.c.label)
    .order_by(IMAGES.c.group_name, IMAGES.c.label),
    "licenses": sa.select(LICENSES.c.id.label("license"), LICENSES.c.name, LICENSES.c.url, _COUNT)
    .join(IMAGES, IMAGES.c.license_id == LICENSES.c.id)
    .group_by(LICENSES.c.id, LICENSES.c.name, LICENSES.c.url)
    .order_by(LICENSES.c.id),
    "categories": sa.select(
        CATEGORIES.c.name,
        CATEGORIES.c.supercategory,
        sa.func.count(ANNOTATIONS.c.id).label("annotations"),
        sa.func.count(ANNOTATIONS.c.image_id.distinct()).label("images"),
    )
    .join(ANNOTATIONS, ANNOTATIONS.c.category_id == CATEGORIES.c.id)
    .group_by(CATEGORIES.c.id, CATEGORIES.c.name, CATEGORIES.c.supercategory)
    .order_by(CATEGORIES.c.name, CATEGORIES.c.supercategory),
    "datasets": sa.select(
        DATASETS.c.name.label("dataset"),
        _count_of(DATASET_IMAGES, "images"),
        _count_of(ANNOTATIONS, "annotations"),
    ).order_by(DATASETS.c.name),
}
"""Tables by name; `street` is one more: a condition by itself."""


class Rows(Protocol):
    """What a query needs of the image database; ImageStore has it."""

    @property
    def engine(self) -> sa.Engine:
        """Its connections."""

    def rows(self, where: str | None = None) -> Iterator[tuple[Any, ...]]:
        """The images that meet a condition."""


def run_query(store: Rows, text: str) -> tuple[Sequence[str], Iterator[tuple[Any, ...]]]:
    """Answer a named query, or list the images that meet a condition; nothing is changed.

    Args:
        store: The database.
        text: A name of NAMED, or a condition; see parse_where.

    Returns:
        The columns' names, and the rows.

    Raises:
        DataError: It is neither.
    """
    if text in NAMED:
        return [column.name for column in NAMED[text].selected_columns], _rows(store, NAMED[text])
    return list(COLUMNS), store.rows(text)


def query_frame(store: Rows, text: str) -> "pandas.DataFrame":
    """Answer a query as a data frame; see ImageStore.frame."""
    try:
        import pandas
    except ModuleNotFoundError:
        raise UnavailableError(
            "a data frame needs pandas", code="pandas-missing", hint=install_hint("pandas")
        ) from None
    columns, rows = run_query(store, text)
    return pandas.DataFrame.from_records(list(rows), columns=list(columns))


def write_rows(columns: Sequence[str], rows: Iterable[tuple[Any, ...]], out: TextIO) -> int:
    """Write rows as csv, one at a time; returns their number."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow(["" if value is None else value for value in row])
        count += 1
    return count


def _rows(store: Rows, query: sa.Select[Any]) -> Iterator[tuple[Any, ...]]:
    with speaking(SCHEMA), store.engine.connect() as connection:
        yield from map(tuple, connection.execute(query))
