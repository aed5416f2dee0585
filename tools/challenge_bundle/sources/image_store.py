"""The image database as a source."""

import functools
import os
import re
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.database.connect import with_driver
from challenge_bundle.errors import DataError, shown
from challenge_bundle.findings import WARNING, Finding
from challenge_bundle.progress import Progress
from challenge_bundle.redaction import redact, secrets_in
from challenge_bundle.sources.base import IMAGE_SUFFIXES, Listing, SourceImage
from challenge_bundle.store.images import ImageStore
from challenge_bundle.store.where import COLUMNS, EXAMPLE, parse_where

_WHERE = re.compile(r"[?&]where=")


def parse_store(text: str) -> tuple[str, str | None]:
    """Parse `store?where=CONDITION`, or a database's URL with `?where=CONDITION` or `&where=CONDITION`.

    The condition is last and not escaped, for a text in it may hold what separates a URL's options.

    Returns:
        What is before it, and the condition, if there is one.

    Raises:
        DataError: `store` has another option, or the condition is empty.
    """
    place, *rest = _WHERE.split(text, maxsplit=1)
    if place.startswith("store?") or (rest and not rest[0].strip()):
        raise DataError(
            f"expected store?where=CONDITION, {EXAMPLE}, but got {shown(text)}",
            code="source-options",
            hint="correct the condition",
        )
    return place, rest[0].strip() if rest else None


class StoreSource:
    """The images of an image database, which `store ingest` filled.

    Args:
        url: `sqlite:///FILE` or `postgresql://HOST/NAME`.
        where: Which of them; see parse_where. None takes all.

    Raises:
        UnavailableError: It is no URL.
        DataError: The condition cannot be read.
    """

    names_are_public = False

    def __init__(self, url: str, where: str | None = None) -> None:
        with_driver(url)
        self.made = sa.make_url(url)
        if where is not None:
            parse_where(where)
        self.url, self.where = url, where

    @property
    def description(self) -> str:
        """The URL without its password, and the condition."""
        shown_url = redact(self.made.render_as_string(hide_password=True), secrets_in(self.url))
        if self.where is None:
            return shown_url
        return f"{shown_url}{'&' if self.made.query else '?'}where={self.where}"

    def list_images(self, request: ImportRequest, progress: Progress) -> Listing:
        """List the images, in order of origin; each is read when it is loaded.

        Raises:
            DataError: It is not there, or no image in it meets the condition.
            UnavailableError: It cannot be opened.
        """
        store = ImageStore(self.url)
        # The images read from it for as long as there are any.
        weakref.finalize(store, store.engine.dispose)
        names = list(COLUMNS)
        rows = [dict(zip(names, row, strict=True)) for row in store.rows(self.where)]
        if not rows and self.where is not None:
            raise DataError(
                "no image in it meets the condition",
                self.description,
                code="no-images",
                hint="look with `store query`",
            )
        if not rows:
            raise DataError(
                "no image in it", self.description, code="no-images", hint="fill it with `store ingest`"
            )
        # A split is one only if every image has one.
        is_split = all(row["split"] for row in rows)
        images = [_image(store, row, is_split) for row in rows]
        progress("listing images", len(images), len(images))
        return Listing(images, tuple(_without_patient_group(images)))


def _without_patient_group(images: Sequence[SourceImage]) -> list[Finding]:
    """Images without a patient group where others have one: a patient may be in two splits by them."""
    lacking = [image.origin for image in images if not image.patient_group]
    if not lacking or len(lacking) == len(images):
        return []
    message = f"images without a patient group, though others have one: {len(lacking)}, such as {lacking[0]}"
    hint = "`store ingest` of them with --group RULE fills it in"
    return [Finding("patient-group-unknown", WARNING, "", message, hint)]


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
