"""The data that are in place: what they are, and whether they are of one data set."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from challenge_bundle.dataset.publish import recover_import
from challenge_bundle.errors import DataError, shown
from challenge_bundle.formats.label_table import LabelTable, read_label_table
from challenge_bundle.formats.origins import read_origins
from challenge_bundle.layout import SPLITS, Layout, split_dir_name
from challenge_bundle.settings import Bundle
from challenge_bundle.sources.base import ImportRequest

_LABELLED = ("training", "validation")
"""The splits whose classes everybody has."""


@dataclass(frozen=True, slots=True)
class DataSummary:
    """What input_data/ holds.

    Args:
        source: What was imported.
        class_names: In alphabetical order.
        counts: Images of each split.
        warnings: What a person should know of; nothing that stops the work.
        request: What was asked of the import; None if no import is known.
        has_reference: Whether the classes of the testing images are here, as they are at the organiser's.
        classes: Images of each class; of an import that was made just now, else empty.
        groups: How many groups (patients) that import knows of, and how many of them are in two splits.
    """

    source: str
    class_names: tuple[str, ...]
    counts: dict[str, int]
    warnings: tuple[str, ...] = ()
    request: ImportRequest | None = None
    has_reference: bool = True
    classes: Mapping[str, int] = field(default_factory=dict)
    groups: tuple[int, int] = (0, 0)


def read_summary(layout: Layout) -> DataSummary | None:
    """Say what is in input_data/; None if it holds no data.

    Raises:
        DataError: input_data/ holds a part of the data only, or the reference is of other images.
    """
    recover_import(layout)
    there = [path for split in SPLITS for path in (layout.solution_csv(split), layout.split_dir(split))]
    # Participants do not have it.
    there.remove(layout.solution_csv("testing"))
    if not any(path.exists() for path in there):
        return None
    lacking = next((path for path in there if not path.exists()), None)
    if lacking is not None:
        raise DataError(
            "not found, though other data are there; put it there, or clear input_data/ and import again",
            lacking,
        )
    has_reference = layout.solution_csv("testing").exists()
    if has_reference:
        _check_reference(read_label_table(layout.solution_csv("testing")), layout)
    tables = {split: read_label_table(layout.solution_csv(split)) for split in _LABELLED}
    _check_tables(tables, layout)
    record = _record(layout)
    return DataSummary(
        source=record[0] if record else "put there by hand",
        class_names=tuple(sorted(set(tables["training"].class_of.values()))),
        counts={split: len(table.class_of) for split, table in tables.items()}
        | {"testing": len(names_in(layout.testing_data))},
        request=record[1] if record else None,
        has_reference=has_reference,
    )


def check_together(layout: Layout) -> None:
    """Refuse what is in input_data/ if it is of two data sets; what is not there is no fault.

    Raises:
        DataError: Files and rows do not fit each other, or something is there that should not be.
    """
    whole = [s for s in _LABELLED if layout.solution_csv(s).exists() and layout.split_dir(s).is_dir()]
    _check_tables({split: read_label_table(layout.solution_csv(split)) for split in whole}, layout)


def refuse_to_replace_foreign(layout: Layout) -> None:
    """Protect what an organiser handed out: it cannot be made again here.

    Raises:
        DataError: input_data/ holds images that are not an import's.
    """
    if any(names_in(layout.split_dir(split)) for split in SPLITS) and not _is_imported(layout):
        raise DataError(
            "holds images that no import put there; move them away, or let them be replaced with --replace",
            layout.input_data,
        )


def refuse_another_source(layout: Layout, source: str) -> None:
    """Protect an import from one that nobody named: bundle.toml may say nothing, and mean phantoms.

    Args:
        layout: Of the bundle.
        source: Description of the one that bundle.toml says.

    Raises:
        DataError: input_data/ holds an import of another source.
    """
    last = _last_source(layout)
    if last in (None, source):
        return
    raise DataError(
        f"holds images of {last}, but no source is named and bundle.toml's (data.source) is {source}; name"
        f" the one that you mean, such as `data import '{last}'`, or set data.source, or let the images be"
        " replaced with --replace",
        layout.input_data,
    )


def known_class_names(bundle: Bundle, layout: Layout) -> tuple[str, ...]:
    """The challenge's classes: of the manifest, else of the training images, else unknown (empty)."""
    solution = layout.solution_csv("training")
    if bundle.class_names or not solution.exists():
        return bundle.class_names
    return tuple(sorted(set(read_label_table(solution).class_of.values())))


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
            f" first: {shown(odd[0])}; rename the files",
            folder,
        )
    return names


