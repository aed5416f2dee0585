"""Image files as arrays: which are taken, and how they become what the network sees."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP", "PPM")
"""All that Pillow may try, whatever a file's name is: other formats start programs or are hardly tested."""

DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
"""Of Pillow's modes, those with more than 8 bits a channel."""

GRAY_MODES = DEEP_MODES | {"1", "L", "LA"}
MODES = GRAY_MODES | {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
PNM_MODES = frozenset({"1", "L", "I", "RGB"})
"""Of pbm, pgm and ppm files; Pillow takes others under the same names."""
MAX_PIXELS = 50_000_000

# Of metadata that are damaged, and of images over Pillow's own limit, which is higher than MAX_PIXELS.
warnings.filterwarnings("ignore", module="PIL")


class ImageError(Exception):
    """A file is no image that is taken; the message says why, without its name."""


def read_header(path: Path) -> tuple[tuple[int, int], str]:
    """An image's (width, height), pixels, and Pillow mode.

    Raises:
        ImageError: It is no image that is taken.
    """
    with open_image(path) as opened:
        return opened.size, opened.mode


def is_deep(mode: str) -> bool:
    """Tell whether a Pillow mode has more than 8 bits a channel."""
    return mode in DEEP_MODES


def read_image(path: Path, channels: int, height: int, width: int) -> np.ndarray:
    """Decode an image to the network's channels and size; the inference program does the same.

    Args:
        path: A file of FORMATS, of any size.
        channels: 1 for gray, 3 for RGB.
        height: Wanted, pixels.
        width: Wanted, pixels.

    Returns:
        Image (C, H, W), from 0 to 255: uint8, or float32 where the file has more than 8 bits a channel.

    Raises:
        ImageError: It is no image that is taken, is damaged or cut off, or its values are out of range.
    """
    with open_image(path) as opened:
        try:
            image = _convert(opened, channels)
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.asarray(image)
        except ImageError:
            raise
        except Exception as fault:
            raise ImageError(describe(fault)) from None
    if pixels.ndim == 2:
        return np.repeat(pixels[None], channels, axis=0)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _convert(opened: Image.Image, channels: int) -> Image.Image:
    """Decode an image, to gray or RGB from 0 to 255; transparency is left out."""
    opened.load()
    if opened.mode in DEEP_MODES:
        values = np.asarray(opened, dtype=np.float32)
        # 16-bit files use the range of 16 bits; floating-point files run from 0 to 1.
        highest = 1.0 if opened.mode == "F" else 65535.0
        if not (np.isfinite(values).all() and values.min() >= 0.0 and values.max() <= highest):
            raise ImageError(f"values that are not from 0 to {highest:g}")
        return Image.fromarray(values * (255.0 / highest))
    opened.info.pop("transparency", None)  # else Pillow looks for a colour to stand for it
    if channels == 3 or opened.mode not in GRAY_MODES:
        opened = opened.convert("RGB")
    return opened.convert("L" if channels == 1 else "RGB")


def open_image(path: Path) -> Image.Image:
    """Open an image file; the programs and an import take the same files.

    Raises:
        ImageError: It is no image, has several frames, too many pixels, or a mode that is not taken.
    """
    try:
        opened = Image.open(path, formats=FORMATS)
        try:
            check_form(opened)
        except BaseException:
            opened.close()
            raise
    except ImageError:
        raise
    except Exception as fault:  # of damaged files Pillow raises nearly anything
        raise ImageError(describe(fault)) from None
    return opened


def check_form(opened: Image.Image) -> None:
    """Refuse an image by what its header says.

    Raises:
        ImageError: It has several frames, too many pixels, or a mode that is not taken.
    """
    frames = getattr(opened, "n_frames", 1)
    if frames != 1:
        raise ImageError(f"{frames} frames or pages, expected one")
    if opened.mode not in (PNM_MODES if opened.format == "PPM" else MODES):
        raise ImageError(f"the mode {opened.mode} is not taken; save it in gray or RGB")
    if opened.width * opened.height > MAX_PIXELS:
        raise ImageError(f"{opened.width}x{opened.height} pixels; at most {MAX_PIXELS:,} are read")


def describe(fault: Exception) -> str:
    """Say in a line why an image cannot be read."""
    if isinstance(fault, UnidentifiedImageError):
        return f"not an image; expected {', '.join(FORMATS)}"
    return next(iter(str(fault).strip().splitlines()), "") or type(fault).__name__
