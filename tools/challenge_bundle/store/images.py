"""The image database as a library: what goes in, and images that come out at random with flat memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from PIL import Image

from challenge_bundle.database.connect import connect, open_database, speaking
from challenge_bundle.errors import DataError, shown
from challenge_bundle.image_io import reading, to_eight_bits
from challenge_bundle.store.bulk import insert_new
from challenge_bundle.store.tables import ANNOTATIONS, CATEGORIES, DATASET_IMAGES, IMAGES, SCHEMA
from challenge_bundle.store.where import COLUMNS, categories_in, parse_where

_IDS_AT_A_TIME = 64
_KEYS_AT_A_TIME = 1000


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image with all that is known of it.

    Args:
        sha256: Of its bytes, in hexadecimal.
        width: Pixels.
        height: Pixels.
        mode: Of the pixels, as Pillow names it.
        format: Of the file, as Pillow names it.
        label: Its class.
        origin: Where it came from.
        added: When it came into the store, UTC.
        group_name: What it shares with images of the same patient, or the like.
        split: Its split, if it has one.
        taken: When it was made, as its source says.
        path: Where it lies, if it was not taken in.
        data: Its bytes, if it was.
    """

    sha256: str
    width: int
    height: int
    mode: str
    format: str
    label: str
    origin: str
    added: str
    group_name: str | None = None
    split: str | None = None
    taken: str | None = None
    path: str | None = None
    data: bytes | None = None

    def read(self) -> bytes:
        """Its bytes, from the store or from where it lies.

        Raises:
            FileNotFoundError: It lay outside of the store, and is gone.
        """
        return self.data if self.data is not None else Path(str(self.path)).read_bytes()

    def pixels(self, mode: str | None = None, size: tuple[int, int] | None = None) -> np.ndarray:
        """Image (H, W) or (H, W, C), an array of its own.

        Args:
            mode: What it is brought to, `L` (gray) or `RGB`, of 8 bits a channel; None leaves it as Pillow
                decodes it.
            size: (width, height) in pixels that it is brought to (bilinear); None leaves it.
        """
        with reading(self.read()) as opened:
            picture = opened if mode is None else to_eight_bits(opened).convert(mode)
            if size is not None:
                picture = picture.resize(size, Image.Resampling.BILINEAR)
            # asarray would give the file's own bytes, which cannot be written, and torch warns of that.
            return np.array(picture)


_NAMES = [field.name for field in fields(StoredImage)]
_COLUMNS = [IMAGES.c[name] for name in _NAMES]


