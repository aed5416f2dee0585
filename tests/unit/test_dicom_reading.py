"""DICOM files: values, display, faults, and nothing of the patient in a png."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.pixels.processing import apply_windowing

from challenge_bundle.dicom.display import apply_window, encode_png, to_gray
from challenge_bundle.dicom.reading import Window, check_tag, is_dicom, read_dicom, read_header
from challenge_bundle.errors import DataError, UnavailableError
from tests.dicoms import write_dicom

RAMP = np.arange(-8, 8, dtype=np.int16).reshape(4, 4)


def test_header(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", PixelSpacing=[1.5, 0.75], SeriesDescription=" cine  sax ")
    header = read_header(path, ["SeriesDescription", "StudyDescription"])
    assert (header.patient_id, header.series_uid, header.instance_number) == ("P1", "1.2.3", 7)
    assert (header.shape, header.pixel_spacing_mm) == ((32, 32), (1.5, 0.75))
    assert header.tags == {"SeriesDescription": "cine sax", "StudyDescription": ""}
    assert (header.inverted, header.window, header.burned_in) == (False, None, False)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, RAMP),
        ({"RescaleSlope": 2.5, "RescaleIntercept": -1024}, RAMP * 2.5 - 1024),
        ({"RescaleSlope": 2.5}, RAMP * 2.5),
        ({"RescaleIntercept": -1024}, RAMP - 1024.0),
    ],
)
def test_both_of_slope_and_intercept_count(
    tmp_path: Path, tags: dict[str, Any], expected: np.ndarray
) -> None:
    pixels = read_dicom(write_dicom(tmp_path / "a.dcm", RAMP, **tags)).pixels
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels, expected)


def test_unsigned_values_stay_large(tmp_path: Path) -> None:
    pixels = np.array([[0, 65535], [40000, 1]], np.uint16)
    np.testing.assert_array_equal(read_dicom(write_dicom(tmp_path / "a.dcm", pixels)).pixels, pixels)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(0, 8), (3, 5), (-20, 100)])
def test_windows_as_pydicom_applies_them(tmp_path: Path, function: str, center: int, width: int) -> None:
    import pydicom

    tags = {"WindowCenter": center, "WindowWidth": width, "VOILUTFunction": function}
    path = write_dicom(tmp_path / "a.dcm", RAMP, **tags)
    dataset = pydicom.dcmread(path)
    peer = apply_windowing(dataset.pixel_array, dataset)
    # It gives the range of the stored type.
    brightness = apply_window(RAMP, Window(center, width, function))
    np.testing.assert_allclose(brightness, (peer + 32768.0) / 65535.0, atol=1e-6)
    expected = np.rint(255 * (peer + 32768.0) / 65535.0)
    np.testing.assert_allclose(to_gray(read_dicom(path)), expected, atol=1)


def test_the_first_of_several_windows(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", WindowCenter=[40, 600], WindowWidth=[400, 1500])
    assert read_header(path).window == Window(40.0, 400.0)


@pytest.mark.parametrize("width", [0, -5])
def test_a_window_without_width_is_none(tmp_path: Path, width: int) -> None:
    assert read_header(write_dicom(tmp_path / "a.dcm", WindowCenter=40, WindowWidth=width)).window is None


def test_percentiles_where_there_is_no_window(tmp_path: Path) -> None:
    gray = to_gray(read_dicom(write_dicom(tmp_path / "a.dcm")))
    assert (gray.dtype, gray.min(), gray.max()) == (np.uint8, 0, 255)
    assert 0.005 < (gray == 255).mean() < 0.02
    flat = to_gray(read_dicom(write_dicom(tmp_path / "b.dcm", np.full((4, 4), 9, np.int16))))
    assert len(np.unique(flat)) == 1


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    gray, inverted = (
        to_gray(
            read_dicom(write_dicom(tmp_path / f"{number}.dcm", RAMP, PhotometricInterpretation=photometric))
        )
        for number, photometric in enumerate(("MONOCHROME2", "MONOCHROME1"))
    )
    np.testing.assert_array_equal(inverted, 255 - gray)


def test_nothing_of_the_patient_is_in_a_png(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path / "a.dcm", PatientName="Canary^Jane", PatientID="CANARY-1", StudyDate="19770707"
    )
    for bits, mode in ((8, "L"), (16, "I;16")):
        png = encode_png(to_gray(read_dicom(path), bits))
        assert not any(word in png for word in (b"Canary", b"CANARY", b"19770707", b"tEXt", b"eXIf", b"tIME"))
        with Image.open(io.BytesIO(png)) as opened:
            assert (opened.mode, opened.size, opened.info) == (mode, (32, 32), {})


def test_16_bits_keep_what_8_lose(tmp_path: Path) -> None:
    pixels = np.arange(4096, dtype=np.int16).reshape(64, 64)
    image = read_dicom(write_dicom(tmp_path / "a.dcm", pixels, WindowCenter=2048, WindowWidth=4096))
    assert len(np.unique(to_gray(image, 16))) == 4096
    assert len(np.unique(to_gray(image, 8))) == 256


def test_foreign_and_cut_files(tmp_path: Path) -> None:
    """Cut at any byte, a file either says so with its path or, past its pixels' end, is whole."""
    foreign = tmp_path / "foreign.dcm"
    foreign.write_bytes(b"not DICOM at all" * 50)
    assert not is_dicom(foreign)
    with pytest.raises(DataError, match="foreign.dcm: is not a DICOM file; leave it out"):
        read_dicom(foreign)
    with pytest.raises(DataError, match="none.dcm: no such file"):
        read_header(tmp_path / "none.dcm")
    whole = write_dicom(tmp_path / "whole.dcm", RAMP).read_bytes()
    cut = tmp_path / "cut.dcm"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        with pytest.raises(DataError, match="cut.dcm: "):
            read_dicom(cut)


