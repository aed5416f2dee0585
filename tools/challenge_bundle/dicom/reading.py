"""One DICOM file: its header and its pixels, in the units that the scanner meant."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from challenge_bundle.dicom.decoding import PIXELS, RESTORE, decode_pixels
from challenge_bundle.dicom.elements import (
    ElementError,
    describe,
    read_code,
    read_number,
    read_text,
    read_values,
    read_whole,
)
from challenge_bundle.dicom.lookup import Lut, read_lut
from challenge_bundle.errors import DataError, UnavailableError, shown
from challenge_bundle.image_io import MAX_PIXELS
from challenge_bundle.installation import install_hint

if TYPE_CHECKING:
    from pydicom import Dataset

_GRAY = ("MONOCHROME1", "MONOCHROME2")
_PREAMBLE_BYTES = 128


@dataclass(frozen=True, slots=True)
class Window:
    """Which values are shown, from black to white.

    Args:
        center: Of the values, in the units of the pixels.
        width: Of their range; more than 0.
        function: `LINEAR`, `LINEAR_EXACT` or `SIGMOID`.
    """

    center: float
    width: float
    function: str = "LINEAR"


@dataclass(frozen=True, slots=True)
class DicomHeader:
    """The tags of a file's image.

    Args:
        patient_id: PatientID; empty if it has none.
        series_uid: SeriesInstanceUID; empty if it has none.
        instance_number: InstanceNumber; None if it has none.
        shape: (H, W), pixels; None if the file holds no image (a report, a plan).
        pixel_spacing_mm: (row, column): between rows, between columns; None if it has none.
        inverted: Whether small values are bright (MONOCHROME1).
        window: The first that it has; None if it has none.
        burned_in: Whether it declares that writing, such as the patient's name, is in the pixels.
        lut: The first VOI LUT, the table of brightness; it takes precedence over the window.
        tags: Values of the further tags that were requested, as text; empty where it has none.
    """

    patient_id: str
    series_uid: str
    instance_number: int | None
    shape: tuple[int, int] | None
    pixel_spacing_mm: tuple[float, float] | None
    inverted: bool
    window: Window | None
    burned_in: bool
    lut: Lut | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class DicomImage:
    """A file's header and its pixels.

    Args:
        header: The header.
        pixels: (H, W), float32: stored values through the Modality LUT, or times RescaleSlope plus
            RescaleIntercept.
        padding: (H, W), bool: pixels that fill up the rectangle around the image; None without any.
    """

    header: DicomHeader
    pixels: np.ndarray
    padding: np.ndarray | None = None

    def __repr__(self) -> str:
        arrays = {"pixels": self.pixels, "padding": self.padding}
        shown_arrays = [
            f"{name}={array.shape} {array.dtype}" for name, array in arrays.items() if array is not None
        ]
        spacing = f"spacing_mm={self.header.pixel_spacing_mm}"
        return f"DicomImage({', '.join([repr(self.header.patient_id), *shown_arrays, spacing])})"


def check_tag(keyword: str) -> None:
    """Refuse a text that is not the keyword of a tag.

    Raises:
        DataError: It is not one.
        UnavailableError: pydicom is not installed.
    """
    _use_pydicom()
    from pydicom.datadict import tag_for_keyword

    if tag_for_keyword(keyword) is None:
        raise DataError(
            f"{shown(keyword)} is not the keyword of a DICOM tag",
            code="tag-unknown",
            hint="write one such as SeriesDescription, Modality or PatientID",
        )


def is_dicom(path: Path) -> bool:
    """Return whether a file is a DICOM file, by its first bytes.

    Source:
        DICOM PS3.10 7.1 (128 bytes of any content, then DICM).
    """
    with path.open("rb") as opened:
        return opened.read(_PREAMBLE_BYTES + 4)[_PREAMBLE_BYTES:] == b"DICM"


def read_header(path: Path, keywords: Sequence[str] = ()) -> DicomHeader:
    """Read the tags of a file's image, without the pixels.

    Args:
        path: The file.
        keywords: Of further tags to read.

    Raises:
        DataError: It is not a DICOM file, it is cut off, or a tag of its image is not valid.
        UnavailableError: pydicom is not installed.
    """
    return _parse_header(_read(path, pixels=False), path, keywords)


def read_dicom(path: Path) -> DicomImage:
    """Read one gray image.

    Args:
        path: A file with one frame, MONOCHROME1 or MONOCHROME2.

    Raises:
        DataError: It is not a DICOM file, it is cut off, or it holds no such image.
        UnavailableError: pydicom, or what it needs for this compression, is not installed.

    Source:
        DICOM PS3.3 C.11.1.1.2 (Modality LUT and rescale); C.7.6.3.1.2 (Photometric Interpretation);
        C.7.5.1.1.2 (Pixel Padding Value and Pixel Padding Range Limit).
    """
    dataset = _read(path, pixels=True)
    header = _parse_header(dataset, path, ())
    try:
        photometric = read_code(dataset, "PhotometricInterpretation")
        frames = read_whole(dataset, "NumberOfFrames")
        element = next((name for name in PIXELS if name in dataset), None)
    except ElementError as fault:
        raise _unreadable(fault, path) from None
    if header.shape is None or element is None:
        raise DataError(
            "expected pixels, but it holds no image",
            path,
            code="dicom-without-image",
            hint=f"leave it out or {RESTORE}",
        )
    height, width = header.shape
    if height * width > MAX_PIXELS:
        raise DataError(
            f"{width}x{height} pixels; at most {MAX_PIXELS:,} are read",
            path,
            code="image-too-large",
            hint="make it smaller or leave it out",
        )
    if photometric not in _GRAY or frames not in (None, 0, 1):
        raise DataError(
            f"expected one frame, {' or '.join(_GRAY)}, but got {frames or 1}, {shown(photometric)}",
            path,
            code="dicom-not-gray",
            hint="convert it (dcmtk's dcmj2pnm, or gdcmconv) or leave it out",
        )
    stored = decode_pixels(dataset, path)
    if stored.shape != header.shape:
        raise DataError(
            f"expected pixels {header.shape} (H, W), but got {stored.shape}",
            path,
            code="pixels-shape",
            hint=RESTORE,
        )
    try:
        padding = _find_padding(stored, dataset, PIXELS[element])
        pixels = _rescale(stored, dataset)
    except ElementError as fault:
        raise _unreadable(fault, path) from None
    if not np.isfinite(pixels if padding is None else pixels[~padding]).all():
        raise DataError(
            "a value of its pixels is not a finite number", path, code="pixels-not-finite", hint=RESTORE
        )
    return DicomImage(header, pixels, padding)


def _use_pydicom() -> None:
    try:
        from pydicom import config
    except ModuleNotFoundError:
        raise UnavailableError(
            "reading DICOM needs pydicom", code="pydicom-missing", hint=install_hint("dicom")
        ) from None
    # Files of real scanners break the rules in ways that do no harm, and what is used here is checked here.
    config.settings.reading_validation_mode = config.IGNORE


def _read(path: Path, pixels: bool) -> "Dataset":
    _use_pydicom()
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        return pydicom.dcmread(path, stop_before_pixels=not pixels)
    except FileNotFoundError:
        raise DataError(
            "no such file", path, code="file-missing", hint="correct the path, or put it there"
        ) from None
    except InvalidDicomError:
        raise DataError(
            "is not a DICOM file", path, code="dicom-invalid", hint=f"leave it out or {RESTORE}"
        ) from None
    except Exception as fault:
        # A cut or foreign file ends its parser in almost any exception.
        raise DataError(
            f"cannot be read as DICOM ({describe(fault)})", path, code="dicom-unreadable", hint=RESTORE
        ) from None


def _parse_header(dataset: "Dataset", path: Path, keywords: Sequence[str]) -> DicomHeader:
    try:
        rows, columns = read_whole(dataset, "Rows"), read_whole(dataset, "Columns")
        return DicomHeader(
            patient_id=read_text(dataset, "PatientID"),
            series_uid=read_text(dataset, "SeriesInstanceUID"),
            instance_number=read_whole(dataset, "InstanceNumber"),
            shape=(rows, columns) if rows and columns else None,
            pixel_spacing_mm=_spacing(dataset),
            inverted=read_code(dataset, "PhotometricInterpretation") == "MONOCHROME1",
            window=_window(dataset),
            burned_in=read_code(dataset, "BurnedInAnnotation") == "YES",
            lut=read_lut(dataset, "VOILUTSequence"),
            tags={keyword: read_text(dataset, keyword) for keyword in keywords},
        )
    except ElementError as fault:
        raise _unreadable(fault, path) from None


def _unreadable(fault: ElementError, path: Path) -> DataError:
    return DataError(
        f"a tag of its image cannot be read ({fault})", path, code="dicom-tag-invalid", hint=RESTORE
    )


def _spacing(dataset: "Dataset") -> tuple[float, float] | None:
    values = read_values(dataset, "PixelSpacing")
    if not values:
        return None
    try:
        row, column = (float(value) for value in values)
    except (TypeError, ValueError):
        raise ElementError(f"PixelSpacing is {shown(str(values))}, expected two numbers") from None
    return row, column


def _window(dataset: "Dataset") -> Window | None:
    center, width = read_number(dataset, "WindowCenter"), read_number(dataset, "WindowWidth")
    if center is None or width is None or not math.isfinite(center) or not 0.0 < width < math.inf:
        return None
    return Window(center, width, read_code(dataset, "VOILUTFunction") or "LINEAR")


def _find_padding(stored: np.ndarray, dataset: "Dataset", name: str) -> np.ndarray | None:
    """Which pixels (H, W) are padding: those of the value, or from it to the range's limit."""
    value, limit = read_number(dataset, f"{name}Value"), read_number(dataset, f"{name}RangeLimit")
    if value is None:
        return None
    if stored.dtype.kind == "f":
        ends = [float(stored.dtype.type(end)) for end in (value, value if limit is None else limit)]
    else:
        # Some write the value as unsigned where pixels are signed, or the other way round.
        ends = [_as_stored(end, stored.dtype) for end in (value, value if limit is None else limit)]
    padding = (stored >= min(ends)) & (stored <= max(ends)) if not math.isnan(value) else np.isnan(stored)
    return padding if padding.any() else None


def _as_stored(value: float, kind: "np.dtype[Any]") -> float:
    lowest, highest = int(np.iinfo(kind).min), int(np.iinfo(kind).max)
    values = highest - lowest + 1
    return value - values if value > highest else value + values if value < lowest else value


def _rescale(stored: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Stored values (H, W) to float32 (H, W) in the units that the scanner meant.

    Raises:
        ElementError: The rescale elements cannot be read, or leave no image.
    """
    table = read_lut(dataset, "ModalityLUTSequence")
    if table is not None:
        return table.apply(stored).astype(np.float32)
    # Each stands for itself where the other is missing; pydicom would then leave out both.
    slope, intercept = read_number(dataset, "RescaleSlope"), read_number(dataset, "RescaleIntercept")
    slope, intercept = 1.0 if slope is None else slope, 0.0 if intercept is None else intercept
    if not math.isfinite(intercept) or not math.isfinite(slope) or slope == 0.0:
        raise ElementError(f"RescaleSlope {slope} and RescaleIntercept {intercept} leave no image")
    if (slope, intercept) == (1.0, 0.0):
        return stored.astype(np.float32)
    with np.errstate(over="ignore"):
        return (stored * slope + intercept).astype(np.float32)
