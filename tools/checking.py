"""What a platform would refuse of a submission, and how to mend it; the zip is treated as a stranger's."""

import ast
import contextlib
import errno
import lzma
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from tools.errors import DataError, SubmissionError, shown
from tools.files import NO_ROOM
from tools.findings import Finding
from tools.formats.dockerfile import Instruction, copied_sources, is_pattern, parse_dockerfile
from tools.formats.label_table import check_predictions, check_probabilities
from tools.formats.model_json import parse_model_json
from tools.layout import Layout
from tools.manifest import Bundle, SubmissionSettings
from tools.sources.placed import check_together, known_class_names, names_in

MAX_RATIO = 200
"""A member that grows by more is taken for a bomb; real weights and texts stay far below."""

MAX_NAME_CHARACTERS = 240
MAX_PART_BYTES = 255
MAX_TEXT_BYTES = 1 << 20
MAX_DOCKERFILE_BYTES = 1 << 16
MAX_SOURCES = 200
MAX_CODE_BYTES = 1 << 24
"""Of all Python files together; what comes after is not looked at."""

_OURS = (*NO_ROOM, errno.EIO)
"""Faults of this machine, not of the zip."""

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
_CHUNK_BYTES = 1 << 20
_NOT_THERE = "no such file; give a zip made by `zip`, or a results csv"
_END_SIZE = 5
"""Where zipfile's end record keeps the size of the table of contents."""

_MAX_ENTRY_BYTES = 1024
"""Of a file in the table of contents: its name, its fields and some room."""


def check_submission(path: Path, settings: SubmissionSettings, class_names: Sequence[str]) -> list[Finding]:
    """Find what is wrong with a submission zip; nothing of it is run.

    Args:
        path: The zip.
        settings: What a submission may be.
        class_names: The bundle's classes; empty if they are not known here.

    Returns:
        Findings, errors first; none if it would be taken.

    Raises:
        SubmissionError: There is no such file.
    """
    findings = check_archive(path, settings)
    if any(finding.severity == "error" for finding in findings):
        return findings
    with TemporaryDirectory(prefix="submission-") as folder:
        try:
            unpack_submission(path, Path(folder), settings)
        except SubmissionError as fault:
            return [*findings, Finding("error", path.name, str(fault), "make the zip anew")]
        findings += check_unpacked(Path(folder), class_names)
    return sorted(findings, key=lambda finding: finding.severity != "error")


def check_archive(path: Path, settings: SubmissionSettings) -> list[Finding]:
    """Look at the zip's table of contents, without unpacking anything.

    Raises:
        SubmissionError: There is no such file.
    """
    if not path.is_file():
        raise SubmissionError(_NOT_THERE, path)
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
                if isinstance(fault, OSError) and fault.errno in _OURS:
                    raise
                raise SubmissionError(
                    f"{shown(member.filename)} cannot be unpacked ({fault})", path
                ) from None


def check_unpacked(folder: Path, class_names: Sequence[str]) -> list[Finding]:
    """Look at the files of a submission: what a build would fail on, and the contract of the model."""
    text = _read_text(folder / "Dockerfile", MAX_DOCKERFILE_BYTES)
    if text is None:
        return [Finding("error", "Dockerfile", "not a UTF-8 text of at most 64 KB", "save it as UTF-8")]
    instructions = parse_dockerfile(text)
    if len(copied_sources(instructions)) > MAX_SOURCES:
        what = f"copies more than {MAX_SOURCES} files or folders by name"
        return [Finding("error", "Dockerfile", what, "copy folders")]
    findings = [
        *_check_dockerfile(instructions),
        *_check_copied(instructions, folder),
        *_check_model_card(folder, class_names),
        *_check_code(folder),
        *_check_graphs(folder),
    ]
    copied = [source.strip("/").removeprefix("./") for source, _ in copied_sources(instructions)]
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        used = any(_takes(source, name) for source in copied)
        if path.is_file() and name != "Dockerfile" and not used:
            what = "the Dockerfile does not copy it"
            findings.append(Finding("warning", name, what, "leave it out of the zip"))
    return findings


def check_results(path: Path, bundle: Bundle, layout: Layout) -> tuple[int, str]:
    """Refuse a csv of predictions that the scoring program would refuse; the reference is not needed.

    Args:
        path: The csv.
        bundle: Its classes are expected.
        layout: Where its testing images are.

    Returns:
        (images in it, why its probability columns would not be used; empty if they would)

    Raises:
        DataError: The csv is at fault, or there are no testing images or classes to check it against.
    """
    class_names = known_class_names(bundle, layout)
    if not path.exists():
        raise SubmissionError(_NOT_THERE, path)
    check_together(layout)
    image_names = names_in(layout.testing_data)
    if not image_names or not class_names:
        raise DataError("no testing images to check against; run `data import` first", layout.testing_data)
    table = check_predictions(path, image_names, class_names)
    return len(table.class_of), check_probabilities(path, table, class_names)


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


