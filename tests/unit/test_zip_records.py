"""Zips of which two readers would find different files."""

import contextlib
import io
import os
import random
import shutil
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from challenge_bundle.settings import SubmissionSettings
from challenge_bundle.submission.unpack import check_archive
from challenge_bundle.submission.zip_records import check_records

SETTINGS = SubmissionSettings(zip_mb=8, unpacked_mb=8, files=50)
FILES = {
    "Dockerfile": b"FROM a:1\n" * 20,
    "bundle_inference/infer.py": b"print(1)\n" * 30,
    "w.bin": os.urandom(99),
}


class Pipe(io.RawIOBase):
    """A stream that cannot be rewound: what is written there has its sizes behind its data."""

    def __init__(self) -> None:
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        content = bytes(data)  # type: ignore[call-overload]
        self.content += content
        return len(content)


def member(name: str, compress: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type = compress
    return info


def make(compress: int = zipfile.ZIP_DEFLATED, comment: bytes = b"", zip64: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compress) as archive:
        archive.comment = comment
        for name, content in FILES.items():
            with archive.open(member(name, compress), "w", force_zip64=zip64) as out:
                out.write(content)
    return buffer.getvalue()


def stream(zip64: bool = False) -> bytes:
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, content in FILES.items():
            with archive.open(member(name, zipfile.ZIP_DEFLATED), "w", force_zip64=zip64) as out:
                out.write(content)
    return pipe.content


def find(tmp_path: Path, data: bytes) -> list[str]:
    path = tmp_path / "s.zip"
    path.write_bytes(data)
    # Whatever check_records does not see, nothing else may end in a traceback.
    check_archive(path, SETTINGS)
    return [str(finding) for finding in check_records(path)]


def end_of(data: bytes) -> int:
    return data.rindex(b"PK\x05\x06")


def table_of(data: bytes) -> int:
    return int.from_bytes(data[end_of(data) + 16 :][:4], "little")


def put(data: bytes, place: int, content: bytes) -> bytes:
    return data[:place] + content + data[place + len(content) :]


def long(number: int) -> bytes:
    return number.to_bytes(4, "little")


@pytest.mark.parametrize(
    "data",
    [
        make(),
        make(zipfile.ZIP_STORED),
        make(comment=b"0123456789abcdef0123456789abcdef01234567"),
        make(comment=b"x" * 0xFFFF),
        make(zip64=True),
        stream(),
        stream(zip64=True),
        b"PK\x05\x06" + bytes(18),
    ],
    ids=["deflated", "stored", "comment", "longest comment", "zip64", "stream", "stream zip64", "empty"],
)
def test_what_programs_write_is_taken(tmp_path: Path, data: bytes) -> None:
    assert find(tmp_path, data) == []


def test_what_is_appended_to_and_renewed_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    path.write_bytes(make())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.py", "x")
    assert check_records(path) == []


@pytest.mark.skipif(shutil.which("zip") is None, reason="needs Info-ZIP's zip")
@pytest.mark.parametrize("options", [["-r"], ["-r", "-X"], ["-r", "-0"], ["-r", "-fz"], ["-r", "-fd"]])
def test_what_info_zip_writes_is_taken(tmp_path: Path, options: list[str]) -> None:
    for name, content in FILES.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    subprocess.run(["zip", "-q", *options, "../s.zip", "."], cwd=tmp_path / "in", check=True)
    assert check_records(tmp_path / "s.zip") == []
    if "-fz" in options:
        # Into a pipe it writes an end record that Python cannot read either.
        return
    piped = subprocess.run(
        ["zip", "-q", *options, "-", "."], cwd=tmp_path / "in", check=True, capture_output=True
    )
    assert find(tmp_path, piped.stdout) == []


def shifted(data: bytes, by: int) -> bytes:
    """With offsets as they would be if something stood before the zip."""
    end, table = end_of(data), table_of(data)
    place = table
    while data[place : place + 4] == b"PK\x01\x02":
        offset = int.from_bytes(data[place + 42 :][:4], "little")
        data = put(data, place + 42, long(offset + by))
        place += 46 + sum(struct.unpack("<3H", data[place + 28 :][:6]))
    return put(data, end + 16, long(table + by))


def gap(data: bytes) -> bytes:
    """Bytes between the last file and the table of contents."""
    table = table_of(data)
    moved = data[:table] + b"hidden" + data[table:]
    return put(moved, end_of(moved) + 16, long(table + 6))


def two_tables(data: bytes) -> bytes:
    """The zip of other files, whose table of contents the last end record does not name."""
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("Dockerfile", "FROM other:1\n")
    return other.getvalue() + shifted(data, len(other.getvalue()))


def without_end(data: bytes) -> bytes:
    return data[: end_of(data)]


def local(data: bytes, place: int, content: bytes) -> bytes:
    """Change the first file's own record alone."""
    return put(data, place, content)


def overlapping(data: bytes) -> bytes:
    """Two names, one place."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("aa.py", "x" * 50)
        archive.writestr("bb.py", "x" * 50)
    data = buffer.getvalue()
    second = data.rindex(b"PK\x01\x02")
    return put(data, second + 42, long(0))


def quoted(data: bytes) -> bytes:
    """A file whose data holds the next file's record: it is taken twice."""
    inner = b"PK\x03\x04" + struct.pack("<5H3L2H", 20, 0, 0, 0, 33, zlib.crc32(b"abc"), 3, 3, 1, 0) + b"babc"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", inner)
        archive.writestr("b", "abc")
    data = buffer.getvalue()
    second = data.rindex(b"PK\x01\x02")
    return put(data, second + 42, long(data.index(inner)))


def two_ends(data: bytes) -> bytes:
    """A Zip64 end record that says something else."""
    end, table = end_of(data), table_of(data)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2, 2, end - table, table)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    return data[:end] + record + locator + data[end:]


