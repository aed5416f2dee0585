"""The csv of true labels of any task: `file,class`, `file,value`, or one column for each label."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from challenge_bundle.errors import DataError, shown
from challenge_bundle.formats.csv_lines import base_name, cells_of, lines_of
from challenge_bundle.formats.task_json import read_task
from challenge_bundle.formats.tasks import (
    MULTILABEL,
    REGRESSION,
    LabelError,
    Task,
    cells_to_label,
    label_columns,
    labels_of,
)

FILE, GROUP, EVENT = "file", "group", "event"
META_PREFIX = "meta_"
"""Begins the name of a column with a subgroup attribute, such as `meta_sex`."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A csv that was read and is valid by itself; all mappings are in the order of the rows.

    Args:
        label_of: Label text of each image (see formats/tasks.py), keyed by the image's base name.
        file_of: The path as written in the csv, keyed by base name.
        row_of: The line of each base name.
        task: What the csv is of; its class_names are the order where one is known.
        group_of: The patient group, of images that have one.
        attributes: Subgroup attributes by name (`sex`), then by base name.
    """

    label_of: dict[str, str]
    file_of: dict[str, str]
    row_of: dict[str, int]
    task: Task = field(default_factory=Task)
    group_of: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes or labels: in the task's order where that is known, else sorted; none of values."""
        found = {name for label in set(self.label_of.values()) for name in labels_of(self.task.name, label)}
        return self.task.class_names or tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where the columns of a csv are.

    Args:
        count: How many there are.
        labels: Names of those that hold the label, which follow the file.
        group: Place of the patient group; None without one.
        meta: Place of each subgroup attribute, by its name.
    """

    count: int
    labels: tuple[str, ...]
    group: int | None
    meta: Mapping[str, int]


def read_reference(path: Path, task: Task | None = None) -> Reference:
    """Read a csv of labels; the same faults are refused as by the scoring program.

    Args:
        path: The csv, UTF-8 with or without a byte-order mark, each row on one line that ends in LF or CR LF.
        task: What it is of; None takes the task.json beside it, and without one a classification.

    Raises:
        DataError: Not UTF-8, empty, a wrong header, a row with another number of columns than the header,
            a line over 64 KiB, a line break within a row, a lone quotation mark, an empty name, a label that
            is none of the task's, a base name that appears twice.
    """
    task = task or read_task(path.parent)
    label_of: dict[str, str] = {}
    file_of: dict[str, str] = {}
    row_of: dict[str, int] = {}
    group_of: dict[str, str] = {}
    with path.open("rb") as opened:
        lines = lines_of(opened, path, DataError)
        number, text = next(lines, (0, ""))
        if not number:
            hint = f"write the header '{','.join(_expected(task))}' and one row per image"
            raise DataError("the file is empty", path, code="csv-empty", hint=hint)
        header = cells_of(text, number, path, DataError) if number == 1 else []
        columns = _check_header(header, task, path)
        attributes: dict[str, dict[str, str]] = {name: {} for name in columns.meta}
        after = 1 + len(columns.labels)
        for line, text in lines:
            row = cells_of(text, line, path, DataError)
            name = _check_row(row, columns, row_of, path, line)
            try:
                label_of[name] = cells_to_label(task.name, columns.labels, row[1:after])
            except LabelError as fault:
                raise DataError(str(fault), path, line, code="csv-label", hint="correct the cell") from None
            file_of[name], row_of[name] = row[0], line
            if columns.group is not None and row[columns.group]:
                group_of[name] = row[columns.group]
            for attribute, place in columns.meta.items():
                attributes[attribute][name] = row[place]
    if not row_of:
        raise DataError("no row after the header", path, code="csv-empty", hint="write one row per image")
    if task.name == MULTILABEL and not task.class_names:
        task = Task(task.name, columns.labels, task.metric, task.options)
    return Reference(label_of, file_of, row_of, task, group_of, attributes)


def _expected(task: Task) -> Sequence[str]:
    return (FILE, *(label_columns(task) or ("<label>...",)))


def _check_header(header: list[str], task: Task, path: Path) -> _Columns:
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"the column {shown(twice)} appears twice in the header",
            path,
            1,
            code="csv-column-twice",
            hint="name each column once",
        )
    known = {GROUP, EVENT} if task.name == REGRESSION else {GROUP}
    labels = label_columns(task)
    if task.name == MULTILABEL and not labels:
        labels = tuple(name for name in header[1:] if name not in known and not name.startswith(META_PREFIX))
    rest = header[1 + len(labels) :]
    fits = header[:1] == [FILE] and labels and tuple(header[1 : 1 + len(labels)]) == labels
    if not fits or not all(name in known or name.startswith(META_PREFIX) for name in rest):
        raise DataError(
            f"expected the header '{','.join(_expected(task))}', then at most '{GROUP}' and"
            f" '{META_PREFIX}<name>' columns, but got {shown(','.join(header))}",
            path,
            1,
            code="csv-header",
            hint="write it in the first line, with commas",
        )
    return _Columns(
        len(header),
        labels,
        header.index(GROUP) if GROUP in rest else None,
        {
            name.removeprefix(META_PREFIX): place
            for place, name in enumerate(header)
            if name in rest and name.startswith(META_PREFIX)
        },
    )


def _check_row(row: list[str], columns: _Columns, row_of: dict[str, int], path: Path, line: int) -> str:
    if len(row) != columns.count:
        raise DataError(
            f"{len(row)} columns where the header has {columns.count}",
            path,
            line,
            code="csv-cells",
            hint="write one value per column",
        )
    name = base_name(row[0])
    if not name or not all(row[1 : 1 + len(columns.labels)]):
        raise DataError(
            "the file or the label is empty", path, line, code="csv-empty-cell", hint="fill both in each row"
        )
    if name in row_of:
        raise DataError(
            f"{shown(name)} appears twice (first in line {row_of[name]})",
            path,
            line,
            code="csv-duplicate-row",
            hint="write exactly one row for each image",
        )
    return name
