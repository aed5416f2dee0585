"""The audit of contours: what is wrong with them is found without being told where, and drawn."""

from pathlib import Path

import pytest

from tests.conftest import say_nothing
from tests.dicoms import REAL, circle, contour_path, write_contour, write_dicom, write_linked
from tools.audit.auditing import run_audit
from tools.audit.base import AuditFinding
from tools.audit.contours import find_contour_faults, linked_folder
from tools.errors import DataError
from tools.layout import Layout
from tools.report.audit import audit_document, render_audit
from tools.sources.base import ImportRequest
from tools.sources.dicom import DicomSource
from tools.sources.importing import import_images


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
    assert "its image" in error.what
    assert str(tmp_path) not in error.files[1]
    assert [drawing.caption.partition(";")[0] for drawing in error.drawings] == ["C-0/1.dcm"]
    assert "lie outside the image of 32x32" in error.drawings[0].caption
    assert [drawing.caption.partition(";")[0] for drawing in warning.drawings] == ["C-1/2.dcm"]
    assert "of the inner contour lie outside the outer one" in warning.files[0]


def test_page_and_json_of_a_bundle_show_them(layout: Layout, tmp_path: Path) -> None:
    folder = write_linked(tmp_path / "images")
    write_contour(contour_path(folder, "C-1", "i", 2), circle(17.0, 15.0, 6.0))
    source = DicomSource(folder)
    import_images(source, ImportRequest(), layout, say_nothing)
    found = run_audit(layout, None, linked_folder(source.description), say_nothing)
    page = render_audit(found, layout, "A title")
    assert page.count('<figure class="drawing">') == 1
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
    with pytest.raises(DataError, match=r"link.csv:1: the header"):
        find_contour_faults(folder, say_nothing)
