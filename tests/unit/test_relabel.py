"""Correcting classes: what changes, that all or nothing does, and that the old state is kept."""

import csv
import dataclasses
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from challenge_bundle.cli import main
from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.dataset.publish import recover_import
from challenge_bundle.dataset.relabel import Correction, apply_corrections, read_corrections
from challenge_bundle.errors import DataError
from challenge_bundle.evaluation.context import Context
from challenge_bundle.evaluation.records import Records
from challenge_bundle.evaluation.relabel_effects import count_by_split
from challenge_bundle.evaluation.rescore import rescore
from challenge_bundle.files import write_csv
from challenge_bundle.formats.origins import read_origins
from challenge_bundle.formats.reference import read_reference
from challenge_bundle.formats.tasks import Task
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.leaderboard.build import make_board
from challenge_bundle.sources.synthetic import SyntheticSource
from tests.conftest import say_nothing, write_image
from tests.evaluations import put_scored, reread, scoring_engine


def corrections(path: Path, rows: list[tuple[str, str]]) -> Path:
    write_csv(path, ("file", "class"), rows)
    return path


def classes(layout: Layout) -> dict[str, dict[str, str]]:
    return {split: read_reference(layout.solution_csv(split)).label_of for split in SPLITS}


@pytest.fixture
def filled(layout: Layout) -> Layout:
    import_images(SyntheticSource(), ImportRequest(sample_size=3), layout, say_nothing)
    return layout


def one_of_each_split(layout: Layout) -> list[tuple[str, str]]:
    """A correction of one image of each split, to the class of another image there."""
    rows = []
    for table in classes(layout).values():
        name, class_name = sorted(table.items())[0]
        rows.append((name, next(other for other in sorted(set(table.values())) if other != class_name)))
    return rows


def test_corrections_of_all_splits_come_into_place_with_their_origins(filled: Layout, tmp_path: Path) -> None:
    before, rows = classes(filled), one_of_each_split(filled)
    modes = {split: filled.solution_csv(split).stat().st_mode for split in SPLITS}
    images = {path: path.read_bytes() for split in SPLITS for path in filled.split_dir(split).iterdir()}
    path = corrections(tmp_path / "c.csv", rows)
    found = read_corrections(path, filled)
    assert [(one.split, one.name, one.after) for one in found] == [
        (split, *row) for split, row in zip(SPLITS, rows, strict=True)
    ]
    kept = apply_corrections(found, path, filled)
    after = classes(filled)
    for split, (name, class_name) in zip(SPLITS, rows, strict=True):
        assert after[split] == before[split] | {name: class_name}
    assert {(one.split, one.file): one.class_name for one in read_origins(filled.origins_csv)} == {
        (split, name): class_name for split, table in after.items() for name, class_name in table.items()
    }
    assert {path: path.read_bytes() for path in images} == images
    assert {split: filled.solution_csv(split).stat().st_mode for split in SPLITS} == modes
    assert kept == filled.state / "relabels" / "1" / "before"
    assert sorted(entry.name for entry in kept.iterdir()) == [
        "corrections.csv",
        "origins.csv",
        "testing_solution.csv",
        "training_solution.csv",
        "validation_solution.csv",
    ]
    assert read_reference(kept / "testing_solution.csv").label_of == before["testing"]
    assert stat.S_IMODE((filled.state / "relabels" / "1").stat().st_mode) == 0o700
    assert not (filled.input_data / ".incoming").exists()
    # A second time goes beside the first.
    back = corrections(tmp_path / "back.csv", [(one.name, one.before) for one in found])
    again = apply_corrections(read_corrections(back, filled), back, filled)
    assert again == filled.state / "relabels" / "2" / "before"
    assert classes(filled) == before


def test_what_is_not_corrected_is_not_touched(filled: Layout, tmp_path: Path) -> None:
    name, class_name = one_of_each_split(filled)[2]
    before = {split: filled.solution_csv(split).stat().st_mtime_ns for split in SPLITS}
    record = filled.import_json.read_bytes()
    path = corrections(tmp_path / "c.csv", [(f"testing-data/{name}", class_name)])
    apply_corrections(read_corrections(path, filled), path, filled)
    changed = [split for split in SPLITS if filled.solution_csv(split).stat().st_mtime_ns != before[split]]
    assert changed == ["testing"]
    assert filled.import_json.read_bytes() == record


