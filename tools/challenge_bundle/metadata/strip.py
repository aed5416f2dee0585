"""Removes metadata from image files; the pixels stay the same to the bit."""

import io
import re
import struct
from collections.abc import Callable, Iterator

from PIL import Image

from challenge_bundle.image_io import READ_FAULTS, reading
from challenge_bundle.metadata.detect import find_texts

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"))
_PNG_COLOURS = frozenset(
    (b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"hIST", b"pHYs", b"cICP", b"mDCV", b"cLLI")
)

_JPEG = b"\xff\xd8"
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START, _END, _SCAN, _ALONE = 0xD8, 0xD9, 0xDA, 0x01
_JPEG_PIXELS = frozenset({*range(0xC0, 0xD0), _SCAN, 0xDB, 0xDC, 0xDD} - {0xC8})
_JFIF, _PROFILE, _ADOBE = (0xE0, b"JFIF\0", 14), (0xE2, b"ICC_PROFILE\0", 14), (0xEE, b"Adobe", 12)

_GIF_EXTENSION, _GIF_IMAGE, _GIF_TRAILER = 0x21, 0x2C, 0x3B
_GIF_CONTROL, _GIF_APPLICATION = 0xF9, 0xFF
_GIF_KEPT = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")

_WEBP_KEPT = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_WEBP_HAS_TEXTS = 0x08 | 0x04

_PNM_BLANK = rb"(?:\s|#[^\r\n]*(?=[\r\n]))+"
_PNM_BINARY = re.compile(
    rb"(P4)" + 2 * (_PNM_BLANK + rb"(\d{1,9})") + rb"\s"
    rb"|(P[56])" + 3 * (_PNM_BLANK + rb"(\d{1,9})") + rb"\s"
)

_BITS = {"I": 32, "F": 32, "I;16": 16, "I;16B": 16, "I;16L": 16}
_BITS_PER_SAMPLE = 258


def strip_metadata(data: bytes, kind: str) -> bytes:
    """Remove all metadata but colour profiles and resolution.

    Nothing that was compressed with a loss is compressed again; TIFF and BMP are written again.

    Args:
        data: An image file that `reading` takes.
        kind: Its format, as Pillow names it.

    Raises:
        ValueError: The file cannot be parsed, or its pixels would not stay the same.
    """
    strip = _STRIPPERS.get(kind)
    if strip is None:
        raise ValueError(f"metadata cannot be removed from {kind or 'unknown'} files; save it as png")
    stripped = _parsed(strip, data)
    if stripped == data:
        return data
    with reading(data) as opened:
        before = _stored(opened)
    try:
        with reading(stripped) as after:
            same = before == _stored(after)
            left = find_texts(after, stripped)
    except READ_FAULTS:
        same, left = False, ()
    if not same:
        raise ValueError("without its metadata its pixels are read otherwise; save it as png")
    if left:
        raise ValueError(f"its metadata cannot be removed ({', '.join(left)}); save it as png")
    return stripped


def _stored(image: Image.Image) -> tuple[str, tuple[int, int], bytes]:
    """All that is stored of an image's pixels, transparency too; a palette may be in another order."""
    plain = image.convert("RGBA") if image.mode == "P" else image
    return image.mode, image.size, plain.tobytes()


def strip_segments(data: bytes) -> bytes:
    """Leave out EXIF, comments, colour profiles and texts of a jpg or png; give other formats as they are.

    Raises:
        ValueError: The file cannot be parsed.
    """
    if data.startswith(_PNG):
        return _parsed(lambda whole: _strip_png(whole, _PNG_PIXELS), data)
    if data.startswith(_JPEG):
        return _parsed(lambda whole: _strip_jpeg(whole, (_JFIF, _ADOBE)), data)
    return data


def _parsed(strip: Callable[[bytes], bytes], data: bytes) -> bytes:
    try:
        return strip(data)
    except READ_FAULTS:
        raise
    except Exception:
        # An index, a key, a type: of damage that neither we nor Pillow foresee.
        raise ValueError("is cut off, or of a structure that is not known") from None


def _strip_png(data: bytes, kept: frozenset[bytes] = _PNG_PIXELS | _PNG_COLOURS) -> bytes:
    """Keep the chunks that are named, up to the image's end.

    Source:
        W3C PNG 5.3 (chunk layout), 11 (chunks).
    """
    parts, place, name = [_PNG], len(_PNG), b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data):
            raise ValueError("is cut off")
        if name in kept:
            parts.append(data[place:end])
        place = end
    return b"".join(parts)


def _strip_jpeg(data: bytes, kept: tuple[tuple[int, bytes, int], ...] = (_JFIF, _PROFILE, _ADOBE)) -> bytes:
    """Keep what the pixels are made from, and the segments that are named; no thumbnail, no second image.

    Source:
        ITU-T T.81 annex B (markers). JFIF's and Adobe's own segments define how colours are stored.
    """
    parts, place = [_JPEG], len(_JPEG)
    while found := _MARKER.search(data, place):
        marker, place = data[found.start() + 1], found.end()
        if marker == _END:
            return b"".join((*parts, b"\xff\xd9"))
        if marker in (_START, _ALONE):
            continue
        (length,) = struct.unpack_from(">H", data, place)
        body, place = data[place + 2 : place + length], place + length
        if length < 2 or place > len(data):
            raise ValueError("is cut off")
        if marker in _JPEG_PIXELS:
            parts.append(_segment(marker, body))
        for other, begin, least in kept:
            if marker == other and body.startswith(begin) and len(body) >= least:
                parts.append(_segment(marker, _shortened(marker, body)))
        if marker == _SCAN:
            following = _MARKER.search(data, place)
            if following:
                parts.append(data[place : following.start()])
    raise ValueError("is a jpg without an end")


