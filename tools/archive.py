"""A stranger's zip: its table of contents against the limits, and unpacking it without trusting it."""

import contextlib
import lzma
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from tools.errors import SubmissionError, shown
from tools.files import OUR_FAULTS
from tools.findings import Finding
from tools.formats.card import CARD_NAME, MAX_CARD_BYTES, parse_card
from tools.guarded import Limits, find_guarded, listed
from tools.manifest import SubmissionSettings

MAX_RATIO = 200
"""A member that grows by more is taken for a bomb; real weights and texts stay far below."""

MAX_NAME_CHARACTERS = 240
MAX_PART_BYTES = 255

_MOST_GROWTH = 1032
"""Of deflated data (zlib's technical notes)."""

_UNPACKED_MB_A_SECOND = 50
"""At least, of processor time: for the limit."""

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
_CHUNK_BYTES = 1 << 20
_END_SIZE = 5
"""Where zipfile's end record keeps the size of the table of contents."""

_MAX_ENTRY_BYTES = 1024
"""Of a file in the table of contents: its name, its fields and some room."""


def open_archive(path: Path, folder: Path, settings: SubmissionSettings) -> list[Finding]:
    """Check a participant's zip and unpack it, in a process of its own.

    Args:
        path: The zip.
        folder: An empty folder, which gets its files if there is no error.
        settings: Give the limits.

    Returns:
        Findings; with an error among them the folder's content is not to be used.

    Raises:
        OSError: This machine is at fault; the disk is full, for example.
    """
    zip_mb = path.stat().st_size / 2**20
    cpu_s = 10 + int(min(settings.unpacked_mb, zip_mb * _MOST_GROWTH) / _UNPACKED_MB_A_SECOND)
    limits = Limits(cpu_s=cpu_s, wall_s=6.0 * cpu_s, file_mb=settings.unpacked_mb + 1)
    arguments = {"path": str(path.absolute()), "folder": str(folder.absolute()), "settings": asdict(settings)}
    return find_guarded("tools.archive:unpack_checked", arguments, path.name, limits)


def unpack_checked(path: str, folder: str, settings: dict[str, int]) -> Iterator[list[str]]:
    """Check and unpack, as open_archive has it done; yields findings."""
    zip_path, limits = Path(path), SubmissionSettings(**settings)
    findings = check_archive(zip_path, limits)
    yield from map(listed, findings)
    if any(finding.severity == "error" for finding in findings):
        return
    try:
        unpack_submission(zip_path, Path(folder), limits)
    except SubmissionError as fault:
        what = str(fault).removeprefix(f"{zip_path}: ")
        yield listed(Finding("error", zip_path.name, what, "make it anew with `zip`"))


def find_card(path: str, files: int) -> Iterator[dict[str, str]]:
    """Yield what a zip's submission.toml says, if it has one that is sound; see intake.read_card."""
    if has_too_many_files(Path(path), SubmissionSettings(files=files)):
        return
    with zipfile.ZipFile(path) as archive, archive.open(CARD_NAME) as opened:
        yield parse_card(opened.read(MAX_CARD_BYTES + 1))


def check_archive(path: Path, settings: SubmissionSettings) -> list[Finding]:
    """Look at the zip's table of contents, without unpacking anything; the file must be there."""
    size = path.stat().st_size
    if size > settings.zip_mb * 2**20:
        what = f"{size / 2**20:.0f} MB; at most {settings.zip_mb} MB are taken"
        return [Finding("error", path.name, what, "leave out what the Dockerfile does not copy")]
    try:
        too_many = has_too_many_files(path, settings)
        with zipfile.ZipFile(path) if not too_many else contextlib.nullcontext() as archive:
            members = archive.infolist() if archive else []
    except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, ValueError, NotImplementedError) as fault:
        return [Finding("error", path.name, f"not a readable zip ({fault})", "make it anew with `zip`")]
    if too_many or len(members) > settings.files:
        what = f"more files than the {settings.files} that are taken"
        return [Finding("error", path.name, what, "leave out what the Dockerfile does not copy")]
    return [*_check_totals(members, settings, path.name), *_check_names(members), *_check_root(members)]


def has_too_many_files(path: Path, settings: SubmissionSettings) -> bool:
    """Tell by its size, before zipfile reads it, whether a table of contents holds too much.

    Each entry of 50 bytes costs zipfile 370 of memory.
    """
    with path.open("rb") as opened:
        # Its own reading, for a zip can be made so that another one is led astray.
        end = zipfile._EndRecData(opened)  # type: ignore[attr-defined]  # typeshed does not know it
    return end is not None and int(end[_END_SIZE]) > settings.files * _MAX_ENTRY_BYTES


