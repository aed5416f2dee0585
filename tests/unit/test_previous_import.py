"""A later import of more images: what moves between splits is reported, and splits can be kept."""

import csv
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.dataset.summary import DataSummary
from challenge_bundle.errors import DataError
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.sources.folder import FolderSource
from tests.conftest import say_nothing, write_image
from tests.importing import codes, of_code

GROUP = r"^(p\d+)_"


def fill(layout: Layout, folder: Path, **request: object) -> DataSummary:
    return import_images(FolderSource(folder), ImportRequest(**request), layout, say_nothing)  # type: ignore[arg-type]


def write_patients(folder: Path, patients: range) -> Path:
    """One to three images of each patient, of two classes."""
    for patient in patients:
        for number in range(1 + patient % 3):
            write_image(folder / "ab"[patient % 2] / f"p{patient}_{number}.png", seed=10 * patient + number)
    return folder


def splits_by_name(layout: Layout) -> dict[str, str]:
    with layout.origins_csv.open(newline="") as opened:
        return {Path(row["origin"]).name: row["split"] for row in csv.DictReader(opened)}


MOVES = {
    "previous-images-gone",
    "testing-image-published",
    "testing-image-known",
    "patient-group-was-split",
}


def moves(summary: DataSummary) -> set[str]:
    """The codes of what is reported of images of the last import."""
    return MOVES & set(codes(summary.findings))


def test_testing_images_that_are_assigned_again_are_counted(layout: Layout, tmp_path: Path) -> None:
    first = fill(layout, write_patients(tmp_path / "images", range(60)))
    assert not moves(first)
    before = splits_by_name(layout)
    again = fill(layout, tmp_path / "images")
    assert not moves(again)

    summary = fill(layout, write_patients(tmp_path / "images", range(60, 90)))
    after = splits_by_name(layout)
    moved = [name for name, split in before.items() if split == "testing" != after[name]]
    gained = [name for name, split in before.items() if split != "testing" == after[name]]
    assert moved
    published = of_code(summary.findings, "testing-image-published")
    known = of_code(summary.findings, "testing-image-known")
    assert f": {len(moved)} (" in published.message
    assert f": {len(gained)}, such as" in known.message
    assert all("--keep-splits" in found.hint for found in (published, known))


@pytest.mark.parametrize("group", ["", GROUP])
def test_kept_splits_assign_new_images_alone(group: str, layout: Layout, tmp_path: Path) -> None:
    fill(layout, write_patients(tmp_path / "images", range(60)), group=group)
    before = splits_by_name(layout)
    # Known patients have new images too, and some images are under other names.
    for patient in range(0, 60, 4):
        write_image(tmp_path / "images" / "ab"[patient % 2] / f"p{patient}_9.png", seed=10 * patient + 9)
    (tmp_path / "images/a/p2_0.png").rename(tmp_path / "images/a/p2_7.png")
    before["p2_7.png"] = before.pop("p2_0.png")

    summary = fill(layout, write_patients(tmp_path / "images", range(60, 120)), group=group, keep_splits=True)

    after = splits_by_name(layout)
    assert {name: after[name] for name in before} == before
    assert not moves(summary)
    total = sum(summary.counts.values())
    for split, share in zip(SPLITS, (0.6, 0.2, 0.2), strict=True):
        assert abs(summary.counts[split] - share * total) <= 3
    if group:
        splits: dict[str, set[str]] = defaultdict(set)
        for name, split in after.items():
            splits[name.partition("_")[0]].add(split)
        assert all(len(found) == 1 for found in splits.values())


def test_the_shares_of_the_whole_are_made_up_for(layout: Layout, tmp_path: Path) -> None:
    fill(layout, write_patients(tmp_path / "images", range(60)), split=(0.2, 0.4, 0.4))
    before = splits_by_name(layout)
    fill(layout, write_patients(tmp_path / "images", range(60, 300)), keep_splits=True)
    after = splits_by_name(layout)
    assert {name: after[name] for name in before} == before
    counts = Counter(after.values())
    assert abs(counts["testing"] - 0.2 * len(after)) <= 2


