"""Reading reference and predictions: one implementation, for every task, with and without pyarrow."""

import builtins
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.csv_faults import CODES, FAULTS, REFERENCE, TOLERATED, write_scoring_input

LABELS = ("Mass", "Effusion", "Hernia")


@pytest.fixture
def predictions(program_module) -> ModuleType:
    return program_module("scoring_program", "predictions")


@pytest.fixture
def reference(program_module) -> ModuleType:
    return program_module("scoring_program", "reference")


@pytest.fixture
def cases(program_module) -> ModuleType:
    return program_module("scoring_program", "cases")


@pytest.fixture
def input_error(program_module) -> type[Exception]:
    return program_module("scoring_program", "findings").InputError


@pytest.fixture(params=["arrow", "rows"])
def reader(request, monkeypatch) -> str:
    """Both ways of reading; without pyarrow there is only the second."""
    if request.param == "rows":
        real = builtins.__import__

        def without(name, *rest, **more):
            if name.partition(".")[0] == "pyarrow":
                raise ImportError(name)
            return real(name, *rest, **more)

        monkeypatch.setattr(builtins, "__import__", without)
    return request.param


def write(path: Path, text: str) -> Path:
    path.write_text(text, newline="")
    return path


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_its_code_row_and_a_listed_text(
    name: str, tmp_path: Path, predictions, reference, input_error, program_module
) -> None:
    content, word, row = FAULTS[name]
    source = write_scoring_input(tmp_path / "input", content)
    known = reference.read_reference(source / "ref" / "testing_solution.csv", None)

    with pytest.raises(input_error) as caught:
        predictions.read_predictions(source / "res" / "classification_results.csv", known.task, known.names)

    finding = caught.value.findings[0]
    assert (finding.code, finding.row) == (CODES[name], row)
    assert word in finding.message
    listed = program_module("scoring_program", "findings").listed_findings()[finding.code]
    assert finding.hint == listed["hint"] != ""
    assert finding.document().keys() == {"code", "severity", "location", "message", "hint", "row"}


def test_listed_texts_hold_nothing_of_the_data(program_module) -> None:
    listed = program_module("scoring_program", "findings").listed_findings()
    assert set(CODES.values()) <= listed.keys()
    assert all(set(texts) == {"message", "hint"} for texts in listed.values())
    assert not any("{" in text for texts in listed.values() for text in texts.values())


@pytest.mark.parametrize("name", TOLERATED)
def test_what_is_tolerated_is_read_alike(
    name: str, reader: str, tmp_path: Path, predictions, reference
) -> None:
    source = write_scoring_input(tmp_path / "input", TOLERATED[name])
    known = reference.read_reference(source / "ref" / "testing_solution.csv", None)

    found = predictions.read_predictions(
        source / "res" / "classification_results.csv", known.task, known.names
    )

    assert known.task.class_names == ("CXR", "Hand")
    assert list(map(str, known.names)) == sorted(REFERENCE)
    assert known.values.tolist() == [1, 0, 1, 0]
    assert found.values.tolist() == [1, 0, 0, 0]
    assert found.note == ("used" if name == "probabilities" else "not given")
    if name == "probabilities":
        assert found.probabilities.tolist() == [[0.2, 0.8], [0.9, 0.1], [0.6, 0.4], [0.7, 0.3]]


@pytest.mark.parametrize("name", [*FAULTS, *TOLERATED])
def test_columns_are_read_only_where_rows_are(name: str, tmp_path: Path, program_module) -> None:
    """What the quick reader takes is valid; what it is not sure of, it leaves."""
    content = TOLERATED[name] if name in TOLERATED else FAULTS[name][0]
    path = tmp_path / "some.csv"
    path.write_bytes(content)
    tables, tasks = (program_module("scoring_program", module) for module in ("tables", "tasks"))
    task = program_module("scoring_program", "cases").Task("classification", ("CXR", "Hand"))
    header = tasks.predictions_header(task)

    table = tables.read_columns(path, header)

    if name in TOLERATED:
        assert (table is None) == name.startswith("quoted")
    elif table is not None and name != "duplicate":  # which is seen when names are matched
        rows = tables.read_rows(path, header)
        assert rows.names == table.names.to_pylist()
        assert rows.columns["class"] == table.columns["class"].to_pylist()


