"""Images that strangers made: what can go wrong in reading them, when two are the same, small copies."""

import base64
import hashlib
import io

from PIL import Image

MAX_PIXELS = 50_000_000
"""An image with more is refused: as raw pixels it would not fit beside a network."""

READ_FAULTS = (
    OSError,
    ValueError,
    SyntaxError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow raises for a file that is no sound image."""


def describe_fault(fault: Exception) -> str:
    """Say in a line why an image cannot be read."""
    text = str(fault).strip() or type(fault).__name__
    return "not an image" if "cannot identify image file" in text else text.splitlines()[0]


def hash_pixels(image: Image.Image) -> str:
    """SHA-256 of an image's size and pixels, in hexadecimal: the same however the file stores them."""
    mode = {"1": "L", "P": "RGB", "PA": "RGBA"}.get(image.mode, image.mode)
    image.load()
    plain = image if image.mode == mode else image.convert(mode)
    head = f"{plain.mode} {plain.width} {plain.height}\n".encode()
    return hashlib.sha256(head + plain.tobytes()).hexdigest()


def to_eight_bits(image: Image.Image) -> Image.Image:
    """An image with at most 8 bits a channel; Pillow itself would cut off more at 255, leaving all white."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    factor = 255.0 if image.mode == "F" else 255.0 / 65535.0
    return image.convert("F").point(lambda value: value * factor)


def thumbnail_url(image: Image.Image, side_px: int) -> str:
    """A small copy as a `data:` URL, for a page that needs nothing else."""
    picture = to_eight_bits(image).convert("RGB")
    picture.thumbnail((side_px, side_px))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
