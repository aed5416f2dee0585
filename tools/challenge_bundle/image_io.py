"""Reading image files from outside: which are accepted, when two show the same, thumbnails."""

import base64
import hashlib
import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from challenge_bundle.image_forms import find_format, find_misread

MAX_PIXELS = 50_000_000
"""An image with more is refused: as raw pixels it would not fit into memory next to a network."""

FORMAT_OF_SUFFIX = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
    ".webp": "WEBP",
    ".ppm": "PPM",
    ".pgm": "PPM",
}
FORMATS = tuple(dict.fromkeys(FORMAT_OF_SUFFIX.values()))
"""The only formats that Pillow may try, whatever a file's name is: others start programs (PostScript goes to
Ghostscript), or have decoders that few people use. The programs have the same list."""

DEEP_MODES = frozenset(("I", "F", "I;16", "I;16L", "I;16B", "I;16N"))
"""Pillow's modes with more than 8 bits per channel; all are gray."""

MODES = DEEP_MODES | {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
"""Modes that Pillow brings to gray and to RGB: of the formats above, Lab alone is not among them."""

PNM_MODES = frozenset(("1", "L", "I", "RGB"))
_FULL_16 = 65535
_ROUNDING_16 = 0.02
"""How far a floating-point value may lie from a 16-bit one that it stands for: less than float32 resolves."""

READ_FAULTS = (OSError, ValueError, MemoryError)
"""What reading an image may raise; PictureError is one of them."""


class PictureError(ValueError):
    """A file is not an accepted image; the message gives the reason in one line, without the file's name."""


@contextmanager
def reading(source: bytes | str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Open an image file and decode it to its last byte; while it is open, its metadata can be read too.

    Args:
        source: The file's bytes, or its path.

    Raises:
        PictureError: It is not of FORMATS, is damaged or cut off, has several frames, more than MAX_PIXELS,
            a mode that is not in MODES, or values that are out of their range.
    """
    with _open(source) as opened:
        yield opened


def ignore_warnings() -> None:
    """Keep Pillow's warnings of damaged metadata from the terminal; the filters are the whole process's."""
    warnings.simplefilter("ignore", UserWarning)
    # Of images over Pillow's own limit, which are refused for MAX_PIXELS.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def _open(source: bytes | str | os.PathLike[str]) -> Image.Image:
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        if not isinstance(source, bytes):
            check_plain(source)
        opened = Image.open(file, formats=FORMATS)
        try:
            check_form(opened)
            if misread := find_misread(opened):
                raise PictureError(misread)
            opened.load()
            _check_values(opened)
        except BaseException:
            opened.close()
            raise
    except PictureError:
        raise
    except UnidentifiedImageError as fault:
        raise PictureError(_describe_unknown(source) or describe_fault(fault)) from None
    except Exception as fault:
        # Of damaged files Pillow raises nearly anything: struct.error, zlib.error, IndexError, MemoryError.
        raise PictureError(describe_fault(fault)) from None
    return opened


def check_plain(path: str | os.PathLike[str]) -> None:
    """Refuse all but plain files before they are opened: a pipe waits for ever, a device may never end.

    Raises:
        PictureError: It is a pipe, a device or a folder.
        OSError: It is not there.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise PictureError("is no plain file (a pipe, a device or a folder); put the image there")


def _describe_unknown(source: bytes | str | os.PathLike[str]) -> str:
    """A message for a file that begins as one of FORMATS but is damaged or of an odd kind; else empty."""
    if isinstance(source, bytes):
        beginning = source[:16]
    else:
        with open(source, "rb") as opened:
            beginning = opened.read(16)
    kind = find_format(beginning)
    what = f"a {kind} file that is damaged, or of a kind that is not read"
    return kind and f"{what}; save it again, as gray or RGB of 8 or 16 bits"


def check_form(image: Image.Image) -> None:
    """Refuse an image by its header.

    Raises:
        PictureError: It has too many pixels, several frames, or a mode that is not taken.
    """
    if image.width * image.height > MAX_PIXELS:
        raise PictureError(f"{image.width}x{image.height} pixels; at most {MAX_PIXELS:,} are read")
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        what = "pages" if image.format == "TIFF" else "pictures" if image.format == "MPO" else "frames"
        raise PictureError(f"{frames} {what}, expected one; {_hint(image.format)}")
    if image.mode not in (PNM_MODES if image.format == "PPM" else MODES):
        raise PictureError(f"the mode {image.mode} is not taken; save it in gray or RGB")


def _hint(kind: str | None) -> str:
    if kind == "MPO":
        return (
            "many phones and cameras put a second picture into a jpg (MPO): save the first alone, as jpg or"
            " png"
        )
    return "write each as an image of its own"


def _check_values(image: Image.Image) -> None:
    """Refuse values that the programs would read as others.

    Raises:
        PictureError: A floating-point value is not from 0 to 1, or one of 32 bits not from 0 to 65535.
    """
    if image.mode not in ("I", "F"):
        return
    values, highest = np.asarray(image), 1 if image.mode == "F" else _FULL_16
    if not np.isfinite(values).all():
        raise PictureError("a value is not a finite number; expected 0 to 1, so replace it")
    low, high = values.min(), values.max()
    if low < 0 or high > highest:
        kind = "floating-point" if image.mode == "F" else "32-bit"
        raise PictureError(
            f"{kind} values from {low:g} to {high:g}, expected 0 to {highest}; scale them, or save it with 8"
            " or 16 bits"
        )


def describe_fault(fault: Exception) -> str:
    """One line on why an image cannot be read."""
    text = next(iter(str(fault).strip().splitlines()), "")
    if "cannot identify image file" in text:
        return f"not an image; expected {', '.join(suffix[1:] for suffix in FORMAT_OF_SUFFIX)}"
    if isinstance(fault, MemoryError):
        return "needs more memory than there is"
    if isinstance(fault, OSError | ValueError | SyntaxError | Image.DecompressionBombError):
        return text or type(fault).__name__
    return f"damaged ({type(fault).__name__}{f': {text}' if text else ''})"


def hash_picture(image: Image.Image) -> str:
    """SHA-256, in hexadecimal, of what a network sees of an image, however its file stores it.

    It sees the size, and gray or RGB levels from 0 to 1. So these are the same picture: gray as L, as a
    palette or as three equal channels; with any alpha channel, which the programs leave out; values of 8 bits
    and the same ones of 16 (times 257), in any byte order, or of floating point.

    Args:
        image: Loaded, of MODES.
    """
    kind, pixels = _seen(image)
    return hashlib.sha256(f"{kind} {image.width} {image.height}\n".encode() + pixels).hexdigest()


def _seen(image: Image.Image) -> tuple[str, bytes]:
    """The plainest mode that holds what a network sees, and the pixels in it."""
    if image.mode in DEEP_MODES:
        return _seen_deep(np.asarray(image))
    if image.mode in ("1", "L", "LA"):
        return "L", (image if image.mode == "L" else image.convert("L")).tobytes()
    pixels = np.asarray(to_rgb(image))
    # The first row nearly always shows that an image has colours.
    if _is_gray(pixels[:1]) and _is_gray(pixels):
        return "L", pixels[..., 0].tobytes()
    return "RGB", pixels.tobytes()


def _seen_deep(values: NDArray[Any]) -> tuple[str, bytes]:
    if values.dtype.kind == "f":
        scaled = values.astype(np.float64) * _FULL_16
        if np.abs(scaled - np.rint(scaled)).max() > _ROUNDING_16:
            return "F", values.astype("<f4").tobytes()
        values = np.rint(scaled)
    deep = values.astype("<u2")
    eight, rest = np.divmod(deep, 257)
    return ("I;16", deep.tobytes()) if rest.any() else ("L", eight.astype(np.uint8).tobytes())


def _is_gray(pixels: NDArray[Any]) -> bool:
    first = pixels[..., 0]
    return bool((first == pixels[..., 1]).all() and (first == pixels[..., 2]).all())


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of 8 bits a channel as RGB; transparency is left out, colours stay as they are stored."""
    if image.mode == "RGB":
        return image
    if "transparency" in image.info:
        image = image.copy()
        # Else Pillow warns, or looks for a colour to stand for it.
        del image.info["transparency"]
    return image.convert("RGB")


def is_transparent(image: Image.Image) -> bool:
    """Whether a pixel is not opaque: a viewer shows there what the programs do not see."""
    if image.mode in DEEP_MODES or not image.has_transparency_data:
        return False
    return bool(np.asarray(image.convert("RGBA"))[..., 3].min() < 255)


def to_eight_bits(image: Image.Image) -> Image.Image:
    """An image with at most 8 bits per channel; Pillow itself would cut off more at 255, leaving it white."""
    if image.mode not in DEEP_MODES:
        return image if image.mode in ("L", "RGB") else to_rgb(image)
    factor = 255.0 if image.mode == "F" else 255.0 / _FULL_16
    return image.convert("F").point(lambda value: value * factor)


def thumbnail_url(image: Image.Image, side_px: int) -> str:
    """A thumbnail as a `data:` URL, for a page that loads nothing."""
    picture = to_eight_bits(image).convert("RGB")
    picture.thumbnail((side_px, side_px))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