def unpack_submission(path: Path, folder: Path, settings: SubmissionSettings) -> None:
    """Unpack a zip that check_archive found no error in, counting the bytes that really come out.

    Every file gets mode 0644; links, modes and times of the zip are not taken over.

    Args:
        path: The zip.
        folder: An empty folder.
        settings: Gives the limit.

    Raises:
        SubmissionError: More bytes come out than the table of contents says, or they do not fit their
            checksum.
    """
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if _is_folder(member):
                continue
            target = folder / member.filename
            if not target.resolve().is_relative_to(folder.resolve()):
                raise SubmissionError(f"{shown(member.filename)} would be written elsewhere", path)
            left = member.file_size
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as opened, target.open("xb") as out:
                    while chunk := opened.read(min(_CHUNK_BYTES, left + 1)):
                        left -= len(chunk)
                        if left < 0:
                            raise SubmissionError(
                                f"{shown(member.filename)} is larger than the zip says", path
                            )
                        out.write(chunk)
            except (
                zipfile.BadZipFile,
                zlib.error,
                lzma.LZMAError,
                OSError,
                EOFError,
                NotImplementedError,
                RuntimeError,
            ) as fault:
                if isinstance(fault, OSError) and fault.errno in OUR_FAULTS:
                    raise
                raise SubmissionError(
                    f"{shown(member.filename)} cannot be unpacked ({fault})", path
                ) from None


def _is_folder(member: zipfile.ZipInfo) -> bool:
    """As ZipInfo.is_dir, which fails on an empty name."""
    return member.filename.endswith("/")


def _has_second_name(extra: bytes) -> bool:
    """Tell whether an extra field gives the file another name, which some programs take and others do not.

    Source:
        PKWARE APPNOTE 4.6.9, Info-ZIP Unicode Path Extra Field (0x7075).
    """
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        if kind == 0x7075:
            return True
        extra = extra[4 + size :]
    return False


def _check_totals(
    members: Sequence[zipfile.ZipInfo], settings: SubmissionSettings, name: str
) -> Iterator[Finding]:
    total = sum(member.file_size for member in members)
    if total > settings.unpacked_mb * 2**20:
        what = f"unpacks to {total / 2**20:.0f} MB; at most {settings.unpacked_mb} MB are taken"
        yield Finding("error", name, what, "leave out what the Dockerfile does not copy")
    for member in members:
        if member.file_size > MAX_RATIO * max(member.compress_size, 1) and member.file_size > _CHUNK_BYTES:
            what = f"unpacks to more than {MAX_RATIO} times its size, as a zip bomb does"
            yield Finding("error", shown(member.filename), what, "store it without compression")
        if member.flag_bits & 0x1:
            yield Finding("error", shown(member.filename), "is encrypted", "make the zip without a password")
        if member.filename.lower().endswith(_ARCHIVES):
            what = "is an archive inside the archive; some platforms unpack it, some do not"
            yield Finding("error", shown(member.filename), what, "put its files into the zip themselves")


def _check_names(members: Sequence[zipfile.ZipInfo]) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    files = {member.filename.casefold() for member in members if not _is_folder(member)}
    for member in members:
        name = member.filename
        # zipfile cuts a name at a NUL, turns backslashes on Windows, and since Python 3.12 takes another name
        # from an extra field: only a name that it left alone is one that every platform reads alike.
        original = member.orig_filename
        parts = PurePosixPath(name).parts
        if (
            not parts
            or not original.isprintable()
            or len(name) > MAX_NAME_CHARACTERS
            or any(len(part.encode()) > MAX_PART_BYTES for part in parts)
        ):
            what = "an empty, unprintable or over-long name"
            yield Finding("error", shown(original), what, "rename the file")
            continue
        if (
            name != original
            or _has_second_name(member.extra)
            or "\\" in name
            or name.startswith("/")
            or re.match(r"[A-Za-z]:", name)
            or ".." in parts
        ):
            what = "an absolute path, a backslash, '..' in the name, or a second name"
            yield Finding("error", shown(original), what, "zip from inside the folder, with relative names")
        elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            what = "is compressed in a way that not every platform reads"
            yield Finding("error", shown(name), what, "store or deflate it")
        elif "__MACOSX" in parts or parts[-1:] == (".DS_Store",):
            what = "macOS's own files; one platform takes them for the submission"
            yield Finding("error", shown(name), what, "make the zip with `zip`, or leave them out (zip -X)")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (
            (kind == stat.S_IFDIR) != _is_folder(member) and kind
        ):
            yield Finding(
                "error", shown(name), "a link or a device, not a file", "put the file itself into the zip"
            )
        key = name.rstrip("/").casefold()
        if key in seen and not (_is_folder(member) and seen[key] == name):
            yield Finding(
                "error", shown(name), "the name is there twice (capitals do not count)", "keep one of them"
            )
        seen[key] = name
        parents = (parent.as_posix().casefold() for parent in PurePosixPath(name).parents)
        if any(parent in files for parent in parents):
            yield Finding("error", shown(name), "lies below a file", "make the zip anew")


def _check_root(members: Sequence[zipfile.ZipInfo]) -> Iterator[Finding]:
    names = [member.filename for member in members if not _is_folder(member)]
    if not names:
        yield Finding("error", "the zip", "is empty", "make it anew with `zip`")
    elif "Dockerfile" not in names:
        deeper = [name for name in names if PurePosixPath(name).name == "Dockerfile"]
        if deeper:
            mend = "zip the files inside the folder, not the folder"
            yield Finding("error", shown(deeper[0]), "the Dockerfile is not at the root of the zip", mend)
        else:
            yield Finding(
                "error",
                "Dockerfile",
                "not in the zip; the platform builds from it",
                "make the zip with `zip`",
            )
    for name in ("metadata", "metadata.yaml"):
        if name in names:
            what = "the platform would take the zip for code of its own kind"
            yield Finding("error", name, what, "leave the file out")
