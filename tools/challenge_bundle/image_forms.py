"""Image files whose pixels Pillow would read wrongly, without an error."""

import math
from collections.abc import Sequence
from typing import Any

from PIL import Image

_BITS, _COMPRESSION, _PHOTOMETRIC, _PLANES, _SAMPLE_FORMAT = 258, 259, 262, 284, 339
_OFFSETS = (273, 324)
_SIZES = (279, 325)
_WHITE_IS_ZERO, _YCBCR = 0, 6
_SIGNED, _UNCOMPRESSED, _SEPARATE = 2, 1, 2
_RESAVE = "save it with 8 or 16 bits, as gray or RGB"

_BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"GIF8": "GIF",
    b"BM": "BMP",
}


def find_misread(image: Image.Image) -> str:
    """What of a file Pillow reads wrongly, as a message; empty if nothing.

    Args:
        image: Opened; loaded or not.

    Source:
        TIFF 6.0, section 8 (PhotometricInterpretation, PlanarConfiguration), section 19 (SampleFormat); PNG,
        11.2.2 (a palette is required).
    """
    if image.format == "PNG" and image.mode == "P" and not (image.palette and image.palette.palette):
        return "its pixels name the colours of a palette, but there is none; save it again"
    if image.format == "TIFF":
        return _find_misread_tiff(image)
    return ""


def _find_misread_tiff(image: Image.Image) -> str:
    tags: Any = getattr(image, "tag_v2", {})
    bits: Sequence[int] = tags.get(_BITS, (1,))
    deepest = max(bits)
    if deepest <= 8 and _SIGNED in tags.get(_SAMPLE_FORMAT, ()):
        return f"a tif of signed values of {deepest} bits is not taken; {_RESAVE}, from 0 up"
    if 8 < deepest < 16:
        return f"a tif of {deepest} bits is not taken; scale its values to 0 to 65535, and {_RESAVE}"
    if deepest > 8 and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        return f"a tif of {deepest} bits in which 0 is white is not taken; {_RESAVE}, with 0 as black"
    if deepest > 8 and tags.get(_PLANES) == _SEPARATE:
        return f"a tif of {deepest} bits in planes (PlanarConfiguration 2) is not taken; {_RESAVE}"
    return _find_missing_pixels(image, tags, sum(bits))


def _find_missing_pixels(image: Image.Image, tags: Any, bits: int) -> str:
    """Pillow leaves a missing strip black, and reads past the end of a short one."""
    strips = {offset for key in _OFFSETS for offset in tags.get(key, ())}
    rows = tags.get(278)
    if 273 in tags and isinstance(rows, int) and 0 < rows < image.height:
        planes = len(tags.get(_BITS, (1,))) if tags.get(_PLANES) == _SEPARATE else 1
        # The image is not turned yet: an orientation exchanges height and width when it is loaded.
        needed = math.ceil(tags[257] / rows) * planes
        if len(strips) < needed:
            return f"cut off: it has {len(strips)} of {needed} strips; restore the file"
    stored = sum(size for key in _SIZES for size in tags.get(key, ()))
    expected = image.width * image.height * bits // 8
    # YCbCr may have fewer values of colour than pixels.
    is_plain = tags.get(_COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED and tags.get(_PHOTOMETRIC) != _YCBCR
    if is_plain and 0 < stored < expected:
        return f"cut off: {stored:,} bytes of pixels, expected {expected:,}; restore the file"
    return ""


def find_format(beginning: bytes) -> str:
    """The format that a file begins as; empty if it is none of the accepted ones.

    Args:
        beginning: The first 12 bytes or more.
    """
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP":
        return "WEBP"
    return next((name for start, name in _BEGINNINGS.items() if beginning.startswith(start)), "")