def end64(data: bytes, **changes: int) -> bytes:
    """A Zip64 end record that says the same, but for the changes."""
    end, table = end_of(data), table_of(data)
    said = {
        "size": 44,
        "disk": 0,
        "here": 3,
        "count": 3,
        "length": end - table,
        "table": table,
        "at": end,
        "disks": 1,
    }
    said |= changes
    record = struct.pack(
        "<4sQ2H2L4Q",
        b"PK\x06\x06",
        said["size"],
        45,
        45,
        said["disk"],
        0,
        said["here"],
        said["count"],
        said["length"],
        said["table"],
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, said["at"], said["disks"])
    return data[:end] + record + locator + data[end:]


def descriptor(data: bytes) -> bytes:
    """Other numbers behind the data than in the table."""
    place = data.index(b"PK\x07\x08")
    return put(data, place + 4, b"abcd")


def ends_twice(compress: int) -> bytes:
    """A file of unknown length, in whose data another end and another file follow its own."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("b", "abc")
    content = b"print(1)"
    told = b"PK\x07\x08" + struct.pack("<3L", zlib.crc32(content), len(content), len(content))
    if compress == zipfile.ZIP_STORED:
        packed = content = content + told + inner.getvalue()[:34]
    else:
        packer = zlib.compressobj(wbits=-15)
        packed = packer.compress(content) + packer.flush() + told + inner.getvalue()[:34]
    numbers = struct.pack("<3L", zlib.crc32(content), len(packed), len(content))
    record = b"PK\x03\x04" + struct.pack("<5H", 20, 8, compress, 0, 33) + bytes(12) + b"\1\0\0\0a"
    table = b"PK\x01\x02" + struct.pack("<6H", 20, 20, 8, compress, 0, 33) + numbers
    table += struct.pack("<5H2L", 1, 0, 0, 0, 0, 0, 0) + b"a"
    files = record + packed + b"PK\x07\x08" + numbers
    return files + table + b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 1, 1, len(table), len(files), 0)


LOCAL_NAME = 30
FAULTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "behind": (lambda: make() + b"x", "has bytes after its end"),
    "behind comment": (lambda: make(comment=b"abc") + b"x", "has bytes after its end"),
    "cut comment": (lambda: make(comment=b"abc")[:-1], "has bytes after its end"),
    "no end": (lambda: without_end(make()), "it has no end record"),
    "text": (lambda: b"hello" * 100, "it has no end record"),
    "nothing": (lambda: b"", "it has no end record"),
    "before": (lambda: b"#!/bin/sh\n" + make(), "has bytes before its first file"),
    "before, told": (lambda: b"#!/bin/sh\n" + shifted(make(), 10), "does not begin with a file"),
    "two zips": (lambda: make() + make(), "has bytes before its first file"),
    "two zips, told": (lambda: two_tables(make()), "does not begin with a file"),
    "gap": (lambda: gap(make()), "'w.bin': is followed by bytes that belong to no file"),
    "name": (lambda: local(make(), LOCAL_NAME, b"dockerfile"), "'Dockerfile': has another name at its place"),
    "sign": (lambda: local(make(), 0, b"PK\x01\x02"), "has another name at its place"),
    "method": (lambda: local(make(), 8, b"\0\0"), "'Dockerfile': has other sizes or flags"),
    "utf-8": (lambda: local(make(), 6, b"\0\x08"), "'Dockerfile': has other sizes or flags"),
    "checksum": (lambda: local(make(), 14, b"abcd"), "'Dockerfile': has other sizes or flags"),
    "packed size": (lambda: local(make(), 18, long(7)), "'Dockerfile': has other sizes or flags"),
    "size": (lambda: local(make(), 22, long(7)), "'Dockerfile': has other sizes or flags"),
    "zero size": (lambda: local(make(), 22, long(0)), "'Dockerfile': has other sizes or flags"),
    "overlap": (lambda: overlapping(make()), "'aa.py': overlaps with what follows it"),
    "quoted": (lambda: quoted(make()), "'a': overlaps with what follows it"),
    "descriptor": (lambda: descriptor(stream()), "is followed by bytes that belong to no file"),
    "ends twice": (lambda: ends_twice(zipfile.ZIP_DEFLATED), "'a': seems to end before it does"),
    "ends twice, stored": (lambda: ends_twice(zipfile.ZIP_STORED), "'a': seems to end before it does"),
    "two ends": (lambda: two_ends(make()), "has two end records that differ"),
    "end64 offset": (lambda: end64(make(), at=0), "Zip64 end record at another place"),
    "end64 disks": (lambda: end64(make(), disks=2), "Zip64 end record at another place"),
    "end64 size": (lambda: end64(make(), size=52), "not every program reads alike"),
    "end64 disk": (lambda: end64(make(), disk=1), "not every program reads alike"),
    "end64 here": (lambda: end64(make(), here=2), "not every program reads alike"),
    "end64 count": (lambda: end64(make(), here=2, count=2), "two end records that differ"),
    "end64 length": (lambda: end64(make(), length=9), "two end records that differ"),
    "sentinel": (
        lambda: put(make(), end_of(make()) + 16, b"\xff" * 4),
        "without the numbers that it refers to",
    ),
    "sentinel count": (lambda: put(make(), end_of(make()) + 8, b"\xff" * 4), "without the numbers"),
    "disk": (lambda: put(make(), end_of(make()) + 4, b"\1\0"), "is one file of a zip in several files"),
    "here": (lambda: put(make(), end_of(make()) + 8, b"\2\0"), "is one file of a zip in several files"),
    "disk of a file": (lambda: put(make(), table_of(make()) + 34, b"\1\0"), "in several files"),
    "count": (
        lambda: put(make(), end_of(make()) + 8, b"\2\0\2\0"),
        "of another length than its end record says",
    ),
    "more": (lambda: put(make(), end_of(make()) + 8, b"\4\0\4\0"), "it is cut off"),
    "table sign": (
        lambda: put(make(), table_of(make()), b"PK\x03\x04"),
        "table of contents that is not whole",
    ),
    "no zip64 field": (lambda: put(make(), table_of(make()) + 24, b"\xff" * 4), "read in several ways"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_readers_take_for_different_zips(name: str, tmp_path: Path) -> None:
    change, word = FAULTS[name]
    (line,) = find(tmp_path, change())
    (finding,) = check_records(tmp_path / "s.zip")
    assert (finding.code, finding.severity) == (
        "zip-unreadable" if name == "more" else "zip-inconsistent",
        "error",
    )
    assert word in line
    assert finding.hint == "make it again with `zip`"


def test_a_zip64_end_record_that_says_the_same_is_taken(tmp_path: Path) -> None:
    assert find(tmp_path, end64(make())) == []
    said = end64(make())
    hidden = put(said, end_of(said) + 8, b"\xff" * 12)
    assert find(tmp_path, hidden) == []


def with_extra(extra: bytes, size: bytes = b"", in_table: bool = True) -> bytes:
    """One stored file of three bytes, with an extra field in the table or at its place."""
    here, there = (b"", extra) if in_table else (extra, b"")
    told = size or long(3)
    numbers = zlib.crc32(b"abc"), 3
    record = b"PK\x03\x04" + struct.pack("<5H2L", 20, 0, 0, 0, 33, *numbers)
    record += (long(3) if in_table else told) + struct.pack("<2H", 1, len(here)) + b"a" + here + b"abc"
    table = b"PK\x01\x02" + struct.pack("<6H2L", 20, 20, 0, 0, 0, 33, *numbers)
    table += (
        (told if in_table else long(3)) + struct.pack("<5H2L", 1, len(there), 0, 0, 0, 0, 0) + b"a" + there
    )
    return record + table + b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 1, 1, len(table), len(record), 0)


def field(*numbers: int) -> bytes:
    return struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers)


LARGE = b"\xff" * 4


@pytest.mark.parametrize("in_table", [True, False])
@pytest.mark.parametrize(
    ("extra", "size", "is_good"),
    [
        (b"", b"", True),
        (b"\0", b"", True),
        (field(3), LARGE, True),
        (field(3), b"", True),
        (field(3, 3), b"", True),
        (field(), b"", True),
        (field(4), b"", False),
        (field(3, 4), b"", False),
        (field(3, 3), LARGE, False),
        (field(), LARGE, False),
        (field(3) + field(3), LARGE, False),
        (b"\x09\x00\x09\x00", LARGE, False),
        (b"\x09\x00\x09\x00", b"", False),
        (b"\x09\x00\x02\x00ab" + field(3), LARGE, True),
    ],
)
def test_zip64_fields(tmp_path: Path, extra: bytes, size: bytes, is_good: bool, in_table: bool) -> None:
    found = find(tmp_path, with_extra(extra, size, in_table))
    assert (found == []) == is_good, found


def test_a_file_of_unknown_length_that_is_larger_than_said(tmp_path: Path) -> None:
    data = stream()
    table = table_of(data)
    sizes = data[table + 24 :][:4]
    smaller = (int.from_bytes(sizes, "little") - 1).to_bytes(4, "little")
    descriptor_at = data.index(b"PK\x07\x08") + 12
    assert data[descriptor_at:][:4] == sizes
    changed = put(put(data, table + 24, smaller), descriptor_at, smaller)
    assert "'Dockerfile': is larger than the zip says" in find(tmp_path, changed)[0]


def test_a_second_name_at_its_place(tmp_path: Path) -> None:
    (line,) = find(tmp_path, with_extra(b"\x75\x70\x01\x00b", in_table=False))
    assert "'a': has another name at its place" in line


def test_damaged_bytes_end_in_a_finding_or_in_the_same_files(tmp_path: Path) -> None:
    """A little fuzzing: whatever is changed, no traceback; what is taken, two readers read alike."""
    draw = random.Random(0)
    sources = [make(), make(zipfile.ZIP_STORED), stream(), end64(make())]
    taken = 0
    for _ in range(600):
        data = bytearray(draw.choice(sources))
        for _ in range(draw.choice((1, 1, 2, 4))):
            place = draw.randrange(len(data))
            data[place] = draw.choice((0, 1, 0xFF, draw.randrange(256)))
        if draw.random() < 0.2:
            del data[draw.randrange(len(data)) :]
        found = find(tmp_path, bytes(data))
        if found:
            continue
        # Zipfile cannot read versions to come, for example.
        with contextlib.suppress(
            zipfile.BadZipFile, NotImplementedError, ValueError, RuntimeError, zlib.error, EOFError
        ):
            with zipfile.ZipFile(tmp_path / "s.zip") as archive:
                by_table = [member.filename for member in archive.infolist()]
                is_whole = archive.testzip() is None
            taken += is_whole
            if is_whole:
                assert by_table == names_from_the_front(bytes(data))
    assert taken > 20


def names_from_the_front(data: bytes) -> list[str]:
    """As a reader of a stream finds them: from file to file, by their own records alone."""
    names, place = [], 0
    while data[place : place + 4] == b"PK\x03\x04":
        flags = int.from_bytes(data[place + 6 :][:2], "little")
        packed, _, name_length, extra_length = struct.unpack("<2L2H", data[place + 18 :][:12])
        begin = place + 30
        names.append(data[begin : begin + name_length].decode("utf-8" if flags & 0x800 else "cp437"))
        place = begin + name_length + extra_length
        if flags & 8:
            unpacked = zlib.decompressobj(-15)
            unpacked.decompress(data[place:])
            place = len(data) - len(unpacked.unused_data)
            place += 16 if data[place : place + 4] == b"PK\x07\x08" else 12
        else:
            place += packed
    return names