@pytest.mark.parametrize("seed", range(20))
def test_columns_and_rows_of_random_tables(seed: int, tmp_path: Path, predictions, reference, tables_off):
    """Shuffled rows, folders before names, either line end, probability columns in any order, groups."""
    generator = np.random.default_rng(seed)
    class_names = [f"ä class {number}" for number in range(generator.integers(2, 6))]
    names = [f"{number:03d}.png" for number in generator.permutation(50)]
    classes = generator.choice(class_names, (2, 50))
    classes[0, : len(class_names)] = class_names
    order = generator.permutation(len(class_names))
    probabilities = np.round(generator.dirichlet(np.ones(len(class_names)), 50), 6)
    header = ["file", "class", *(f"probability_{class_names[column]}" for column in order)]
    end = "\r\n" if seed % 2 else "\n"
    groups = [f"g{number}" for number in generator.integers(0, 9, 50)]
    rows = zip(names, classes[0], groups, strict=True)
    known_rows = [["file", "class", "group"], *([f"a/b/{name}", label, group] for name, label, group in rows)]
    rows = [[name, classes[1, n], *map(str, probabilities[n, order])] for n, name in enumerate(names)]
    given_rows = [header, *(rows[n] for n in generator.permutation(50))]
    files = tmp_path / "reference.csv", tmp_path / "predictions.csv"
    for path, table in zip(files, (known_rows, given_rows), strict=True):
        path.write_bytes(end.join(",".join(row) for row in table).encode())

    def read():
        known = reference.read_reference(files[0], None)
        return known, predictions.read_predictions(files[1], known.task, known.names)

    known, found = read()
    assert type(known.names) is not list
    with tables_off():
        known_rows, found_rows = read()
    assert type(known_rows.names) is list

    assert list(map(str, known.names)) == known_rows.names == sorted(names)
    assert known.task == known_rows.task
    assert known.task.class_names == tuple(sorted(class_names))
    assert (known.values == known_rows.values).all()
    assert (known.groups == known_rows.groups).all()
    assert known.group_names == known_rows.group_names == tuple(sorted(set(groups)))
    by_name = dict(zip(names, groups, strict=True))
    assert [known.group_names[group] for group in known.groups] == [by_name[name] for name in sorted(names)]
    assert (found.values == found_rows.values).all()
    assert (found.probabilities == found_rows.probabilities).all()


@pytest.fixture
def tables_off(monkeypatch, predictions, reference):
    """Read row by row only, in a block."""
    import contextlib

    @contextlib.contextmanager
    def off():
        with monkeypatch.context() as patch:
            patch.setattr(predictions, "read_columns", lambda *_: None)
            patch.setattr(reference, "read_columns", lambda *_: None)
            yield

    return off


# Other tasks


def test_class_order_is_the_tasks(reader: str, tmp_path: Path, predictions, reference, cases) -> None:
    task = cases.Task("ordinal", ("none", "mild", "grave"))
    path = write(tmp_path / "r.csv", "file,class\nb,grave\na,none\nc,mild\n")
    known = reference.read_reference(path, task)
    assert known.values.tolist() == [0, 2, 1]
    given = write(
        tmp_path / "p.csv",
        "file,class,probability_grave,probability_mild,probability_none\n"
        "c,grave,0.5,0.3,0.2\na,mild,0.1,0.8,0.1\nb,none,0,0,1\n",
    )
    found = predictions.read_predictions(given, task, known.names)
    assert found.values.tolist() == [1, 0, 2]
    assert found.probabilities.tolist() == [[0.1, 0.8, 0.1], [1, 0, 0], [0.2, 0.3, 0.5]]