def _check_tables(tables: Mapping[str, LabelTable], layout: Layout) -> None:
    """Refuse rows that do not fit their split's images, and what is left of other data.

    Raises:
        DataError: There are some.
    """
    for split, table in tables.items():
        _check_rows(table, layout.split_dir(split))
    if layout.input_data.is_dir():
        _check_leftovers(layout)


def _check_rows(table: LabelTable, folder: Path) -> None:
    """Refuse images without a row and rows without an image, such as those of two data sets in one folder.

    Raises:
        DataError: There are some.
    """
    unnamed, lost = names_in(folder) - table.class_of.keys(), table.class_of.keys() - names_in(folder)
    if unnamed or lost:
        what = "files without a row" if unnamed else "rows without a file"
        names = unnamed or lost
        raise DataError(
            f"{what} in the csv: {len(names)}, the first {shown(min(names))}; put one data set there alone",
            folder,
        )


def _check_leftovers(layout: Layout) -> None:
    """Refuse what an earlier import, or a folder in the wrong place, left among other images.

    Raises:
        DataError: There is some.
    """
    expected = {split_dir_name(split) for split in SPLITS}
    odd = [path for path in layout.input_data.iterdir() if path.is_dir() and path.name[0] != "."]
    odd = sorted(path for path in odd if path.name not in expected)
    if odd:
        raise DataError("is no part of the bundle layout; move it away, or what is in it up", odd[0])
    imported = {name for split, name in _imported_names(layout) if split == "testing"}
    there = names_in(layout.testing_data)
    if imported & there and imported != there:
        raise DataError(
            f"mixes {len(imported & there)} images of an earlier import with others; clear it, and put one"
            " data set there alone",
            layout.testing_data,
        )


def _check_reference(table: LabelTable, layout: Layout) -> None:
    """Refuse a reference of other data, such as one that an earlier import left.

    Raises:
        DataError: It names other images than those of the testing split.
    """
    images = names_in(layout.testing_data)
    other = sorted(images ^ table.class_of.keys())
    if other:
        raise DataError(
            f"is not of the images in {layout.testing_data.name}/ ('{other[0]}' is in one of the two alone);"
            " remove it if the organiser has the reference, or import the data again",
            layout.solution_csv("testing"),
        )


def _record(layout: Layout) -> tuple[str, ImportRequest] | None:
    """The source and the request of the last import, if the images that are there are its."""
    record = _read_import(layout)
    try:
        asked: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in record["request"].items()
        }
        return str(record["source"]), ImportRequest(**asked)
    except (KeyError, TypeError, AttributeError):
        return None


def _last_source(layout: Layout) -> str | None:
    """What the images that are there were imported from; None if there are none, or it is not known."""
    source = _read_import(layout).get("source")
    return str(source) if source is not None and _imported_names(layout) else None


def _read_import(layout: Layout) -> dict[str, Any]:
    """What the last import noted of itself; empty if the images that are there are not its."""
    try:
        record = json.loads(layout.import_json.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # Lost or spoiled: it only says where the images came from.
        return {}
    return record if isinstance(record, dict) and _is_imported(layout) else {}


def _is_imported(layout: Layout) -> bool:
    """Tell whether the images that are there are those of the last import, by their names."""
    placed = _imported_names(layout)
    return placed == {(split, name) for split in SPLITS for name in names_in(layout.split_dir(split))}


def _imported_names(layout: Layout) -> set[tuple[str, str]]:
    """(split, name) of each image of the last import; empty if none is known."""
    return {(image.split, image.file) for image in read_origins(layout.origins_csv)}
