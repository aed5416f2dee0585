"""Metadata go, pixels stay to the bit."""

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tools.evaluation.metadata import strip_metadata

SECRET = "class: Hand"


def encoded(kind: str, mode: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    out = io.BytesIO()
    if kind == "png":
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", SECRET)
        image.save(out, "png", pnginfo=text, **({"transparency": 3} if mode == "P" else {}))
    else:
        exif = Image.Exif()
        exif[0x010E] = SECRET
        image.save(out, "jpeg", exif=exif, comment=SECRET.encode(), progressive=kind == "progressive")
    return out.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("kind", ["png", "jpeg", "progressive"])
def test_metadata_go_and_pixels_stay(kind: str, mode: str) -> None:
    data = encoded(kind, mode)
    stripped = strip_metadata(data)
    assert SECRET.encode() in data
    assert SECRET.encode() not in stripped
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(stripped)) as after:
        assert before.mode == after.mode
        assert np.array_equal(np.asarray(before), np.asarray(after))


def test_transparency_is_of_the_pixels() -> None:
    data = encoded("png", "P")
    with Image.open(io.BytesIO(strip_metadata(data))) as image:
        assert image.info["transparency"] == 3


@pytest.mark.parametrize("data", [b"", b"GIF89a...", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\x00"])
def test_what_is_no_such_file_stays(data: bytes) -> None:
    assert strip_metadata(data) == data
