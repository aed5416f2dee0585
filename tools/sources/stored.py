"""The image database as a source."""

import functools
import os
import weakref
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from tools.database.opening import speaking
from tools.errors import DataError
from tools.sources.base import IMAGE_SUFFIXES, ImportRequest, Listing, Progress, SourceImage
from tools.store.images import ImageStore
from tools.store.tables import SCHEMA
from tools.store.where import COLUMNS


class StoreSource:
    """All images of an image database, which `store ingest` filled.

    Args:
        url: `sqlite:///FILE` or `postgresql://HOST/NAME`.

    Raises:
        UnavailableError: It is no URL.
    """

    names_are_public = False

    def __init__(self, url: str) -> None:
        with speaking(SCHEMA):
            self.made = sa.make_url(url)
        self.url = url

    @property
    def description(self) -> str:
        """The URL without its password."""
        return self.made.render_as_string(hide_password=True)

    def list_images(self, request: ImportRequest, progress: Progress) -> Listing:
        """List the images, in order of origin; each is read when it is loaded.

        Raises:
            DataError: It is not there, or there is no image in it.
            UnavailableError: It cannot be opened.
        """
        store = ImageStore(self.url)
        # The images read from it for as long as there are any.
        weakref.finalize(store, store.engine.dispose)
        names = list(COLUMNS)
        rows = [dict(zip(names, row, strict=True)) for row in store.rows()]
        if not rows:
            raise DataError("no image in it; fill it with `store ingest`", self.description)
        # A split is one only if every image has one.
        is_split = all(row["split"] for row in rows)
        images = [_image(store, row, is_split) for row in rows]
        progress("listing images", len(images), len(images))
        return Listing(images)


def _image(store: ImageStore, row: Mapping[str, Any], is_split: bool) -> SourceImage:
    origin: str = row["origin"]
    # Another source made this image of a file of another kind, such as DICOM; its key is that source's.
    is_made = os.path.splitext(origin)[1].lower() not in IMAGE_SUFFIXES
    return SourceImage(
        origin,
        row["label"],
        row["split"] if is_split else None,
        functools.partial(_load, store, row["sha256"]),
        row["group"],
        suffix=f".{row['format'].lower()}" if is_made else "",
        key=origin if is_made else "",
    )


def _load(store: ImageStore, sha256: str) -> bytes:
    return store.get(sha256).read()
