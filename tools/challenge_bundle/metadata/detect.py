"""Detects texts in an image file besides its pixels: fields that may hold somebody's name."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from PIL import ExifTags, Image

_HARMLESS_TAGS = frozenset(
    {1, 2, 11, 271, 272, 305, 306, 333, 347, 34675, 36864, 36880, 36881, 36882, 37121, 37520}
    | {37521, 37522, 40960, 41728, 41729, 41730, 41995, 42035, 42036, 50341}
)
"""Fields of EXIF and TIFF that describe cameras and programs, the file's time and its storage."""

_EMPTY_EXIF_BYTES = 24
_THUMBNAIL = 513
_USER_COMMENT = 37510
_GPS_VERSION = 0
_IPTC = 0x0404
_HARMLESS_RESOURCES = frozenset(
    {0x03ED, 0x03F3, 0x03F5, 0x03F8, 0x0406, 0x0408, 0x040A, 0x040D, 0x0414, 0x0419, 0x041E, 0x0421}
    | {0x0425, 0x0426, 0x0428, 0x043A, 0x043B, 0x2710}
)
"""Of a Photoshop block: how it is printed and shown, counters, digests, versions."""

_HARMLESS_KEYS = frozenset(("Software", "date:create", "date:modify", "date:timestamp"))
_HARMLESS_CHUNKS = (b"vpAg", b"caNv", b"orNT", b"iDOT")
_PNG_XMP = "XML:com.adobe.xmp"
_ENDS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82", "GIF": b"\0;"}
_PADDING = b"\0\xff \t\r\n"

_SEGMENTS = {
    "APP0": ((b"JFIF\0", ""), (b"JFXX\0", "JPEG thumbnail")),
    "APP1": ((b"Exif\0", ""), (b"http://ns.adobe.com/x", "XMP"), (b"XMP\0", "XMP")),
    "APP2": ((b"ICC_PROFILE\0", ""), (b"MPF\0", "JPEG second image")),
    "APP13": ((b"Photoshop 3.0\0", ""),),
    "APP14": ((b"Adobe", ""),),
}
"""The first bytes of known segments, and their names; those without a name are distinguished elsewhere, or
define how the pixels are stored."""

_BY_PROGRAMS = re.compile(
    rb"CREATOR: gd-jpeg v[\d.]+ \(using IJG JPEG v\d+\), (default quality|quality = \d+)"
    rb"|Lavc[\d.]+|LEAD Technologies Inc\. V[\d.]+|(Created|Generated) (with|by) (The )?GIMP|AppleMark"
    rb"|CREATOR: GIMP PNM Filter Version [\d.]+|File written by Adobe Photoshop..? [\d.]+"
)
"""Comments that nobody wrote."""

_PNM_COMMENT = re.compile(rb"#([^\r\n]*)")
_PNM_HEADER = re.compile(rb"P[1-6](?:\s|#[^\r\n]*(?=[\r\n]))+(?:[\d\s]|#[^\r\n]*(?=[\r\n]))*")


def find_texts(image: Image.Image, data: bytes) -> tuple[str, ...]:
    """List the texts of a file that a person could have written, and further pictures in it.

    Texts of programs about themselves, colour profiles and resolutions are left out.

    Args:
        image: Opened with Pillow and loaded.
        data: The file's bytes: Pillow does not give access to all of them.

    Returns:
        Names of the fields, such as `EXIF Artist`, in alphabetical order; never what they hold.
    """
    found = {*_exif(image), *_of_kind(image, data)}
    if image.info.get("xmp"):
        found.add("XMP")
    return tuple(sorted(name for name in found if name))


def _of_kind(image: Image.Image, data: bytes) -> Iterator[str]:
    """What the file's format has a place for."""
    if image.format in ("JPEG", "MPO"):
        yield from _jpeg(image)
    elif image.format == "PNG":
        yield from _png(image)
    elif image.format == "PPM":
        header = _PNM_HEADER.match(data)
        texts = _PNM_COMMENT.findall(header.group() if header and data[1:2] in b"456" else data)
        if any(map(_is_written, texts)):
            yield "PNM comment"
    elif image.format == "GIF":
        if _is_written(image.info.get("comment")):
            yield "GIF comment"
        if b"XMP DataXMP" in data:
            yield "XMP"
    if data[_end(image.format, data) :].strip(_PADDING):
        yield "bytes after the image's end"


