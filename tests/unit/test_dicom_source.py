"""The dicom source: classes from folders, tags and contours; png files that name nobody."""

import csv
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.dataset.ingest import ingest_images
from challenge_bundle.dataset.stratify import rank
from challenge_bundle.dicom.display import to_gray
from challenge_bundle.dicom.reading import read_dicom
from challenge_bundle.errors import DataError
from challenge_bundle.findings import WARNING
from challenge_bundle.formats.reference import read_reference
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.sources.base import Listing, image_key
from challenge_bundle.sources.choice import choose_source
from challenge_bundle.store.images import ImageStore
from tests.conftest import say_nothing
from tests.dicoms import REAL, circle, contour_path, write_contour, write_dicom, write_linked
from tests.importing import codes


def listing(folder: Path, query: str = "") -> Listing:
    return choose_source(f"dicom:{folder}{query}", Path("/")).list_images(ImportRequest(), say_nothing)


def classes(found: Listing) -> dict[str, str]:
    return {image.origin: image.class_name for image in found.images}


def test_classes_are_the_first_folders(tmp_path: Path) -> None:
    write_dicom(tmp_path / "sick" / "series 1" / "a", PatientID="P1")
    write_dicom(tmp_path / "well" / "b.dcm", PatientID="P/2")
    (tmp_path / "well" / "notes.txt").touch()
    found = listing(tmp_path)
    assert classes(found) == {"P1/sick/series 1/a": "sick", "P_2/well/b.dcm": "well"}
    assert {(image.split, image.suffix) for image in found.images} == {(None, ".png")}
    assert [image.patient_group for image in found.images] == ["P1", "P_2"]
    (finding,) = found.findings
    assert finding.code == "files-not-images"
    assert finding.message == f"1 files are no DICOM files, such as {tmp_path}/well/notes.txt"


