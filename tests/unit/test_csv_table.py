"""Images that a csv names: its columns, its faults."""

import os
from pathlib import Path

import pytest

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.stratify import rank
from challenge_bundle.errors import DataError
from challenge_bundle.findings import WARNING
from challenge_bundle.sources.base import Listing, image_key
from challenge_bundle.sources.csv_table import TableSource
from tests.conftest import say_nothing, write_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.png", "b.jpg", "deep/c.tif")):
        write_image(tmp_path / "images" / name, seed=number)
    return tmp_path


def listed(folder: Path, rows: str, query: str = "?images=images") -> Listing:
    (folder / "labels.csv").write_text(rows)
    return TableSource(f"csv:labels.csv{query}", folder).list_images(ImportRequest(), say_nothing)


def test_columns_by_their_own_names(folder: Path) -> None:
    rows = "file,class,group,split\na.png,cat,P1,train\nb.jpg,dog,P2,TEST\ndeep\\c.tif,dog,,val\n"
    found = listed(folder, rows).images
    assert [(image.class_name, image.patient_group, image.split) for image in found] == [
        ("cat", "P1", "training"),
        ("dog", "P2", "testing"),
        ("dog", None, "validation"),
    ]
    assert [image.load() for image in found] == [
        (folder / "images" / name).read_bytes() for name in ("a.png", "b.jpg", "deep/c.tif")
    ]


def test_columns_that_are_called_something_else(folder: Path) -> None:
    query = "?file=Image Index&class=Finding Labels&group=Patient ID&images=images"
    found = listed(folder, "Patient ID,Image Index,Finding Labels,group\n7,a,Effusion|Mass,x\n", query).images
    assert [(image.class_name, image.patient_group, Path(image.origin).name) for image in found] == [
        ("Effusion|Mass", "7", "a.png")
    ]


def test_the_images_folder_is_looked_for_beside_the_csv_first(tmp_path: Path) -> None:
    here, data = tmp_path / "here", tmp_path / "data"
    for folder in (here, data, here / "only", tmp_path / "far"):
        write_image(folder / "images" / "a.png")
    (data / "labels.csv").write_text("file,class\na,cat\n")

    def folder_of(name: str) -> Path:
        source = TableSource(f"csv:../data/labels.csv?images={name}", here)
        assert source.description == f"csv:{data / 'labels.csv'}?images={source.folder}"
        return source.folder

    assert folder_of("images") == data / "images"
    assert folder_of("only/images") == here / "only" / "images"
    assert folder_of(str(tmp_path / "far" / "images")) == tmp_path / "far" / "images"
    assert folder_of("nowhere") == data / "nowhere"


def test_images_without_a_row_are_counted(folder: Path) -> None:
    (found,) = listed(folder, "file,class\na,cat\ndeep/c,dog\n").findings
    assert (found.code, found.severity) == ("file-without-row", WARNING)
    assert found.message.endswith(f": 1, such as {folder / 'images' / 'b.jpg'}")


@pytest.mark.parametrize(
    ("rows", "query", "code", "row", "word"),
    [
        (
            "file,class\na.png,cat\nx.png,dog\n",
            "?images=images",
            "row-without-file",
            None,
            "labels.csv:3: 'x.png'",
        ),
        ("file,class\na.png,cat\na,dog\n", "?images=images", "csv-duplicate-row", 3, "in line 2 too"),
        ("file,class,split\na,cat,fold1\n", "?images=images", "unknown-split", 2, "'fold1'"),
        ("file,class\na,\n", "?images=images", "csv-empty-cell", 2, "'class'"),
        ("file,class\na,cat,black\n", "?images=images", "csv-cells", 2, "header's 2"),
        ("file,class,class\na,cat,x\n", "?images=images", "csv-column-twice", 1, "2 columns 'class'"),
        ("file,class,split\na,cat,train\nb,dog,\n", "?images=images", "csv-split-missing", 3, "split"),
        ("file,class\nx,cat\n", "?images=images", "image-name-ambiguous", 2, "'x' may be X.PNG and x.jpg"),
        (f"file,class\n{'y' * 300},cat\n", "?images=images", "row-without-file", None, ""),
        ("name,class\na,cat\n", "?images=images", "csv-column-missing", 1, "'file', but got 'name', 'class'"),
        ("file,class\n", "?images=images", "no-images", None, "one row per image"),
        ("file,class\na,cat\n", "?group=Patient&images=images", "csv-column-missing", 1, "'Patient'"),
        ("file,class\na,cat\n", "?klass=x", "source-options", None, "'klass'"),
    ],
)
def test_what_is_wrong_is_reported_with_its_line(
    folder: Path, rows: str, query: str, code: str, row: int | None, word: str
) -> None:
    for name in ("X.PNG", "x.jpg"):
        write_image(folder / "images" / name)
    with pytest.raises(DataError) as fault:
        listed(folder, rows, query)
    assert (fault.value.code, fault.value.row) == (code, row)
    assert word in str(fault.value)
    assert code != "row-without-file" or ": 1, the first: " in str(fault.value)


def test_a_column_that_is_named_may_have_empty_cells_and_suffixes_any_letters(folder: Path) -> None:
    write_image(folder / "images" / "D.PNG")
    found = listed(folder, "file,class,patient\nd,cat,\na,dog,7\n", "?group=patient&images=images").images
    assert [(Path(image.origin).name, image.patient_group) for image in found] == [
        ("D.PNG", None),
        ("a.png", "7"),
    ]


def test_slices_of_patients_are_sampled_apart(folder: Path) -> None:
    rows = ["file,class"]
    for patient in range(12):
        for number in range(6):
            write_image(folder / "images" / f"P{patient}" / f"{number}.png", seed=10 * patient + number)
            rows.append(f"P{patient}/{number},{'ab'[patient % 2]}")
    found = listed(folder, "\n".join(rows)).images
    ranked = sorted(found, key=lambda image: rank(0, image_key(image)))
    assert len({Path(image.origin).name for image in ranked[:12]}) > 3


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_csv_that_is_no_file_is_refused(kind: str, folder: Path) -> None:
    path = folder / "p.csv"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(DataError) as fault:
        TableSource(f"csv:{path}", folder).list_images(ImportRequest(), say_nothing)
    assert (fault.value.code, fault.value.path) == ("csv-not-a-file", path.resolve())


def test_a_cell_that_swallows_the_rest_is_told_from_an_encoding(folder: Path) -> None:
    rows = 'file,class\na.png,"' + "x" * 200_000
    with pytest.raises(
        DataError, match=r"is not a csv \(field larger .*\); look for a quotation mark without"
    ):
        listed(folder, rows)
