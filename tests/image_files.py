"""Image files that are taken and files that are not: for the import and both programs alike."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

SIZE = (9, 11)
"""(width, height): not a square, so that an exchange of the two is seen."""


def gray(seed: int = 0) -> Image.Image:
    """Noise of all 256 levels."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, SIZE[::-1], dtype=np.uint8))


def colour(seed: int = 0) -> Image.Image:
    """Noise in three channels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def deep(seed: int = 0) -> Image.Image:
    """Noise of 16 bits."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 65536, SIZE[::-1], dtype=np.uint16))


def real(low: float = 0.0, high: float = 1.0) -> Image.Image:
    """Floating-point values, evenly from low to high."""
    return Image.fromarray(np.linspace(low, high, SIZE[0] * SIZE[1], dtype=np.float32).reshape(SIZE[::-1]))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """An image as a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def big_endian(image: Image.Image) -> bytes:
    """A 16-bit TIFF in the other byte order, which Pillow opens as I;16B."""
    head = b"MM\0*" + struct.pack(">I", 8)
    pixels = np.asarray(image).astype(">u2").tobytes()
    tags = [(256, 3, 1, image.width << 16), (257, 3, 1, image.height << 16), (258, 3, 1, 16 << 16)]
    tags += [(259, 3, 1, 1 << 16), (262, 3, 1, 1 << 16), (273, 4, 1, 8 + 2 + 12 * 8 + 4)]
    tags += [(278, 3, 1, image.height << 16), (279, 4, 1, len(pixels))]
    entries = b"".join(struct.pack(">HHII", *tag) for tag in tags)
    return head + struct.pack(">H", len(tags)) + entries + bytes(4) + pixels


def lab() -> bytes:
    """A TIFF in CIE Lab."""
    return saved(Image.merge("LAB", colour().split()), "TIFF")


def changed(image: Image.Image, value: float) -> Image.Image:
    """A copy with another value at (3, 4)."""
    values = np.asarray(image).copy()
    values[4, 3] = value
    return Image.fromarray(values)


def spoiled_png() -> bytes:
    """A PNG whose compressed pixels are no zlib stream, with a right checksum."""
    data = saved(gray(), "PNG")
    place = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[place - 4 : place])
    body = b"\x78\x9c" + b"\xff" * (length - 2)
    check = struct.pack(">I", zlib.crc32(b"IDAT" + body))
    return data[:place] + b"IDAT" + body + check + data[place + 4 + length + 4 :]


def frames(kind: str, count: int = 2) -> bytes:
    """A file of several frames or pages."""
    more = [colour(seed) for seed in range(1, count)]
    return saved(colour(), kind, save_all=True, append_images=more)


def many_pixels() -> bytes:
    """A PNG whose header says 60,000 x 60,000."""
    data = saved(gray(), "PNG")
    body = struct.pack(">II", 60_000, 60_000) + data[24:29]
    return data[:16] + body + struct.pack(">I", zlib.crc32(b"IHDR" + body)) + data[33:]


TAKEN: dict[str, Callable[[], bytes]] = {
    "one_bit.png": lambda: saved(gray().convert("1"), "PNG"),
    "one_bit.bmp": lambda: saved(gray().convert("1"), "BMP"),
    "gray.png": lambda: saved(gray(), "PNG"),
    "gray.jpg": lambda: saved(gray(), "JPEG"),
    "gray.gif": lambda: saved(gray(), "GIF"),
    "gray.pgm": lambda: saved(gray(), "PPM"),
    "plain.pgm": lambda: b"P2\n3 2\n255\n0 1 2\n253 254 255\n",
    "deep.pgm": lambda: b"P5\n2 1\n65535\n" + struct.pack(">2H", 1, 65535),
    "gray_alpha.png": lambda: saved(gray().convert("LA"), "PNG"),
    "gray_alpha.tif": lambda: saved(gray().convert("LA"), "TIFF"),
    "palette.png": lambda: saved(colour().convert("P"), "PNG"),
    "palette_alpha.png": lambda: saved(colour().convert("P"), "PNG", transparency=bytes(range(256))),
    "palette_key.gif": lambda: saved(colour().convert("P"), "GIF", transparency=7),
    "colour.png": lambda: saved(colour(), "PNG"),
    "colour_key.png": lambda: saved(colour(), "PNG", transparency=(1, 2, 3)),
    "colour_alpha.png": lambda: saved(colour().convert("RGBA").rotate(45), "PNG"),
    "colour.webp": lambda: saved(colour(), "WEBP", lossless=True),
    "colour.ppm": lambda: saved(colour(), "PPM"),
    "colour.bmp": lambda: saved(colour(), "BMP"),
    "ycc.tif": lambda: saved(colour().convert("YCbCr"), "TIFF"),
    "cmyk.tif": lambda: saved(colour().convert("CMYK"), "TIFF"),
    "cmyk.jpg": lambda: saved(colour().convert("CMYK"), "JPEG"),
    "deep.png": lambda: saved(deep(), "PNG"),
    "deep.tif": lambda: saved(deep(), "TIFF"),
    "deep_big_endian.tif": lambda: big_endian(deep()),
    "integers.tif": lambda: saved(deep().convert("I"), "TIFF"),
    "real.tif": lambda: saved(real(), "TIFF"),
    "one_frame.gif": lambda: saved(colour(), "GIF", save_all=True),
    "one_frame.webp": lambda: saved(colour(), "WEBP", save_all=True),
    "png_under_another_name.jpg": lambda: saved(colour(), "PNG"),
}
"""Files that an import takes, and that both programs can read."""

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "text.png": (lambda: b"not an image", "not an image; expected jpg, jpeg, png, bmp"),
    "empty.png": (lambda: b"", "not an image"),
    "postscript.png": (lambda: saved(colour(), "EPS"), "not an image"),
    "ico.png": (lambda: saved(colour(), "ICO"), "not an image"),
    "tga.jpg": (lambda: saved(colour(), "TGA"), "not an image"),
    "jpeg2000.jpg": (lambda: saved(colour(), "JPEG2000"), "not an image"),
    "avif.webp": (lambda: saved(colour(), "AVIF"), "not an image"),
    "dds.png": (lambda: saved(colour(), "DDS"), "not an image"),
    "pcx.bmp": (lambda: saved(colour(), "PCX"), "not an image"),
    "pdf.tif": (lambda: saved(colour(), "PDF"), "not an image"),
    "xbm.pgm": (lambda: saved(gray().convert("1"), "XBM"), "not an image"),
    "float.pgm": (lambda: saved(real(), "PPM"), "the mode F is not taken"),
    "cmyk.ppm": (lambda: b"P0CMYK\n1 1\n255\n" + bytes(4), "the mode CMYK is not taken"),
    "frames.gif": (lambda: frames("GIF"), "2 frames, expected one; write each as an image of its own"),
    "frames.png": (lambda: frames("PNG", 3), "3 frames, expected one"),
    "frames.webp": (lambda: frames("WEBP"), "2 frames, expected one"),
    "pages.tif": (lambda: frames("TIFF", 4), "4 pages, expected one"),
    "phone.jpg": (lambda: frames("MPO"), "2 pictures, expected one; many phones and cameras put a second"),
    "lab.tif": (lab, "the mode LAB is not taken; save it in gray or RGB"),
    "nan.tif": (lambda: saved(changed(real(), np.nan), "TIFF"), "a value is not a finite number"),
    "infinite.tif": (lambda: saved(changed(real(), np.inf), "TIFF"), "a value is not a finite number"),
    "bright.tif": (lambda: saved(real(0, 1.001), "TIFF"), "floating-point values from 0 to 1.001, expected"),
    "dark.tif": (lambda: saved(real(-0.001, 1), "TIFF"), "floating-point values from -0.001 to 1, expected"),
    "over_16.tif": (
        lambda: saved(changed(deep().convert("I"), 65536), "TIFF"),
        "to 65536, expected 0 to 65535",
    ),
    "below_0.tif": (lambda: saved(changed(deep().convert("I"), -1), "TIFF"), "32-bit values from -1 to"),
    "cut.png": (lambda: saved(colour(), "PNG")[:-40], "truncated"),
    "cut.jpg": (lambda: saved(colour().resize((90, 110)), "JPEG")[:-400], "truncated"),
    "spoiled.png": (spoiled_png, "."),
    "many_pixels.png": (many_pixels, "60000x60000 pixels; at most 50,000,000|exceeds limit"),
}
"""Files that an import refuses, and that no program reads; and what the import's message says."""


