"""Predictions alone: checked without the reference, or compared with others."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cases import Task
from files import (
    COMPARISON_NAME,
    FINDINGS_NAME,
    NAMES_NAME,
    REFERENCE_NAME,
    TASK_NAME,
    find_predictions,
    open_output,
    write_json,
)
from findings import Finding, InputError
from predictions import NOT_GIVEN, USED, Predictions, read_predictions
from reference import read_reference
from tables import Header, read_rows
from tasks import read_task


def check(in_dir: Path, out_dir: Path | None) -> int:
    """Check predictions, with the names of the cases and without what is true of them.

    Args:
        in_dir: Holds `ref/` with task.json and cases.csv (or the reference), and `res/`.
        out_dir: Gets findings.json; None prints the findings alone.

    Returns:
        Exit status: 1 if there is an error among the findings.
    """
    findings: list[Finding] = []
    try:
        task, names = read_names(in_dir / "ref")
        path = find_predictions(in_dir / "res")
        note = read_predictions(path, task, names).note
        if note not in (USED, NOT_GIVEN):
            findings.append(Finding("probabilities-not-used", str(path), note, severity="warning"))
    except InputError as fault:
        findings = list(fault.findings)
    if out_dir:
        open_output(out_dir)
        write_json(out_dir / FINDINGS_NAME, [found.document() for found in findings])
    for found in findings:
        print(f"{found.severity}: {found}", file=sys.stderr)
    return int(any(found.severity == "error" for found in findings))


def compare(in_dir: Path, out_dir: Path, other: Path, case_of: Path | None) -> int:
    """Count the cases for which two sets of predictions differ.

    Args:
        in_dir: See check.
        out_dir: Gets comparison.json: `changed`, the number of cases with another prediction, and `largest`,
            the largest difference of a number.
        other: The csv that is compared with that in `res/`.
        case_of: JSON with the case of each name in `other`, where it names them otherwise.

    Returns:
        Exit status 0.

    Raises:
        InputError: Either is at fault.
    """
    task, names = read_names(in_dir / "ref")
    first = read_predictions(find_predictions(in_dir / "res"), task, names)
    other_names: Sequence[Any] = names
    rows = np.arange(len(names))
    if case_of:
        mapped = json.loads(case_of.read_text(encoding="utf-8"))
        other_names = sorted(mapped)
        place_of = {str(name): place for place, name in enumerate(names)}
        rows = np.array([place_of[mapped[name]] for name in other_names])
    second = read_predictions(other, task, other_names)
    values = first.values[rows]
    changed = (values != second.values).reshape(len(rows), -1).any(axis=1)
    document = {"changed": int(changed.sum()), "largest": _largest(first, second, rows)}
    open_output(out_dir)
    write_json(out_dir / COMPARISON_NAME, document)
    print(f"{document['changed']} of {len(rows)} cases differ, by at most {document['largest']:g}")
    return 0


def _largest(first: Predictions, second: Predictions, rows: np.ndarray) -> float:
    """The largest difference of a probability, or of a value where there are none."""
    if first.probabilities is not None and second.probabilities is not None:
        return float(np.abs(first.probabilities[rows] - second.probabilities).max())
    if (first.probabilities is None) != (second.probabilities is None):
        # Columns that only one of them has are a difference: otherwise leaving them out would hide one.
        return 1.0
    if first.values.dtype == np.float64:
        return float(np.abs(first.values[rows] - second.values).max())
    return 0.0


def read_names(folder: Path) -> tuple[Task, Sequence[Any]]:
    """The task and the sorted names of the cases, from the list of names or else from the reference.

    Raises:
        InputError: Neither is there, or it is at fault.
    """
    task = read_task(folder / TASK_NAME)
    if task is None or not (folder / NAMES_NAME).is_file():
        reference = read_reference(folder / REFERENCE_NAME, task)
        return reference.task, reference.names
    header = Header((), (), (), "'file'")
    return task, sorted(read_rows(folder / NAMES_NAME, header).names)
