"""Image files: read in order or refused in a line, and of a documented format with one picture."""

import io
import random
import warnings

import numpy as np
from PIL import Image

from challenge_bundle.image_io import (
    FORMATS,
    MAX_PIXELS,
    MODES,
    PictureError,
    hash_picture,
    ignore_warnings,
    is_transparent,
    reading,
    thumbnail_url,
)
from tests.fuzz.conftest import Rounds
from tests.fuzz.mutating import mutate

MODES_OF_FORMAT = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "BMP": ("1", "L", "P", "RGB"),
    "TIFF": ("1", "L", "RGB", "RGBA", "I;16", "F", "CMYK", "I"),
    "GIF": ("L", "P"),
    "WEBP": ("RGB", "RGBA"),
    "PPM": ("1", "L", "RGB"),
    # Not taken, whatever a file is called.
    "ICO": ("RGBA",),
    "PCX": ("L",),
    "EPS": ("L",),
    "DDS": ("RGBA",),
    "TGA": ("RGB",),
    "SGI": ("L",),
}
TOKENS = (
    b"GIF89a",
    b"\x89PNG\r\n\x1a\n",
    b"acTL",
    b"fdAT",
    b"IEND",
    b"IHDR",
    b"\xff\xd8\xff",
    b"\xff\xc0",
    b"MPF\0",
)
TOKENS += (
    b"II*\0",
    b"MM\0*",
    b"%!PS-Adobe",
    b"DDS ",
    b"RIFF",
    b"ANIM",
    b"P5\n9 9\n255\n",
    b"BM",
    b"\x21\xf9\x04",
    b"P6 ",
)


def make(rng: random.Random) -> bytes:
    """A file of noise, often damaged."""
    kind = rng.choice(tuple(MODES_OF_FORMAT))
    mode = rng.choice(MODES_OF_FORMAT[kind])
    size = (rng.randint(1, 24), rng.randint(1, 24))
    noise = np.random.default_rng(rng.randrange(2**32))
    if mode in ("F", "I", "I;16"):
        values = noise.random(size[::-1]) * (1 if mode == "F" else 65535)
        dtype = {"F": np.float32, "I": np.int32, "I;16": np.uint16}[mode]
        image = Image.fromarray(values.astype(dtype))
    else:
        image = Image.fromarray(noise.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).convert(mode)
    out = io.BytesIO()
    options = {}
    if kind in ("GIF", "TIFF", "PNG", "WEBP") and rng.random() < 0.2:
        options = {"save_all": True, "append_images": [image.rotate(90, expand=False), image]}
    if kind == "TIFF":
        options["compression"] = rng.choice((None, "tiff_lzw", "tiff_adobe_deflate"))
    image.save(out, kind, **options)
    data = out.getvalue()
    if rng.random() < 0.85:
        data = mutate(data, rng, TOKENS, rng.choice((1, 1, 3, 8)))
    return data


def test_image_files(rounds: Rounds) -> None:
    taken: set[str] = set()
    refused: set[str] = set()
    with warnings.catch_warnings():
        ignore_warnings()
        for rng in rounds():
            data = make(rng)
            try:
                with reading(data) as opened:
                    assert opened.format in FORMATS
                    assert opened.mode in MODES
                    assert getattr(opened, "n_frames", 1) == 1
                    assert 0 < opened.width * opened.height <= MAX_PIXELS
                    # All that an import and an audit do with it.
                    picture, transparent = hash_picture(opened), is_transparent(opened)
                    assert thumbnail_url(opened, 16).startswith("data:image/png;base64,")
                    if opened.mode == "F":
                        assert np.isfinite(np.asarray(opened)).all()
                    taken.add(opened.format)
            except PictureError as fault:
                refused.add(str(fault))
                continue
            with reading(data) as again:
                assert (hash_picture(again), is_transparent(again)) == (picture, transparent)
    assert "PNG" in taken
    assert all(text.strip() and "\n" not in text for text in refused)
