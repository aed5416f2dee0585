"""Image files without what stands beside their pixels; the pixels' own bytes are left as they are."""

import struct
from collections.abc import Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_JPEG = b"\xff\xd8"
_START_OF_SCAN = 0xDA
_JFIF, _ADOBE, _COMMENT = 0xE0, 0xEE, 0xFE


def strip_metadata(data: bytes) -> bytes:
    """Leave out EXIF, comments, colour profiles and texts of a jpg or png; other formats stay as they are.

    Nothing is decoded and encoded again, so the pixels are the same to the bit.

    Args:
        data: Of the file.

    Source:
        ITU-T T.81 annex B (markers); W3C PNG 11.2 (chunks). JFIF's and Adobe's own segments say how colours
        are stored, so they stay.
    """
    try:
        if data.startswith(_PNG):
            return _PNG + b"".join(chunk for kind, chunk in _png_chunks(data) if kind in _PNG_KEPT)
        if data.startswith(_JPEG):
            return _JPEG + b"".join(_jpeg_kept(data))
    except (struct.error, IndexError):
        pass  # damaged: whatever a program makes of it, it is the same file
    return data


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_PNG)
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        end = place + 12 + length
        yield data[place + 4 : place + 8], data[place:end]
        place = end


def _jpeg_kept(data: bytes) -> Iterator[bytes]:
    place = len(_JPEG)
    while data[place] == 0xFF:
        marker = data[place + 1]
        if marker == _START_OF_SCAN:
            break
        (length,) = struct.unpack_from(">H", data, place + 2)
        is_application = 0xE0 <= marker <= 0xEF and marker not in (_JFIF, _ADOBE)
        if not is_application and marker != _COMMENT:
            yield data[place : place + 2 + length]
        place += 2 + length
    yield data[place:]
