"""The image database as a library: images go in, and come out in random order with memory for a few."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa

from challenge_bundle.database.connect import connect, open_database, speaking
from challenge_bundle.errors import DataError, shown
from challenge_bundle.layout import Layout
from challenge_bundle.store.bulk import insert_new
from challenge_bundle.store.connection import read_settings
from challenge_bundle.store.stored_image import StoredImage
from challenge_bundle.store.tables import ANNOTATIONS, CATEGORIES, DATASET_IMAGES, IMAGES, SCHEMA
from challenge_bundle.store.where import COLUMNS, categories_in, parse_where

if TYPE_CHECKING:
    import pandas

_IDS_AT_A_TIME = 64
_KEYS_AT_A_TIME = 1000


_NAMES = [field.name for field in fields(StoredImage)]
_COLUMNS = [IMAGES.c[name] for name in _NAMES]


class ImageStore:
    """The database; may be used from several threads.

    Args:
        url: Such as `sqlite:////path/file` or `postgresql://host/name`; a Path is an SQLite file.
        create: Whether it is made if it does not exist; otherwise a mistyped name would give an empty one.

    Raises:
        DataError: It does not exist, and `create` is false.
        UnavailableError: It cannot be opened, or was made by a newer version of this tool.

    Example:
        >>> with ImageStore("postgresql://db.example.org/images") as store:
        ...     print(f"{len(store):,} images", store.labels())
        ...     for image in store.images(sample=1000, seed=0, as_="record"):
        ...         print(image.label, image.pixels("RGB", (64, 64)).shape)
    """

    def __init__(self, url: str | Path, create: bool = False) -> None:
        if isinstance(url, Path):
            url = sa.URL.create("sqlite", database=str(url.absolute())).render_as_string()
        self.url = url
        self.engine = open_database(url, SCHEMA, create)

    @classmethod
    def from_env(cls, folder: Path | str = ".", create: bool = False) -> Self:
        """Open the database that `bundle store` uses in a bundle's folder.

        The environment, then the folder's `.env` name it (BUNDLE_STORE, or POSTGRES_HOST, _PORT, _USER,
        _PASSWORD and _DB); without either it is the folder's `.bundle/store.sqlite`.

        Args:
            folder: The bundle's, with the `.env`.
            create: As of the class.

        Raises:
            DataError: `.env` cannot be read, or as of the class.
            UnavailableError: As of the class.
        """
        layout = Layout(Path(folder).resolve())
        return cls(read_settings(layout.env_file, layout.store_file, os.environ).url, create)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __len__(self) -> int:
        with speaking(SCHEMA), self.engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(IMAGES)).scalar_one())

    def __bool__(self) -> bool:
        # An empty store is one, too.
        return True

    def __iter__(self) -> Iterator[StoredImage]:
        return iter(self.images(as_="record"))

    def __repr__(self) -> str:
        return f"ImageStore({self.engine.url.render_as_string(hide_password=True)!r})"

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def labels(self) -> dict[str, int]:
        """Count the images of each label, in order of the labels."""
        query = sa.select(IMAGES.c.label, sa.func.count()).group_by(IMAGES.c.label)
        with speaking(SCHEMA), self.engine.connect() as connection:
            return dict(sorted((str(label), int(count)) for label, count in connection.execute(query)))

    def frame(self, query: str) -> "pandas.DataFrame":
        """Answer a query as a data frame (extra `pandas`).

        Args:
            query: A condition on images, or the name of a table; see `bundle store query --help`.

        Raises:
            DataError: It is neither.
            UnavailableError: pandas is not installed.

        Example:
            >>> store.frame("label != 'CXR' and not street").groupby("label").size()
        """
        from challenge_bundle.store.query import query_frame

        return query_frame(self, query)

    def add(self, images: Sequence[StoredImage]) -> int:
        """Store images in one transaction; an image whose content is stored already is left as it is.

        Returns:
            The number of new images.
        """
        with speaking(SCHEMA), self.engine.begin() as connection:
            return insert_new(connection, IMAGES, [_row(image) for image in images], IMAGES.c.sha256)

    def get(self, sha256: str) -> StoredImage:
        """Return an image by the SHA-256 of its bytes.

        Raises:
            DataError: It is not in the store.
        """
        with speaking(SCHEMA), self.engine.connect() as connection:
            row = connection.execute(sa.select(*_COLUMNS).where(IMAGES.c.sha256 == sha256)).first()
        if row is None:
            raise DataError(
                f"the store has no image {sha256}",
                code="image-missing",
                hint="read again: it was removed meanwhile",
            )
        return StoredImage(*row)

    def count(self, where: str) -> int:
        """Count the images that meet a condition; see parse_where.

        Raises:
            DataError: The condition cannot be read.
        """
        query = sa.select(sa.func.count()).select_from(IMAGES).where(self._condition(where))
        with speaking(SCHEMA), self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def remove(self, where: str) -> int:
        """Delete the images that meet a condition, with their annotations, in one transaction.

        Args:
            where: The condition; see parse_where.

        Returns:
            The number of images.

        Raises:
            DataError: The condition cannot be read.
        """
        query = sa.select(IMAGES.c.id).where(self._condition(where))
        with speaking(SCHEMA), self.engine.begin() as connection:
            # The numbers are read first: without its annotations, an image may no longer meet the condition.
            found = list(connection.execute(query).scalars())
            for start in range(0, len(found), _KEYS_AT_A_TIME):
                part = found[start : start + _KEYS_AT_A_TIME]
                for table in (ANNOTATIONS, DATASET_IMAGES):
                    connection.execute(sa.delete(table).where(table.c.image_id.in_(part)))
                connection.execute(sa.delete(IMAGES).where(IMAGES.c.id.in_(part)))
        return len(found)

    def rows(
        self, where: str | None = None, sample: int | None = None, seed: int = 0
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the records of images without their bytes, in order of origin: values of where.COLUMNS.

        Args:
            where: The condition; see parse_where. None takes all images.
            sample: The number of images to draw, of each label its share; None takes all.
            seed: Seed of the sample.

        Raises:
            DataError: The condition cannot be read.
        """
        query = sa.select(*COLUMNS.values())
        met = None if where is None else self._condition(where)
        if sample is not None:
            query = query.where(IMAGES.c.id.in_(_chosen(where, sample, seed)))
        elif met is not None:
            query = query.where(met)
        return self._stream(query.order_by(IMAGES.c.origin, IMAGES.c.id))

    def _condition(self, where: str) -> sa.ColumnElement[bool]:
        """Parse a condition; refuse one that asks for a category that the database lacks."""
        condition = parse_where(where)
        asked = categories_in(where)
        if asked:
            with speaking(SCHEMA), self.engine.connect() as connection:
                names = sorted(set(connection.execute(sa.select(CATEGORIES.c.name)).scalars()))
            unknown = next((name for name in asked if name not in names), None)
            if unknown is not None:
                raise DataError(
                    f"the database has no category {shown(unknown)}",
                    code="category-unknown",
                    hint=_nearest(unknown, names),
                )
        return condition

    def _stream(self, query: sa.Select[Any]) -> Iterator[tuple[Any, ...]]:
        with speaking(SCHEMA), self.engine.connect() as connection:
            result = connection.execution_options(stream_results=True, yield_per=_KEYS_AT_A_TIME)
            for row in result.execute(query):
                yield tuple(row)

    def images(
        self, where: str | None = None, sample: int | None = None, seed: int = 0, as_: str = "array"
    ) -> "ImageStream":
        """Stream images in random order, with memory for a few of them.

        Args:
            where: The condition; see parse_where. None takes all images.
            sample: The number of images to draw, of each label its share; a larger sample contains it.
            seed: Seed of sample and order; every database gives the same images in the same order.
            as_: `array` gives pixels, (H, W) or (H, W, C); `record` a StoredImage.

        Raises:
            DataError: The condition cannot be read.
        """
        if as_ not in ("array", "record"):
            raise ValueError(f"as_ is {as_!r}; expected 'array' or 'record'")
        if where is not None:
            self._condition(where)
        return ImageStream(self.url, where, sample, seed, as_)


