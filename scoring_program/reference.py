"""The reference: read, and put in the order of the sorted names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cases import Cases, Task
from findings import Finding, InputError, shown
from predictions import Predictions
from tables import Table, is_number, labels_of, numbers_of, read_columns, read_rows
from tasks import EVENT, GROUP, META_PREFIX, WITH_CLASSES, reference_header


@dataclass(frozen=True)
class Reference:
    """The reference, in the order of the sorted names.

    Args:
        task: With its class names.
        names: Base names (N,).
        values: Labels (N,), or (N, K) bool, or values (N,): see Cases.reference.
        groups: (N,), see Cases.groups.
        group_names: Of group 0, 1, ...; empty if the reference names no groups.
        attributes: The texts of each `meta_` column (N,).
        events: See Cases.events.
    """

    task: Task
    names: Sequence[Any]
    values: np.ndarray
    groups: np.ndarray
    group_names: tuple[str, ...] = ()
    attributes: dict[str, list[str]] = field(default_factory=dict)
    events: np.ndarray | None = None


def read_reference(path: Path, task: Task | None) -> Reference:
    """Read the reference.

    Args:
        path: The csv.
        task: What is asked for; None is a classification of the classes that the reference has.

    Raises:
        InputError: It is at fault.
    """
    if not path.is_file():
        raise InputError(Finding("reference-invalid", str(path), "not found; the reference lies there"))
    asked = task or Task("classification")
    if asked.name == "multilabel" and not asked.class_names:
        raise InputError(Finding("task-invalid", str(path), "a multilabel task needs its class_names"))
    header = reference_header(asked)
    table = read_columns(path, header)
    order = None if table is None else _order_of(table)
    if table is None or order is None:
        table = read_rows(path, header)
        order = _order_of(table)
    if order is None:
        raise AssertionError("rows with one name twice are refused when they are read")
    return _parse_reference(table, order, asked)


def _order_of(table: Table) -> np.ndarray | None:
    """The rows in the order of their names; None if a name is there twice."""
    if table.lines is not None:
        return np.array(sorted(range(len(table.names)), key=table.names.__getitem__), dtype=np.int64)
    import pyarrow.compute as pc

    order: np.ndarray = pc.array_sort_indices(table.names).to_numpy().astype(np.int64)
    names = table.names.take(order)
    is_twice = len(names) > 1 and pc.any(pc.equal(names[1:], names[:-1])).as_py()
    return None if is_twice else order


def _parse_reference(table: Table, order: np.ndarray, task: Task) -> Reference:
    names = _take(table.names, order)
    groups = np.arange(len(order))
    group_names: tuple[str, ...] = ()
    if GROUP in table.columns:
        texts = _texts(table.columns[GROUP], order)
        # An image without a group is one by itself.
        own = [text or f"\0{name}" for text, name in zip(texts, names)]
        found, groups = np.unique(np.array(own, dtype=object).astype(str), return_inverse=True)
        group_names = tuple(map(str, found))
    attributes = {
        name: _texts(column, order) for name, column in table.columns.items() if name.startswith(META_PREFIX)
    }
    if task.name in WITH_CLASSES:
        task, values = _reference_labels(table, order, task)
    else:
        check = _is_zero_or_one if task.name == "multilabel" else is_number
        header = reference_header(task)
        values = np.stack([numbers_of(table, name, check)[order] for name in header.numbers], axis=1)
        values = values.astype(bool) if task.name == "multilabel" else values[:, 0]
    events = None
    if EVENT in table.columns:
        events = numbers_of(table, EVENT, _is_zero_or_one)[order].astype(bool)
    return Reference(task, names, values, groups.reshape(-1), group_names, attributes, events)


def _reference_labels(table: Table, order: np.ndarray, task: Task) -> tuple[Task, np.ndarray]:
    labels, there = labels_of(table.columns["class"], task.class_names or None)
    if not task.class_names:
        if len(there) < 2:
            message = "one class only; a classification needs two or more"
            raise InputError(Finding("reference-invalid", str(table.path), message))
        task = replace(task, class_names=tuple(there))
    unknown = np.flatnonzero(labels < 0)
    if len(unknown):
        row = int(unknown[0])
        message = f"the class {shown(str(table.columns['class'][row]))} is not one of task.json"
        raise InputError(Finding("reference-invalid", str(table.path), message, table.place(row)))
    return task, labels[order]


def _take(names: Any, order: np.ndarray) -> Any:
    return [names[place] for place in order] if isinstance(names, list) else names.take(order)


def _texts(column: Any, order: np.ndarray) -> list[str]:
    texts = column if isinstance(column, list) else column.to_pylist()
    return [texts[place] for place in order]


def make_cases(reference: Reference, predictions: Predictions) -> Cases:
    """Join reference and predictions, which are in the same order."""
    return Cases(
        reference.task,
        reference.names,
        reference.groups,
        reference.values,
        predictions.values,
        predictions.probabilities,
        reference.events,
    )


def part_of(cases: Cases, reference: Reference, names: Iterable[str]) -> tuple[Cases, Reference]:
    """Some of the cases, with groups counted again from 0.

    Raises:
        InputError: A name is not that of a case.
    """
    place_of = {str(name): place for place, name in enumerate(cases.names)}
    wanted = sorted(set(names))
    unknown = next((name for name in wanted if name not in place_of), None)
    if unknown is not None or not wanted:
        message = f"{shown(unknown)} is not a case" if unknown else "a part has no cases"
        raise InputError(Finding("reference-invalid", "--parts", message))
    rows = np.array([place_of[name] for name in wanted])
    found, groups = np.unique(cases.groups[rows], return_inverse=True)
    events = None if cases.events is None else cases.events[rows]
    cut = Reference(
        reference.task,
        wanted,
        reference.values[rows],
        groups.reshape(-1),
        tuple(reference.group_names[group] for group in found) if reference.group_names else (),
        {name: [texts[row] for row in rows] for name, texts in reference.attributes.items()},
        events,
    )
    probabilities = None if cases.probabilities is None else cases.probabilities[rows]
    return make_cases(cut, Predictions(cases.predictions[rows], probabilities, "")), cut


def _is_zero_or_one(cell: str) -> bool:
    return is_number(cell) and float(cell) in (0.0, 1.0)
