"""Predictions: read and checked. The one implementation: `--check`, scoring and the tool all come here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cases import Task
from findings import MOST_FINDINGS, Finding, InputError, shown
from tables import PROBABILITY_PREFIX, Table, is_number, labels_of, numbers_of, read_columns, read_rows
from tasks import THRESHOLD, WITH_CLASSES, predictions_header

USED, NOT_GIVEN = "used", "not given"
_NOT_USED_LINE = "not used: line"
_NOT_A_PROBABILITY = "has a value that is not a number from 0 to 1"


@dataclass(frozen=True)
class Predictions:
    """Valid predictions, in the order of the sorted names.

    Args:
        values: See Cases.predictions.
        probabilities: See Cases.probabilities.
        note: `used`, `not given`, or why the probability columns are not used.
    """

    values: np.ndarray
    probabilities: np.ndarray | None
    note: str


def read_predictions(path: Path, task: Task, names: Sequence[Any]) -> Predictions:
    """Read predictions, and check that they have one valid row for each case.

    Args:
        path: The csv.
        task: What is asked for, with its class names.
        names: Base names of the cases (N,), sorted.

    Raises:
        InputError: With up to MOST_FINDINGS findings.
    """
    found = _read(path, task, names)
    if found.probabilities is None and needs_probabilities(task):
        message = f"{task.metric} ranks, and needs probabilities: {found.note}"
        raise InputError(Finding("probabilities-needed", str(path), message))
    return found


def needs_probabilities(task: Task) -> bool:
    """Whether the metric that ranks is one of probabilities."""
    if not task.metric or task.name not in WITH_CLASSES:
        return False
    from metrics import REGISTRY

    return task.metric in REGISTRY and REGISTRY[task.metric].needs == "probabilities"


def _read(path: Path, task: Task, names: Sequence[Any]) -> Predictions:
    header = predictions_header(task)
    table = read_columns(path, header)
    if table is not None:
        quick = _match_columns(table, task, names)
        if quick is not None:
            return quick
    # One that has far more rows than it may is refused before it fills the memory.
    table = read_rows(path, header, 2 * len(names) + 16)
    place_of = {str(name): place for place, name in enumerate(names)}
    findings = list(islice(_row_findings(table, task, place_of), MOST_FINDINGS))
    if findings:
        raise InputError(*findings)
    rows = np.empty(len(names), dtype=np.int64)
    rows[[place_of[name] for name in table.names]] = np.arange(len(names))
    return _predictions(table, task, rows)


def _match_columns(table: Table, task: Task, names: Sequence[Any]) -> Predictions | None:
    """Match column by column; None if the row-by-row reader should look at the csv."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(table.names) != len(names):
        return None
    wanted = names if isinstance(names, (pa.Array, pa.ChunkedArray)) else pa.array(map(str, names), "string")
    rows = None
    if not table.names.equals(wanted if isinstance(wanted, pa.ChunkedArray) else pa.chunked_array([wanted])):
        # Where each row's case stands in the reference: all of them, each once.
        places = pc.index_in(table.names, wanted)
        if places.null_count:
            return None
        rows = np.argsort(places.to_numpy())
        if not np.array_equal(places.to_numpy()[rows], np.arange(len(names))):
            return None
    if task.name in WITH_CLASSES and (labels_of(table.columns["class"], task.class_names)[0] < 0).any():
        return None
    if task.name == "multilabel":
        for name in task.class_names:
            values = table.columns[name]
            if ((values < 0.0) | (values > 1.0)).any():
                return None
    predictions = _predictions(table, task, np.arange(len(names)) if rows is None else rows)
    # Which line is at fault, the row-by-row reader knows.
    return None if predictions.note.startswith(_NOT_USED_LINE) else predictions


def _row_findings(table: Table, task: Task, place_of: dict[str, int]) -> Iterator[Finding]:
    """What is wrong with the rows, in their order, and then the cases that have none."""
    path, classes = str(table.path), frozenset(task.class_names)
    is_probability = task.name == "multilabel"
    numbers = [(name, table.columns[name]) for name in predictions_header(task).numbers]
    texts = table.columns["class"] if task.name in WITH_CLASSES else None
    for row, name in enumerate(table.names):
        line = table.place(row)
        if name not in place_of:
            yield Finding("csv-unknown-image", path, f"{shown(name)} is not among the test images", line)
        elif texts is not None and texts[row] not in classes:
            expected = ", ".join(task.class_names)
            message = f"unknown class {shown(texts[row])}; expected one of {expected}"
            yield Finding("csv-unknown-class", path, message, line)
        for column, cells in numbers:
            if not is_number(cells[row]):
                message = f"{shown(cells[row])} in the column {shown(column)} is not a finite number"
                yield Finding("csv-value", path, message, line)
            elif is_probability and not 0.0 <= float(cells[row]) <= 1.0:
                message = f"{shown(cells[row])} in the column {shown(column)} is not from 0 to 1"
                yield Finding("csv-value", path, message, line)
    missing = sorted(place_of.keys() - set(table.names))
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        yield Finding("csv-missing-image", path, f"no row for '{missing[0]}'{more}")


def _predictions(table: Table, task: Task, rows: np.ndarray) -> Predictions:
    """The arrays of a valid table; `rows` has the row of each case."""
    if task.name == "regression":
        return Predictions(numbers_of(table, "value", is_number)[rows], None, NOT_GIVEN)
    if task.name == "multilabel":
        stacked = np.stack([numbers_of(table, name, is_number) for name in task.class_names], axis=1)[rows]
        return Predictions(stacked >= task.options.get("threshold", THRESHOLD), stacked, USED)
    labels = labels_of(table.columns["class"], task.class_names)[0][rows]
    probabilities, note = _probabilities(table, task, rows)
    return Predictions(labels, probabilities, note)


def _probabilities(table: Table, task: Task, rows: np.ndarray) -> tuple[np.ndarray | None, str]:
    """Probabilities (N, K) and a note; they are optional, so a fault in them refuses nothing."""
    wanted = [PROBABILITY_PREFIX + name for name in task.class_names]
    given = [name for name in table.header if name.startswith(PROBABILITY_PREFIX)]
    if not given:
        return None, NOT_GIVEN
    if set(given) != set(wanted):
        return None, f"not used: the header needs one '{PROBABILITY_PREFIX}<class>' column for each class"
    values = np.empty((len(rows), len(wanted)))
    for column, name in enumerate(wanted):
        cells = table.columns[name]
        if isinstance(cells, list):
            odd = next((row for row, cell in enumerate(cells) if not is_number(cell)), None)
            if odd is not None:
                return None, f"{_NOT_USED_LINE} {table.place(odd)} {_NOT_A_PROBABILITY}"
        values[:, column] = np.asarray(cells, dtype=np.float64)
    # Each value may have been rounded to three digits; with 1,000 classes and more that would be anything.
    tolerance = min(max(1e-3, 0.0005 * len(wanted)), 0.5) + 1e-9
    for fault, is_odd in (
        (_NOT_A_PROBABILITY, ((values < 0.0) | (values > 1.0)).any(axis=1)),
        ("does not sum to 1", np.abs(values.sum(axis=1) - 1.0) > tolerance),
    ):
        if is_odd.any():
            line = table.place(int(np.flatnonzero(is_odd)[0]))
            return None, f"{_NOT_USED_LINE} {line} {fault}"
    values = values[rows]
    return values / values.sum(axis=1, keepdims=True), USED
