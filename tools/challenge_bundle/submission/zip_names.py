"""Names in a participant's zip: every system and every reader must take them for the same files."""

import re
import stat
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from challenge_bundle.errors import shown
from challenge_bundle.findings import ERROR, Finding
from challenge_bundle.lookalikes import casefold, is_ignorable, skeleton

MAX_NAME_CHARACTERS = 240
MAX_PART_BYTES = 255
RENAME = "rename the file"
UNICODE_PATH = 0x7075
"""Of an extra field with another name, which some programs take and others do not (APPNOTE 4.6.9)."""

_UTF8_FLAG = 0x800
_DOCKERFILE = "Dockerfile"
_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*]')
_DEVICES = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE)
"""Source: learn.microsoft.com, "Naming Files, Paths, and Namespaces"; with any extension."""

_REGULAR = (0, stat.S_IFREG)
_FOLDER = (0, stat.S_IFDIR)


def check_names(members: Sequence[zipfile.ZipInfo]) -> Iterator[Finding]:
    """Find names that mean something else, or nothing, to another system or reader; and links and devices."""
    good: list[str] = []
    for member in members:
        found = _check_name(member)
        yield from found
        if not found:
            good.append(member.filename)
    yield from _check_duplicates(good)


def check_root(members: Sequence[zipfile.ZipInfo]) -> Iterator[Finding]:
    """Check whether a platform would build from the zip."""
    names = [member.filename for member in members if not is_folder(member.filename)]
    if not names:
        yield Finding("zip-empty", ERROR, "the zip", "is empty", "make it again with `zip`")
    elif _DOCKERFILE not in names:
        yield _without_dockerfile(names)
    for name in ("metadata", "metadata.yaml"):
        if name in names:
            what = "the platform would take the zip for code of its own kind"
            yield Finding("zip-platform-code", ERROR, name, what, "leave the file out")


def is_folder(name: str) -> bool:
    """As ZipInfo.is_dir, which fails on an empty name."""
    return name.endswith("/")


def has_second_name(extra: bytes) -> bool:
    """Whether an extra field gives the file another name."""
    while len(extra) >= 4:
        kind, size = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        if kind == UNICODE_PATH:
            return True
        extra = extra[4 + size :]
    return False


def fold(name: str) -> str:
    """A form that two names share if some file system takes them for one.

    Windows drops dots and spaces at the end of a part.
    """
    return "/".join(part.rstrip(". ").lstrip(" ") for part in casefold(name).split("/"))


def look(name: str) -> str:
    """A form that two names share if a reader cannot distinguish them."""
    return skeleton(fold(name))


def _is_readable(name: str) -> bool:
    """Whether all of a name is visible."""
    return name.isprintable() and not any(map(is_ignorable, name))


def _check_name(member: zipfile.ZipInfo) -> list[Finding]:
    """Findings about one name by itself."""
    name, original = member.filename, member.orig_filename
    parts = PurePosixPath(name).parts

    place = shown(original) if _is_readable(original) else ascii(original[:80])
    if (
        not parts
        or not _is_readable(original)
        or len(name) > MAX_NAME_CHARACTERS
        or any(len(part.encode()) > MAX_PART_BYTES for part in parts)
    ):
        return [
            Finding("zip-name-invalid", ERROR, place, "the name is empty, unprintable or too long", RENAME)
        ]
    # zipfile cuts a name at a NUL, turns backslashes on Windows, and since Python 3.12 takes another name
    # from an extra field: only a name that it left unchanged is read alike by every platform.
    if (
        name != original
        or has_second_name(member.extra)
        or "\\" in name
        or name.startswith("/")
        or re.match(r"[A-Za-z]:", name)
        or not {"..", "."}.isdisjoint(name.split("/"))
        or "//" in name
    ):
        what = "expected a relative path without backslash, '.', '..', empty part or second name"
        hint = "zip from inside the folder, with relative names"
        return [Finding("zip-name-path", ERROR, place, what, hint)]
    if not name.isascii() and not member.flag_bits & _UTF8_FLAG:
        what = "the name is in an encoding that the zip does not declare"
        return [Finding("zip-name-encoding", ERROR, place, what, "use letters of ASCII")]
    if any(part != part.strip(" ").rstrip(".") for part in parts):
        what = "the name begins or ends with a space, or ends with a dot, which Windows drops"
        return [Finding("zip-name-windows", ERROR, place, what, RENAME)]
    if _NOT_ON_WINDOWS.search(name) or any(
        _DEVICES.fullmatch(part.partition(".")[0].rstrip()) for part in parts
    ):
        what = "the name is reserved by Windows (CON, NUL, COM1, ...) or cannot be written there"
        return [Finding("zip-name-windows", ERROR, place, what, RENAME)]
    return _check_kind(member, name, parts)