@dataclass(frozen=True, slots=True)
class ImageStream:
    """Images of a store in random order, as ImageStore.images gives them.

    Each pass opens the database again, so a stream may be sent to another process.

    Args:
        url: URL of the store.
        where: As of ImageStore.images, like the next three.
        sample: Number of images.
        seed: Seed of sample and order.
        as_: `array` or `record`.
        share: Which share of the images this stream gives, counted from 0.
        shares: Number of shares, such as one for each worker of a DataLoader.
    """

    url: str
    where: str | None
    sample: int | None
    seed: int
    as_: str
    share: int = 0
    shares: int = 1

    def __len__(self) -> int:
        """Count the images of one pass."""
        with self._connected() as connection:
            chosen = self._query().order_by(None).subquery()
            total = int(connection.execute(sa.select(sa.func.count()).select_from(chosen)).scalar_one())
        return len(range(self.share, total, self.shares))

    def __repr__(self) -> str:
        what = [f"where={self.where!r}"] if self.where is not None else []
        what += [f"sample={self.sample}"] if self.sample is not None else []
        what += [f"seed={self.seed}", f"as_={self.as_!r}"]
        what += [f"share={self.share}, shares={self.shares}"] if self.shares > 1 else []
        return f"ImageStream({', '.join(what)})"

    def __iter__(self) -> Iterator[Any]:
        with self._connected() as connection:
            for ids in self._ids(connection):
                rows = connection.execute(sa.select(IMAGES.c.id, *_COLUMNS).where(IMAGES.c.id.in_(ids)))
                found = {row[0]: StoredImage(*row[1:]) for row in rows}
                # An image that was removed meanwhile is left out.
                images = (found.pop(one) for one in ids if one in found)
                yield from (image.pixels() if self.as_ == "array" else image for image in images)

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        engine = connect(self.url, poolclass=sa.NullPool)
        try:
            with speaking(SCHEMA), engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    def _query(self) -> sa.Select[Any]:
        query = sa.select(IMAGES.c.id).order_by(_rank(self.seed))
        if self.sample is not None:
            return query.where(IMAGES.c.id.in_(_chosen(self.where, self.sample, self.seed)))
        return query if self.where is None else query.where(parse_where(self.where))

    def _ids(self, connection: sa.Connection) -> Iterator[list[int]]:
        """Numbers of this share's images, some at a time, through a cursor of the database's."""
        options = connection.execution_options(stream_results=True, yield_per=_KEYS_AT_A_TIME)
        place = 0
        for page in options.execute(self._query()).scalars().partitions():
            own = [one for number, one in enumerate(page, place) if number % self.shares == self.share]
            place += len(page)
            for start in range(0, len(own), _IDS_AT_A_TIME):
                yield list(own[start : start + _IDS_AT_A_TIME])