def test_other_columns_of_a_csv_stay(filled: Layout, tmp_path: Path) -> None:
    path = filled.solution_csv("training")
    with path.open(newline="") as opened:
        rows = list(csv.reader(opened))
    (name, class_name), *_ = one_of_each_split(filled)
    write_csv(path, [*rows[0], "meta_x"], [[*row, "0.25"] for row in rows[1:]])
    wanted = corrections(tmp_path / "c.csv", [(name, class_name)])
    apply_corrections(read_corrections(wanted, filled), wanted, filled)
    with path.open(newline="") as opened:
        found = list(csv.reader(opened))
    assert found[0] == ["file", "class", "meta_x"]
    assert {row[2] for row in found[1:]} == {"0.25"}
    assert [row[0] for row in found] == [row[0] for row in rows]


def test_faults_name_their_row(filled: Layout, tmp_path: Path) -> None:
    table = classes(filled)["training"]
    name, class_name = sorted(table.items())[0]
    mates = [other for other in table if table[other] == class_name]
    another = next(other for other in table.values() if other != class_name)
    path = tmp_path / "c.csv"
    for rows, code, row, word in (
        ([(name, another), ("none.png", another)], "csv-unknown-image", 3, "'none.png'"),
        ([(name, "Nose")], "csv-unknown-class", 2, "'Nose' is no class of this bundle; expected one of"),
        ([(name, another), (name, another)], "csv-duplicate-row", 3, name),
        ([(mate, another) for mate in mates], "class-without-images", None, "in the training split"),
    ):
        with pytest.raises(DataError) as fault:
            read_corrections(corrections(path, rows), filled)
        assert (fault.value.code, fault.value.path, fault.value.row) == (code, path, row)
        assert word in fault.value.finding.message
    # All but one image of a class may go.
    assert (
        len(read_corrections(corrections(path, [(m, another) for m in mates[1:]]), filled)) == len(mates) - 1
    )
    assert read_corrections(corrections(path, [(name, class_name)]), filled) == []
    path.write_text("nothing")
    with pytest.raises(DataError) as fault:
        read_corrections(path, filled)
    assert (fault.value.code, fault.value.row) == ("csv-header", 1)
    with pytest.raises(DataError) as fault:
        read_corrections(corrections(path, [("a.png", "A")]), Layout(tmp_path / "empty"))
    assert fault.value.code == "no-data"


def test_a_name_of_several_splits_needs_its_folder(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "bundle")
    for number, split in enumerate(SPLITS):
        rows = []
        for file, class_name in (("a.png", "A"), ("b.png", "B"), (f"{split}.png", "A")):
            write_image(layout.split_dir(split) / file, number)
            rows.append((f"{split}-data/{file}", class_name))
        write_csv(layout.solution_csv(split), ("file", "class"), rows)
    path = corrections(tmp_path / "c.csv", [("a.png", "B")])
    with pytest.raises(DataError) as fault:
        read_corrections(path, layout)
    assert (fault.value.code, fault.value.row) == ("image-in-several-splits", 2)
    assert fault.value.finding.hint.endswith("testing-data/a.png")
    corrections(path, [("validation-data/a.png", "B"), ("testing.png", "B")])
    assert read_corrections(path, layout) == [
        Correction("validation", "a.png", "A", "B"),
        Correction("testing", "testing.png", "A", "B"),
    ]
    apply_corrections(read_corrections(path, layout), path, layout)
    found = classes(layout)
    assert found["validation"] == {"a.png": "B", "b.png": "B", "validation.png": "A"}
    assert found["training"]["a.png"] == "A"
    assert not layout.origins_csv.exists()


