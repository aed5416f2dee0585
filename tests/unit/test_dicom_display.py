"""How DICOM values become a picture: lookup tables, padding, and terms in other letters."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from challenge_bundle.dicom.display import to_gray
from challenge_bundle.dicom.lookup import Lut
from challenge_bundle.dicom.reading import Window, read_dicom, read_header
from challenge_bundle.dicom.sample_cache import SampleForm, _standardise
from challenge_bundle.dicom.sunnybrook import ContourSlice
from challenge_bundle.errors import DataError
from tests.dicoms import change_element, lut_item, write_dicom

RAMP = np.arange(12, dtype=np.int16).reshape(3, 4)
"""3 rows, 4 columns: not a square."""


def gray(path: Path, bits: int = 8) -> np.ndarray:
    return to_gray(read_dicom(path), bits)


def around(pixels: np.ndarray, value: int) -> np.ndarray:
    """Pixels with two rows and columns of one value around them."""
    return np.pad(pixels, 2, constant_values=value)


NOISE = np.random.default_rng(0).integers(500, 1500, (20, 30)).astype(np.int16)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("padding", [-2000, 30000])
def test_padding_is_no_part_of_the_image(tmp_path: Path, padding: int, inverted: bool) -> None:
    """The picture inside is what it is without padding; padding is black, however bright it would be."""
    photometric = {"PhotometricInterpretation": "MONOCHROME1" if inverted else "MONOCHROME2"}
    plain = gray(write_dicom(tmp_path / "plain", NOISE, **photometric))
    padded = write_dicom(
        tmp_path / "padded", around(NOISE, padding), PixelPaddingValue=padding, **photometric
    )
    found = gray(padded)
    np.testing.assert_array_equal(found[2:-2, 2:-2], plain)
    assert found[:2].max() == found[:, -2:].max() == 0
    # Not said to be padding, it would be most of the range.
    spoiled = gray(write_dicom(tmp_path / "spoiled", around(NOISE, padding), **photometric))
    assert np.ptp(spoiled[2:-2, 2:-2].astype(int)) < np.ptp(plain.astype(int)) / 2


def test_padding_from_a_value_to_a_limit(tmp_path: Path) -> None:
    pixels = around(NOISE, -2000)
    pixels[0], pixels[1], pixels[-1] = -2047, -2023, -1999
    tags = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -2047}
    image = read_dicom(write_dicom(tmp_path / "a", pixels, **tags))
    assert image.padding is not None
    np.testing.assert_array_equal(image.padding, (pixels >= -2047) & (pixels <= -2000))
    assert not image.padding[-1].any()


def test_padding_that_is_written_as_unsigned(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", around(NOISE, -2000), PixelPaddingValue=0)
    change_element(path, "PixelPaddingValue", "US", 63536)
    padding = read_dicom(path).padding
    assert padding is not None
    assert padding.sum() == 24 * 34 - 20 * 30


def test_padding_of_values_after_rescale_is_told_by_stored_ones(tmp_path: Path) -> None:
    tags = {"PixelPaddingValue": 0, "RescaleSlope": 2, "RescaleIntercept": -1000}
    image = read_dicom(write_dicom(tmp_path / "a", RAMP, **tags))
    assert image.padding is not None
    assert image.padding.sum() == 1
    assert image.padding[0, 0]


def test_no_padding(tmp_path: Path) -> None:
    assert read_dicom(write_dicom(tmp_path / "a", RAMP, PixelPaddingValue=-5)).padding is None
    assert read_dicom(write_dicom(tmp_path / "b", RAMP)).padding is None
    # All of it: there is nothing to show.
    assert gray(write_dicom(tmp_path / "c", RAMP * 0 + 7, PixelPaddingValue=7)).max() == 0


@pytest.mark.parametrize("value", [32767, -32768])
def test_padding_at_the_end_of_the_range(tmp_path: Path, value: int) -> None:
    pixels = RAMP.copy()
    pixels[1, 2] = value
    padding = read_dicom(write_dicom(tmp_path / "a", pixels, PixelPaddingValue=value)).padding
    assert padding is not None
    assert np.argwhere(padding).tolist() == [[1, 2]]


@pytest.mark.filterwarnings("ignore")
def test_no_number_of_frames_is_one(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", RAMP, NumberOfFrames="0")
    np.testing.assert_array_equal(read_dicom(path).pixels, RAMP)


def test_a_window_shows_padding_as_any_value(tmp_path: Path) -> None:
    tags = {"WindowCenter": 6, "WindowWidth": 12, "PixelPaddingValue": 11}
    with_padding = gray(write_dicom(tmp_path / "a", RAMP, **tags))
    without = gray(write_dicom(tmp_path / "b", RAMP, WindowCenter=6, WindowWidth=12))
    np.testing.assert_array_equal(with_padding, without)


@pytest.mark.parametrize("inverted", [False, True])
def test_a_standardised_sample_leaves_padding_out(tmp_path: Path, inverted: bool) -> None:
    photometric = "MONOCHROME1" if inverted else "MONOCHROME2"
    tags = {"PixelPaddingValue": -2000, "PhotometricInterpretation": photometric}
    decoded = read_dicom(write_dicom(tmp_path / "a", around(NOISE, -2000), **tags))
    standard = _standardise(decoded.pixels, decoded)
    inside = standard[2:-2, 2:-2]
    assert abs(inside.mean()) < 1e-4
    assert abs(inside.std() - 1) < 1e-4
    assert np.all(standard[:2] == inside.min())
    assert ContourSlice("p", tmp_path / "a").inner is None
    assert SampleForm().standardise


def test_a_voi_lut(tmp_path: Path) -> None:
    """Lower values get the first entry, higher ones the last; the table comes before the window."""
    tags = {"VOILUTSequence": [lut_item(2, [10, 20, 200, 255])], "WindowCenter": 1, "WindowWidth": 2}
    expected = [[10, 10, 10, 20], [200, 255, 255, 255], [255, 255, 255, 255]]
    np.testing.assert_array_equal(gray(write_dicom(tmp_path / "a", RAMP, **tags)), expected)
    inverted = write_dicom(tmp_path / "b", RAMP, PhotometricInterpretation="MONOCHROME1", **tags)
    np.testing.assert_array_equal(gray(inverted), 255 - np.array(expected))


def test_the_first_of_several_voi_luts(tmp_path: Path) -> None:
    first, second = lut_item(0, [0, 255] * 6), lut_item(0, [255, 0] * 6)
    path = write_dicom(tmp_path / "a", RAMP, VOILUTSequence=[first, second])
    np.testing.assert_array_equal(gray(path), np.resize([0, 255], (3, 4)))


def test_a_voi_lut_of_16_bits_and_negative_values(tmp_path: Path) -> None:
    entries = [0, 16384, 32768, 65535]
    path = write_dicom(tmp_path / "a", RAMP - 2, VOILUTSequence=[lut_item(-2, entries, 16)])
    assert gray(path, 16)[0].tolist() == entries
    assert gray(path)[0].tolist() == [0, 64, 128, 255]


def test_a_voi_lut_is_of_values_after_rescale(tmp_path: Path) -> None:
    tags = {"RescaleSlope": 1, "RescaleIntercept": 100, "VOILUTSequence": [lut_item(101, [0, 100, 255])]}
    assert gray(write_dicom(tmp_path / "a", RAMP, **tags))[0].tolist() == [0, 0, 100, 255]


def test_a_voi_lut_as_bytes(tmp_path: Path) -> None:
    """OW: two bytes an entry, or, of 8 bits, packed."""
    for name, data in (("wide", bytes([9, 0, 99, 0, 199, 0, 255, 0])), ("packed", bytes([9, 99, 199, 255]))):
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [4, 0, 8])
        item.add_new("LUTData", "OW", data)
        path = write_dicom(tmp_path / name, RAMP, VOILUTSequence=[item])
        assert gray(path)[0].tolist() == [9, 99, 199, 255], name


def test_large_values_do_not_wrap_around_in_a_table() -> None:
    lut = Lut(0, np.array([0.0, 128.0, 255.0]), 255.0)
    values = np.array([[-32768.0, 1.0, 300.0], [65535.0, 256.0, 0.0]])
    np.testing.assert_array_equal(lut.apply(values), [[0, 128, 255], [255, 255, 0]])


def test_a_modality_lut(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", RAMP, ModalityLUTSequence=[lut_item(1, [500, 600, 700], 16)])
    pixels = read_dicom(path).pixels
    assert pixels.dtype == np.float32
    assert pixels[0].tolist() == [500, 500, 600, 700]
    assert pixels[2, 3] == 700


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (lut_item(0, [1, 2], bits=7), r"LUTDescriptor is \[2, 0, 7\], expected entries"),
        (lut_item(0, [1, 2], count=3), "LUTData has 2 entries, but LUTDescriptor says 3"),
    ],
)
@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
def test_tables_that_are_none(tmp_path: Path, keyword: str, item: Dataset, words: str) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP, **{keyword: [item]})
    with pytest.raises(DataError, match=words) as fault:
        read_dicom(path)
    assert (fault.value.code, fault.value.path) == ("dicom-tag-invalid", path)


def test_tables_without_entries_are_passed_over(tmp_path: Path) -> None:
    tags: dict[str, Any] = {"VOILUTSequence": [], "ModalityLUTSequence": [Dataset()]}
    image = read_dicom(write_dicom(tmp_path / "a", RAMP, **tags))
    assert image.header.lut is None
    np.testing.assert_array_equal(image.pixels, RAMP)


@pytest.mark.parametrize("write", [str.lower, str.title, lambda text: f"  {text.lower()} "])
def test_terms_in_other_letters(tmp_path: Path, write: Any) -> None:
    tags = {"WindowCenter": 5, "WindowWidth": 4, "BurnedInAnnotation": "YES"}
    for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        for photometric in ("MONOCHROME1", "MONOCHROME2"):
            right = {"VOILUTFunction": function, "PhotometricInterpretation": photometric, **tags}
            path = write_dicom(tmp_path / "right", RAMP, **right)
            other = write_dicom(tmp_path / "other", RAMP, **right)
            for keyword in ("VOILUTFunction", "PhotometricInterpretation", "BurnedInAnnotation"):
                change_element(other, keyword, "CS", write(right[keyword]))
            assert read_header(other) == read_header(path)
            assert read_header(other).burned_in
            np.testing.assert_array_equal(gray(other), gray(path))


@pytest.mark.parametrize("kind", [np.int16, np.uint16])
def test_bits_that_are_not_used_do_not_count(tmp_path: Path, kind: Any) -> None:
    """Old scanners kept overlays there."""
    stored = np.array([[0, 5, 2047], [100, 7, 1]], np.int64)
    pixels = (stored | 0x5000).astype(kind)
    image = read_dicom(write_dicom(tmp_path / "a", pixels, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(image.pixels, stored)
    assert image.header.shape == (2, 3)


@pytest.mark.parametrize(
    ("keyword", "kind"), [("FloatPixelData", np.float32), ("DoubleFloatPixelData", np.float64)]
)
def test_floating_point_pixels(tmp_path: Path, keyword: str, kind: Any) -> None:
    values = np.linspace(-1.5, 2.5, 12).reshape(3, 4).astype(kind)
    values[0, 0] = -9

    def write(name: str, values: np.ndarray, **tags: Any) -> Path:
        path = write_dicom(tmp_path / name, RAMP, PixelData=None, BitsAllocated=values.itemsize * 8, **tags)
        change_element(path, keyword, "OF" if kind == np.float32 else "OD", values.tobytes())
        return path

    prefix = "Float" if kind == np.float32 else "DoubleFloat"
    image = read_dicom(write("a", values, **{f"{prefix}PixelPaddingValue": -9.0}))
    np.testing.assert_allclose(image.pixels, values)
    assert image.padding is not None
    assert image.padding.sum() == 1
    values[1, 1] = np.nan
    with pytest.raises(DataError) as fault:
        read_dicom(write("b", values))
    assert fault.value.code == "pixels-not-finite"
    padded = read_dicom(write("c", values, **{f"{prefix}PixelPaddingValue": float("nan")}))
    assert padded.padding is not None
    assert padded.padding[1, 1]
    assert to_gray(padded)[1, 1] == 0


def test_windows_are_the_first_of_several_and_numbers(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", RAMP, WindowCenter=["40", "80"], WindowWidth=["400", "1"])
    assert read_header(path).window == Window(40.0, 400.0)
    change_element(path, "WindowCenter", "DS", "abc")
    with pytest.raises(DataError, match="WindowCenter"):
        read_header(path)


def test_a_table_of_all_16_bit_values(tmp_path: Path) -> None:
    """65536 entries, which LUTDescriptor calls 0."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [0, 0, 16])
    item.add_new("LUTData", "OW", np.arange(65535, -1, -1, dtype="<u2").tobytes())
    pixels = np.array([[0, 1, 40000], [65535, 32768, 2]], np.uint16)
    path = write_dicom(tmp_path / "a", pixels, VOILUTSequence=[item])
    np.testing.assert_array_equal(gray(path, 16), 65535 - pixels)


def test_a_table_as_bytes_of_a_big_endian_file(tmp_path: Path) -> None:
    read = pydicom.dcmread(write_dicom(tmp_path / "a", RAMP))
    dataset = Dataset({element.tag: element for element in read})
    dataset.file_meta = read.file_meta
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4, 0, 16])
    item.add_new("LUTData", "OW", np.array([1, 256, 40000, 65535], ">u2").tobytes())
    dataset.VOILUTSequence = [item]
    dataset.PixelData = RAMP.astype(">i2").tobytes()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
    dataset.save_as(tmp_path / "b", enforce_file_format=True)
    assert gray(tmp_path / "b", 16)[0].tolist() == [1, 256, 40000, 65535]


def test_a_table_of_16_bits_whose_bytes_are_too_few(tmp_path: Path) -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4, 0, 16])
    item.add_new("LUTData", "OW", bytes(6))
    with pytest.raises(DataError, match="LUTData has 3 entries, but LUTDescriptor says 4"):
        read_dicom(write_dicom(tmp_path / "a", RAMP, VOILUTSequence=[item]))