@pytest.mark.parametrize(
    ("tags", "code", "words"),
    [
        ({"PixelData": None}, "dicom-without-image", "holds no image"),
        ({"Rows": None}, "dicom-without-image", "holds no image"),
        ({"NumberOfFrames": 3}, "dicom-not-gray", "expected one frame, .* but got 3, 'MONOCHROME2'"),
        ({"PhotometricInterpretation": "RGB"}, "dicom-not-gray", "but got 1, 'RGB'"),
        (
            {"RescaleSlope": 0},
            "dicom-tag-invalid",
            r"RescaleSlope 0.0 and RescaleIntercept 0.0 leave no image",
        ),
        ({"RescaleIntercept": "1e300"}, "pixels-not-finite", "not a finite number"),
        ({"SamplesPerPixel": 3, "PlanarConfiguration": 0}, "pixels-unreadable", "pixels"),
        ({"NumberOfFrames": "1.5"}, "dicom-tag-invalid", "NumberOfFrames"),
        ({"Rows": 5000}, "pixels-unreadable", "its pixels"),
        ({"BitsAllocated": 13}, "pixels-unreadable", "its pixels"),
        ({"Rows": 10_000, "Columns": 5001}, "image-too-large", "5001x10000 pixels; at most 50,000,000"),
        ({"Rows": 10_000, "Columns": 5000}, "pixels-unreadable", "its pixels"),
    ],
)
def test_images_that_are_none(tmp_path: Path, tags: dict[str, Any], code: str, words: str) -> None:
    path = write_dicom(tmp_path / "a.dcm", **tags)
    with pytest.raises(DataError, match=words) as fault:
        read_dicom(path)
    assert fault.value.code == code
    assert fault.value.path == path


def test_an_unknown_window_function(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", WindowCenter=1, WindowWidth=2, VOILUTFunction="CUBIC")
    with pytest.raises(DataError, match="LINEAR_EXACT or SIGMOID, but got 'CUBIC'") as fault:
        to_gray(read_dicom(path))
    assert fault.value.code == "window-function-unknown"


def test_tags_are_known_by_keyword() -> None:
    check_tag("SeriesDescription")
    with pytest.raises(DataError, match="'Colour'") as fault:
        check_tag("Colour")
    assert fault.value.code == "tag-unknown"


def test_without_pydicom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dicom(tmp_path / "a.dcm")
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(UnavailableError, match=r"pip install -e '.\[dicom\]'"):
        read_header(path)