def as_palette(image: Image.Image) -> bytes:
    """Gray levels through a palette in another order."""
    palette = Image.fromarray(255 - np.asarray(image)).convert("L")
    held = Image.frombytes("P", image.size, palette.tobytes())
    held.putpalette([level for index in range(256) for level in (255 - index,) * 3])
    return saved(held, "PNG")


def times_257(image: Image.Image) -> Image.Image:
    """8 bits as 16: 255 becomes 65535."""
    return Image.fromarray(np.asarray(image).astype(np.uint16) * 257)


def with_alpha(image: Image.Image) -> Image.Image:
    """Alpha that differs in every pixel."""
    alpha = image.convert("RGBA")
    alpha.putalpha(gray(9))
    return alpha


SAME_GRAY: dict[str, Callable[[], bytes]] = {
    "tif": lambda: saved(gray(), "TIFF", compression="tiff_lzw"),
    "bmp": lambda: saved(gray(), "BMP"),
    "pgm": lambda: saved(gray(), "PPM"),
    "gif": lambda: saved(gray(), "GIF"),
    "palette": lambda: as_palette(gray()),
    "rgb": lambda: saved(gray().convert("RGB"), "PNG"),
    "rgb bmp": lambda: saved(gray().convert("RGB"), "BMP"),
    "rgb webp": lambda: saved(gray().convert("RGB"), "WEBP", lossless=True),
    "la": lambda: saved(gray().convert("LA"), "PNG"),
    "la tif": lambda: saved(gray().convert("LA"), "TIFF"),
    "rgba": lambda: saved(gray().convert("RGBA"), "PNG"),
    "rgba, transparent": lambda: saved(with_alpha(gray()), "PNG"),
    "key": lambda: saved(gray(), "PNG", transparency=3),
    "16 bits": lambda: saved(times_257(gray()), "PNG"),
    "16 bits, the other order": lambda: big_endian(times_257(gray())),
    "32 bits": lambda: saved(times_257(gray()).convert("I"), "TIFF"),
    "float": lambda: saved(Image.fromarray(np.asarray(gray(), np.float32) / np.float32(255)), "TIFF"),
}
"""Files of one picture: what a network sees of each is what it sees of gray()."""
