"""One DICOM file: its header and its pixels, in the units that the scanner meant."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.errors import DataError, UnavailableError, install_cure, shown

if TYPE_CHECKING:
    from pydicom import Dataset

_GRAY = ("MONOCHROME1", "MONOCHROME2")
_PREAMBLE_BYTES = 128
_MEND = "restore the file from where it came"


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
    """What a file says of its image.

    Args:
        patient_id: PatientID; empty if it has none.
        series_uid: SeriesInstanceUID; empty if it has none.
        instance_number: InstanceNumber; None if it has none.
        shape: (H, W), pixels; None if the file holds no image (a report, a plan).
        pixel_spacing_mm: (row, column): between rows, between columns; None if it has none.
        inverted: Whether small values are bright (MONOCHROME1).
        window: The first that it has; None if it has none.
        burned_in: Whether it says that writing, such as the patient's name, is in the pixels.
        tags: Values of the further tags that were asked for, as text; empty where it has none.
    """

    patient_id: str
    series_uid: str
    instance_number: int | None
    shape: tuple[int, int] | None
    pixel_spacing_mm: tuple[float, float] | None
    inverted: bool
    window: Window | None
    burned_in: bool
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DicomImage:
    """A file's header and its pixels.

    Args:
        header: What it says of them.
        pixels: (H, W), float32: stored values times RescaleSlope plus RescaleIntercept.
    """

    header: DicomHeader
    pixels: np.ndarray


def check_tag(keyword: str) -> None:
    """Refuse what is no tag's keyword.

    Raises:
        DataError: It is none.
        UnavailableError: pydicom is not installed.
    """
    _use_pydicom()
    from pydicom.datadict import tag_for_keyword

    if tag_for_keyword(keyword) is None:
        raise DataError(
            f"{shown(keyword)} is not the keyword of a DICOM tag; expected one such as SeriesDescription,"
            " Modality or PatientID"
        )


def is_dicom(path: Path) -> bool:
    """Tell by its first bytes whether a file is a DICOM file.

    Source:
        DICOM PS3.10 7.1 (128 bytes of any content, then DICM).
    """
    with path.open("rb") as opened:
        return opened.read(_PREAMBLE_BYTES + 4)[_PREAMBLE_BYTES:] == b"DICM"


def read_header(path: Path, keywords: Sequence[str] = ()) -> DicomHeader:
    """Read what a file says of its image, without the pixels.

    Args:
        path: The file.
        keywords: Of further tags to read.

    Raises:
        DataError: It is no DICOM file, it is cut off, or what it says of its image cannot be.
        UnavailableError: pydicom is not installed.
    """
    return _parse_header(_read(path, pixels=False), path, keywords)


def read_dicom(path: Path) -> DicomImage:
    """Read one gray image.

    Args:
        path: A file with one frame, MONOCHROME1 or MONOCHROME2.

    Raises:
        DataError: It is no DICOM file, it is cut off, or it holds no such image.
        UnavailableError: pydicom, or what it needs for this compression, is not installed.

    Source:
        DICOM PS3.3 C.11.1.1.2 (Modality LUT and rescale); C.7.6.3.1.2 (Photometric Interpretation).
    """
    dataset = _read(path, pixels=True)
    header = _parse_header(dataset, path, ())
    photometric, frames = str(dataset.get("PhotometricInterpretation", "")), dataset.get("NumberOfFrames", 1)
    if header.shape is None or "PixelData" not in dataset:
        raise DataError(f"holds no image; expected pixels, so leave it out or {_MEND}", path)
    if photometric not in _GRAY or int(frames or 1) != 1:
        raise DataError(
            f"holds {frames or 1} frames, {shown(photometric)}; expected one frame, {' or '.join(_GRAY)};"
            " convert it (dcmtk's dcmj2pnm, or gdcmconv) or leave it out",
            path,
        )
    pixels = _rescale(_stored_values(dataset, path), dataset, path)
    return DicomImage(header, pixels)


def _use_pydicom() -> None:
    try:
        from pydicom import config
    except ModuleNotFoundError:
        raise UnavailableError(f"reading DICOM needs pydicom; {install_cure('dicom')}") from None
    # Files of real scanners break the rules in ways that do no harm, and what is used here is checked here.
    config.settings.reading_validation_mode = config.IGNORE


def _read(path: Path, pixels: bool) -> "Dataset":
    _use_pydicom()
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        return pydicom.dcmread(path, stop_before_pixels=not pixels)
    except FileNotFoundError:
        raise DataError("no such file", path) from None
    except InvalidDicomError:
        raise DataError(f"is not a DICOM file; leave it out or {_MEND}", path) from None
    except Exception as fault:
        # A cut or foreign file ends its parser in almost any exception.
        raise DataError(f"cannot be read as DICOM ({_reason(fault)}); {_MEND}", path) from None


def _parse_header(dataset: "Dataset", path: Path, keywords: Sequence[str]) -> DicomHeader:
    try:
        rows, columns = dataset.get("Rows"), dataset.get("Columns")
        spacing = dataset.get("PixelSpacing")
        number = dataset.get("InstanceNumber")
        return DicomHeader(
            patient_id=_text(dataset, "PatientID"),
            series_uid=_text(dataset, "SeriesInstanceUID"),
            instance_number=None if number in (None, "") else int(number),
            shape=(int(rows), int(columns)) if rows and columns else None,
            pixel_spacing_mm=(float(spacing[0]), float(spacing[1])) if spacing else None,
            inverted=dataset.get("PhotometricInterpretation") == "MONOCHROME1",
            window=_window(dataset),
            burned_in=_text(dataset, "BurnedInAnnotation") == "YES",
            tags={keyword: _text(dataset, keyword) for keyword in keywords},
        )
    except Exception as fault:
        raise DataError(
            f"what it says of its image cannot be read ({_reason(fault)}); {_MEND}", path
        ) from None


def _text(dataset: "Dataset", keyword: str) -> str:
    value: Any = dataset.get(keyword)
    if value is None:
        return ""
    return " ".join(str(value).replace("\0", "").split())


def _first(dataset: "Dataset", keyword: str) -> float | None:
    """The value of a tag, or the first of its values; None if it has none."""
    value: Any = dataset.get(keyword)
    if value is None or value == "":
        return None
    try:
        return float(value)
    except TypeError:
        return float(value[0]) if len(value) else None


def _window(dataset: "Dataset") -> Window | None:
    center, width = _first(dataset, "WindowCenter"), _first(dataset, "WindowWidth")
    if center is None or width is None or not math.isfinite(center) or not 0.0 < width < math.inf:
        return None
    return Window(center, width, _text(dataset, "VOILUTFunction") or "LINEAR")


def _stored_values(dataset: "Dataset", path: Path) -> np.ndarray:
    try:
        return dataset.pixel_array
    except Exception as fault:
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        if syntax is not None and syntax.is_compressed and "missing" in str(fault):
            raise UnavailableError(
                f"{path}: compressed as {syntax.name}, which needs a package of its own; run `pip install"
                " pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg`, or decompress it (dcmtk's dcmdjpeg)"
            ) from None
        raise DataError(f"its pixels cannot be read ({_reason(fault)}); {_MEND}", path) from None


def _rescale(stored: np.ndarray, dataset: "Dataset", path: Path) -> np.ndarray:
    """Stored values (H, W) to float32 (H, W) in the units that the scanner meant."""
    if dataset.get("ModalityLUTSequence"):
        from pydicom.pixels.processing import apply_modality_lut

        return apply_modality_lut(stored, dataset).astype(np.float32)
    # Each stands for itself where the other is missing; pydicom would then leave out both.
    slope, intercept = _first(dataset, "RescaleSlope"), _first(dataset, "RescaleIntercept")
    slope, intercept = 1.0 if slope is None else slope, 0.0 if intercept is None else intercept
    if not math.isfinite(intercept) or not math.isfinite(slope) or slope == 0.0:
        raise DataError(
            f"RescaleSlope {slope} and RescaleIntercept {intercept} leave no image; {_MEND}", path
        )
    if (slope, intercept) == (1.0, 0.0):
        return stored.astype(np.float32)
    return (stored * slope + intercept).astype(np.float32)


def _reason(fault: Exception) -> str:
    lines = str(fault).splitlines()
    return lines[0] if lines else type(fault).__name__
