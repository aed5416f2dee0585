"""TIFF files written by hand, of kinds that Pillow does not write."""

import struct
from collections.abc import Mapping, Sequence

SIZE = (9, 11)
"""(width, height) of every file."""


def tiff(
    chunks: Sequence[bytes],
    bits: Sequence[int] = (8,),
    photometric: int = 1,
    more: Mapping[int, Sequence[int]] | None = None,
    order: str = "<",
) -> bytes:
    """A TIFF of strips.

    Args:
        chunks: The strips.
        bits: Of each channel.
        photometric: 0 white is zero, 1 black is zero, 2 RGB, 6 YCbCr.
        more: Further tags.
        order: `<` or `>`.
    """
    width, height = SIZE
    body = bytearray(struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 0))
    offsets = []
    for chunk in chunks:
        offsets.append(len(body))
        body += chunk + bytes(len(chunk) % 2)
    tags: dict[int, Sequence[int]] = {256: [width], 257: [height], 258: bits, 259: [1], 262: [photometric]}
    tags |= {273: offsets, 277: [len(bits)], 278: [height], 279: [len(chunk) for chunk in chunks]}
    tags |= more or {}
    entries = b""
    for tag, values in sorted(tags.items()):
        raw = struct.pack(f"{order}{len(values)}I", *values)
        if len(raw) > 4:
            raw, place = struct.pack(f"{order}I", len(body)), raw
            body += place
        entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + raw
    struct.pack_into(f"{order}I", body, 4, len(body))
    return bytes(body) + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
