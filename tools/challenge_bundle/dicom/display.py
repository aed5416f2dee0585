"""From a scanner's values to a picture: window, inversion, png without patient data."""

import io

import numpy as np
from PIL import Image

from challenge_bundle.dicom.reading import DicomImage, Window
from challenge_bundle.errors import DataError, shown

PERCENTILES = (1.0, 99.0)
"""What is black and what is white where a file has no window."""


def apply_window(pixels: np.ndarray, window: Window) -> np.ndarray:
    """Bring values to brightness.

    Args:
        pixels: (H, W), float.
        window: Which values are shown.

    Returns:
        Brightness (H, W), float64, from 0 to 1.

    Raises:
        DataError: Its function is not one of the standard's.

    Source:
        DICOM PS3.3 C.11.2.1.2.1 and C.11.2.1.3 (Window Center and Width, VOI LUT Function).
    """
    values, center, width = pixels.astype(np.float64), window.center, window.width
    if window.function == "LINEAR":
        # The standard's own half: 256 values are a width of 256, from the first's centre to the last's.
        if width <= 1.0:
            return (values > center - 0.5).astype(np.float64)
        return np.clip((values - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)
    if window.function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)
    if window.function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700.0, 700.0)))
    raise DataError(
        f"expected VOILUTFunction LINEAR, LINEAR_EXACT or SIGMOID, but got {shown(window.function)}",
        code="window-function-unknown",
        hint="correct the tag",
    )


def to_gray(image: DicomImage, bits: int = 8) -> np.ndarray:
    """Make an image fit to be shown: by its VOI LUT, its window or percentiles; bright is bright.

    Where it has neither table nor window, padding has no part in the percentiles and is black.

    Args:
        image: One file's.
        bits: 8 or 16.

    Returns:
        Picture (H, W), uint8 or uint16, over the whole range of its type.

    Raises:
        DataError: Its window is not one of the standard's.

    Source:
        DICOM PS3.3 C.11.2.1.1 (VOI LUT), C.7.5.1.1.2 (padding is no part of the image).
    """
    header = image.header
    if header.lut is not None:
        brightness = header.lut.apply(image.pixels) / header.lut.highest
    else:
        brightness = apply_window(image.pixels, header.window or _spread(image))
    if header.inverted:
        brightness = 1.0 - brightness
    if header.lut is None and header.window is None and image.padding is not None:
        brightness[image.padding] = 0.0
    gray: np.ndarray = np.rint(brightness * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    return gray


def _spread(image: DicomImage) -> Window:
    """A window from the 1st to the 99th percentile of the pixels that are no padding."""
    values = image.pixels if image.padding is None else image.pixels[~image.padding]
    if not values.size:
        return Window(0.0, 1.0, "LINEAR_EXACT")
    low, high = (float(value) for value in np.percentile(values, PERCENTILES))
    # A plain image has no range of values; any width then gives one gray.
    return Window((low + high) / 2.0, (high - low) or 1.0, "LINEAR_EXACT")


def encode_png(gray: np.ndarray) -> bytes:
    """Write a picture as png, with no metadata.

    Args:
        gray: (H, W), uint8 or uint16.
    """
    buffer = io.BytesIO()
    # Made from the array alone, so that nothing of a file's tags can be in it.
    Image.fromarray(gray).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
