"""What is asked for: task.json, and the columns that a task's csvs have."""

from __future__ import annotations

import json
from pathlib import Path

from cases import Task
from findings import Finding, InputError, shown
from tables import PROBABILITY_PREFIX, Header

TASK_NAMES = ("classification", "multilabel", "ordinal", "regression")
WITH_CLASSES = ("classification", "ordinal")
META_PREFIX = "meta_"
GROUP, EVENT = "group", "event"
THRESHOLD = 0.5
"""From which probability on a label is taken to be there, unless the option `threshold` is given."""


def read_task(path: Path) -> Task | None:
    """Read task.json; None if it is not there.

    Raises:
        InputError: It is at fault.
    """
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        names = tuple(map(str, document.get("class_names", ())))
        options = {str(key): float(value) for key, value in document.get("options", {}).items()}
        task = Task(str(document["task"]), names, str(document.get("metric", "")), options)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise InputError(Finding("task-invalid", str(path), f"not a task ({fault!r})")) from None
    if task.name not in TASK_NAMES:
        message = f"expected a task of {', '.join(TASK_NAMES)} but got {shown(task.name)}"
        raise InputError(Finding("task-invalid", str(path), message))
    if len(set(names)) != len(names):
        raise InputError(Finding("task-invalid", str(path), "a class name appears twice"))
    return task


def reference_header(task: Task) -> Header:
    """The columns of a reference."""
    optional = (GROUP, META_PREFIX, PROBABILITY_PREFIX)
    if task.name in WITH_CLASSES:
        return Header(("class",), (), optional, "'file,class', then at most 'group' and 'meta_' columns")
    if task.name == "regression":
        return Header((), ("value",), (*optional, EVENT), "'file,value', then at most 'event' and 'group'")
    expected = "'file', one column for each label, then at most 'group' and 'meta_' columns"
    return Header((), task.class_names, optional, expected)


def predictions_header(task: Task) -> Header:
    """The columns of predictions."""
    if task.name in WITH_CLASSES:
        expected = f"'file,class', then at most '{PROBABILITY_PREFIX}<class>' columns"
        return Header(("class",), (), (PROBABILITY_PREFIX,), expected)
    if task.name == "regression":
        return Header((), ("value",), (), "'file,value'")
    expected = f"'file' and one column for each of {', '.join(task.class_names)}"
    return Header((), task.class_names, (), expected)
