"""The csv of true labels of each task, and the task.json beside it."""

import json
from pathlib import Path

import pytest

from challenge_bundle.errors import DataError
from challenge_bundle.formats.reference import read_reference
from challenge_bundle.formats.task_json import read_task, task_text
from challenge_bundle.formats.tasks import LabelError, Task, cells_to_label, label_cells, parse_label

MULTI = Task("multilabel", ("Mass", "Effusion"))


def write(tmp_path: Path, text: str, task: Task | None = None) -> Path:
    path = tmp_path / "testing_solution.csv"
    path.write_text(text)
    if task is not None:
        (tmp_path / "task.json").write_text(task_text(task))
    return path


def test_a_classification_needs_no_task(tmp_path: Path) -> None:
    read = read_reference(write(tmp_path, 'file,class\na/b.png,A\n\n"c,d.png","B ""x"""\n'))
    assert read.label_of == {"b.png": "A", "c,d.png": 'B "x"'}
    assert read.file_of == {"b.png": "a/b.png", "c,d.png": "c,d.png"}
    assert read.row_of == {"b.png": 2, "c,d.png": 4}
    assert read.class_names == ("A", 'B "x"')
    assert (read.task, read.group_of, read.attributes) == (Task(), {}, {})


def test_patient_groups_and_attributes(tmp_path: Path) -> None:
    text = "file,class,group,meta_sex,meta_site\n1.png,A,g0002,F,X\n2.png,B,,M,\n"
    read = read_reference(write(tmp_path, text))
    assert read.group_of == {"1.png": "g0002"}
    assert read.attributes == {"sex": {"1.png": "F", "2.png": "M"}, "site": {"1.png": "X", "2.png": ""}}


def test_the_order_of_classes_is_the_tasks(tmp_path: Path) -> None:
    path = write(
        tmp_path, "file,class\n1.png,mild\n2.png,none\n", Task("ordinal", ("none", "mild", "severe"))
    )
    assert read_reference(path).class_names == ("none", "mild", "severe")


def test_labels_and_values(tmp_path: Path) -> None:
    read = read_reference(write(tmp_path, "file,Mass,Effusion\n1.png,1,1\n2.png,0,0\n", MULTI))
    assert read.label_of == {"1.png": "Effusion|Mass", "2.png": ""}
    assert read.class_names == ("Mass", "Effusion")
    text = "file,Mass,Effusion,group\n1.png,1,0,g0001\n"
    assert read_reference(write(tmp_path, text), Task("multilabel")).class_names == ("Mass", "Effusion")
    read = read_reference(write(tmp_path, "file,value,event\n1.png,2.50,1\n2.png,7,0\n", Task("regression")))
    assert (read.label_of, read.class_names) == ({"1.png": "2.5", "2.png": "7"}, ())


@pytest.mark.parametrize(
    ("text", "task", "code", "row"),
    [
        ("", Task(), "csv-empty", None),
        ("file,class\n", Task(), "csv-empty", None),
        ("file,class,note\n1,A,x\n", Task(), "csv-header", 1),
        ("file,class,probability_A\n1,A,1\n", Task(), "csv-header", 1),
        ("file,class,event\n1,A,1\n", Task(), "csv-header", 1),
        ("file,class,group,group\n1,A,g,g\n", Task(), "csv-column-twice", 1),
        ("file,class\n1,A,B\n", Task(), "csv-cells", 2),
        ("file,class\n1,\n", Task(), "csv-empty-cell", 2),
        ("file,class\nx/1,A\n\ny/1,B\n", Task(), "csv-duplicate-row", 4),
        ("file,Effusion,Mass\n1,0,1\n", MULTI, "csv-header", 1),
        ("file\n1\n", Task("multilabel"), "csv-header", 1),
        ("file,Mass,Effusion\n1,0,1\n2,yes,0\n", MULTI, "csv-label", 3),
        ("file,value\n1,nan\n", Task("regression"), "csv-label", 2),
        ("file,value\n1,1_0\n", Task("regression"), "csv-label", 2),
        ("file,class\n1,3\n", Task("regression"), "csv-header", 1),
    ],
)
def test_refuses(text: str, task: Task, code: str, row: int | None, tmp_path: Path) -> None:
    with pytest.raises(DataError) as fault:
        read_reference(write(tmp_path, text), task)
    assert (fault.value.code, fault.value.row) == (code, row)
    assert fault.value.finding.hint


@pytest.mark.parametrize(
    ("task", "text", "label"),
    [
        ("classification", "A|B", "A|B"),
        ("multilabel", " Mass |Effusion|Mass", "Effusion|Mass"),
        ("multilabel", "", ""),
        ("regression", "27.0", "27"),
        ("regression", "-1e-3", "-0.001"),
        ("regression", "0.1", "0.1"),
    ],
)
def test_equal_labels_are_equal_texts(task: str, text: str, label: str) -> None:
    assert parse_label(task, text) == label


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "1e999", "1,5", "0x1", "1_0", "٣"])
def test_no_numbers(text: str) -> None:
    with pytest.raises(LabelError):
        parse_label("regression", text)


def test_cells_of_labels() -> None:
    assert label_cells(MULTI, "Effusion") == ["0", "1"]
    assert cells_to_label("multilabel", MULTI.class_names, ["1", "1"]) == "Effusion|Mass"
    assert label_cells(Task("regression"), "2.5") == ("2.5",)


def test_task_json_is_what_was_agreed_on(tmp_path: Path) -> None:
    task = Task("multilabel", ("B", "A"), "macro_auroc", {"threshold": 0.4})
    (tmp_path / "task.json").write_text(task_text(task))
    assert json.loads((tmp_path / "task.json").read_text()) == {
        "version": 1,
        "task": "multilabel",
        "class_names": ["B", "A"],
        "metric": "macro_auroc",
        "options": {"threshold": 0.4},
    }
    assert read_task(tmp_path) == task
    assert read_task(tmp_path / "elsewhere") == Task()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"version": 2, "task": "classification"}',
        '{"version": 1, "task": "guessing"}',
        '{"version": 1, "task": "ordinal", "class_names": ["a", "a"]}',
        '{"version": 1, "task": "ordinal", "class_names": "ab"}',
        '{"version": 1, "task": "ordinal", "metric": 1}',
        '{"version": 1, "task": "ordinal", "options": {"threshold": "0.5"}}',
    ],
)
def test_a_damaged_task_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "task.json").write_text(text)
    with pytest.raises(DataError) as fault:
        read_task(tmp_path)
    assert (fault.value.code, fault.value.path) == ("task-json", tmp_path / "task.json")
