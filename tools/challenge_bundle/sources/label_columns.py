"""Which columns of somebody's csv hold the labels of a task, and the label text of a row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.errors import DataError, shown
from challenge_bundle.formats.csv_columns import read_header
from challenge_bundle.formats.tasks import MULTILABEL, REGRESSION, SEPARATOR, WITH_ONE_CLASS, is_reserved

FORM = (
    "csv:FILE[?file=COLUMN&class=COLUMN&value=COLUMN&labels=COLUMN|COLUMN&none=TEXT&group=COLUMN"
    "&split=COLUMN&images=DIR]"
)

_OF_TASKS = {"class": (*WITH_ONE_CLASS, MULTILABEL), "value": (REGRESSION,)}
_OF_TASKS |= {"labels": (MULTILABEL,), "none": (MULTILABEL,)}
"""The tasks that an option of the source means something to."""

_PRESENT = {"1": True, "1.0": True, "0": False, "0.0": False}
"""Cells of a label's column; those with a point are what pandas writes where a cell was empty."""

_LABEL, _ATTRIBUTE = "label ", "attribute "
"""Begin the keys of columns, so that a label called `group` is no patient group."""


@dataclass(frozen=True, slots=True)
class LabelColumns:
    """Where a csv has an image's label and its subgroup attributes.

    Args:
        needed: Column names by key, of which no cell may be empty.
        optional: The same, of which a cell may be empty.
        label_names: Those that have a column of their own, in order; else empty.
        none: What a cell says that holds no label.
    """

    needed: Mapping[str, str] = field(default_factory=dict)
    optional: Mapping[str, str] = field(default_factory=dict)
    label_names: tuple[str, ...] = ()
    none: str = ""

    def label(self, cells: Mapping[str, str], path: Path, line: int) -> str:
        """The label text of a row; see formats/tasks.py.

        Raises:
            DataError: A label's column holds neither 0 nor 1.
        """
        if not self.label_names:
            labels = cells["class"].split(SEPARATOR) if self.none else [cells["class"]]
            return SEPARATOR.join(label for label in labels if label != self.none)
        present = []
        for name in self.label_names:
            cell = cells[_LABEL + name]
            if cell not in _PRESENT:
                raise DataError(
                    f"expected 0 or 1 in the column {shown(name)} but got {shown(cell)}",
                    path,
                    line,
                    code="csv-label",
                    hint="correct the cell, or name the label columns: &labels=A|B, or in bundle.toml"
                    " bundle.class_names; one column with all labels of an image is &class=COLUMN",
                )
            present += [name] if _PRESENT[cell] else []
        return SEPARATOR.join(present)

    def attributes(self, cells: Mapping[str, str]) -> dict[str, str]:
        """The subgroup attributes of a row, by name."""
        return {
            key.removeprefix(_ATTRIBUTE): cells[key] for key in self.optional if key.startswith(_ATTRIBUTE)
        }


def choose_label_columns(path: Path, asked: Mapping[str, str], request: ImportRequest) -> LabelColumns:
    """Choose the columns of a task.

    Args:
        path: The csv.
        asked: Options of the source, by key.
        request: Names the task, its labels and the attributes.

    Raises:
        DataError: An option means nothing to the task, or the csv has no column for labels.
    """
    odd = next((key for key, tasks in _OF_TASKS.items() if key in asked and request.task not in tasks), None)
    if odd is not None:
        raise DataError(
            f"the option {odd}= is for the task {' or '.join(_OF_TASKS[odd])}, but 'bundle.task' is"
            f" {request.task}",
            code="source-options",
            hint="leave the option out, or correct 'bundle.task' in bundle.toml",
        )
    attributes = {_ATTRIBUTE + name: name for name in request.subgroups}
    if request.task != MULTILABEL:
        usual = "value" if request.task == REGRESSION else "class"
        return LabelColumns({"class": asked.get(usual, usual)}, attributes)
    if "class" in asked:
        return LabelColumns({}, attributes | {"class": asked["class"]}, none=asked.get("none", ""))
    names = _label_names(path, asked, request)
    if not names:
        return LabelColumns({}, attributes | {"class": "class"}, none=asked.get("none", ""))
    return LabelColumns({}, attributes | {_LABEL + name: name for name in names}, names)


def _label_names(path: Path, asked: Mapping[str, str], request: ImportRequest) -> tuple[str, ...]:
    """The labels that have a column of their own; empty if one column holds all of an image."""
    if "labels" in asked:
        return tuple(asked["labels"].split(SEPARATOR))
    header = read_header(path)
    if "class" in header:
        return ()
    if request.class_names:
        return request.class_names
    others = {asked.get(key, key) for key in ("file", "group", "split")} | set(request.subgroups)
    return tuple(name for name in header if name not in others and not is_reserved(name))
