"""The link.csv layout, plain folders, and the sheet that shows them."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from challenge_bundle.dicom.contact_sheet import draw_tile, write_sheet
from challenge_bundle.dicom.display import to_gray
from challenge_bundle.dicom.reading import read_dicom
from challenge_bundle.dicom.sunnybrook import check_slice, check_slices, parse_links, read_folder, read_links
from challenge_bundle.errors import DataError
from tests.conftest import say_nothing
from tests.dicoms import REAL, circle, contour_path, write_contour, write_dicom, write_linked


def test_images_and_contours_are_brought_together(tmp_path: Path) -> None:
    folder = read_links(write_linked(tmp_path))
    assert [item.origin for item in folder.slices[:7]] == [
        *(f"C-0/{n}.dcm" for n in range(1, 7)),
        "C-1/1.dcm",
    ]
    first, second = folder.slices[:2]
    assert (first.patient, first.dicom) == ("C-0", tmp_path / "dicoms" / "D0" / "1.dcm")
    assert (first.inner, first.outer) == (contour_path(tmp_path, "C-0", "i", 1), None)
    assert second.outer == contour_path(tmp_path, "C-0", "o", 2)
    assert folder.findings == ()
    assert all(check_slice(item, (32, 32)) == [] for item in folder.slices)


@pytest.mark.parametrize("real", [False, True] if REAL.is_dir() else [False], ids=lambda real: "real" * real)
def test_every_contour_has_its_image(tmp_path: Path, real: bool) -> None:
    found = read_links(REAL if real else write_linked(tmp_path))
    counts = (
        len(found.slices),
        sum(bool(i.inner) for i in found.slices),
        sum(bool(i.outer) for i in found.slices),
    )
    assert counts == ((74, 74, 37) if real else (18, 18, 9))
    assert not found.findings
    faulty = [item.origin for item in found.slices if check_slice(item, (256, 256))]
    # Of the real ones, two inner contours cross their outer ones, by 1 and by 7 pixels.
    assert faulty == (["SC-HF-I-1/59.dcm", "SC-HF-I-5/40.dcm"] if real else [])


def test_what_has_no_counterpart_is_named(tmp_path: Path) -> None:
    folder = write_linked(tmp_path)
    (folder / "dicoms" / "D0" / "1.dcm").unlink()
    (folder / "dicoms" / "D0" / "notes.dcm").touch()
    (folder / "dicoms" / "D9").mkdir()
    contour_path(folder, "C-1", "i", 3).unlink()
    contour_path(folder, "C-2", "i", 3).with_name("IM-0001-0003-ocontour-manual.txt").touch()
    found = read_links(folder)
    by_name = {Path(finding.location).name: (finding.severity, finding.message) for finding in found.findings}
    assert by_name["IM-0001-0001-icontour-manual.txt"][0] == "error"
    assert "D0/1.dcm is not there" in by_name["IM-0001-0001-icontour-manual.txt"][1]
    assert by_name["3.dcm"] == ("warning", "has no inner contour")
    assert "is not named <number>.dcm" in by_name["notes.dcm"][1]
    assert "has no row in link.csv" in by_name["D9"][1]
    assert "is not named IM-0001-<nnnn>-icontour" in by_name["IM-0001-0003-ocontour-manual.txt"][1]
    assert len(found.findings) == 5


def test_two_files_of_one_number(tmp_path: Path) -> None:
    folder = write_linked(tmp_path)
    write_dicom(folder / "dicoms" / "D0" / "01.dcm")
    write_contour(
        contour_path(folder, "C-0", "i", 2).with_name("IM-0002-0002-icontour-manual.txt"), circle(9, 9, 3)
    )
    found = read_links(folder)
    assert [(Path(f.location).name, f.severity, f.message) for f in found.findings] == [
        ("1.dcm", "error", "has the number of 01.dcm too, which is taken"),
        (
            "IM-0002-0002-icontour-manual.txt",
            "error",
            "has the number of IM-0001-0002-icontour-manual.txt too, which is taken",
        ),
    ]


@pytest.mark.parametrize(
    ("text", "code", "row", "found"),
    [
        ("", "links-header", 1, "nothing"),
        ("patient,original\n", "links-header", 1, "'patient,original'"),
        ("patient_id,original_id\na\n", "links-row-invalid", 2, "'a'"),
        ("patient_id,original_id\n../a,b\n", "links-row-invalid", 2, "'../a,b'"),
        ("patient_id,original_id\n..,b\n", "links-row-invalid", 2, "'..,b'"),
        ("patient_id,original_id\na,b\na,c\n", "links-row-duplicate", 3, "'a,c'"),
        ("patient_id,original_id\na,b\nc,b\n", "links-row-duplicate", 3, "'c,b'"),
    ],
)
def test_a_faulty_link_csv(text: str, code: str, row: int, found: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_links(text, Path("link.csv"))
    finding = caught.value.finding
    assert (finding.code, finding.location, finding.row) == (code, "link.csv", row)
    assert found in finding.message


def test_a_link_csv_of_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "link.csv").write_bytes("patient_id,original_id\nM\xfcller,x\n".encode("latin-1"))
    with pytest.raises(DataError) as fault:
        read_links(tmp_path)
    assert (fault.value.code, fault.value.path) == ("links-not-utf8", tmp_path / "link.csv")


def test_a_row_without_its_folder(tmp_path: Path) -> None:
    folder = write_linked(tmp_path)
    with (folder / "link.csv").open("a") as out:
        out.write("D7,C-7\n")
    with pytest.raises(DataError, match="dicoms/D7 and contourfiles/C-7 are not there") as fault:
        read_links(folder)
    assert (fault.value.code, fault.value.row) == ("links-folder-missing", 5)
    found = read_folder(folder, say_nothing)
    assert len(found.slices) == 18
    assert [(f.code, f.severity, f.location, f.row, f.hint) for f in found.findings] == [
        ("links-folder-missing", "error", f"{folder}/link.csv", 5, "put it there or remove the row")
    ]
    (folder / "link.csv").unlink()
    with pytest.raises(DataError) as fault:
        read_links(folder)
    assert (fault.value.code, fault.value.path) == ("links-missing", folder / "link.csv")


def test_contours_that_cannot_be_right(tmp_path: Path) -> None:
    folder = write_linked(tmp_path, patients=1)
    write_contour(contour_path(folder, "C-0", "i", 1), circle(30, 15, 5))
    write_contour(contour_path(folder, "C-0", "i", 2), circle(12, 15, 12))
    contour_path(folder, "C-0", "i", 3).write_text("1 2\n3 4\n")
    contour_path(folder, "C-0", "i", 4).write_text("1 2\nthree\n")
    found = [check_slice(item, (32, 32)) for item in read_links(folder).slices]
    assert [[finding.code for finding in findings] for findings in found] == [
        ["contour-off-image"],
        ["contours-swapped"],
        ["contour-too-few-vertices"],
        ["contour-line-invalid"],
        [],
        [],
    ]
    assert found[3][0].row == 2
    # One hint each.
    assert str(found[3][0]).endswith(
        "icontour-manual.txt:2: expected two numbers \"x y\" in pixels, but got 'three'; correct the line"
    )


def test_a_spoiled_image_does_not_end_the_check(tmp_path: Path) -> None:
    folder = write_linked(tmp_path, patients=1)
    for number, kept in ((1, 200), (2, -100)):
        path = folder / "dicoms" / "D0" / f"{number}.dcm"
        path.write_bytes(path.read_bytes()[:kept])
    (folder / "dicoms" / "D0" / "3.dcm").write_bytes(b"")
    write_contour(contour_path(folder, "C-0", "i", 4), circle(30, 15, 5))
    found = check_slices(read_folder(folder, say_nothing).slices, say_nothing)
    assert [len(findings) for findings in found] == [1, 1, 1, 1, 0, 0]
    for number, (finding,) in enumerate(found[:3], start=1):
        assert (finding.severity, finding.location) == ("error", f"{folder}/dicoms/D0/{number}.dcm")
        assert finding.hint.endswith("restore the file from where it came")
    assert "vertices lie outside" in found[3][0].message
    result = write_sheet(folder, tmp_path / "sheet.png", 0, say_nothing)
    assert (result.shown, len(result.findings)) == (6, 4)


def test_a_spoiled_image_of_a_plain_series_is_a_finding(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_dicom(tmp_path / "in" / name)
    cut = tmp_path / "in" / "b"
    cut.write_bytes(cut.read_bytes()[:152])
    result = write_sheet(tmp_path / "in", tmp_path / "sheet.png", 0, say_nothing)
    assert (result.shown, [finding.location for finding in result.findings]) == (1, [str(cut)])


def test_plain_series_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name, number, patient in (("a", 2, "P2"), ("b", 1, "P2"), ("c", 5, "P1")):
        write_dicom(tmp_path / "any" / name, InstanceNumber=number, PatientID=patient)
    write_dicom(tmp_path / "plan", Rows=None, PixelData=None)
    (tmp_path / "README.txt").write_text("hello")
    (tmp_path / "README").write_text("hello")
    found = read_folder(tmp_path, say_nothing)
    assert [item.origin for item in found.slices] == ["P1/c", "P2/b", "P2/a"]
    with pytest.raises(DataError, match="none: no such folder"):
        read_folder(tmp_path / "none", say_nothing)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no DICOM image below it"):
        read_folder(tmp_path / "empty", say_nothing)


def test_a_sheet_shows_each_image_four_times(tmp_path: Path) -> None:
    folder = write_linked(tmp_path / "linked", patients=1, slices=4)
    write_contour(contour_path(folder, "C-0", "i", 2), circle(13, 15, 11))
    contour_path(folder, "C-0", "i", 3).write_text("no contour")
    result = write_sheet(folder, tmp_path / "sheet.png", 0, say_nothing)
    assert (result.shown, result.total, result.inner, result.outer, len(result.findings)) == (4, 4, 4, 2, 2)
    with Image.open(tmp_path / "sheet.png") as opened:
        pixels = np.asarray(opened)
    # Below the headings and its caption; the two with findings are the first.
    assert pixels.shape == (16 + 2 * (16 + 256), 3 * 1032, 3)
    tile = pixels[32 : 32 + 256, 2 * 1032 : 2 * 1032 + 1024].astype(int)
    color = np.ptp(tile, axis=2) > 50
    # The image is gray, the inner contour's line is coloured, there is no outer one, the mask is gray.
    assert [bool(color[:, 256 * place : 256 * (place + 1)].any()) for place in range(4)] == [
        False,
        True,
        False,
        False,
    ]
    assert (tile[:, 768:, 0] > 0).mean() == pytest.approx(np.pi * (4 + 1 / 3) ** 2 / 32**2, rel=0.1)

    # Those with findings come first, also when all are drawn.
    page = write_sheet(folder, tmp_path / "all.html", 0, say_nothing)
    captions = re.findall(r"<figcaption>([^;<]*)", page.path.read_text())
    assert captions == [f"C-0/{number}.dcm" for number in (2, 3, 1, 4)]
    page = write_sheet(folder, tmp_path / "sheet.html", 2, say_nothing)
    text = page.path.read_text()
    assert page.shown == text.count("<img ") == 2
    assert "C-0/2.dcm; " in text
    assert "C-0/3.dcm; " in text
    assert "<script" not in text
    assert "http" not in text


def test_no_name_on_a_sheet_becomes_markup(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>&amp;{{ 7 * 7 }}"
    write_dicom(tmp_path / "any" / name, InstanceNumber=1, PatientID="P1")
    page = write_sheet(tmp_path / "any", tmp_path / "sheet.html", 0, say_nothing).path.read_text()
    shown = "P1/&lt;img src=x onerror=alert(1)&gt;&amp;amp;{{ 7 * 7 }}"
    assert page.count(shown) == 2, "as caption, and as what stands for the image"
    assert "<img src=x" not in page


def test_a_dark_image_is_drawn_brighter(tmp_path: Path) -> None:
    """On the sheet alone, and only where the file's window leaves it dark."""
    folder = write_linked(tmp_path, patients=1, slices=2)
    item = read_links(folder).slices[0]
    pixels = np.linspace(0, 100, 32 * 32).reshape(32, 32).astype(np.int16)
    shown = []
    for width in (100, 1000):
        write_dicom(item.dicom, pixels, WindowCenter=width / 2, WindowWidth=width)
        shown.append(np.asarray(draw_tile(item))[:, :256, 0])
    assert to_gray(read_dicom(item.dicom)).mean() < 15
    assert shown[0].mean() == pytest.approx(127, abs=2)
    assert 127 < shown[1].mean() < 170
    assert shown[1].max() == 255


def test_a_sheet_is_png_or_html(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"sheet.pdf: .* ends in .png or .html"):
        write_sheet(tmp_path, tmp_path / "sheet.pdf", 0, say_nothing)