@pytest.mark.parametrize("at", range(1, 40))
def test_a_kill_at_any_instant_leaves_the_old_or_the_new(
    filled: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    before, rows = classes(filled), one_of_each_split(filled)
    path = corrections(tmp_path / "c.csv", rows)
    found = read_corrections(path, filled)
    new = {split: before[split] | dict([row]) for split, row in zip(SPLITS, rows, strict=True)}
    killed = kill_at(monkeypatch, at, lambda: apply_corrections(found, path, filled))
    recover_import(filled)
    after = classes(filled)
    assert after in (before, new)
    assert {(o.split, o.file): o.class_name for o in read_origins(filled.origins_csv)} == {
        (split, name): class_name for split, table in after.items() for name, class_name in table.items()
    }
    kept = filled.state / "relabels" / "1" / "before"
    assert kept.is_dir() == (after == new)
    if after == new:
        assert read_reference(kept / "training_solution.csv").label_of == before["training"]
    assert not (filled.state / "incoming").exists()
    assert killed or after == new


class Killed(BaseException):
    """As if the process were gone: nothing after it runs, clean-ups neither."""


def kill_at(monkeypatch: pytest.MonkeyPatch, at: int, act: Any) -> bool:
    """Do something, and end it before its at-th change on the disk; tells whether it came so far."""
    count = 0

    def counted(real: Any) -> Any:
        def change(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            # From then on nothing reaches the disk, not even what a clean-up would do.
            if count >= at:
                raise Killed
            return real(*arguments, **options)

        return change

    with monkeypatch.context() as patch:
        for owner, name in (
            (Path, "replace"),
            (Path, "mkdir"),
            (Path, "touch"),
            (Path, "unlink"),
            (shutil, "rmtree"),
            (shutil, "copy"),
        ):
            patch.setattr(owner, name, counted(getattr(owner, name)))
        try:
            act()
        except Killed:
            return True
    return False


def run(layout: Layout, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["--bundle", str(layout.root), "data", "relabel", *map(str, arguments)])


def test_the_command_previews_and_then_does_it(filled: Layout, tmp_path: Path) -> None:
    before, rows = classes(filled), one_of_each_split(filled)
    path = corrections(tmp_path / "c.csv", rows)
    preview = run(filled, path)
    assert preview.exit_code == 0, preview.output
    assert f"testing    {rows[2][0]}: {before['testing'][rows[2][0]]} -> {rows[2][1]}" in preview.output
    assert "labels that change: 1 training, 1 validation, 1 testing\n" in preview.output
    assert "nothing was changed; to correct the labels, add --yes" in preview.output
    assert classes(filled) == before
    assert not filled.relabels.exists()
    done = run(filled, path, "--yes")
    assert done.exit_code == 0, done.output
    assert "corrected; the former csv files are in" in done.output
    assert classes(filled)["testing"][rows[2][0]] == rows[2][1]
    again = run(filled, path, "--yes")
    assert again.exit_code == 0
    assert "labels that change: 0 training, 0 validation, 0 testing\n" in again.output
    assert not (filled.relabels / "2").exists()


def test_a_label_fix_from_the_preview_to_the_board(
    context: Context, records: Records, tmp_path: Path
) -> None:
    put_scored(context, records, 1, dict(context.reference.label_of))
    public, final = min(context.test_splits["public"]), min(context.test_splits["final"])
    other = {"A": "B", "B": "A"}
    rows = [(name, other[context.reference.label_of[name]]) for name in (public, final)]
    path = corrections(tmp_path / "c.csv", rows)
    # As an evaluation of an older version of the tool, that kept no parts: they are kept now, not later.
    (context.layout.evaluation / "parts.json").unlink()
    preview = run(context.layout, path)
    assert preview.exit_code == 0, preview.output
    assert (
        "0 training, 0 validation, 2 testing; 1 in the public split; 1 in the final split" in preview.output
    )
    assert "scored submissions: 1; `leaderboard` refuses them until `evaluate --rescore`" in preview.output
    assert run(context.layout, path, "--yes").exit_code == 0
    changed = reread(context)
    assert changed.test_splits == context.test_splits
    assert changed.reference.label_of == context.reference.label_of | dict(rows)
    with pytest.raises(DataError, match="run `evaluate --rescore`"):
        make_board(changed, records, "development", None)
    rescore(changed, records, scoring_engine(), say_nothing)
    board = make_board(changed, records, "development", None)
    assert board.entries[0].scores["weighted_f1"] == pytest.approx(0.838, abs=5e-4)


def test_a_class_must_stay_in_both_test_splits(context: Context, records: Records, tmp_path: Path) -> None:
    put_scored(context, records, 1, dict(context.reference.label_of))
    rows = [(name, "B") for name in context.test_splits["public"] if context.reference.label_of[name] == "A"]
    found = run(context.layout, corrections(tmp_path / "c.csv", rows), "--yes")
    assert found.exit_code == 1
    assert "class 'A' would have no image left in the public split" in found.output
    assert reread(context).reference == context.reference


def test_a_class_that_one_split_never_had_is_not_asked_for(context: Context) -> None:
    kept, other = sorted(context.test_splits["final"])[:2]
    labels = {name: "A" if index % 2 else "B" for index, name in enumerate(context.reference.label_of)}
    rare = dataclasses.replace(context.reference, label_of=labels | {kept: "C", other: "A"})
    found = [Correction("testing", other, "A", "B")]
    assert count_by_split(dataclasses.replace(context, reference=rare), found) == {"final": 1}


def test_a_value_may_leave_a_split(context: Context) -> None:
    values = {name: str(index) for index, name in enumerate(sorted(context.reference.label_of))}
    task = Task("regression")
    reference = dataclasses.replace(context.reference, label_of=values, task=task)
    public = min(context.test_splits["public"])
    found = [Correction("testing", public, values[public], "0.5")]
    assert count_by_split(dataclasses.replace(context, reference=reference), found) == {"public": 1}
