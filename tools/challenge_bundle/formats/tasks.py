"""What a challenge asks for, as its data show it: the labels of each task as text, and as cells of a csv."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

CLASSIFICATION, MULTILABEL, ORDINAL, REGRESSION = "classification", "multilabel", "ordinal", "regression"

TASKS = (CLASSIFICATION, MULTILABEL, ORDINAL, REGRESSION)
"""The tasks whose data an import understands."""

WITH_ONE_CLASS = (CLASSIFICATION, ORDINAL)
"""The tasks in which every image has exactly one class."""

SEPARATOR = "|"
"""What separates the labels of one image in a label text; no label's name may hold it."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Task:
    """What a challenge asks for: the content of task.json.

    Args:
        name: One of TASKS.
        class_names: The classes in order; of a multilabel task its labels, of a regression none. Empty where
            they are not known: then they are those of the data.
        metric: The metric that ranks; empty takes the scoring program's own.
        options: Settings of metrics, such as `threshold`.
    """

    name: str = CLASSIFICATION
    class_names: tuple[str, ...] = ()
    metric: str = ""
    options: Mapping[str, float] = field(default_factory=dict)


class LabelError(ValueError):
    """A label text is not one of its task; the text says what was expected."""


def parse_label(task_name: str, text: str) -> str:
    """The label text in one spelling, so that equal labels are equal texts.

    Args:
        task_name: One of TASKS.
        text: A class; labels joined by `|`, empty for none; or a number.

    Raises:
        LabelError: It is none.
    """
    if task_name == MULTILABEL:
        labels = sorted({label.strip() for label in text.split(SEPARATOR)} - {""})
        return SEPARATOR.join(labels)
    if task_name == REGRESSION:
        value = parse_number(text)
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if not text:
        raise LabelError("expected a class but got an empty text")
    return text


def parse_number(text: str) -> float:
    """A finite decimal number.

    Raises:
        LabelError: The text is none.
    """
    value = float(text) if _NUMBER.fullmatch(text.strip()) else math.nan
    if not math.isfinite(value):
        raise LabelError(f"expected a finite number such as 27.5 but got {text[:40]!r}")
    return value


def labels_of(task_name: str, label: str) -> tuple[str, ...]:
    """The classes or labels that a label text names: one, any number, or none where it is a value."""
    if task_name == REGRESSION:
        return ()
    if task_name == MULTILABEL:
        return tuple(label.split(SEPARATOR)) if label else ()
    return (label,)


def show_label(label: str) -> str:
    """A label text for messages; that of an image without any label is empty."""
    return label or "no label"


def label_columns(task: Task) -> tuple[str, ...]:
    """The columns of a reference that hold an image's label."""
    if task.name == MULTILABEL:
        return task.class_names
    return ("value",) if task.name == REGRESSION else ("class",)


def label_cells(task: Task, label: str) -> Sequence[str]:
    """The cells of those columns for a label text."""
    if task.name != MULTILABEL:
        return (label,)
    present = set(labels_of(task.name, label))
    return ["1" if name in present else "0" for name in task.class_names]


def cells_to_label(task_name: str, columns: Sequence[str], cells: Sequence[str]) -> str:
    """The label text of the cells of those columns.

    Raises:
        LabelError: A cell is none of the task's.
    """
    if task_name != MULTILABEL:
        return parse_label(task_name, cells[0])
    odd = next((place for place, cell in enumerate(cells) if cell not in ("0", "1")), None)
    if odd is not None:
        raise LabelError(f"expected 0 or 1 for the label {columns[odd]!r} but got {cells[odd][:40]!r}")
    return SEPARATOR.join(sorted(name for name, cell in zip(columns, cells, strict=True) if cell == "1"))


_RESERVED = ("file", "group", "event")
"""Other columns of a reference, so that no label can have the name."""


def fault_of_classes(task_name: str, class_names: Sequence[str]) -> tuple[str, str]:
    """What is wrong with the classes that bundle.toml names, and a hint; empty texts if nothing is."""
    if task_name == ORDINAL and len(class_names) < 2:
        hint = 'list them from the lowest to the highest, such as class_names = ["none", "mild", "severe"]'
        return "the task ordinal needs its classes in order", hint
    if task_name == REGRESSION and class_names:
        return "the task regression has no classes", "remove the setting, or correct 'bundle.task'"
    odd = next(filter(is_reserved, class_names), None) if task_name == MULTILABEL else None
    if odd is not None:
        return f"no label can be called {odd!r}", "rename it: the name is another column's, or has a '|'"
    return "", ""


def is_reserved(name: str) -> bool:
    """Whether a label of that name could not be a column of a reference, or not stand in a label text."""
    return SEPARATOR in name or name in _RESERVED or name.startswith("meta_")


def parse_metric_options(texts: Iterable[str]) -> dict[str, float]:
    """The numbers of several texts `NAME=NUMBER`, by name; those in another form are left out."""
    return dict(filter(None, map(parse_metric_option, texts)))


def parse_metric_option(text: str) -> tuple[str, float] | None:
    """The name and the number of `NAME=NUMBER`; None if it is not in that form."""
    name, _, number = text.partition("=")
    try:
        return (name, parse_number(number)) if name.isidentifier() else None
    except LabelError:
        return None
