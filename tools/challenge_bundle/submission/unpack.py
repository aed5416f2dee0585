"""A participant's zip: its table of contents against the limits, and unpacking it without trusting it."""

import contextlib
import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from challenge_bundle.errors import SubmissionError, shown
from challenge_bundle.files import OUR_FAULTS
from challenge_bundle.findings import ERROR, Finding
from challenge_bundle.formats.submission_toml import CARD_NAME, MAX_CARD_BYTES, parse_card
from challenge_bundle.guarded import ReadLimits, find_guarded, listed
from challenge_bundle.settings import SubmissionSettings
from challenge_bundle.submission.zip_names import check_names, check_root, is_folder
from challenge_bundle.submission.zip_records import REMAKE, check_records

LEAVE_OUT = "leave out what the Dockerfile does not copy"

MAX_RATIO = 200
"""A member that grows by more is taken for a bomb; real weights and texts stay far below."""

_MOST_GROWTH = 1032
"""The most bytes that one byte of deflated data unpacks to (zlib's technical notes)."""

_UNPACKED_MB_A_SECOND = 50
"""What a slow machine unpacks in a second of processor time, at least; the limit of time is made from it."""

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
    limits = ReadLimits(cpu_s=cpu_s, wall_s=30.0 * cpu_s, file_mb=settings.unpacked_mb + 1)
    arguments = {"path": str(path.absolute()), "folder": str(folder.absolute()), "settings": asdict(settings)}
    return find_guarded("challenge_bundle.submission.unpack:unpack_checked", arguments, path.name, limits)


def unpack_checked(path: str, folder: str, settings: dict[str, Any]) -> Iterator[list[str | int | None]]:
    """Check and unpack, as open_archive has it done; yields findings."""
    zip_path, limits = Path(path), SubmissionSettings(**settings)
    findings = check_archive(zip_path, limits)
    yield from map(listed, findings)
    if any(finding.severity == ERROR for finding in findings):
        return
    try:
        unpack_submission(zip_path, Path(folder), limits)
    except SubmissionError as fault:
        yield listed(replace(fault.finding, location=zip_path.name))


def find_card(path: str, files: int) -> Iterator[dict[str, str]]:
    """Yield team and method of a zip's submission.toml, if it has a valid one; see intake.read_card."""
    if has_too_many_files(Path(path), SubmissionSettings(files=files)):
        return
    with zipfile.ZipFile(path) as archive, archive.open(CARD_NAME) as opened:
        yield parse_card(opened.read(MAX_CARD_BYTES + 1))


def check_archive(path: Path, settings: SubmissionSettings) -> list[Finding]:
    """Look at the zip's table of contents, without unpacking anything; the file must be there."""
    size = path.stat().st_size
    if size > settings.zip_mb * 2**20:
        what = f"expected a zip of at most {settings.zip_mb} MB, but got {size / 2**20:.1f} MB"
        return [Finding("zip-size", ERROR, path.name, what, LEAVE_OUT)]
    try:
        too_many = has_too_many_files(path, settings)
        with zipfile.ZipFile(path) if not too_many else contextlib.nullcontext() as archive:
            members = archive.infolist() if archive else []
    except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, ValueError, NotImplementedError) as fault:
        return [Finding("zip-unreadable", ERROR, path.name, f"is not a readable zip ({fault})", REMAKE)]
    if too_many or len(members) > settings.files:
        what = f"expected at most {settings.files} files, but got more"
        return [Finding("zip-file-count", ERROR, path.name, what, LEAVE_OUT)]
    findings = [*_check_totals(members, settings, path.name), *check_names(members), *check_root(members)]
    if any(finding.severity == ERROR for finding in findings):
        return findings
    return [*findings, *check_records(path)]


def has_too_many_files(path: Path, settings: SubmissionSettings) -> bool:
    """Whether a table of contents is too large, by its size, before zipfile reads it.

    Each entry of 50 bytes costs zipfile 370 of memory.
    """
    with path.open("rb") as opened:
        # zipfile's own reading: a zip can be made so that another reader finds another table.
        end = zipfile._EndRecData(opened)  # type: ignore[attr-defined]  # typeshed does not know it
    return end is not None and int(end[_END_SIZE]) > settings.files * _MAX_ENTRY_BYTES


def unpack_submission(path: Path, folder: Path, settings: SubmissionSettings) -> None:
    """Unpack a zip that check_archive found no error in, counting the bytes that really come out.

    A file gets mode 0644, or 0755 where the zip marks it as executable, as an entry point must; links, other
    modes and times of the zip are not taken over.

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
            if is_folder(member.filename):
                continue
            target = folder / member.filename
            if not target.resolve().is_relative_to(folder.resolve()):
                raise SubmissionError(
                    f"{shown(member.filename)} would be written outside of the folder",
                    path,
                    code="zip-name-outside",
                    hint=REMAKE,
                )
            left = member.file_size
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as opened, target.open("xb") as out:
                    while chunk := opened.read(min(_CHUNK_BYTES, left + 1)):
                        left -= len(chunk)
                        if left < 0:
                            raise SubmissionError(
                                f"{shown(member.filename)} is larger than the zip says",
                                path,
                                code="zip-member-size",
                                hint=REMAKE,
                            )
                        out.write(chunk)
                if member.external_attr >> 16 & stat.S_IXUSR:
                    target.chmod(0o755)
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
                    f"{shown(member.filename)} cannot be unpacked ({fault})",
                    path,
                    code="zip-member-unreadable",
                    hint=REMAKE,
                ) from None


def _check_totals(
    members: Sequence[zipfile.ZipInfo], settings: SubmissionSettings, name: str
) -> Iterator[Finding]:
    total = sum(member.file_size for member in members)
    if total > settings.unpacked_mb * 2**20:
        what = f"expected at most {settings.unpacked_mb} MB of unpacked files, but got {total / 2**20:.1f} MB"
        yield Finding("zip-unpacked-size", ERROR, name, what, LEAVE_OUT)
    for member in members:
        if member.file_size > MAX_RATIO * max(member.compress_size, 1) and member.file_size > _CHUNK_BYTES:
            what = f"unpacks to more than {MAX_RATIO} times its size, as a zip bomb does"
            yield Finding("zip-bomb", ERROR, shown(member.filename), what, "store it without compression")
        if member.flag_bits & 0x1:
            yield Finding(
                "zip-encrypted",
                ERROR,
                shown(member.filename),
                "is encrypted",
                "make the zip without a password",
            )
        if member.filename.lower().endswith(_ARCHIVES):
            what = "is an archive inside the archive, which some platforms unpack and some do not"
            yield Finding(
                "zip-nested-archive",
                ERROR,
                shown(member.filename),
                what,
                "put its files into the zip themselves",
            )
