"""task.json: what the challenge asks for, beside each csv of labels, for programs and for this package."""

import json
import math
from pathlib import Path
from typing import Any

from challenge_bundle.errors import DataError
from challenge_bundle.formats.tasks import TASKS, Task
from challenge_bundle.layout import TASK_NAME

_VERSION = 1


def task_text(task: Task) -> str:
    """The file's text; the same task gives the same bytes."""
    document = {
        "version": _VERSION,
        "task": task.name,
        "class_names": list(task.class_names),
        "metric": task.metric,
        "options": dict(sorted(task.options.items())),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def read_task(folder: Path) -> Task:
    """Read a folder's task.json; without one, what is there is a classification with the classes of its csv.

    Raises:
        DataError: The file is not what an import writes.
    """
    path = folder / TASK_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Task()
    except (OSError, ValueError) as fault:
        raise _fault(path, f"is not JSON in UTF-8 ({fault})") from None
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise _fault(path, f"expected an object with 'version': {_VERSION}")
    name, metric = document.get("task"), document.get("metric", "")
    class_names, options = document.get("class_names", []), document.get("options", {})
    if name not in TASKS:
        raise _fault(path, f"'task': expected one of {', '.join(TASKS)} but got {name!r}")
    if not _are_names(class_names):
        raise _fault(path, "'class_names': expected a list of different texts")
    if not isinstance(metric, str):
        raise _fault(path, f"'metric': expected a text but got {metric!r}")
    if not isinstance(options, dict) or not all(map(_is_number, options.values())):
        raise _fault(path, "'options': expected an object of numbers")
    return Task(name, tuple(class_names), metric, {key: float(value) for key, value in options.items()})


def _are_names(value: Any) -> bool:
    is_list = isinstance(value, list) and all(isinstance(name, str) and name for name in value)
    return is_list and len(set(value)) == len(value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _fault(path: Path, message: str) -> DataError:
    return DataError(message, path, code="task-json", hint="import the data again, which writes it")