def test_multilabel(reader: str, tmp_path: Path, predictions, reference, cases) -> None:
    task = cases.Task("multilabel", LABELS, options={"threshold": 0.3})
    path = write(
        tmp_path / "r.csv",
        "file,Mass,Effusion,Hernia,group,meta_sex\nb,1,0,0,p1,F\na,0,1,0,p2,M\nc,1,1,0,p1,F\n",
    )
    known = reference.read_reference(path, task)
    assert known.values.dtype == bool
    assert known.values.tolist() == [[False, True, False], [True, False, False], [True, True, False]]
    assert known.groups.tolist() == [1, 0, 0]
    assert known.attributes == {"meta_sex": ["M", "F", "F"]}
    given = write(tmp_path / "p.csv", "file,Hernia,Effusion,Mass\na,0.1,0.9,0.3\nb,0,0.2999,1\nc,1,0,0.5\n")
    found = predictions.read_predictions(given, task, known.names)
    assert found.probabilities.tolist() == [[0.3, 0.9, 0.1], [1, 0.2999, 0], [0.5, 0, 1]]
    assert found.values.tolist() == [[True, True, False], [True, False, False], [True, False, True]]


def test_regression(reader: str, tmp_path: Path, predictions, reference, cases) -> None:
    task = cases.Task("regression")
    path = write(tmp_path / "r.csv", "file,value,event\nx/b,1e2,1\na,-3,0\n")
    known = reference.read_reference(path, task)
    assert known.values.tolist() == [-3.0, 100.0]
    assert known.events.tolist() == [False, True]
    given = write(tmp_path / "p.csv", "file,value\nb,99.5\na, -2 \n")
    found = predictions.read_predictions(given, task, known.names)
    assert found.values.tolist() == [-2.0, 99.5]
    assert (found.probabilities, found.note) == (None, "not given")


@pytest.mark.parametrize(
    ("text", "code", "row"),
    [
        ("file,value\na,1\nb,nan\n", "csv-value", 3),
        ("file,value\na,1\nb,inf\n", "csv-value", 3),
        ("file,value\na,1\nb,1e999\n", "csv-value", 3),
        ("file,value\na,1\nb,1_0\n", "csv-value", 3),
        ("file,value\na,1\nb,0x10\n", "csv-value", 3),
        ("file,value\na,1\nb,\u0661\n", "csv-value", 3),
        ("file,value\na,1\nb,\n", "csv-value", 3),
        ("file,value\na,1\nb,1;2\n", "csv-value", 3),
        ("file,value,extra\na,1,1\nb,1,1\n", "csv-header", 1),
        ("file,class\na,1\nb,1\n", "csv-header", 1),
        ("file,value\na,1\n", "csv-missing-image", None),
        ("file,value\na,1\nb,2\nc,2\n", "csv-unknown-image", 4),
        ("file,value\na,1\na,2\n", "csv-duplicate-row", 3),
    ],
)
def test_values_that_are_refused(
    text: str, code: str, row: int | None, reader: str, tmp_path: Path, predictions, cases, input_error
) -> None:
    path = write(tmp_path / "p.csv", text)
    with pytest.raises(input_error) as caught:
        predictions.read_predictions(path, cases.Task("regression"), ["a", "b"])
    assert (caught.value.findings[0].code, caught.value.findings[0].row) == (code, row)