def _check_dockerfile(instructions: Sequence[Instruction]) -> Iterator[Finding]:
    last_from = max((n for n, i in enumerate(instructions) if i.name == "FROM"), default=0)
    last_stage = instructions[last_from:]
    names = [instruction.name for instruction in last_stage]
    first = next((i for i in instructions if i.name != "ARG"), None)
    if first is None or first.name != "FROM":
        yield Finding("error", "Dockerfile", "does not begin with FROM", "name the base image first")
    if "ENTRYPOINT" not in names and "CMD" not in names:
        mend = 'end with ENTRYPOINT ["python", "infer.py"]'
        yield Finding("error", "Dockerfile", "has neither ENTRYPOINT nor CMD, so nothing runs", mend)
    for instruction in instructions:
        where = f"Dockerfile:{instruction.line}"
        if instruction.name == "ADD" and re.search(r"(https?|git)://|git@", instruction.value):
            yield Finding(
                "error", where, "fetches from the network while it is built", "put the file into the zip"
            )
        if instruction.name == "FROM" and not re.search(r"[:@$]|^scratch", instruction.value):
            mend = "name a version, such as python:3.11-slim"
            what = f"the base image {shown(instruction.value)} has no version"
            yield Finding("warning", where, what, mend)
    users = [instruction.value for instruction in last_stage if instruction.name == "USER"]
    if not users or users[-1].split(":")[0] in ("", "0", "root"):
        mend = "add a line such as USER 1000 before ENTRYPOINT"
        yield Finding("warning", "Dockerfile", "the image runs as root, which some platforms refuse", mend)


def _check_copied(instructions: Sequence[Instruction], folder: Path) -> Iterator[Finding]:
    for source, line in copied_sources(instructions):
        where = f"Dockerfile:{line}"
        relative = source.lstrip("/")
        if ".." in PurePosixPath(relative).parts:
            yield Finding("error", where, f"copies {shown(source)} from outside", "copy from inside the zip")
        elif "$" in relative or is_pattern(relative) or not relative.strip("./"):
            continue
        elif not os.path.lexists(folder / relative):
            what = f"copies {shown(source)}, which is not in the zip"
            yield Finding("error", where, what, "add the file, or mend the line")


def _check_model_card(folder: Path, class_names: Sequence[str]) -> Iterator[Finding]:
    path = folder / "model_output" / "model.json"
    if path.is_file():
        name = path.relative_to(folder).as_posix()
        text = _read_text(path)
        try:
            card = parse_model_json("" if text is None else text, name, SubmissionError)
        except DataError as fault:
            yield Finding("error", name, str(fault).removeprefix(f"{name}: "), "train again")
            return
        unknown = [
            class_name for class_name in card.class_names if class_names and class_name not in class_names
        ]
        if unknown:
            what = f"knows a class {shown(unknown[0])}, but this challenge has {', '.join(class_names)}"
            yield Finding("error", name, what, "train on this challenge's images")


def _check_graphs(folder: Path) -> Iterator[Finding]:
    """Look at the first bytes only: to parse a stranger's model is for the sandbox."""
    for path in sorted(folder.rglob("*.onnx")):
        if not path.is_file():
            continue
        with path.open("rb") as opened:
            # A ModelProto begins with its field 1, the version of the format, a small number.
            if opened.read(1) != b"\x08":
                name = path.relative_to(folder).as_posix()
                yield Finding("error", name, "is not an ONNX file", "train again, or zip again")


def _check_code(folder: Path) -> Iterator[Finding]:
    left = MAX_CODE_BYTES
    for path in sorted(path for path in folder.rglob("*.py") if path.is_file()):
        left -= path.stat().st_size
        if left < 0:
            return
        name = path.relative_to(folder).as_posix()
        text = _read_text(path)
        try:
            if text is None:
                raise ValueError("not a UTF-8 text of at most 1 MB")
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as fault:
            yield Finding("error", name, f"is not valid Python ({fault})", "mend it")


def _takes(source: str, name: str) -> bool:
    """Tell whether a COPY source, a folder or a pattern among them, takes a file."""
    path = PurePosixPath(name)
    if source in ("", ".") or path.is_relative_to(source):
        return True
    # A pattern may take a folder, and so all that is in it.
    return is_pattern(source) and any(place.match(source) for place in (path, *path.parents))


def _read_text(path: Path, limit_bytes: int = MAX_TEXT_BYTES) -> str | None:
    """A small UTF-8 text, or None."""
    if not path.is_file() or path.stat().st_size > limit_bytes:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
