"""From what a person types (`synthetic`, `folder:PATH`, `s3://...`) to a source."""

import os
from pathlib import Path

from challenge_bundle.errors import DataError
from challenge_bundle.layout import Layout
from challenge_bundle.redaction import redact, secrets_in
from challenge_bundle.sources.base import Source

SOURCE_FORMS = (
    "synthetic",
    "mednist",
    "folder:PATH",
    "csv:FILE[?file=COLUMN&class=COLUMN] (or value=COLUMN, or labels=COLUMN|COLUMN)",
    "dicom:PATH[?label=TAG]",
    "s3://BUCKET/PREFIX (or gs://, az://, https://)",
    "coco:ANNOTATIONS.json[?category=NAME]",
    "store[?where=CONDITION] (the image database of this bundle), postgresql://HOST/NAME or sqlite:///FILE"
    " (another one)",
)


def choose_source(text: str, base: Path, anonymous: bool = False, layout: Layout | None = None) -> Source:
    """Make the source that `text` names.

    Args:
        text: One of SOURCE_FORMS.
        base: What a relative PATH is relative to.
        anonymous: Whether a server is asked without credentials.
        layout: Of the bundle whose image database `store` is; that in base by default.

    Raises:
        DataError: It names none.
    """
    kind, _, rest = text.partition(":")
    if text == "synthetic":
        from challenge_bundle.sources.synthetic import SyntheticSource

        return SyntheticSource()
    if text == "mednist":
        from challenge_bundle.sources.mednist import MedNISTSource

        return MedNISTSource()
    if text.partition("?")[0] == "store":
        from challenge_bundle.sources.image_store import StoreSource, parse_store
        from challenge_bundle.store.connection import read_settings

        _, where = parse_store(text)
        own = layout or Layout(base)
        return StoreSource(read_settings(own.env_file, own.store_file, os.environ).url, where)
    if kind == "folder" and rest:
        from challenge_bundle.sources.folder import FolderSource

        return FolderSource((base / Path(rest).expanduser()).resolve())
    if kind == "csv" and rest:
        from challenge_bundle.sources.csv_table import TableSource

        return TableSource(text, base)
    if kind == "dicom" and rest:
        from challenge_bundle.sources.dicom import parse_dicom_source

        return parse_dicom_source(rest, base)
    if kind == "coco" and rest:
        from challenge_bundle.sources.coco import CocoSource, parse_question

        return CocoSource(parse_question(text, base))
    if kind.partition("+")[0] in ("postgresql", "sqlite"):
        from challenge_bundle.sources.image_store import StoreSource, parse_store

        return StoreSource(*parse_store(text))
    if rest.startswith("//"):
        from challenge_bundle.sources.remote import RemoteSource

        return RemoteSource(text, anonymous)
    hint = f"write folder:{text}" if (base / text).is_dir() else "correct it, or data.source in bundle.toml"
    raise DataError(
        f"unknown source {redact(text, secrets_in(text))!r}; expected {', '.join(SOURCE_FORMS)}",
        code="unknown-source",
        hint=hint,
    )