def _check_kind(member: zipfile.ZipInfo, name: str, parts: Sequence[str]) -> list[Finding]:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (_FOLDER if is_folder(name) else _REGULAR):
        return [
            Finding(
                "zip-not-a-file",
                ERROR,
                shown(name),
                "expected a file, but got a link or a device",
                "put the file itself into the zip",
            )
        ]
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        what = "is compressed in a way that not every platform reads"
        return [Finding("zip-compression", ERROR, shown(name), what, "store or deflate it")]
    if "__MACOSX" in parts or parts[-1:] == (".DS_Store",):
        what = "is a file of macOS itself, which one platform takes for the submission"
        return [
            Finding(
                "zip-macos-file",
                ERROR,
                shown(name),
                what,
                "make the zip with `zip`, or leave them out (zip -X)",
            )
        ]
    return []


def _check_duplicates(names: Iterable[str]) -> Iterator[Finding]:
    """Find names that are there twice, on some system or to the eye; also of the folders on their way."""
    spelled: dict[str, str] = {}
    looks: dict[tuple[str, bool], str] = {}
    files: set[str] = set()
    folders: set[str] = set()
    for name in names:
        path = PurePosixPath(name)
        for part in (*list(path.parents)[-2::-1], path):
            place = part.as_posix()
            is_file = part == path and not is_folder(name)
            key = fold(place)
            if spelled.setdefault(key, place) != place or (is_file and place in files):
                yield Finding(
                    "zip-name-duplicate",
                    ERROR,
                    shown(name),
                    "is there twice (capitals do not count)",
                    "keep one of them",
                )
                break
            if place in (folders if is_file else files):
                yield Finding(
                    "zip-name-below-file", ERROR, shown(name), "lies below a file", "make the zip again"
                )
                break
            other = _look_alike(place, looks)
            if other:
                what = f"looks like {shown(other)}, another file's or folder's name"
                yield Finding("zip-name-look-alike", ERROR, shown(name), what, "rename one of them")
                break
            (files if is_file else folders).add(place)


def _look_alike(place: str, looks: dict[tuple[str, bool], str]) -> str:
    """A name that is seen as this one; names in ASCII alone (l and 1) are not compared."""
    skeleton, plain = look(place), place.isascii()
    others = [looks.get((skeleton, False)), *([] if plain else [looks.get((skeleton, True))])]
    looks.setdefault((skeleton, plain), place)
    return next((other for other in others if other not in (None, place)), None) or ""


def _without_dockerfile(names: Sequence[str]) -> Finding:
    similar = [name for name in names if look(name) == look(_DOCKERFILE)]
    if similar:
        what = "is not named Dockerfile, letter by letter"
        return Finding("zip-dockerfile-name", ERROR, shown(similar[0]), what, "rename it to Dockerfile")
    deeper = [name for name in names if PurePosixPath(name).name == _DOCKERFILE]
    if deeper:
        hint = "zip the files inside the folder, not the folder"
        return Finding(
            "zip-dockerfile-place",
            ERROR,
            shown(deeper[0]),
            "the Dockerfile is not at the root of the zip",
            hint,
        )
    what = "is not in the zip, but the platform builds from it"
    return Finding("zip-dockerfile-missing", ERROR, _DOCKERFILE, what, "make the zip with `zip`")
