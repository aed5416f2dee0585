"""What the challenge asks for: task.json, the csvs whose form it fixes, and their cells as numbers."""

import csv
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from data import InputError

TASKS = ("classification", "multilabel", "ordinal", "regression")
IGNORED_COLUMNS = ("group", "event")  # of no use to this program; so is every column meta_...


@dataclass(frozen=True, slots=True)
class Task:
    """The content of task.json.

    Args:
        name: One of TASKS.
        class_names: In label order, K; of a multilabel task its labels, of a regression none.
        metric: The metric that ranks; empty takes the task's own default.
    """

    name: str = "classification"
    class_names: tuple[str, ...] = ()
    metric: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a solution csv that are learnt."""
        if self.name == "multilabel":
            return self.class_names
        return ("value",) if self.name == "regression" else ("class",)


class LabelledFile(NamedTuple):
    """One row of a solution csv."""

    path: Path
    label: str  # a class name, a number, or a 0 or 1 for each label with commas between


def read_task(in_dir: Path) -> Task:
    """Read task.json; where there is none, it is a classification of the classes in the csv."""
    path = in_dir / "task.json"
    if not path.is_file():
        return Task()
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        names = document.get("class_names", [])
        task = Task(document["task"], tuple(map(str, names)), str(document.get("metric", "")))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise InputError(f"{path}: not a task.json ({fault!r})") from None
    if task.name not in TASKS:
        expected = f"expected one of {', '.join(TASKS)}, or a training program of your own"
        raise InputError(f"{path}: the task is {task.name!r}; {expected}")
    if len(set(names)) != len(names):
        raise InputError(f"{path}: a class name appears twice")
    if task.name == "ordinal" and len(names) < 2:
        raise InputError(f"{path}: an ordinal task needs two or more class_names, from lowest to highest")
    if task.name == "multilabel" and not names:
        raise InputError(f"{path}: a multilabel task needs its labels as class_names")
    return replace(task, class_names=()) if task.name == "regression" else task


def read_solution(in_dir: Path, split: str, task: Task) -> list[LabelledFile]:
    """Read SPLIT_solution.csv and check that every image that it names exists."""
    path = in_dir / f"{split}_solution.csv"
    files: dict[str, LabelledFile] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.reader(opened, strict=True)
            header = next(reader, [])
            places = find_columns(path, header, task)
            for row in filter(None, reader):
                where = f"{path}:{reader.line_num}"
                cells = [row[place] for place in places] if len(row) == len(header) else []
                label = read_label(cells, task)
                if not label or not row[0]:
                    what = {"multilabel": "a 0 or 1 for each label", "regression": "a finite number"}
                    raise InputError(f"{where}: {row!r} is not a file and {what.get(task.name, 'a class')}")
                if task.class_names and task.columns == ("class",) and label not in task.class_names:
                    raise InputError(f"{where}: the class {label!r} is not in task.json")
                if row[0] in files:
                    raise InputError(f"{where}: {row[0]!r} appears twice")
                if not (in_dir / row[0]).is_file():
                    raise InputError(f"{where}: {row[0]!r} is not in {in_dir}")
                files[row[0]] = LabelledFile(in_dir / row[0], label)
    except FileNotFoundError:
        raise InputError(f"{path}: not found; expected it next to {split}-data/") from None
    except (csv.Error, UnicodeDecodeError) as fault:
        raise InputError(f"{path}: not a UTF-8 csv ({fault})") from None
    if not files:
        raise InputError(f"{path}: no row after the header")
    return list(files.values())


def find_columns(path: Path, header: Sequence[str], task: Task) -> list[int]:
    """Where the columns of the task are, in its own order."""
    known = {"file", *task.columns, *IGNORED_COLUMNS}
    unknown = [name for name in header if name not in known and not name.startswith("meta_")]
    missing = set(task.columns) - set(header)
    if header[:1] != ["file"] or unknown or missing or len(set(header)) != len(header):
        expected = ",".join(("file", *task.columns))
        raise InputError(f"{path}:1: the header is {','.join(header)!r}; expected {expected!r}")
    return [header.index(name) for name in task.columns]


def read_label(cells: Sequence[str], task: Task) -> str:
    """A row's label as one text; empty if the cells are none."""
    if task.name not in ("multilabel", "regression"):
        return cells[0] if cells else ""
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        return ""
    if task.name == "regression":
        return cells[0] if cells and math.isfinite(numbers[0]) else ""
    return ",".join(f"{number:.0f}" for number in numbers) if set(numbers) <= {0.0, 1.0} else ""


def hash_files(files: Sequence[LabelledFile]) -> str:
    """SHA-256 over the files' names, labels and bytes, in their order."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.path.name}\0{file.label}\0".encode())
        digest.update(hashlib.sha256(file.path.read_bytes()).digest())
    return digest.hexdigest()


def complete(task: Task, training: Sequence[LabelledFile], in_dir: Path) -> Task:
    """The task with its class names: without a task.json they are those of the training images, sorted."""
    if task.class_names or task.name == "regression":
        return task
    class_names = sorted({file.label for file in training})
    if len(class_names) < 2:
        raise InputError(f"{in_dir / 'training_solution.csv'}: one class only; a classification needs two")
    return replace(task, class_names=tuple(class_names))


def make_targets(files: Sequence[LabelledFile], task: Task) -> torch.Tensor:
    """What is to be learnt of each file.

    Returns:
        Labels (N,), int64; of a multilabel task (N, K), float32, of 0 and 1; of a regression the values
        (N,), float64.
    """
    if task.name == "multilabel":
        return torch.tensor([[float(cell) for cell in file.label.split(",")] for file in files])
    if task.name == "regression":
        return torch.tensor([float(file.label) for file in files], dtype=torch.float64)
    label_of = {class_name: label for label, class_name in enumerate(task.class_names)}
    for file in files:
        if file.label not in label_of:
            raise InputError(f"{file.path}: its class {file.label!r} has no training image")
    return torch.tensor([label_of[file.label] for file in files])


def describe(task: Task, training: torch.Tensor, validation: torch.Tensor) -> list[str]:
    """Lines for people: how many images there are of what, and what there is no example of."""
    what = f"in {len(task.class_names)} classes"
    if task.name == "ordinal":
        what += f" in order, from {task.class_names[0]} to {task.class_names[-1]}"
    elif task.name == "multilabel":
        what = f"with {len(task.class_names)} labels"
    elif task.name == "regression":
        what = f"with values from {training.min():g} to {training.max():g}"
    counts = f"{len(training)} training and {len(validation)} validation images {what}"
    return [counts, *(f"warning: {line}" for line in find_gaps(task, training, validation))]


def find_gaps(task: Task, training: torch.Tensor, validation: torch.Tensor) -> list[str]:
    """What the targets of a split have no example of, a line each."""
    if task.name == "regression":
        return ["all training images have the same value"] if len(training.unique()) == 1 else []
    lines = []
    for label, name in enumerate(task.class_names):
        if task.name == "multilabel":
            if not training[:, label].any():
                lines.append(f"no training image has the label {name!r}")
            if len(validation[:, label].unique()) < 2:
                lines.append(f"label {name!r} is the same in all validation images: no AUROC of it")
        elif not (training == label).any():
            lines.append(f"class {name!r} has no training image")
        elif not (validation == label).any():
            lines.append(f"class {name!r} has no validation image; is its name a slip?")
    return lines
