"""What a submission's Dockerfile does that a challenge refuses or a participant should know."""

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from challenge_bundle.engines.build_context import DOCKERFILE
from challenge_bundle.errors import shown
from challenge_bundle.findings import ERROR, WARNING, Finding
from challenge_bundle.formats.build_recipe import Copied, Recipe
from challenge_bundle.formats.dockerignore import DOCKERIGNORE
from challenge_bundle.formats.path_patterns import has_wildcards, parse_pattern

_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"]\x00\x00")
"""How gzip, bzip2, xz, zstd and lzma begin."""

_TAR_BLOCK_BYTES = 512
_TAR_SUM = slice(148, 156)


@dataclass(frozen=True, slots=True)
class BuildContext:
    """The files that a build has.

    Args:
        folder: Holds them.
        ignore_name: Of the file that names what is left out.
        names: Of all files, with slashes.
        hidden: Those that are left out, each with the line that excludes it.
    """

    folder: Path
    ignore_name: str
    names: frozenset[str]
    hidden: Mapping[str, int]

    def matches(self, source: str) -> frozenset[str]:
        """The files that a source of COPY names, hidden ones among them."""
        relative = posixpath.normpath(source.lstrip("/") or ".")
        if relative == ".":
            return self.names
        pattern = parse_pattern(relative)
        return frozenset(name for name in self.names if pattern.covers(name))


def taken_files(recipe: Recipe, context: BuildContext) -> frozenset[str]:
    """The files that come into the image, or into a stage of its build."""
    named = (context.matches(source) for copied in recipe.copies for source in copied.sources)
    return frozenset[str]().union(*named) - context.hidden.keys() - {DOCKERIGNORE}


def unused_file(name: str, context: BuildContext) -> Finding:
    """The finding of a file that does not come into the image."""
    line = context.hidden.get(name)
    if line is None:
        hint = "add a COPY if the program needs it; else leave it out of the zip"
        return Finding("file-not-copied", WARNING, name, "the Dockerfile does not copy it", hint)
    hint = "correct that line if the program needs the file; else leave it out of the zip"
    return Finding("file-ignored", WARNING, name, f"hidden by {context.ignore_name} line {line}", hint)


def check_recipe(recipe: Recipe, context: BuildContext) -> Iterator[Finding]:
    """Find what a build would fail on, and what a platform would refuse."""
    for line in recipe.volume_lines:
        hint = "leave VOLUME out; write to /mnt/out or /tmp"
        yield Finding("volume", ERROR, DOCKERFILE, "declares a volume", hint, line)
    if not recipe.has_command:
        hint = 'end with ENTRYPOINT ["python", "infer.py"]'
        yield Finding(
            "dockerfile-no-program",
            ERROR,
            DOCKERFILE,
            "has neither ENTRYPOINT nor CMD: no program is started",
            hint,
        )
    for base in recipe.bases:
        if not base.has_version:
            name = base.name.removesuffix(":latest")
            what = f"the base image {shown(name)} has no version"
            hint = f"name the version that you tested, such as {name}:1.0"
            yield Finding("base-image-version", WARNING, DOCKERFILE, what, hint, base.line)
    for copied in recipe.copies:
        yield from _check_copied(copied, context)
    if recipe.user.split(":")[0] in ("", "0", "root"):
        hint = "end with a line such as USER 1000"
        yield Finding(
            "dockerfile-root-user",
            WARNING,
            DOCKERFILE,
            "the image runs as root, which some platforms refuse",
            hint,
        )


def _check_copied(copied: Copied, context: BuildContext) -> Iterator[Finding]:
    row = copied.line
    if all(map(has_wildcards, copied.sources)) and not any(map(context.matches, copied.sources)):
        what = f"copies {shown(copied.sources[0])}, which is the name of no file in the zip"
        yield Finding(
            "copy-matches-nothing",
            WARNING,
            DOCKERFILE,
            what,
            "correct the pattern: a build fails that copies nothing",
            row,
        )
    for source in copied.sources:
        named = context.matches(source)
        kept = named - context.hidden.keys()
        if copied.unpacks:
            yield from _check_added(source, kept, context, row)
        if kept or has_wildcards(source) or posixpath.normpath(source.lstrip("/") or ".") == ".":
            continue
        if named:
            line = min(context.hidden[name] for name in named)
            what = f"copies {shown(source)}, which is hidden by {context.ignore_name} line {line}"
            yield Finding(
                "copy-ignored",
                ERROR,
                DOCKERFILE,
                what,
                f"correct that line, or add '!{source}' below it",
                row,
            )
        else:
            what = f"copies {shown(source)}, which is not in the zip"
            yield Finding("copy-missing", ERROR, DOCKERFILE, what, "add the file, or correct the line", row)


def _check_added(source: str, kept: frozenset[str], context: BuildContext, row: int) -> Iterator[Finding]:
    """Refuse an ADD that would unpack: the files in the archive are not checked."""
    for name in sorted(kept):
        # Files in a folder are copied as they are.
        is_named = has_wildcards(source) or posixpath.normpath(source.lstrip("/")) == name
        if is_named and may_be_archive(context.folder / name):
            what = f"ADD {shown(name)}, which would be unpacked"
            yield Finding(
                "add-archive",
                ERROR,
                DOCKERFILE,
                what,
                "use COPY, and put the files themselves into the zip",
                row,
            )


def may_be_archive(path: Path) -> bool:
    """Whether the engine may take a file for an archive; by its first bytes, nothing is unpacked."""
    with path.open("rb") as opened:
        head = opened.read(_TAR_BLOCK_BYTES)
    if head.startswith(_COMPRESSED) or head[257:262] == b"ustar":
        return True
    # The oldest tar has no sign but a sum, in which its own digits count as blanks.
    digits = head[_TAR_SUM].strip(b" \0")
    if len(head) < _TAR_BLOCK_BYTES or not digits.isdigit() or digits.strip(b"01234567"):
        return False
    return int(digits, 8) == sum(head) - sum(head[_TAR_SUM]) + 8 * ord(" ")