class ImageStore:
    """The database; may be used from several threads.

    Args:
        url: Such as `sqlite:////path/file` or `postgresql://host/name`.
        create: Whether it is made where it is not there; a reader that does so would see an empty one.

    Raises:
        DataError: It is not there, and is not to be made.
        UnavailableError: It cannot be opened, or is of a newer version of this tool.
    """

    def __init__(self, url: str, create: bool = False) -> None:
        self.url = url
        self.engine = open_database(url, SCHEMA, create)

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    def add(self, images: Sequence[StoredImage]) -> int:
        """Take images in, all at once; one whose content is there is left as it is.

        Returns:
            How many were new.
        """
        with speaking(SCHEMA), self.engine.begin() as connection:
            return insert_new(connection, IMAGES, [_row(image) for image in images], IMAGES.c.sha256)

    def get(self, sha256: str) -> StoredImage:
        """An image by its content.

        Raises:
            DataError: It is not there.
        """
        with speaking(SCHEMA), self.engine.connect() as connection:
            row = connection.execute(sa.select(*_COLUMNS).where(IMAGES.c.sha256 == sha256)).first()
        if row is None:
            raise DataError(f"no image {sha256} in the store; it was removed while it was read")
        return StoredImage(*row)

    def count(self, where: str) -> int:
        """How many images meet a condition; see parse_where.

        Raises:
            DataError: The condition cannot be read.
        """
        query = sa.select(sa.func.count()).select_from(IMAGES).where(self._condition(where))
        with speaking(SCHEMA), self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def remove(self, where: str) -> int:
        """Delete the images that meet a condition, with their annotations, all at once.

        Args:
            where: Which images; see parse_where.

        Returns:
            How many they were.

        Raises:
            DataError: The condition cannot be read.
        """
        query = sa.select(IMAGES.c.id).where(self._condition(where))
        with speaking(SCHEMA), self.engine.begin() as connection:
            # Numbers first: without its annotations, an image may no longer meet the condition.
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
        """What is known of images, without their bytes: values of where.COLUMNS.

        Args:
            where: Which images; see parse_where. None takes all.
            sample: How many of them, of each label its share; None takes all, by origin.
            seed: Of the sample.

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
        """Parse a condition; refuse one that asks for categories that nothing here is annotated with.

        Raises:
            DataError: It cannot be read, or there is no such category.
        """
        condition = parse_where(where)
        asked = categories_in(where)
        if asked:
            with speaking(SCHEMA), self.engine.connect() as connection:
                names = sorted(set(connection.execute(sa.select(CATEGORIES.c.name)).scalars()))
            unknown = next((name for name in asked if name not in names), None)
            if unknown is not None:
                raise DataError(f"the database has no category {shown(unknown)}; {_nearest(unknown, names)}")
        return condition

    def _stream(self, query: sa.Select[Any]) -> Iterator[tuple[Any, ...]]:
        with speaking(SCHEMA), self.engine.connect() as connection:
            result = connection.execution_options(stream_results=True, yield_per=_KEYS_AT_A_TIME)
            for row in result.execute(query):
                yield tuple(row)

    def images(
        self, where: str | None = None, sample: int | None = None, seed: int = 0, as_: str = "array"
    ) -> "ImageStream":
        """Images one after another, in random order, with memory for a few of them.

        Args:
            where: Which images; see parse_where. None takes all.
            sample: How many of them, of each label its share; a larger sample contains the smaller.
            seed: Of sample and order; the same images come in the same order from every database.
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
    """Images of a store in random order; each pass opens the database anew, so it may cross processes.

    Args:
        url: Of the store.
        where: See ImageStore.images, as the others.
        sample: How many.
        seed: Of sample and order.
        as_: What is given.
        part: Which share of the images, counted from 0.
        parts: Of how many shares.
    """

    url: str
    where: str | None
    sample: int | None
    seed: int
    as_: str
    part: int = 0
    parts: int = 1

    def __iter__(self) -> Iterator[Any]:
        engine = connect(self.url, poolclass=sa.NullPool)
        try:
            with speaking(SCHEMA), engine.connect() as connection:
                for ids in self._ids(connection):
                    rows = connection.execute(sa.select(IMAGES.c.id, *_COLUMNS).where(IMAGES.c.id.in_(ids)))
                    found = {row[0]: StoredImage(*row[1:]) for row in rows}
                    # What was removed meanwhile is passed over.
                    images = (found.pop(one) for one in ids if one in found)
                    yield from (image.pixels() if self.as_ == "array" else image for image in images)
        finally:
            engine.dispose()

    def _ids(self, connection: sa.Connection) -> Iterator[list[int]]:
        """Numbers of this share's images, some at a time, through a cursor of the database's."""
        query = sa.select(IMAGES.c.id).order_by(_rank(self.seed))
        if self.sample is not None:
            query = query.where(IMAGES.c.id.in_(_chosen(self.where, self.sample, self.seed)))
        elif self.where is not None:
            query = query.where(parse_where(self.where))
        cursor = connection.execution_options(stream_results=True, yield_per=_KEYS_AT_A_TIME).execute(query)
        place = 0
        for page in cursor.scalars().partitions():
            own = [one for number, one in enumerate(page, place) if number % self.parts == self.part]
            place += len(page)
            for start in range(0, len(own), _IDS_AT_A_TIME):
                yield list(own[start : start + _IDS_AT_A_TIME])


def _nearest(name: str, names: Sequence[str]) -> str:
    if not names:
        return "it has none at all: `store ingest coco:ANNOTATIONS.json?category=NAME` brings annotations"
    near = get_close_matches(name, names)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}"


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
