"""The records of a zip file: whether every reader finds the same files in it.

A zip describes its files twice, at each file and in the table of contents at its end, and readers differ in
which they believe. Accepted is a zip in which both agree and nothing lies between.

Source:
    PKWARE APPNOTE 6.3.10, sections 4.3 (general format) and 4.5.3 (Zip64 extended information).
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_DEFLATED

from challenge_bundle.errors import shown
from challenge_bundle.findings import ERROR, Finding
from challenge_bundle.submission.zip_names import has_second_name

REMAKE = "make it again with `zip`"

_END = struct.Struct("<4s4H2LH")
_END_SIGN = b"PK\x05\x06"
_LOCATOR = struct.Struct("<4sLQL")
_LOCATOR_SIGN = b"PK\x06\x07"
_END64 = struct.Struct("<4sQ2H2L4Q")
_END64_SIGN = b"PK\x06\x06"
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_CENTRAL_SIGN = b"PK\x01\x02"
_LOCAL = struct.Struct("<4s5H3L2H")
_LOCAL_SIGN = b"PK\x03\x04"
_DESCRIPTOR_SIGN = b"PK\x07\x08"

_CHUNK_BYTES = 1 << 20
_MOST_COMMENT_BYTES = 0xFFFF
_MANY = 0xFFFF
_LARGE = 0xFFFFFFFF
"""Marks a number whose value is in a Zip64 field."""

_ZIP64 = 0x0001
_HAS_DESCRIPTOR = 0x0008
_COMPARED_FLAGS = 0x0001 | _HAS_DESCRIPTOR | 0x0040 | 0x0800 | 0x2000
"""Encrypted, sizes behind the data, strongly encrypted, UTF-8, masked."""


class _Fault(Exception):
    """What is wrong; the first argument is a file's name, or empty."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file as the table of contents has it."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int

    @property
    def shown(self) -> str:
        """The name for a message."""
        return _shown(self.name)


def check_records(path: Path) -> list[Finding]:
    """Find where readers of a zip would differ; the table of contents is read whole (see has_too_many_files).

    Returns:
        One finding, or none.
    """
    try:
        with path.open("rb") as opened:
            table, length, count = _find_table(opened, path.stat().st_size)
            entries = sorted(_read_table(opened, table, length, count), key=lambda entry: entry.offset)
            starts = [*(entry.offset for entry in entries), table]
            if starts[0]:
                raise _Fault("", "does not begin with a file")
            for entry, following in zip(entries, starts[1:], strict=True):
                _check_local(opened, entry, following)
    except _Fault as fault:
        name, what = fault.args
        return [Finding("zip-inconsistent", ERROR, name or path.name, what, REMAKE)]
    except struct.error:
        return [Finding("zip-unreadable", ERROR, path.name, "is not a readable zip (it is cut off)", REMAKE)]
    return []


def _find_table(opened: BinaryIO, size: int) -> tuple[int, int, int]:
    """Where the table of contents is: (offset, bytes, entries)."""
    tail_at = max(0, size - _END.size - _MOST_COMMENT_BYTES)
    opened.seek(tail_at)
    tail = opened.read()
    place = tail.rfind(_END_SIGN)
    if place < 0:
        raise _Fault("", "is not a readable zip (it has no end record)")
    end_at = tail_at + place
    _, disk, first_disk, here, count, length, table, comment = _END.unpack_from(tail, place)
    if end_at + _END.size + comment != size:
        raise _Fault("", "has bytes after its end")
    found = (table, length, count)
    locator_at = end_at - _LOCATOR.size
    locator = _read(opened, locator_at, _LOCATOR.size) if locator_at >= 0 else b""
    if locator.startswith(_LOCATOR_SIGN):
        end_at, found = _read_end64(opened, locator, locator_at)
        small = (table, length, count)
        if any(
            stated not in (real, most)
            for stated, real, most in zip(small, found, (_LARGE, _LARGE, _MANY), strict=True)
        ):
            raise _Fault("", "has two end records that differ")
    elif _LARGE in (table, length) or count == _MANY:
        raise _Fault("", "has an end record without the numbers that it refers to")
    if (disk, first_disk) not in ((0, 0), (_MANY, _MANY)) or here != count:
        raise _Fault("", "is one file of a zip in several files")
    if found[0] + found[1] != end_at:
        raise _Fault("", "has bytes before its first file, or between its table of contents and its end")
    return found


def _read_end64(opened: BinaryIO, locator: bytes, locator_at: int) -> tuple[int, tuple[int, int, int]]:
    """The Zip64 end record: where it is, and (offset, bytes, entries) of the table."""
    _, disk, end_at, disks = _LOCATOR.unpack(locator)
    if disk or disks > 1 or end_at != locator_at - _END64.size:
        raise _Fault("", "has a Zip64 end record at another place than its locator gives")
    record = _END64.unpack(_read(opened, end_at, _END64.size))
    sign, size, _, _, disk, first_disk, here, count, length, table = record
    if sign != _END64_SIGN or size != _END64.size - 12 or disk or first_disk or here != count:
        raise _Fault("", "has a Zip64 end record that not every program reads alike")
    return end_at, (table, length, count)


