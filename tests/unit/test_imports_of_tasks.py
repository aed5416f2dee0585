"""What an import writes for each task, what it refuses, and what it only warns of."""

import csv
import json
import shutil
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.fill import fill_if_empty
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.dataset.relabel import apply_corrections, read_corrections
from challenge_bundle.dataset.summary import DataSummary, read_summary
from challenge_bundle.display import TerminalDisplay
from challenge_bundle.errors import DataError
from challenge_bundle.formats.reference import Reference, read_reference
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.settings import parse_manifest
from challenge_bundle.sources.csv_table import TableSource
from challenge_bundle.sources.folder import FolderSource
from challenge_bundle.sources.synthetic import SyntheticSource
from tests.conftest import say_nothing, write_image
from tests.importing import codes

LABELS = ("Effusion", "Mass", "Hernia")
GRADES = ("none", "mild", "severe")


def fill(layout: Layout, table: list[dict[str, object]], query: str = "", **request: object) -> DataSummary:
    """Import images of noise with the rows of a csv; the column `file` is added."""
    folder = layout.root.parent / "source"
    folder.mkdir(exist_ok=True)
    with (folder / "labels.csv").open("w", newline="") as opened:
        writer = csv.DictWriter(opened, ["file", *table[0]])
        writer.writeheader()
        for number, row in enumerate(table):
            seed = int(str(row.get("seed", number)))
            write_image(folder / f"{number:03d}.png", seed=seed)
            writer.writerow({"file": f"{number:03d}.png", **row})
    source = TableSource(f"csv:labels.csv{query}", folder)
    return import_images(source, ImportRequest(**request), layout, say_nothing)  # type: ignore[arg-type]


def rows_of(layout: Layout, split: str) -> list[list[str]]:
    with layout.solution_csv(split).open(newline="") as opened:
        return list(csv.reader(opened))


def refused(layout: Layout, table: list[dict[str, object]], query: str = "", **request: object) -> DataError:
    with pytest.raises(DataError) as fault:
        fill(layout, table, query, **request)
    assert not layout.task_json.exists()
    assert fault.value.finding.hint
    return fault.value


def multilabel(count: int = 30) -> list[dict[str, object]]:
    """Effusion in every second image, Mass in every third, Hernia in none."""
    return [{"Effusion": n % 2, "Mass": int(n % 3 == 0), "Hernia": 0} for n in range(count)]


def test_a_classification_is_written_as_ever_with_a_task_beside_it(layout: Layout) -> None:
    fill(layout, [{"class": "ba"[n % 2]} for n in range(20)])
    assert [rows_of(layout, split)[0] for split in SPLITS] == [["file", "class"]] * 3
    assert layout.task_json.read_bytes() == layout.reference_task_json.read_bytes()
    assert json.loads(layout.task_json.read_text()) == {
        "version": 1,
        "task": "classification",
        "class_names": ["a", "b"],
        "metric": "",
        "options": {},
    }


def test_the_order_of_classes_is_that_of_the_request(layout: Layout) -> None:
    summary = fill(
        layout,
        [{"grade": GRADES[n % 3]} for n in range(30)],
        "?class=grade",
        task="ordinal",
        class_names=GRADES,
        metric="quadratic_kappa",
    )
    task = json.loads(layout.task_json.read_text())
    assert (task["task"], task["class_names"], task["metric"]) == ("ordinal", list(GRADES), "quadratic_kappa")
    assert summary.class_names == GRADES
    assert list(summary.classes.items()) == [("none", 10), ("mild", 10), ("severe", 10)]
    for split, count in zip(SPLITS, (6, 2, 2), strict=True):
        assert Counter(row[1] for row in rows_of(layout, split)[1:]) == dict.fromkeys(GRADES, count)