def test_splits_above_the_classes(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        write_dicom(tmp_path / split / "sick" / "a.dcm")
    found = {(image.split, image.class_name) for image in listing(tmp_path).images}
    assert found == {(split, "sick") for split in SPLITS}


def test_classes_from_a_tag(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a", SeriesDescription="cine")
    write_dicom(tmp_path / "deep" / "b", SeriesDescription="late")
    assert classes(listing(tmp_path, "?label=SeriesDescription")) == {"P1/a": "cine", "P1/deep/b": "late"}
    write_dicom(tmp_path / "c")
    with pytest.raises(DataError, match="/c: its SeriesDescription is empty; fill it") as fault:
        listing(tmp_path, "?label=SeriesDescription")
    assert fault.value.code == "dicom-tag-empty"
    with pytest.raises(DataError) as fault:
        listing(tmp_path)
    assert (fault.value.code, fault.value.path) == ("image-without-class", tmp_path / "a")
    assert "?label=" in fault.value.finding.hint


def test_groups_from_a_tag(tmp_path: Path) -> None:
    for name, station in (("a", "X1"), ("b", "X2"), ("c", "X1")):
        write_dicom(tmp_path / "sick" / name, StationName=station)
    assert [image.patient_group for image in listing(tmp_path, "?group=StationName").images] == [
        "X1",
        "X2",
        "X1",
    ]
    write_dicom(tmp_path / "sick" / "d")
    with pytest.raises(DataError, match="/sick/d: its StationName is empty; fill it") as fault:
        listing(tmp_path, "?group=StationName")
    assert fault.value.code == "dicom-tag-empty"
    with pytest.raises(DataError, match="Statoin"):
        listing(tmp_path, "?group=Statoin")


def test_classes_of_the_linked_layout(tmp_path: Path) -> None:
    folder = write_linked(tmp_path)
    found = listing(folder)
    assert found.findings == ()
    expected = {
        f"C-{patient}/{number}.dcm": "no-outer-contour" if number % 2 else "outer-contour"
        for patient in range(3)
        for number in range(1, 7)
    }
    assert classes(found) == expected
    by_tag = classes(listing(folder, "?label=SeriesDescription&bits=16"))
    assert by_tag["C-1/2.dcm"] == "cine 0"

    # What has no contour at all was not looked at, so it says nothing of the question.
    next((folder / "contourfiles" / "C-0").rglob("*0001-icontour*")).unlink()
    found = listing(folder)
    assert set(expected) - set(classes(found)) == {"C-0/1.dcm"}
    (finding,) = found.findings
    assert (finding.severity, finding.location) == (WARNING, f"{folder}/dicoms/D0/1.dcm")
    assert finding.message == "has no inner contour"


def without_vertices(path: Path) -> None:
    path.write_text("")


FAULTY: dict[str, Callable[[Path], object]] = {
    "is empty": without_vertices,
    "but got 'none'": lambda path: path.write_text("1 2\nnone\n"),
    "but got '9,5 9,5'": lambda path: path.write_text("9,5 9,5\n"),
    "2 vertices, but": lambda path: write_contour(path, circle(12, 14, 7, 2)),
    "1 of 200 vertices lie outside the image of 32x32 pixels, the first at 400.5 120": (
        lambda path: write_contour(path, np.vstack([[400.5, 120.0], circle(12, 14, 7)[1:]]))
    ),
    "swapped?": lambda path: write_contour(path, circle(12, 14, 2)),
}


@pytest.mark.parametrize("what", FAULTY)
def test_a_contour_that_cannot_be_right_makes_no_class(tmp_path: Path, what: str) -> None:
    """An outer contour's file that holds none, at an image that has none."""
    folder = write_linked(tmp_path)
    before = classes(listing(folder))
    victim = contour_path(folder, "C-0", "o", 1)
    FAULTY[what](victim)
    found = listing(folder)
    assert classes(found) == {origin: name for origin, name in before.items() if origin != "C-0/1.dcm"}
    (warning,) = found.findings
    assert (warning.code, warning.severity) == ("contours-invalid", WARNING)
    assert warning.message.startswith("slices left out for invalid contours: 1, the first ")
    assert what in warning.message
    assert "`data contact-sheet`" in warning.hint
    # With a tag, contours are not read.
    assert len(listing(folder, "?label=SeriesDescription").images) == 18


def test_contours_that_cross_are_taken_with_a_warning(tmp_path: Path) -> None:
    folder = write_linked(tmp_path)
    for number in (2, 4):
        write_contour(contour_path(folder, "C-0", "i", number), circle(16, 13 + number, 6))
    found = listing(folder)
    assert len(found.images) == 18
    (warning,) = found.findings
    assert warning.code == "contours-unusual"
    assert "slices with unusual contours: 2, the first " in warning.message
    assert "0002-icontour-manual.txt: " in warning.message


def test_no_contour_can_be_right(tmp_path: Path) -> None:
    folder = write_linked(tmp_path)
    for path in folder.glob("contourfiles/*/i-contours/*"):
        without_vertices(path)
    with pytest.raises(
        DataError, match=r"no slice is left: slices left out .*: 18, the first .* is empty"
    ) as fault:
        listing(folder)
    assert fault.value.code == "contours-invalid"


def test_the_listing_and_a_sample_are_the_same_each_time(tmp_path: Path) -> None:
    """As of every source: wherever the folder lies; a larger sample contains the smaller."""
    taken = []
    for number, size in enumerate((3, 3, 5)):
        folder = write_linked(tmp_path / f"at-{number}", slices=12)
        source = choose_source(f"dicom:{folder}", Path("/"))
        found, again = (source.list_images(ImportRequest(), say_nothing).images for _ in range(2))
        assert [image.origin for image in found] == [image.origin for image in again]
        assert len({image.origin for image in found}) == len(found) == 36
        layout = Layout(tmp_path / f"bundle-{number}")
        import_images(source, ImportRequest(sample_size=size, seed=5), layout, say_nothing)
        with layout.origins_csv.open(newline="") as opened:
            taken.append({row["sha256"]: row["split"] for row in csv.DictReader(opened)})
    assert taken[0] == taken[1]
    assert taken[0].keys() < taken[2].keys()
    assert (len(taken[0]), len(taken[2])) == (18, 30)


def test_a_sample_takes_other_slices_of_each_patient(tmp_path: Path) -> None:
    """Where the files of all are named alike, and wherever the folder lies."""
    orders = []
    for place in ("here", "there/and deeper"):
        for patient in range(4):
            for number in range(12):
                name = f"IM-{number:04d}.dcm"
                write_dicom(tmp_path / place / "sick" / f"p{patient}" / name, PatientID=f"P{patient}")
        found = listing(tmp_path / place).images
        ranked = sorted(found, key=lambda image: rank(7, image_key(image)))
        orders.append([image.origin for image in ranked])
    assert orders[0] == orders[1]
    slices = [
        [Path(origin).name for origin in orders[0] if origin.startswith(f"P{patient}/")]
        for patient in range(4)
    ]
    assert len({tuple(names) for names in slices}) == 4
    # Not one slice number of all patients after the other, as by their names.
    assert len({Path(origin).name for origin in orders[0][:8]}) > 4


@pytest.mark.parametrize("query", ["?", "?label=", "?tag=Modality", "?bits=12", "?label=Modality&x=1"])
def test_options_that_are_none(tmp_path: Path, query: str) -> None:
    if query == "?":
        write_dicom(tmp_path / "sick" / "a")
        assert listing(tmp_path, query).images
        return
    with pytest.raises(DataError) as fault:
        listing(tmp_path, query)
    assert fault.value.code == "source-options"
    assert "expected dicom:PATH[?label=TAG]" in str(fault.value)


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: no such folder; give one with DICOM files") as fault:
        listing(tmp_path / "none")
    assert fault.value.code == "folder-not-found"
    with pytest.raises(DataError, match="no DICOM image below it") as fault:
        listing(tmp_path)
    assert fault.value.code == "no-images"
    with pytest.raises(DataError, match="'Colour' is not the keyword of a DICOM tag"):
        listing(tmp_path, "?label=Colour")
    (tmp_path / "sick").mkdir()
    (tmp_path / "sick" / "a.dcm").write_text("no DICOM")
    with pytest.raises(DataError, match="a.dcm: is not a DICOM file, though its name ends in .dcm"):
        listing(tmp_path)


def test_what_a_person_should_know(tmp_path: Path) -> None:
    write_dicom(tmp_path / "sick" / "a", BurnedInAnnotation="YES")
    write_dicom(tmp_path / "sick" / "b", PatientID=None, SeriesInstanceUID="1.2.9")
    write_dicom(tmp_path / "sick" / "c", Rows=None, PixelData=None)
    found = listing(tmp_path)
    assert set(classes(found)) == {"P1/sick/a", "1.2.9/sick/b"}
    assert codes(found.findings) == ["dicom-without-image", "dicom-burned-in-text", "dicom-patient-missing"]
    assert all(": 1, such as " in finding.message for finding in found.findings)


@pytest.mark.parametrize("real", [False, True] if REAL.is_dir() else [False], ids=lambda real: "real" * real)
def test_an_import(layout: Layout, tmp_path: Path, real: bool) -> None:
    folder = REAL if real else write_linked(tmp_path / "linked")
    summary = import_images(choose_source(f"dicom:{folder}", Path("/")), ImportRequest(), layout, say_nothing)
    assert sum(summary.counts.values()) == (74 if real else 18)
    assert summary.class_names == ("no-outer-contour", "outer-contour")
    with layout.origins_csv.open(newline="") as opened:
        origins = {row["file"]: row["origin"] for row in csv.DictReader(opened)}
    placed = {
        name: layout.split_dir(split) / name
        for split in SPLITS
        for name in read_reference(layout.solution_csv(split)).label_of
    }
    assert all(path.suffix == ".png" for path in placed.values())
    patient_of = dict(line.split(",")[::-1] for line in (folder / "link.csv").read_text().split()[1:])
    for name, path in placed.items():
        patient, _, file = origins[name].partition("/")
        with Image.open(path) as opened:
            assert opened.info == {}
            expected = to_gray(read_dicom(folder / "dicoms" / patient_of[patient] / file))
            np.testing.assert_array_equal(np.asarray(opened), expected)


@pytest.mark.parametrize("sample_size", [0, 3])
def test_an_import_by_way_of_the_image_database(tmp_path: Path, sample_size: int) -> None:
    source = choose_source(f"dicom:{write_linked(tmp_path / 'linked', slices=12)}", Path("/"))
    url = f"sqlite:///{tmp_path / 'images.sqlite'}"
    with closing(ImageStore(url, create=True)) as store:
        ingest_images(source, store, ImportRequest(), say_nothing)
    layouts = []
    for name, origin in (("straight", source), ("by the way", choose_source(url, Path("/")))):
        layouts.append(Layout(tmp_path / name))
        import_images(origin, ImportRequest(sample_size=sample_size), layouts[-1], say_nothing)
    assert layouts[0].origins_csv.read_text() == layouts[1].origins_csv.read_text()
    assert all(path.suffix == ".png" for path in layouts[1].testing_data.iterdir())


def test_kept_names_end_in_png(layout: Layout, tmp_path: Path) -> None:
    for number in range(6):
        # Each of its own patient, for those of one stay in one split.
        write_dicom(tmp_path / "in" / f"{number % 2}" / f"im{number}.dcm", PatientID=f"P{number}")
    source = choose_source(f"dicom:{tmp_path / 'in'}?bits=16", Path("/"))
    import_images(source, ImportRequest(keep_names=True), layout, say_nothing)
    names = sorted(path.name for split in SPLITS for path in layout.split_dir(split).iterdir())
    assert names == [f"im{number}.png" for number in range(6)]
    with Image.open(layout.split_dir("testing") / next(layout.testing_data.iterdir()).name) as opened:
        assert opened.mode == "I;16"


def test_a_cut_file_ends_the_import_with_its_path(layout: Layout, tmp_path: Path) -> None:
    for number in range(6):
        write_dicom(tmp_path / "in" / f"{number % 2}" / f"{number}.dcm", PatientID=f"P{number}")
    victim = tmp_path / "in" / "1" / "3.dcm"
    victim.write_bytes(victim.read_bytes()[:-100])
    source = choose_source(f"dicom:{tmp_path / 'in'}", Path("/"))
    with pytest.raises(
        DataError, match=r"1 of 6 images cannot be read, the first: .*1/3.dcm: its pixels"
    ) as fault:
        import_images(source, ImportRequest(), layout, say_nothing)
    assert fault.value.code == "image-unreadable"
    assert not layout.testing_data.exists()


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a" / "1.dcm")
    (tmp_path / "a" / "2.dcm").symlink_to("nowhere")
    source = choose_source(f"dicom:{tmp_path}", tmp_path)
    with pytest.raises(DataError, match=r"2\.dcm: is a link that leads to no file; restore or remove it"):
        source.list_images(ImportRequest(), say_nothing)


def test_subgroups_and_values_from_tags(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    for number in range(3):
        sex = "FM"[number % 2]
        write_dicom(tmp_path / f"{number}", PatientID=f"P{number}", PatientSex=sex, PatientSize=1.5)
    source = choose_source(f"dicom:{tmp_path}?label=PatientSize", Path("/"))
    request = ImportRequest(task="regression", subgroups=("PatientSex",))
    images = source.list_images(request, say_nothing).images
    assert [dict(image.attributes) for image in images] == [{"PatientSex": sex} for sex in "FMF"]
    assert {float(image.class_name) for image in images} == {1.5}
    with pytest.raises(DataError):
        source.list_images(ImportRequest(subgroups=("NoSuchTag",)), say_nothing)
