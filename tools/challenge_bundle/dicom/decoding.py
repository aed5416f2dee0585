"""From a DICOM file to its stored values; a missing decoder is reported with the package that has it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from challenge_bundle.dicom.elements import describe
from challenge_bundle.errors import DataError, UnavailableError

if TYPE_CHECKING:
    from pydicom import Dataset

PIXELS = {
    "PixelData": "PixelPadding",
    "FloatPixelData": "FloatPixelPadding",
    "DoubleFloatPixelData": "DoubleFloatPixelPadding",
}
"""The elements of pixels, and the beginning of the names of the elements that define padding."""

RESTORE = "restore the file from where it came"


def decode_pixels(dataset: "Dataset", path: Path) -> np.ndarray:
    """Decode the pixels as they are stored.

    Args:
        dataset: The file.
        path: For messages.

    Returns:
        Stored values, without the bits that are not used.

    Raises:
        DataError: They cannot be decoded.
        UnavailableError: A package that decodes them is not installed.
    """
    try:
        # pydicom knows capital letters alone.
        dataset.PhotometricInterpretation = str(dataset.PhotometricInterpretation).strip(" \0").upper()
        return dataset.pixel_array
    except MemoryError:
        raise DataError(
            "its pixels need more memory than there is", path, code="pixels-memory", hint="leave it out"
        ) from None
    except Exception as fault:
        packages, syntax = _missing_packages(dataset)
        if packages:
            install = f"pip install {' '.join(packages)}"
            raise UnavailableError(
                f"compressed as {syntax}, which no decoder here can read ({describe(fault)})",
                path,
                code="decoder-missing",
                hint=f"run `{install}`, or decompress it (dcmtk's dcmdjpeg, gdcmconv --raw)",
            ) from None
        raise DataError(
            f"its pixels cannot be read ({describe(fault)})", path, code="pixels-unreadable", hint=RESTORE
        ) from None


def _missing_packages(dataset: "Dataset") -> tuple[list[str], str]:
    """The packages that would decode a file where none that is here can, and its transfer syntax's name.

    Pillow decodes JPEG of 8 bits, not of 12.
    """
    from pydicom.pixels.decoders import pylibjpeg
    from pydicom.pixels.decoders.base import get_decoder

    try:
        syntax: Any = dataset.file_meta.TransferSyntaxUID
        decoder = get_decoder(syntax)
        needed = pylibjpeg.DECODER_DEPENDENCIES[syntax]
        deep = "JPEG Extended" in syntax.name and int(dataset.get("BitsStored", 8)) > 8
    except Exception:
        # Not compressed, or in a way that pydicom does not know either.
        return [], ""
    if pylibjpeg.is_available(syntax) or (decoder.is_available and not deep):
        return [], str(syntax.name)
    return [name.partition(">")[0] for name in needed], str(syntax.name)