def test_a_group_of_two_splits_goes_to_testing_whole(layout: Layout, tmp_path: Path) -> None:
    fill(layout, write_patients(tmp_path / "images", range(60)))
    before = splits_by_name(layout)
    summary = fill(layout, tmp_path / "images", group=GROUP, keep_splits=True)
    after = splits_by_name(layout)
    of_patient: dict[str, set[str]] = defaultdict(set)
    for name, split in before.items():
        of_patient[name.partition("_")[0]].add(split)
    parted = {patient for patient, splits in of_patient.items() if len(splits) > 1}
    for name, split in after.items():
        were = of_patient[name.partition("_")[0]]
        assert split == max(were, key=SPLITS.index)
    assert f": {len(parted)}, such as" in of_code(summary.findings, "patient-group-was-split").message
    gained = sum(split == "testing" != before[name] for name, split in after.items())
    assert f": {gained}, such as" in of_code(summary.findings, "testing-image-known").message
    assert "testing-image-published" not in moves(summary)


def test_splits_of_the_source_come_before_those_of_the_last_import(layout: Layout, tmp_path: Path) -> None:
    fill(layout, write_patients(tmp_path / "images", range(60)))
    before = splits_by_name(layout)
    moved = next(name for name, split in before.items() if split == "testing")
    for path in sorted((tmp_path / "images").rglob("*.png")):
        split = (
            "train"
            if path.name == moved
            else {"training": "train", "validation": "val"}.get(before[path.name], "test")
        )
        target = tmp_path / "split" / split / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    summary = fill(layout, tmp_path / "split", keep_splits=True)
    assert splits_by_name(layout) == before | {moved: "training"}
    assert ": 1 (1 in training)" in of_code(summary.findings, "testing-image-published").message

    # What the source leaves to be cut, here validation, is as it was.
    for path in sorted((tmp_path / "split" / "val").rglob("*.png")):
        path.rename(tmp_path / "split" / "train" / path.parent.name / path.name)
    shutil.rmtree(tmp_path / "split" / "val")
    fill(layout, tmp_path / "split", keep_splits=True)
    assert splits_by_name(layout) == before | {moved: "training"}


def test_splits_that_nobody_knows_cannot_be_kept(layout: Layout, tmp_path: Path) -> None:
    write_patients(tmp_path / "images", range(30))
    with pytest.raises(DataError) as fault:
        fill(layout, tmp_path / "images", keep_splits=True)
    assert fault.value.code == "no-splits-to-keep"
    fill(layout, tmp_path / "images")
    with pytest.raises(DataError, match="the last import had none of these images"):
        fill(layout, write_patients(tmp_path / "others", range(100, 130)), keep_splits=True)


def test_an_import_of_an_older_version_is_known_by_its_bytes(layout: Layout, tmp_path: Path) -> None:
    fill(layout, write_patients(tmp_path / "images", range(30)))
    before = splits_by_name(layout)
    with layout.origins_csv.open(newline="") as opened:
        rows = list(csv.reader(opened))
    with layout.origins_csv.open("w", newline="") as opened:
        csv.writer(opened).writerows(row[:-1] for row in rows)
    fill(layout, write_patients(tmp_path / "images", range(30, 40)), keep_splits=True)
    assert before.items() <= splits_by_name(layout).items()


def test_a_damaged_list_of_the_last_import_keeps_no_splits(layout: Layout, tmp_path: Path) -> None:
    folder = write_patients(tmp_path / "images", range(12))
    fill(layout, folder)
    text = layout.origins_csv.read_text()
    layout.origins_csv.write_text(text.replace(",testing,", ",testin,", 1))
    with pytest.raises(DataError, match="no import is known here, or its list is damaged"):
        fill(layout, folder, keep_splits=True, replace=True)
    layout.origins_csv.write_text(text)
    fill(layout, folder, keep_splits=True, replace=True)