def _nearest(name: str, names: Sequence[str]) -> str:
    if not names:
        return "import annotations: `store ingest coco:ANNOTATIONS.json?category=NAME`"
    near = get_close_matches(name, names)
    return f"write {' or '.join(map(repr, near))}" if near else f"write one of {', '.join(names)}"


def _row(image: StoredImage) -> dict[str, Any]:
    # dataclasses.asdict copies every value deeply, which took as long as decoding a small image.
    return {name: getattr(image, name) for name in _NAMES}


def _chosen(where: str | None, sample: int, seed: int) -> sa.Select[Any]:
    """The numbers of a sample's images: of each label its share, by their places within their label."""
    order = sa.func.row_number().over(partition_by=IMAGES.c.label, order_by=_rank(seed))
    count = sa.func.count().over(partition_by=IMAGES.c.label)
    query = sa.select(IMAGES.c.id, ((order - 0.5) / count).label("place"), _rank(seed).label("rank"))
    ranked = (query if where is None else query.where(parse_where(where))).subquery()
    return sa.select(ranked.c.id).order_by(ranked.c.place, ranked.c.rank).limit(sample)


def _rank(seed: int) -> sa.ColumnElement[str]:
    """A place in a random order that depends on the seed and the content alone, not on what else there is."""
    return sa.func.md5(sa.literal(f"{seed}:", sa.String).concat(IMAGES.c.sha256))