@pytest.mark.parametrize(
    ("text", "code", "row"),
    [
        ("file,Mass,Effusion,Hernia\na,0,1,1.001\n", "csv-value", 2),
        ("file,Mass,Effusion,Hernia\na,0,1,-0.001\n", "csv-value", 2),
        ("file,Mass,Effusion,Hernia\na,0,1,yes\n", "csv-value", 2),
        ("file,Mass,Effusion\na,0,1\n", "csv-header", 1),
        ("file,Mass,Effusion,Hernia,Nodule\na,0,1,1,1\n", "csv-header", 1),
        ("file,Mass,Effusion,Hernia,Mass\na,0,1,1,1\n", "csv-column-twice", 1),
    ],
)
def test_labels_that_are_refused(
    text: str, code: str, row: int, reader: str, tmp_path: Path, predictions, cases, input_error
) -> None:
    path = write(tmp_path / "p.csv", text)
    with pytest.raises(input_error) as caught:
        predictions.read_predictions(path, cases.Task("multilabel", LABELS), ["a"])
    assert (caught.value.findings[0].code, caught.value.findings[0].row) == (code, row)


def test_findings_are_many_but_not_a_million(tmp_path: Path, predictions, cases, input_error) -> None:
    rows = "".join(f"x{number},Foot\n" for number in range(50))
    path = write(tmp_path / "p.csv", "file,class\n" + rows)
    names = [f"{number:03d}" for number in range(50)]
    with pytest.raises(input_error) as caught:
        predictions.read_predictions(path, cases.Task("classification", ("A", "B")), names)
    assert len(caught.value.findings) == 20
    assert [finding.row for finding in caught.value.findings] == list(range(2, 22))


def two_classes(folder: Path, cells: str, header: str = "probability_CXR,probability_Hand") -> Path:
    rows = f"file,class,{header}\n000001.jpg,Hand,0.5,0.5\n\n000002.jpg,CXR,{cells}\n"
    return write(folder / "p.csv", rows)


@pytest.mark.parametrize("cells", ["0,1", "1,0", "0.5,0.5009", "0.5,0.4991", " 0.5 ,5e-1", "-0,1"])
def test_probabilities_that_are_used(cells: str, reader: str, tmp_path: Path, predictions, cases) -> None:
    task = cases.Task("classification", ("CXR", "Hand"))
    path = two_classes(tmp_path, cells)
    assert predictions.read_predictions(path, task, ["000001.jpg", "000002.jpg"]).note == "used"


@pytest.mark.parametrize(
    "cells", ["0.5,0.5011", "0.5,0.4989", "-0.1,1.1", "1.1,-0.1", "nan,1", "x,1", ",1", "inf,0", "0_1,0"]
)
def test_probabilities_that_are_not_used(cells: str, reader: str, tmp_path: Path, predictions, cases) -> None:
    task = cases.Task("classification", ("CXR", "Hand"))
    found = predictions.read_predictions(two_classes(tmp_path, cells), task, ["000001.jpg", "000002.jpg"])
    # The blank line before it counts.
    assert found.note.startswith("not used: line 4 ")
    assert (found.values.tolist(), found.probabilities) == ([1, 0], None)


def test_probability_columns_of_other_classes_are_not_used(
    reader: str, tmp_path: Path, predictions, cases
) -> None:
    task, names = cases.Task("classification", ("CXR", "Hand")), ["000001.jpg", "000002.jpg"]
    path = two_classes(tmp_path, "x,y", "probability_CXR,probability_Foot")
    assert predictions.read_predictions(path, task, names).note == (
        "not used: the header needs one 'probability_<class>' column for each class"
    )
    path = two_classes(tmp_path, "0.25,0.75", "probability_Hand,probability_CXR")
    assert predictions.read_predictions(path, task, names).probabilities[1].tolist() == [0.75, 0.25]