def _end(kind: str | None, data: bytes) -> int:
    """Offset of the image's end, if it can be found without decoding; otherwise that of the file's end."""
    if kind in _ENDS:
        place = data.rfind(_ENDS[kind])
        return place + len(_ENDS[kind]) if place >= 0 else len(data)
    if kind == "WEBP":
        return 8 + int.from_bytes(data[4:8], "little")
    if kind == "BMP":
        # Some programs write no size here.
        return int.from_bytes(data[2:6], "little") or len(data)
    return len(data)


def _exif(image: Image.Image) -> Iterator[str]:
    of_tiff = hasattr(image, "tag_v2")
    if not of_tiff and not image.info.get("exif") and "Raw profile type exif" not in image.info:
        return
    try:
        exif = image.getexif()
        prefix = "TIFF" if of_tiff else "EXIF"
        found = [*_tags(prefix, exif), *_tags("EXIF", exif.get_ifd(ExifTags.IFD.Exif))]
        following = exif.get_ifd(ExifTags.IFD.IFD1)
        found += _tags(prefix, following)
        if _THUMBNAIL in following:
            found.append("EXIF thumbnail")
        if set(exif.get_ifd(ExifTags.IFD.GPSInfo)) - {_GPS_VERSION}:
            found.append("EXIF GPS")
        if not found and not exif and len(image.info.get("exif", b"")) > _EMPTY_EXIF_BYTES:
            raise ValueError("a block of EXIF without any field")
    except Exception:
        # Spoiled in one of the many ways that Pillow does not foresee; a text may be in it all the same.
        found = ["EXIF, spoiled"]
    yield from found


def _tags(prefix: str, tags: Mapping[int, Any]) -> Iterator[str]:
    for tag, value in tags.items():
        if tag not in _HARMLESS_TAGS and _is_written(value[8:] if tag == _USER_COMMENT else value):
            yield f"{prefix} {ExifTags.TAGS.get(tag, tag)}"


def _jpeg(image: Image.Image) -> Iterator[str]:
    for name, segment in getattr(image, "applist", ()):
        if name == "COM":
            yield "JPEG comment" if _is_written(segment) else ""
        elif name == "APP0" and segment.startswith(b"JFIF\0"):
            yield "JPEG thumbnail" if len(segment) > 14 else ""
        elif name == "APP12" and segment.startswith(b"Ducky") and len(segment) <= 17:
            continue  # Photoshop's quality
        else:
            known = (called for begin, called in _SEGMENTS.get(name, ()) if segment.startswith(begin))
            yield next(known, f"JPEG {name}")
    for code, resource in image.info.get("photoshop", {}).items():
        if code == _IPTC:
            yield "IPTC" if _has_iptc(resource) else ""
        elif code not in _HARMLESS_RESOURCES and resource:
            yield "Photoshop block"


def _has_iptc(block: bytes) -> bool:
    """Whether an IPTC block holds more than its version and character set."""
    place = 0
    while block[place : place + 1] == b"\x1c" and len(block) > place + 5:
        record, field = block[place + 1], block[place + 2]
        if record != 1 and field != 0:
            return True
        place += 5 + int.from_bytes(block[place + 3 : place + 5])
    return bool(block[place:].strip(_PADDING))


def _png(image: Image.Image) -> Iterator[str]:
    try:
        texts = getattr(image, "text", {})
    except Exception:
        # For an animation Pillow would decode all its images, and only the first was checked.
        texts = {"?": "?"}
    for key, value in texts.items():
        if key == _PNG_XMP:
            yield "XMP"
        elif key not in _HARMLESS_KEYS and _is_written(value):
            yield f"PNG text {_shown(key)}"
    for chunk in getattr(image, "private_chunks", ()):
        if chunk[0] not in _HARMLESS_CHUNKS and _is_written(chunk[1]):
            yield f"PNG chunk {_shown(chunk[0].decode('latin-1'))}"


def _is_written(value: object) -> bool:
    """Whether a value is a text, not blank, and not one of those that programs put there."""
    if isinstance(value, tuple):
        return any(map(_is_written, value))
    if isinstance(value, str):
        value = value.encode("utf-8", "replace")
    if not isinstance(value, bytes):
        return False
    text = value.strip(_PADDING)
    return bool(text) and not _BY_PROGRAMS.fullmatch(text)


def _shown(name: str) -> str:
    """A field's name from the file, fit for a line."""
    return re.sub(r"[^\w :.-]", "?", name)[:40]
