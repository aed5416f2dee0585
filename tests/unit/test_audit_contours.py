"""The audit of contours: what is wrong with them is found without being told where, and drawn."""

import sys
from pathlib import Path

import pytest

from challenge_bundle.audit.base import AuditFinding
from challenge_bundle.audit.contours import find_contour_faults, linked_folder
from challenge_bundle.audit.run import run_audit
from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.layout import Layout
from challenge_bundle.report.audit_page import audit_document, audit_text, render_audit
from challenge_bundle.sources.dicom import DicomSource
from tests.conftest import say_nothing
from tests.dicoms import REAL, circle, contour_path, write_contour, write_dicom, write_linked


def only(found: list[AuditFinding]) -> AuditFinding:
    (finding,) = found
    return finding


def test_sound_contours_are_a_note(tmp_path: Path) -> None:
    found = only(find_contour_faults(write_linked(tmp_path), say_nothing))
    assert (found.severity, found.count, found.drawings) == ("note", 27, ())


def test_each_fault_is_named_and_drawn(tmp_path: Path) -> None:
    folder = write_linked(tmp_path)
    write_contour(contour_path(folder, "C-0", "i", 1), circle(30.0, 13.0, 5.0))
    write_contour(contour_path(folder, "C-1", "i", 2), circle(17.0, 15.0, 6.0))
    contour_path(folder, "C-2", "i", 3).with_name("IM-0001-0099-icontour-manual.txt").touch()
    error, warning = find_contour_faults(folder, say_nothing)
    assert (error.severity, error.count, warning.severity, warning.count) == ("error", 2, "warning", 1)
    assert (error.finding.code, warning.finding.code) == ("contours-invalid", "contours-invalid")
    assert sum("its image" in line for line in error.files) == 1
    assert str(tmp_path) not in error.files[1]
    assert [drawing.caption.partition(";")[0] for drawing in error.drawings] == ["C-0/1.dcm"]
    assert "lie outside the image of 32x32" in error.drawings[0].caption
    assert [drawing.caption.partition(";")[0] for drawing in warning.drawings] == ["C-1/2.dcm"]
    assert "of the inner contour lie outside the outer one" in warning.files[0]


def test_each_fault_carries_its_own_hint(tmp_path: Path) -> None:
    folder = write_linked(tmp_path)
    with (folder / "link.csv").open("a") as out:
        out.write("D7,C-7\n")
    contour_path(folder, "C-0", "i", 1).write_text("1 2\nthree\n")
    contour_path(folder, "C-0", "i", 3).rename(contour_path(folder, "C-0", "i", 3).with_name("3.txt"))
    write_contour(contour_path(folder, "C-0", "o", 2), circle(12, 15, 2))
    image = folder / "dicoms" / "D1" / "2.dcm"
    image.write_bytes(image.read_bytes()[:-100])
    write_contour(contour_path(folder, "C-1", "i", 2), circle(17.0, 15.0, 6.0))
    error, warning = find_contour_faults(folder, say_nothing)
    hints = [line.rpartition("; ")[2] for line in (*error.files, *warning.files)]
    assert hints == [
        "put it there or remove the row",
        "correct the line",
        "look at the two, and swap their files or draw the wrong one again",
        "restore the file from where it came",
        "rename or remove it",
        "draw it, or leave the image out",
    ]
    assert error.finding.message == "4 faults in 17 inner and 9 outer contours"
    assert error.files[0].startswith("link.csv:5: dicoms/D7 and contourfiles/C-7 are")
    assert error.finding.hint == "do what each line says; `data contact-sheet` draws every image"
    # The rest was checked, and an image that cannot be read is not drawn.
    assert [drawing.caption.partition(";")[0] for drawing in error.drawings] == ["C-0/1.dcm", "C-0/2.dcm"]


def test_page_and_json_of_a_bundle_show_them(layout: Layout, tmp_path: Path) -> None:
    folder = write_linked(tmp_path / "images")
    write_contour(contour_path(folder, "C-1", "i", 2), circle(17.0, 15.0, 6.0))
    source = DicomSource(folder)
    import_images(source, ImportRequest(), layout, say_nothing)
    found = run_audit(layout, None, linked_folder(source.description), say_nothing)
    page = render_audit(found, layout, "A title")
    assert page.count('<figure class="drawing">') == 1
    assert "0002-icontour-manual.txt: " in audit_text(found)
    (contours,) = [one for one in audit_document(found)["findings"] if one["check"] == "contours"]
    assert contours["severity"] == "warning"
    assert len(contours["files"]) == 1


def test_which_folder_belongs_to_an_import(tmp_path: Path) -> None:
    folder = write_linked(tmp_path / "linked")
    write_dicom(tmp_path / "plain" / "a" / "1.dcm")
    assert linked_folder(f"dicom:{folder}?label=Modality") == folder
    for other in (
        f"dicom:{tmp_path / 'plain'}",
        f"dicom:{tmp_path / 'gone'}",
        f"folder:{folder}",
        "synthetic",
    ):
        assert linked_folder(other) is None


def test_a_folder_that_is_gone_is_said(layout: Layout, tmp_path: Path) -> None:
    folder = write_linked(tmp_path / "images")
    source = DicomSource(folder)
    summary = import_images(source, ImportRequest(), layout, say_nothing)
    folder.rename(tmp_path / "elsewhere")
    for description in (source.description, f"dicom:{folder}?label=Modality"):
        contours = linked_folder(description, summary.class_names)
        found = run_audit(layout, None, contours, say_nothing, ["contours"])
        (note,) = found.findings
        assert (note.finding.code, note.severity) == ("check-left-out", "note")
        assert str(folder) in note.finding.message
        assert "--contours DIR" in note.finding.message
    # Classes that are folders' never had contours.
    assert linked_folder(source.description, ("sick", "well")) is None
    assert linked_folder(f"folder:{folder}", summary.class_names) is None


if REAL.is_dir():

    def test_the_real_ones_that_cross() -> None:
        found = only(find_contour_faults(REAL, say_nothing))
        assert (found.severity, found.count) == ("warning", 2)
        origins = [drawing.caption.partition(";")[0] for drawing in found.drawings]
        assert origins == ["SC-HF-I-1/59.dcm", "SC-HF-I-5/40.dcm"]


@pytest.mark.parametrize("text", ["", "patient_id\n"])
def test_a_spoiled_layout_is_named(text: str, tmp_path: Path) -> None:
    folder = write_linked(tmp_path)
    (folder / "link.csv").write_text(text)
    found = only(find_contour_faults(folder, say_nothing))
    assert found.severity == "error"
    assert (found.finding.location, found.finding.row) == ("link.csv", 1)
    assert found.finding.code == "links-header"


def test_without_pydicom_the_check_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_linked(tmp_path)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    found = only(find_contour_faults(folder, say_nothing))
    assert found.severity == "note"
    assert found.finding.code == "check-left-out"
    assert "pydicom" in found.finding.message
