"""Files that Pillow reads as other pixels than they mean are refused; their neighbours are read right."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from challenge_bundle.image_forms import find_format
from challenge_bundle.image_io import PictureError, reading
from tests.image_files import colour, gray, saved
from tests.tiffs import SIZE, tiff

WIDTH, HEIGHT = SIZE
PIXELS = np.random.default_rng(1).integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
EIGHT = (PIXELS >> 8).astype(np.uint8)
DEEP = PIXELS.astype("<u2").tobytes()
REAL = (PIXELS / 65535).astype("<f4").tobytes()


def twelve_bits() -> bytes:
    places = PIXELS.reshape(-1, 1) >> np.arange(15, 3, -1) & 1
    rows = places.astype(np.uint8).reshape(HEIGHT, -1)
    return np.packbits(rows, axis=1).tobytes()


def png_without_palette() -> bytes:
    data = saved(colour().quantize(16), "PNG")
    place = data.index(b"PLTE") - 4
    (length,) = struct.unpack(">I", data[place : place + 4])
    return data[:place] + data[place + 12 + length :]


REFUSED = {
    "white is 0, 16 bits": (tiff([DEEP], [16], 0), "a tif of 16 bits in which 0 is white is not taken"),
    "white is 0, float": (tiff([REAL], [32], 0, {339: [3]}), "a tif of 32 bits in which 0 is white"),
    "12 bits": (tiff([twelve_bits()], [12]), "a tif of 12 bits is not taken; scale its values to 0 to 65535"),
    "signed": (tiff([EIGHT.tobytes()], more={339: [2]}), "a tif of signed values of 8 bits is not taken"),
    "planes of 16 bits": (
        tiff([DEEP] * 3, [16] * 3, 2, {284: [2]}),
        r"a tif of 16 bits in planes \(PlanarConfiguration 2\) is not taken; save it with 8 or 16 bits",
    ),
    "planes of 16 bits, the other order": (
        tiff([PIXELS.astype(">u2").tobytes()] * 3, [16] * 3, 2, {284: [2]}, ">"),
        "a tif of 16 bits in planes",
    ),
    "one plane of 16 bits": (tiff([DEEP], [16], more={284: [2]}), "a tif of 16 bits in planes"),
    "a strip is missing": (
        tiff([EIGHT[:6].tobytes(), EIGHT[6:10].tobytes()], more={278: [5]}),
        "cut off: it has 2 of 3 strips; restore the file",
    ),
    "a plane is missing": (
        tiff([EIGHT[:6].tobytes(), EIGHT[6:].tobytes()] * 2, [8] * 3, 2, {278: [6], 284: [2]}),
        "cut off: it has 4 of 6 strips",
    ),
    "a byte is missing": (tiff([EIGHT.tobytes()[:-1]]), "cut off: 98 bytes of pixels, expected 99"),
    "half is missing": (tiff([DEEP[:99]], [16]), "cut off: 99 bytes of pixels, expected 198"),
    "a palette is missing": (png_without_palette(), "a palette, but there is none; save it again"),
    "float of 16 bits": (
        tiff([DEEP], [16], more={339: [3]}),
        "a TIFF file that is damaged, or of a kind that is not read; save it again, as gray or RGB",
    ),
    "a damaged header": (saved(gray(), "PNG")[:20], "a PNG file that is damaged|Truncated"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    data, words = REFUSED[name]
    (tmp_path / "x.tif").write_bytes(data)
    for source in (data, tmp_path / "x.tif"):
        with pytest.raises(PictureError, match=words), reading(source):
            pass


TAKEN = {
    "gray": (tiff([EIGHT.tobytes()]), EIGHT),
    "white is 0, 8 bits": (tiff([EIGHT.tobytes()], photometric=0), 255 - EIGHT),
    "unsigned is said": (tiff([EIGHT.tobytes()], more={339: [1]}), EIGHT),
    "16 bits": (tiff([DEEP], [16]), PIXELS),
    "16 bits, the other order": (tiff([PIXELS.astype(">u2").tobytes()], [16], order=">"), PIXELS),
    "strips": (
        tiff([EIGHT[:5].tobytes(), EIGHT[5:10].tobytes(), EIGHT[10:].tobytes()], more={278: [5]}),
        EIGHT,
    ),
    "rows without an end": (tiff([EIGHT.tobytes()], more={278: [2**32 - 1]}), EIGHT),
    "a byte too many": (tiff([EIGHT.tobytes() + b"x"]), EIGHT),
    "no sizes": (tiff([EIGHT.tobytes()], more={279: [0]}), EIGHT),
    "compressed": (tiff([zlib.compress(EIGHT.tobytes())], more={259: [8]}), EIGHT),
    "planes of 8 bits": (
        tiff([EIGHT.tobytes(), bytes(99), EIGHT.tobytes()], [8] * 3, 2, {284: [2]}),
        np.stack([EIGHT, EIGHT * 0, EIGHT], -1),
    ),
    "an orientation": (tiff([EIGHT[:6].tobytes(), EIGHT[6:].tobytes()], more={278: [6], 274: [6]}), None),
}


@pytest.mark.parametrize("name", TAKEN)
def test_taken_with_the_right_pixels(name: str) -> None:
    data, expected = TAKEN[name]
    expected = np.rot90(EIGHT, -1) if expected is None else expected
    with reading(data) as image:
        assert np.array_equal(np.asarray(image), expected)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP"])
def test_formats_by_their_beginning(kind: str) -> None:
    assert find_format(saved(gray(), kind)[:16]) == kind


@pytest.mark.parametrize("data", [b"", b"hello", saved(colour(), "ICO")[:16], b"RIFF0000WAVE"])
def test_other_files_begin_as_none_of_them(data: bytes) -> None:
    assert find_format(data) == ""