def _read_table(opened: BinaryIO, table: int, length: int, count: int) -> Iterator[_Entry]:
    content = _read(opened, table, length)
    position = 0
    for _ in range(count):
        fields = _CENTRAL.unpack_from(content, position)
        sign, _, _, flags, method, _, _, crc, packed, size, *lengths, disk, _, _, offset = fields
        begin = position + _CENTRAL.size
        name = content[begin : begin + lengths[0]]
        extra = content[begin + lengths[0] : begin + lengths[0] + lengths[1]]
        position = begin + sum(lengths)
        if sign != _CENTRAL_SIGN or position > length:
            raise _Fault("", "has a table of contents that is not whole")
        size, packed, offset, disk = _from_zip64(name, extra, (size, packed, offset), disk)
        if disk:
            raise _Fault("", "is one file of a zip in several files")
        yield _Entry(name, flags, method, crc, packed, size, offset)
    if position != length:
        raise _Fault("", "has a table of contents of another length than its end record says")


def _check_local(opened: BinaryIO, entry: _Entry, following: int) -> None:
    """Compare a file's own record with the table, and its place with the next one's."""
    record = _read(opened, entry.offset, _LOCAL.size)
    sign, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(record)
    name = _read(opened, entry.offset + _LOCAL.size, name_length)
    extra = _read(opened, entry.offset + _LOCAL.size + name_length, extra_length)
    if sign != _LOCAL_SIGN or name != entry.name or has_second_name(extra):
        raise _Fault(entry.shown, "has another name at its place in the zip than in the table of contents")
    size, packed, _, _ = _from_zip64(name, extra, (size, packed, 0), 0)
    stated = (flags & _COMPARED_FLAGS, method, crc, packed, size)
    real = (entry.flags & _COMPARED_FLAGS, entry.method, entry.crc, entry.packed, entry.size)
    behind = bool(flags & _HAS_DESCRIPTOR)
    # Where the numbers follow the data, zeros stand here.
    if stated[:2] != real[:2] or any(
        a != b and not (behind and a == 0) for a, b in zip(stated[2:], real[2:], strict=True)
    ):
        raise _Fault(
            entry.shown, "has other sizes or flags at its place in the zip than in the table of contents"
        )
    end = entry.offset + _LOCAL.size + name_length + extra_length + entry.packed
    if end > following:
        raise _Fault(entry.shown, "overlaps with what follows it")
    if behind:
        _check_streamed(opened, entry, end - entry.packed)
    between = _read(opened, end, min(following - end, 25))
    if between not in (_descriptors(entry) if behind else (b"",)):
        raise _Fault(entry.shown, "is followed by bytes that belong to no file")


def _check_streamed(opened: BinaryIO, entry: _Entry, start: int) -> None:
    """Check that a reader which does not know a file's length in advance finds the same end."""
    opened.seek(start)
    left, room, end_found, last = entry.packed, entry.size, False, b""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    while left and not end_found:
        chunk = opened.read(min(left, _CHUNK_BYTES))
        left -= len(chunk)
        if entry.method != ZIP_DEFLATED:
            end_found = _DESCRIPTOR_SIGN in last + chunk
            last = chunk[-3:]
            continue
        while chunk and not unpacker.eof:
            try:
                room -= len(unpacker.decompress(chunk, _CHUNK_BYTES))
            except zlib.error:
                raise _Fault(entry.shown, "cannot be unpacked") from None
            if room < 0:
                raise _Fault(entry.shown, "is larger than the zip says")
            chunk = unpacker.unconsumed_tail
        end_found = unpacker.eof and bool(left or unpacker.unused_data)
    if end_found:
        raise _Fault(entry.shown, "seems to end before it does")


def _descriptors(entry: _Entry) -> tuple[bytes, ...]:
    """What may follow the data of a file whose sizes were not known in advance."""
    plain = [struct.pack(form, entry.crc, entry.packed, entry.size) for form in _forms(entry)]
    return (*plain, *(_DESCRIPTOR_SIGN + numbers for numbers in plain))


def _forms(entry: _Entry) -> tuple[str, ...]:
    return ("<L2Q",) if max(entry.packed, entry.size) > _LARGE else ("<L2L", "<L2Q")


def _from_zip64(
    name: bytes, extra: bytes, numbers: tuple[int, int, int], disk: int
) -> tuple[int, int, int, int]:
    """Put in the numbers of a Zip64 field: size, packed size, offset, disk."""
    found = [content for kind, content in _extra_fields(name, extra) if kind == _ZIP64]
    wanted = [number == _LARGE for number in numbers]
    form = "<" + "Q" * sum(wanted) + "L" * (disk == _MANY)
    several = _Fault(_shown(name), "has Zip64 fields that are read in several ways")
    if not found and form == "<":
        return (*numbers, disk)
    if len(found) != 1:
        raise several
    (content,) = found
    if form == "<":
        # Numbers that nothing refers to must be the same, for some reader may take them.
        if content != struct.pack("<3Q", *numbers)[: len(content)] or len(content) % 8:
            raise several
        return (*numbers, disk)
    if struct.calcsize(form) != len(content):
        raise several
    values = iter(struct.unpack(form, content))
    size, packed, offset = (
        next(values) if large else number for number, large in zip(numbers, wanted, strict=True)
    )
    return size, packed, offset, next(values, disk)


def _extra_fields(name: bytes, extra: bytes) -> Iterator[tuple[int, bytes]]:
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<2H", extra)
        if size > len(extra) - 4:
            raise _Fault(_shown(name), "has an extra field that is cut off")
        yield kind, extra[4 : 4 + size]
        extra = extra[4 + size :]


def _shown(name: bytes) -> str:
    return shown(name.decode("utf-8", "backslashreplace"))


def _read(opened: BinaryIO, offset: int, length: int) -> bytes:
    """Bytes at a place.

    Raises:
        struct.error: There are not so many.
    """
    opened.seek(offset)
    content = opened.read(length)
    if len(content) != length:
        raise struct.error
    return content
