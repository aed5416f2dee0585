"""DICOM files that are wrong in any element end in one line, for an import and for a contact sheet."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.dicom.contact_sheet import write_sheet
from challenge_bundle.dicom.elements import ElementError, read_number, read_text, read_values, read_whole
from challenge_bundle.dicom.reading import read_dicom, read_header
from challenge_bundle.errors import BundleError, DataError, UnavailableError
from challenge_bundle.layout import Layout
from challenge_bundle.sources.choice import choose_source
from challenge_bundle.sources.dicom import _png_bytes
from tests.conftest import say_nothing
from tests.dicoms import change_element, write_dicom, write_linked

ELEMENTS = (
    *(
        "PatientID",
        "SeriesInstanceUID",
        "InstanceNumber",
        "Rows",
        "Columns",
        "PixelSpacing",
        "NumberOfFrames",
    ),
    *("PhotometricInterpretation", "WindowCenter", "WindowWidth", "VOILUTFunction", "BurnedInAnnotation"),
    *("RescaleSlope", "RescaleIntercept", "PixelPaddingValue", "PixelPaddingRangeLimit", "VOILUTSequence"),
    *(
        "ModalityLUTSequence",
        "SamplesPerPixel",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "SeriesDescription",
    ),
    *("PixelRepresentation", "PlanarConfiguration", "PixelAspectRatio"),
)
VALUES: tuple[tuple[str, Any], ...] = (
    ("IS", "1A"),
    ("IS", ""),
    ("DS", "1.2.3"),
    ("DS", ["1", "x"]),
    ("DS", "1e999"),
    ("DS", "nan"),
    ("LO", "many words \\ of two"),
    ("LO", ""),
    ("UN", b"\xff\xfe\x01\x00"),
    ("UN", b""),
    ("OB", b"\x00\x01"),
    ("US", [1, 2, 3]),
    ("US", 65535),
    ("SQ", []),
    ("SQ", [Dataset()]),
    ("FD", float("nan")),
    ("FD", -1.0),
    ("UI", "1.2.not"),
    ("AT", 0x00100020),
)


def fault_of(read: Callable[..., object], *arguments: object) -> str:
    """What a function says of a file that it refuses; empty if it takes it."""
    try:
        read(*arguments)
    except BundleError as fault:
        return str(fault)
    return ""


def picture_of(path: Path) -> bytes:
    return _png_bytes(path, 8)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("keyword", ELEMENTS)
def test_any_value_of_any_element_is_read_or_told_in_a_line(keyword: str, tmp_path: Path) -> None:
    told = []
    for number, (vr, value) in enumerate(VALUES):
        tags = {"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "LINEAR"} if number % 2 else {}
        path = write_dicom(tmp_path / f"{number}.dcm", np.arange(12, dtype=np.int16).reshape(3, 4), **tags)
        change_element(path, keyword, vr, value)
        told += [fault_of(read_header, path, ["SeriesDescription"]), fault_of(picture_of, path)]
    refused = [text for text in told if text]
    for text in refused:
        assert "\n" not in text
        assert f"{tmp_path}/" in text
        assert "; " in text, "what to do"
    assert refused or keyword in ("PixelAspectRatio", "PlanarConfiguration", "HighBit")


@pytest.mark.parametrize(
    ("keyword", "vr", "value", "words"),
    [
        (
            "NumberOfFrames",
            "IS",
            "1A",
            "NumberOfFrames is '1A', expected a number|NumberOfFrames cannot be read",
        ),
        ("NumberOfFrames", "SQ", [Dataset()], "NumberOfFrames is a sequence, expected a value"),
        ("RescaleSlope", "DS", "steep", "RescaleSlope"),
        ("PixelSpacing", "DS", ["1", "2", "3"], "PixelSpacing is .*, expected two numbers"),
        ("PatientID", "SQ", [Dataset()], "PatientID is a sequence, expected a value"),
        ("InstanceNumber", "DS", "1.5", "InstanceNumber is 1.5, expected a whole number"),
        ("Rows", "FD", float("inf"), "Rows is inf, expected a whole number"),
    ],
)
@pytest.mark.parametrize("linked", [False, True])
def test_import_and_contact_sheet_name_the_element(
    keyword: str, vr: str, value: Any, words: str, linked: bool, layout: Layout, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    if linked:
        write_linked(folder)
        path = folder / "dicoms" / "D1" / "3.dcm"
    else:
        for number in range(12):
            write_dicom(folder / "ab"[number % 2] / f"{number}.dcm", PatientID=f"P{number}")
        path = folder / "a" / "4.dcm"
    change_element(path, keyword, vr, value)
    with pytest.raises(DataError, match=words) as fault:
        import_images(choose_source(f"dicom:{folder}", Path("/")), ImportRequest(), layout, say_nothing)
    assert str(path) in str(fault.value) or path.name in str(fault.value)
    result = write_sheet(folder, tmp_path / "sheet.html", 0, say_nothing)
    (found,) = [finding for finding in result.findings if finding.severity == "error"]
    assert found.location == str(path)
    assert keyword in found.message
    assert (tmp_path / "sheet.html").stat().st_size > 1000


def sample_file(name: str) -> Path:
    found = get_testdata_file(name, download=False)
    assert isinstance(found, str)
    return Path(found)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "syntax", "packages"),
    [
        ("JPEG-lossy.dcm", "JPEG Extended .Process 2 and 4.", "pylibjpeg pylibjpeg-libjpeg"),
        ("JPGExtended.dcm", "JPEG Extended .Process 2 and 4.", "pylibjpeg pylibjpeg-libjpeg"),
        (
            "MR_small_jpeg_ls_lossless.dcm",
            "JPEG-LS Lossless Image Compression",
            "pylibjpeg pylibjpeg-libjpeg",
        ),
        ("JPEGLSNearLossless_16.dcm", "JPEG-LS Lossy", "pylibjpeg pylibjpeg-libjpeg"),
    ],
)
def test_a_decoder_that_is_missing_is_named(name: str, syntax: str, packages: str, tmp_path: Path) -> None:
    """As this project is installed, with pydicom and Pillow alone; with the whole reason."""
    with pytest.raises(UnavailableError, match=f"{name}: compressed as {syntax}") as fault:
        read_dicom(sample_file(name))
    assert f"run `pip install {packages}`, or decompress it" in str(fault.value)
    assert "12-bit precision" in str(fault.value) or "requires pylibjpeg>=2.0" in str(fault.value)
    assert "\n" not in str(fault.value)
    (tmp_path / "a").mkdir()
    shutil.copy(sample_file(name), tmp_path / "a")
    with pytest.raises(UnavailableError, match="pip install"):
        write_sheet(tmp_path, tmp_path / "sheet.png", 0, say_nothing)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["MR_small_jp2klossless.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm"])
def test_compressions_that_need_no_package(name: str) -> None:
    plain = read_dicom(sample_file("MR_small.dcm")).pixels
    np.testing.assert_array_equal(read_dicom(sample_file(name)).pixels, plain)


@pytest.mark.filterwarnings("ignore")
def test_damage_in_compressed_pixels_is_no_missing_package() -> None:
    with pytest.raises(DataError, match="its pixels cannot be read .*pillow: .*; restore the file"):
        read_dicom(sample_file("JPEG2000-embedded-sequence-delimiter.dcm"))


@pytest.mark.filterwarnings("ignore")
def test_every_file_of_pydicoms_own_is_read_or_told_in_a_line() -> None:
    """Files of real scanners, and some that are wrong on purpose."""
    files = sorted(sample_file("MR_small.dcm").parent.rglob("*.dcm"))
    told = {path: fault_of(picture_of, path) for path in files}
    assert sum(not text for text in told.values()) >= 15
    for path, text in told.items():
        assert not text or text.startswith(f"{path}: ")
        assert "\n" not in text


def dicom_folder(folder: Path, patient: str, **tags: Any) -> Path:
    for number in range(12):
        write_dicom(
            folder / "ab"[number % 2] / f"{number}.dcm",
            PatientID=patient,
            StudyInstanceUID=f"1.2.{number // 2}",
            **tags,
        )
    return folder


def bring_in(text: str, layout: Layout, **request: Any) -> Any:
    return import_images(choose_source(text, Path("/")), ImportRequest(**request), layout, say_nothing)


def test_one_patient_for_all_images_names_the_option(layout: Layout, tmp_path: Path) -> None:
    folder = dicom_folder(tmp_path / "images", "SITE-7")
    for query, word in (("", "name a tag that distinguishes"), ("?group=Modality", "name another tag")):
        with pytest.raises(DataError) as fault:
            bring_in(f"dicom:{folder}{query}", layout)
        assert fault.value.code == "one-patient-group"
        assert "all 12 images are of one" in fault.value.finding.message
        assert query or "'SITE-7'" in fault.value.finding.message
        assert word in fault.value.finding.hint
        assert "?group=TAG" in fault.value.finding.hint
    summary = bring_in(f"dicom:{folder}?group=StudyInstanceUID", layout)
    assert sum(summary.counts.values()) == 12
    assert summary.patient_groups == (6, 0)


def test_one_patient_in_given_splits(layout: Layout, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        dicom_folder(tmp_path / "images" / split, "ANON")
    with pytest.raises(DataError, match=r"all 36 images .*'ANON' .*\?group=TAG") as fault:
        bring_in(f"dicom:{tmp_path / 'images'}", layout)
    assert fault.value.code == "patient-group-leak"
    assert bring_in(f"dicom:{tmp_path / 'images'}", layout, allow_leaks=True).counts["training"] == 12


@pytest.mark.parametrize(
    ("word", "warned"), [("Anonymous", True), ("0000", True), ("000123", False), ("N/A", True)]
)
def test_words_in_place_of_names_are_warned_of(
    word: str, warned: bool, layout: Layout, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    for number in range(24):
        patient = word if number < 4 else f"P{number}"
        write_dicom(folder / "ab"[number % 2] / f"{number}.dcm", PatientID=patient)
    found = [one for one in bring_in(f"dicom:{folder}", layout).findings if "placeholder" in one.code]
    assert [": 4; they stay" in one.message for one in found] == [True] * warned


def test_values_of_elements(tmp_path: Path) -> None:
    dataset = Dataset()
    dataset.add_new("PatientID", "LO", ["one", "two"])
    dataset.add_new("Rows", "US", 7)
    dataset.add_new("PixelSpacing", "DS", ["0.5", "0.7"])
    dataset.add_new("PatientComments", "UN", b"a\0b ")
    assert read_text(dataset, "PatientID") == "one\\two"
    assert read_text(dataset, "PatientComments") == "ab"
    assert read_values(dataset, "StudyID") == []
    assert read_text(dataset, "StudyID") == ""
    assert read_whole(dataset, "Rows") == 7
    assert read_number(dataset, "PixelSpacing") == 0.5
    with pytest.raises(ElementError, match="PixelSpacing is 0.5, expected a whole number"):
        read_whole(dataset, "PixelSpacing")