def test_one_column_for_each_label(layout: Layout) -> None:
    summary = fill(
        layout, multilabel(), task="multilabel", class_names=LABELS, metric_options=("threshold=0.4",)
    )
    assert json.loads(layout.task_json.read_text())["options"] == {"threshold": 0.4}
    assert dict(summary.classes) == {"Effusion": 15, "Mass": 10, "Hernia": 0}
    for split, count in zip(SPLITS, (18, 6, 6), strict=True):
        header, *rows = rows_of(layout, split)
        assert header == ["file", *LABELS]
        # Each label is balanced by itself: half, a third and none of the images.
        assert [sum(int(row[column]) for row in rows) for column in (1, 2, 3)] == [count // 2, count // 3, 0]
    absent = [one for one in summary.findings if one.code == "label-without-positive"]
    assert len(absent) == 3
    assert all("1 (Hernia)" in one.message for one in absent)


def test_labels_joined_in_one_column(layout: Layout) -> None:
    texts = ["Effusion|Mass", "No Finding", "Mass", ""]
    fill(
        layout,
        [{"found": texts[n % 4]} for n in range(20)],
        "?class=found&none=No Finding",
        task="multilabel",
    )
    reference = read_reference(layout.solution_csv("training"))
    assert reference.class_names == ("Effusion", "Mass")
    assert set(reference.label_of.values()) == {"", "Mass", "Effusion|Mass"}


def test_values_are_balanced_by_their_quantiles(layout: Layout) -> None:
    summary = fill(layout, [{"n": n} for n in range(100)], "?value=n", task="regression")
    assert summary.values[0] == 0
    assert (summary.class_names, dict(summary.classes)) == ((), {})
    assert json.loads(layout.task_json.read_text())["class_names"] == []
    for split, count in zip(SPLITS, (6, 2, 2), strict=True):
        tenths = Counter(int(row[1]) // 10 for row in rows_of(layout, split)[1:])
        assert tenths == dict.fromkeys(range(10), count)


@pytest.mark.parametrize("task", ["classification", "ordinal", "multilabel", "regression"])
def test_patients_stay_whole_under_names_that_show_nothing(task: str, layout: Layout) -> None:
    rows: list[dict[str, object]] = [
        {
            "class": "ab"[n % 2],
            "value": n,
            "a": n % 2,
            "b": n % 3 // 2,
            "who": f"P{n // 3}",
            "sex": "FM"[n % 2],
        }
        for n in range(60)
    ]
    query = {"regression": "?group=who", "multilabel": "?group=who&labels=a|b"}.get(task, "?group=who")
    names = ("b", "a") if task == "ordinal" else ()
    fill(layout, rows, query, task=task, class_names=names, subgroups=("sex",))
    groups: dict[str, set[str]] = {}
    for split in SPLITS:
        header, *written = rows_of(layout, split)
        assert header[header.index("group") :] == ["group"] + (["meta_sex"] if split == "testing" else [])
        groups[split] = {row[header.index("group")] for row in written}
        read = read_reference(layout.solution_csv(split))
        assert set(Counter(read.group_of.values()).values()) == {3}
    assert sorted(group for found in groups.values() for group in found) == [
        f"g{number:04d}" for number in range(1, 21)
    ]
    assert (
        max(groups["training"])
        < min(groups["validation"])
        <= max(groups["validation"])
        < min(groups["testing"])
    )
    assert set(read_reference(layout.solution_csv("testing")).attributes["sex"].values()) == {"F", "M"}


def test_pseudonyms_do_not_follow_the_patients_own_order(layout: Layout) -> None:
    fill(layout, [{"class": "ab"[n % 2], "group": f"P{n // 2:02d}"} for n in range(60)])
    with layout.origins_csv.open() as opened:
        patient_of = {row["file"]: row["group"] for row in csv.DictReader(opened)}
    pairs = {
        (group, patient_of[name])
        for name, group in read_reference(layout.solution_csv("training")).group_of.items()
    }
    ordered = [patient for _, patient in sorted(pairs)]
    assert len(ordered) == 18
    assert ordered != sorted(ordered)
    assert not any("P" in row[2] for row in rows_of(layout, "training")[1:])


def test_an_image_without_a_patient_is_a_group_of_its_own(layout: Layout) -> None:
    fill(layout, [{"class": "ab"[n % 2], "group": f"P{n // 2}" if n < 30 else ""} for n in range(40)])
    groups = Counter(
        group for split in SPLITS for group in read_reference(layout.solution_csv(split)).group_of.values()
    )
    assert Counter(groups.values()) == {2: 15, 1: 10}


@pytest.mark.parametrize(
    ("rows", "request_", "code"),
    [
        ([{"value": "1"}, {"value": "NaN"}], {"task": "regression"}, "label-invalid"),
        ([{"value": "1"}, {"value": "1,5"}], {"task": "regression"}, "label-invalid"),
        ([{"value": "2.0"}, {"value": "2"}], {"task": "regression"}, "values-constant"),
        ([{"value": "2"}, {"value": ""}], {"task": "regression"}, "csv-empty-cell"),
        ([{"class": "2"}], {"task": "regression"}, "csv-column-missing"),
        ([{"a": "1"}, {"a": "x"}], {"task": "multilabel"}, "csv-label"),
        ([{"a": "1"}, {"a": ""}], {"task": "multilabel"}, "csv-label"),
        ([{"a": "0"}, {"a": "0.0"}], {"task": "multilabel"}, "no-labels"),
        (
            [{"class": "x|y"}, {"class": "z"}],
            {"task": "multilabel", "class_names": ("x", "y")},
            "unknown-label",
        ),
        ([{"class": "x|meta_y"}, {"class": ""}], {"task": "multilabel"}, "label-name-reserved"),
        ([{"class": "a"}, {"class": "c"}], {"task": "ordinal", "class_names": ("a", "b")}, "other-classes"),
        ([{"class": "a"}, {"class": "a"}], {"task": "ordinal"}, "too-few-classes"),
        ([{"class": "a"}, {"class": "b"}], {"subgroups": ("site",)}, "csv-column-missing"),
    ],
)
def test_labels_that_are_refused(
    rows: list[dict[str, object]], request_: dict[str, object], code: str, layout: Layout
) -> None:
    assert refused(layout, rows, **request_).code == code


@pytest.mark.parametrize(
    ("task", "option"), [("classification", "value"), ("regression", "class"), ("ordinal", "labels")]
)
def test_an_option_of_another_task_is_refused(task: str, option: str, layout: Layout) -> None:
    assert refused(layout, [{"x": 1}], f"?{option}=x", task=task).code == "source-options"


@pytest.mark.parametrize(
    ("task", "column", "one", "other", "same"),
    [
        ("regression", "value", "2", "3", "2.0"),
        ("multilabel", "class", "a|b", "a", "b|a"),
        ("ordinal", "class", "a", "b", "a"),
    ],
)
def test_one_picture_with_two_labels(
    task: str, column: str, one: str, other: str, same: str, layout: Layout
) -> None:
    rest: list[dict[str, object]] = [{column: (one, other)[n % 2], "seed": n} for n in range(20)]
    names = ("a", "b") if task == "ordinal" else ()
    fault = refused(layout, [*rest, {column: other, "seed": 0}], task=task, class_names=names)
    assert fault.code == "label-conflict"
    summary = fill(layout, [*rest, {column: same, "seed": 0}], task=task, class_names=names)
    assert "duplicate-images" in codes(summary.findings)


def test_what_is_in_place_is_known_again(layout: Layout) -> None:
    fill(layout, multilabel(), task="multilabel", class_names=LABELS)
    found = read_summary(layout)
    assert found is not None
    assert (found.task, found.class_names) == ("multilabel", LABELS)
    assert found.request is not None
    assert found.request.task == "multilabel"


def test_labels_are_corrected(layout: Layout, tmp_path: Path) -> None:
    fill(layout, [row | {"group": f"P{n}"} for n, row in enumerate(multilabel())], task="multilabel")
    before = read_reference(layout.solution_csv("testing"))
    name = next(name for name, label in before.label_of.items() if label == "Effusion")
    path = tmp_path / "corrections.csv"
    path.write_text(f"file,Effusion,Mass,Hernia\n{name},0,0,1\n")
    (change,) = read_corrections(path, layout)
    assert (change.split, change.before, change.after) == ("testing", "Effusion", "Hernia")
    apply_corrections([change], path, layout)
    after = read_reference(layout.solution_csv("testing"))
    assert after.label_of == before.label_of | {name: "Hernia"}
    assert after.group_of == before.group_of
    path.write_text(f"file,class\n{name},Hernia\n")
    with pytest.raises(DataError) as fault:
        read_corrections(path, layout)
    assert fault.value.code == "csv-header"


def bundle_layout(layout: Layout, folder: Path) -> FolderSource:
    """What an import wrote, as a folder in the bundle layout."""
    shutil.copytree(layout.input_data, folder)
    shutil.copy(layout.solution_csv("testing"), folder)
    return FolderSource(folder)


def members(reference: Reference) -> set[frozenset[str]]:
    """Which images are of one patient, whatever the groups are called."""
    group_of = reference.group_of
    return {frozenset(n for n in group_of if group_of[n] == one) for one in group_of.values()}


def test_a_folder_in_the_bundle_layout_is_taken_as_it_is(layout: Layout, tmp_path: Path) -> None:
    rows = [row | {"group": f"P{n // 2}", "sex": "FM"[n % 2]} for n, row in enumerate(multilabel())]
    fill(layout, rows, task="multilabel", class_names=LABELS, subgroups=("sex",))
    source = bundle_layout(layout, tmp_path / "handed")
    other = Layout(tmp_path / "other")
    request = ImportRequest(task="multilabel", subgroups=("sex",))
    summary = import_images(source, request, other, say_nothing)
    assert summary.class_names == LABELS
    for split in SPLITS:
        one, two = (read_reference(each.solution_csv(split)) for each in (layout, other))
        assert one.label_of == two.label_of
        assert one.attributes == two.attributes
        assert members(one) == members(two)
    with pytest.raises(DataError) as fault:
        import_images(source, ImportRequest(), Layout(tmp_path / "third"), say_nothing)
    assert (fault.value.code, fault.value.path) == ("other-task", tmp_path / "handed" / "task.json")


def test_attributes_that_a_source_cannot_have(layout: Layout) -> None:
    with pytest.raises(DataError) as fault:
        import_images(SyntheticSource(), ImportRequest(subgroups=("sex",)), layout, say_nothing)
    assert fault.value.code == "subgroup-unknown"


def test_data_of_another_task_are_refused(layout: Layout) -> None:
    fill(layout, [{"class": "ab"[n % 2]} for n in range(20)])
    text = '[bundle]\nname = "x"\ntask = "ordinal"\nclass_names = ["b", "a"]\n'
    with closing(TerminalDisplay()) as display, pytest.raises(DataError) as fault:
        fill_if_empty(parse_manifest(text, layout.manifest), layout, display)
    assert fault.value.code == "other-task"