def _shortened(marker: int, body: bytes) -> bytes:
    """A segment as far as its standard goes: JFIF's may have a thumbnail after it."""
    if marker == _JFIF[0]:
        return body[:12] + b"\0\0"
    return body[:12] if marker == _ADOBE[0] else body


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _strip_gif(data: bytes) -> bytes:
    """Keep images, and the extensions that control how they are shown.

    Source:
        GIF89a specification, appendix A.
    """
    place = 13 + _gif_colours(data[10])
    parts = [data[:place]]
    while place < len(data) and data[place] != _GIF_TRAILER:
        start = place
        if data[place] == _GIF_EXTENSION:
            label, name = data[place + 1], data[place + 3 : place + 14]
            place = _after_blocks(data, place + 2)
            keep = label == _GIF_CONTROL or (label == _GIF_APPLICATION and name in _GIF_KEPT)
        elif data[place] == _GIF_IMAGE:
            place = _after_blocks(data, place + 11 + _gif_colours(data[place + 9]))
            keep = True
        else:
            raise ValueError("is a gif of a structure that is not known")
        if keep:
            parts.append(data[start:place])
    return b"".join((*parts, b";"))


def _gif_colours(flags: int) -> int:
    """How many bytes a colour table has."""
    return 3 << (flags % 8 + 1) if flags & 0x80 else 0


def _after_blocks(data: bytes, place: int) -> int:
    while length := data[place]:
        place += length + 1
    return place + 1


def _strip_webp(data: bytes) -> bytes:
    """Keep the chunks that pixels and colours are made from.

    Source:
        RFC 9649, section 2.
    """
    (size,) = struct.unpack_from("<I", data, 4)
    parts = [b"".join(_webp_chunks(data[: 8 + size]))]
    return struct.pack("<4sI4s", b"RIFF", 4 + len(parts[0]), b"WEBP") + parts[0]


def _webp_chunks(data: bytes) -> Iterator[bytes]:
    place = 12
    while place < len(data):
        name, length = struct.unpack_from("<4sI", data, place)
        body, place = data[place + 8 : place + 8 + length], place + 8 + length + length % 2
        if len(body) < length:
            raise ValueError("is cut off")
        if name == b"VP8X":
            body = bytes([body[0] & ~_WEBP_HAS_TEXTS]) + body[1:]
        if name in _WEBP_KEPT:
            yield struct.pack("<4sI", name, length) + body + bytes(length % 2)


def _strip_pnm(data: bytes) -> bytes:
    """Leave out comments, and what follows the pixels.

    Source:
        netpbm's pbm(5), pgm(5), ppm(5).
    """
    if data[:2] in (b"P1", b"P2", b"P3"):
        plain = re.sub(rb"#[^\r\n]*", b"", data)
        if not re.fullmatch(rb"P[123][\d\s]*", plain):
            raise ValueError("holds more than numbers and comments")
        return plain
    header = _PNM_BINARY.match(data)
    if not header:
        raise ValueError("is of a structure that is not known; save it as png")
    kind, *numbers = (group for group in header.groups() if group is not None)
    width, height = int(numbers[0]), int(numbers[1])
    channels = 3 if kind == b"P6" else 1
    row = (width + 7) // 8 if kind == b"P4" else width * channels * (2 if int(numbers[2]) > 255 else 1)
    pixels = data[header.end() : header.end() + row * height]
    if len(pixels) < row * height:
        raise ValueError("is cut off")
    return b"\n".join((kind, b" ".join(numbers[:2]), *numbers[2:], pixels))


def _save_again(data: bytes, kind: str, **options: str) -> bytes:
    """Decode and encode again, without a loss.

    Raises:
        ValueError: It holds more than Pillow gives back.
    """
    with reading(data) as opened:
        bits = max(getattr(opened, "tag_v2", {}).get(_BITS_PER_SAMPLE, (1,)))
        if bits > _BITS.get(opened.mode, 8):
            raise ValueError(f"has {bits} bits a channel, which cannot be written again; save it as png")
        plain = opened.copy()
        # Not what Pillow would write again of the file that was opened.
        plain.info = {key: opened.info[key] for key in ("dpi", "icc_profile") if opened.info.get(key)}
    out = io.BytesIO()
    plain.save(out, kind, **options)
    return out.getvalue()


_STRIPPERS: dict[str, Callable[[bytes], bytes]] = {
    "PNG": _strip_png,
    "JPEG": _strip_jpeg,
    "GIF": _strip_gif,
    "WEBP": _strip_webp,
    "PPM": _strip_pnm,
    "BMP": lambda data: _save_again(data, "BMP"),
    "TIFF": lambda data: _save_again(data, "TIFF", compression="tiff_adobe_deflate"),
}
