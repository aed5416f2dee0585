"""What lies in input_data/, and whether the last import put it there."""

import json
import os
from pathlib import Path
from typing import Any

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.errors import DataError, shown
from challenge_bundle.formats.origins import read_origins
from challenge_bundle.layout import SPLITS, Layout


def names_in(folder: Path) -> set[str]:
    """Names of all that is in a folder, hidden things left out; empty if it is not there.

    Raises:
        DataError: A name is not UTF-8 or has a character that does not print: no csv can hold it.
    """
    if not folder.is_dir():
        return set()
    names = {entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")}
    odd = sorted(name for name in names if not name.isprintable())
    if odd:
        raise DataError(
            f"{len(odd)} of {len(names)} file names are not UTF-8 or have characters that do not print, the"
            f" first: {shown(odd[0])}",
            folder,
            code="file-name-unprintable",
            hint="rename the files",
        )
    return names


def imported_names(layout: Layout) -> set[tuple[str, str]]:
    """(split, name) of each image of the last import; empty if none is known."""
    return {(image.split, image.file) for image in read_origins(layout.origins_csv)}


def is_imported(layout: Layout) -> bool:
    """Whether the images that are there are those of the last import, by their names."""
    there = {(split, name) for split in SPLITS for name in names_in(layout.split_dir(split))}
    return imported_names(layout) == there


def read_import_record(layout: Layout) -> tuple[str, ImportRequest] | None:
    """The source and the request of the last import, if the images that are there are its."""
    record = _read_record(layout)
    try:
        asked: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in record["request"].items()
        }
        return str(record["source"]), ImportRequest(**asked)
    except (KeyError, TypeError, AttributeError):
        return None


def refuse_to_replace_foreign(layout: Layout) -> None:
    """Protect what an organiser handed out: it cannot be made again here.

    Raises:
        DataError: input_data/ holds images that are not an import's.
    """
    if any(names_in(layout.split_dir(split)) for split in SPLITS) and not is_imported(layout):
        raise DataError(
            "holds images that no import put there",
            layout.input_data,
            code="data-not-imported",
            hint="move them away, or let them be replaced with --replace",
        )


def refuse_another_source(layout: Layout, source: str) -> None:
    """Protect an import from a source that nobody named: bundle.toml's default is the synthetic one.

    Args:
        layout: Of the bundle.
        source: Description of the one that bundle.toml names.

    Raises:
        DataError: input_data/ holds an import of another source.
    """
    last = _read_record(layout).get("source")
    if last is None or str(last) == source or not imported_names(layout):
        return
    raise DataError(
        f"holds images of {last}, but no source is named and bundle.toml's (data.source) is {source}",
        layout.input_data,
        code="data-of-another-source",
        hint=(
            f"name the source that you mean, such as `data import '{last}'`, or set data.source, or let the"
            " images be replaced with --replace"
        ),
    )


def _read_record(layout: Layout) -> dict[str, Any]:
    """What the last import recorded; empty if the images that are there are not its."""
    try:
        record = json.loads(layout.import_json.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # Lost or damaged: it only records where the images came from.
        return {}
    return record if isinstance(record, dict) and is_imported(layout) else {}