@pytest.mark.parametrize("classes", [2, 6, 20])
def test_probabilities_of_three_digits_are_used(
    classes: int, reader: str, tmp_path: Path, predictions, cases
) -> None:
    generator = np.random.default_rng(classes)
    names = [f"{number:04d}" for number in range(400)]
    class_names = tuple(f"c{number:02d}" for number in range(classes))
    header = ",".join(["file", "class", *(f"probability_{name}" for name in class_names)])
    exact = generator.dirichlet(np.ones(classes), 400)
    rows = [[name, "c00", *(f"{value:.3f}" for value in row)] for name, row in zip(names, exact, strict=True)]
    path = write(tmp_path / "p.csv", "\n".join([header, *map(",".join, rows)]))

    found = predictions.read_predictions(path, cases.Task("classification", class_names), names)

    assert found.note == "used"
    assert np.abs(found.probabilities - exact).max() < 0.0005 * (1 + classes)
    assert found.probabilities.sum(axis=1) == pytest.approx(np.ones(400), abs=1e-12)
    rows[7][2] = str(
        float(rows[7][2]) + max(2.5e-3, 1.2e-3 * classes) * (1 if float(rows[7][2]) < 0.5 else -1)
    )
    path = write(tmp_path / "p.csv", "\n".join([header, *map(",".join, rows)]))
    worse = predictions.read_predictions(path, cases.Task("classification", class_names), names)
    assert worse.note == "not used: line 9 does not sum to 1"
    assert worse.probabilities is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("file,class\na,x\na,y\n", "appears twice"),
        ("file,class\na,x\nb,x\n", "one class only"),
        ("file,value\na,1\n", "header"),
        ("", "empty"),
    ],
)
def test_a_reference_at_fault(
    text: str, word: str, reader: str, tmp_path: Path, reference, input_error
) -> None:
    with pytest.raises(input_error, match=word):
        reference.read_reference(write(tmp_path / "r.csv", text), None)


def test_a_reference_that_does_not_fit_its_task(reader: str, tmp_path: Path, reference, cases, input_error):
    path = write(tmp_path / "r.csv", "file,class\na,x\nb,z\n")
    with pytest.raises(input_error, match="the class 'z' is not one of task.json"):
        reference.read_reference(path, cases.Task("classification", ("x", "y")))
    path = write(tmp_path / "r.csv", "file,Mass,Effusion,Hernia\na,0,1,2\n")
    with pytest.raises(input_error, match="'2.*is no value for the column 'Hernia'"):
        reference.read_reference(path, cases.Task("multilabel", LABELS))


@pytest.mark.parametrize(
    "document",
    [
        "[]",
        "{",
        json.dumps({"class_names": ["a"]}),
        json.dumps({"task": "poetry"}),
        json.dumps({"task": "ordinal", "class_names": ["a", "a"]}),
        json.dumps({"task": "multilabel", "options": {"threshold": "half"}}),
    ],
)
def test_a_task_at_fault(document: str, tmp_path: Path, program_module, input_error) -> None:
    tasks = program_module("scoring_program", "tasks")
    with pytest.raises(input_error) as caught:
        tasks.read_task(write(tmp_path / "task.json", document))
    assert caught.value.findings[0].code == "task-invalid"
    assert tasks.read_task(tmp_path / "none.json") is None


def test_parts_keep_groups_and_attributes(tmp_path: Path, reference, predictions, cases, input_error) -> None:
    path = write(
        tmp_path / "r.csv", "file,class,group,meta_site\na,x,p9,S\nb,y,p1,T\nc,x,p9,S\nd,y,,U\ne,y,p5,T\n"
    )
    known = reference.read_reference(path, None)
    assert known.group_names[1:] == ("p1", "p5", "p9")
    given = write(tmp_path / "p.csv", "file,class\na,y\nb,y\nc,x\nd,x\ne,y\n")
    all_cases = reference.make_cases(known, predictions.read_predictions(given, known.task, known.names))

    some, cut = reference.part_of(all_cases, known, ["e", "a", "c"])

    assert list(some.names) == ["a", "c", "e"]
    assert some.reference.tolist() == [0, 0, 1]
    assert some.predictions.tolist() == [1, 0, 1]
    assert some.groups.tolist() == [1, 1, 0]
    assert cut.group_names == ("p5", "p9")
    assert cut.attributes == {"meta_site": ["S", "S", "T"]}
    with pytest.raises(input_error):
        reference.part_of(all_cases, known, ["a", "z"])
    with pytest.raises(input_error):
        reference.part_of(all_cases, known, [])
