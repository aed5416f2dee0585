"""Correcting labels of images that are in place: what would change, then all of it or nothing."""

import csv
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from challenge_bundle.dataset.publish import put_away, recover_import, staging_folders
from challenge_bundle.errors import DataError, shown
from challenge_bundle.files import synchronise, write_csv
from challenge_bundle.formats.csv_lines import base_name
from challenge_bundle.formats.origins import read_origins, write_origins
from challenge_bundle.formats.reference import Reference, read_reference
from challenge_bundle.formats.tasks import WITH_ONE_CLASS, label_cells, label_columns
from challenge_bundle.layout import SPLITS, Layout


@dataclass(frozen=True, slots=True)
class Correction:
    """An image that gets another label.

    Args:
        split: Where it lies.
        name: Its base name.
        before: Its label text.
        after: Its label text from now on.
    """

    split: str
    name: str
    before: str
    after: str


def read_corrections(path: Path, layout: Layout) -> list[Correction]:
    """Compare a csv of labels, in the form of the bundle's own csv files, with what is in place.

    Returns:
        What differs, in the order of splits and names.

    Raises:
        DataError: A row names no image or no class of this bundle, or a class would have no image left.
    """
    tables = {
        split: read_reference(layout.solution_csv(split))
        for split in SPLITS
        if layout.solution_csv(split).is_file()
    }
    if not tables:
        raise DataError(
            "there are no labels to correct",
            layout.input_data,
            code="no-data",
            hint="run `data import` first",
        )
    task = next(iter(tables.values())).task
    table = read_reference(path, task)
    class_names = {name for known in tables.values() for name in known.class_names}
    found = []
    for name, after in table.label_of.items():
        split = _split_of(name, table, tables, path)
        if task.name in WITH_ONE_CLASS and after not in class_names:
            raise DataError(
                f"{shown(after)} is no class of this bundle; expected one of"
                f" {', '.join(sorted(class_names))}",
                path,
                table.row_of[name],
                code="csv-unknown-class",
                hint="correct the row",
            )
        before = tables[split].label_of[name]
        if before != after:
            found.append(Correction(split, name, before, after))
    for split, known in tables.items() if task.name in WITH_ONE_CLASS else ():
        _refuse_empty_classes(split, known, found, path)
    return sorted(found, key=lambda one: (SPLITS.index(one.split), one.name))


def apply_corrections(corrections: list[Correction], path: Path, layout: Layout) -> Path:
    """Put the classes in place; whenever it is killed, the old or the new ones are there, whole.

    Args:
        corrections: See read_corrections.
        path: The csv that they are from.
        layout: Of the bundle.

    Returns:
        The folder that keeps what was there before.
    """
    recover_import(layout)
    with staging_folders(layout) as (staging, secret):
        label_of = {(one.split, one.name): one.after for one in corrections}
        replaced = [layout.solution_csv(split) for split in dict.fromkeys(one.split for one in corrections)]
        for split in dict.fromkeys(one.split for one in corrections):
            target = (secret if split == "testing" else staging) / layout.solution_csv(split).name
            _write_corrected(layout.solution_csv(split), split, label_of, target)
        if layout.origins_csv.is_file():
            replaced.append(layout.origins_csv)
            write_origins(
                secret / layout.origins_csv.name,
                (
                    replace(one, class_name=label_of.get((one.split, one.file), one.class_name))
                    for one in read_origins(layout.origins_csv)
                ),
            )
        kept = secret / "before"
        kept.mkdir(mode=0o700)
        for old, name in [*((old, old.name) for old in replaced), (path, "corrections.csv")]:
            shutil.copy(old, kept / name)
            synchronise(kept / name)
        synchronise(kept)
        folder = put_away(layout, [kept], layout.relabels)
    recover_import(layout)
    return folder / kept.name


def _split_of(name: str, table: Reference, tables: Mapping[str, Reference], path: Path) -> str:
    """The split of an image; where two have one of its name, the row must name the split."""
    splits = [split for split, known in tables.items() if name in known.label_of]
    if len(splits) > 1:
        splits = [split for split in splits if tables[split].file_of[name] == table.file_of[name]]
        if len(splits) != 1:
            raise DataError(
                f"{shown(name)} is in several splits",
                path,
                table.row_of[name],
                code="image-in-several-splits",
                hint=f"write it with its folder, such as testing-data/{name}",
            )
    if not splits:
        raise DataError(
            f"{shown(name)} is no image of this bundle",
            path,
            table.row_of[name],
            code="csv-unknown-image",
            hint="write its name as in the bundle (.bundle/origins.csv lists where each came from)",
        )
    return splits[0]


def _refuse_empty_classes(split: str, known: Reference, found: list[Correction], path: Path) -> None:
    counts = Counter(known.label_of.values())
    for one in found:
        if one.split == split:
            counts[one.before] -= 1
            counts[one.after] += 1
    empty = sorted(name for name, count in counts.items() if count <= 0)
    if empty:
        raise DataError(
            f"class {shown(empty[0])} would have no image left in the {split} split",
            path,
            code="class-without-images",
            hint="keep at least one image of each class in each split",
        )


def _write_corrected(source: Path, split: str, label_of: Mapping[tuple[str, str], str], target: Path) -> None:
    task = read_reference(source).task
    labels = slice(1, 1 + len(label_columns(task)))
    with source.open(encoding="utf-8-sig", newline="") as opened:
        header, *rows = (row for row in csv.reader(opened) if row)
    for row in rows:
        after = label_of.get((split, base_name(row[0])))
        if after is not None:
            row[labels] = label_cells(task, after)
    write_csv(target, header, rows, private=True)
    shutil.copymode(source, target)
