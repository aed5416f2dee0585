"""What a build takes from a folder: its Dockerfile, and what that copies and no .dockerignore leaves out."""

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from challenge_bundle.errors import DataError
from challenge_bundle.formats.build_recipe import read_recipe
from challenge_bundle.formats.dockerfile import MAX_BYTES, DockerfileError
from challenge_bundle.formats.dockerignore import DOCKERIGNORE, IgnoreRules, parse_dockerignore
from challenge_bundle.formats.dockerignore import MAX_BYTES as MAX_IGNORE_BYTES
from challenge_bundle.formats.path_patterns import has_wildcards, parse_pattern
from challenge_bundle.guarded import run_guarded
from challenge_bundle.layout import STATE_NAME, SUBMISSION_DIR_NAME, solution_name

DOCKERFILE = "Dockerfile"
_MODEL_HINT = "run `train`, or copy what your training writes: COPY model_output/ model_output/"
ANY_IMAGE = "any:given"
"""Stands for a base image that is known only when the image is built."""


def read_dockerfile(path: Path) -> str:
    """Read a Dockerfile's text.

    Raises:
        DataError: It is not there, too large or not UTF-8.
    """
    if not path.is_file():
        raise DataError(
            "not found, but the image is built from it", path, code="dockerfile-missing", hint="write one"
        )
    if path.stat().st_size > MAX_BYTES:
        raise DataError(
            f"is larger than {MAX_BYTES >> 10} KB",
            path,
            code="dockerfile-size",
            hint="move long steps into a script",
        )
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DataError("not UTF-8", path, code="dockerfile-encoding", hint="save it as UTF-8") from None


def read_ignore_rules(dockerfile: Path, folders: Sequence[Path]) -> IgnoreRules:
    """Read what a build leaves out of its context.

    Args:
        dockerfile: Beside which `Dockerfile.dockerignore` may lie, which counts first, as for BuildKit.
        folders: Where a .dockerignore may lie; the first one counts.

    Raises:
        DataError: It is a folder or not UTF-8, or a pattern in it is not valid.
    """
    own = dockerfile.with_name(f"{dockerfile.name}{DOCKERIGNORE}")
    for path in (own, *(folder / DOCKERIGNORE for folder in folders)):
        if path.is_dir():
            raise DataError(
                "is a folder", path.name, code="dockerignore-folder", hint="make it a file, or leave it out"
            )
        if path.is_file():
            with path.open("rb") as opened:
                content = opened.read(MAX_IGNORE_BYTES + 1)
            try:
                return parse_dockerignore(content.decode("utf-8", "strict"), path.name)
            except UnicodeDecodeError:
                raise DataError(
                    "not UTF-8", path.name, code="dockerignore-encoding", hint="save it as UTF-8"
                ) from None
    return IgnoreRules()


def submission_files(folder: Path) -> tuple[dict[str, Path], bool]:
    """List what the files of a submission give to its build.

    Returns:
        (each file that no .dockerignore leaves out, by name, and the Dockerfile; whether that is left out)

    Raises:
        DataError: The .dockerignore is not valid, or takes too long to read.
    """
    names = _names_in(folder)
    hidden = set(
        run_guarded("challenge_bundle.engines.build_context:find_hidden", {"folder": str(folder.absolute())})
    )
    kept = {name: folder / name for name in names if name == DOCKERFILE or name not in hidden}
    kept.pop(DOCKERIGNORE, None)
    return kept, DOCKERFILE in hidden


def find_hidden(folder: str) -> Iterator[str]:
    """Yield the files that a .dockerignore leaves out; for a guarded process."""
    rules = read_ignore_rules(Path(folder, DOCKERFILE), [Path(folder)])
    yield from (name for name in _names_in(Path(folder)) if rules.line_of(name))


def _names_in(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]


def context_files(dockerfile: Path, context: Path, program_dir: Path) -> dict[str, Path]:
    """List what an image is built from: the files that COPY and ADD name, folders with all that they hold.

    What a .dockerignore leaves out stays out, of a folder also what is no part of a program (hidden files,
    wheels, Python's cache), and a reference is never taken, whatever the Dockerfile names: both the zip and
    the image go to other people.

    Args:
        dockerfile: Which may lie outside of the context.
        context: What its sources are relative to.
        program_dir: The program's folder. A source that begins with its name is taken from there: a bundle
            without programs of its own uses the project's.

    Returns:
        The file for each name in the context, `Dockerfile` first, the others in order of name.

    Raises:
        DataError: The Dockerfile or a source is not there, the Dockerfile is not understood, a source is left
            out by a .dockerignore, is a link, or holds a reference.
    """
    rules = read_ignore_rules(dockerfile, [context, program_dir.parent])
    try:
        recipe = read_recipe(read_dockerfile(dockerfile), {"BASE_IMAGE": ANY_IMAGE})
    except DockerfileError as fault:
        raise DataError.of(replace(fault.finding, location=str(dockerfile))) from None
    files: dict[str, Path] = {}
    for copied in recipe.copies:
        for source in copied.sources:
            relative = posixpath.normpath(source.lstrip("/") or ".")
            in_program = relative.partition("/")[0] == program_dir.name
            root = (program_dir.parent if in_program else context).resolve()
            found = _found(root, relative, dockerfile)
            if not found and not has_wildcards(source):
                raise DataError(
                    f"copies {source}, which is not in {root}",
                    dockerfile,
                    copied.line,
                    code="copy-missing",
                    hint=_MODEL_HINT if relative.startswith("model_output/") else "make it",
                )
            lines = {name: rules.line_of(name) for name in found}
            if (line := lines.get(relative)) and found[relative].is_file():
                what = f"copies {source}, which line {line} of {rules.name} leaves out"
                raise DataError(
                    what, dockerfile, copied.line, code="copy-ignored", hint="correct one of the two lines"
                )
            kept = {name: path for name, path in found.items() if not lines[name] and name != DOCKERIGNORE}
            for name, path in kept.items():
                _check_own(name, path, dockerfile, copied.line)
            files |= kept
    return {DOCKERFILE: dockerfile, **dict(sorted(files.items()))}


def wheels_folder(names: Iterable[str]) -> PurePosixPath | None:
    """Where a build's wheels are put: beside the requirements.txt, of several the first; None without one."""
    found = [path for path in map(PurePosixPath, names) if path.name == "requirements.txt"]
    return min(found).with_name("wheelhouse") if found else None


def _found(root: Path, source: str, dockerfile: Path) -> dict[str, Path]:
    """The files that a source takes, by their names below the root."""
    places = [root]
    for part in () if source == "." else parse_pattern(source).alternatives[0]:
        folders = [place for place in places if place.is_dir()]
        children = [child for folder in folders for child in folder.iterdir()]
        places = [child for child in children if part is None or part.fullmatch(child.name)]
    found = {
        path.relative_to(root).as_posix(): path
        for place in places
        for path in ([place] if place.is_file() else place.rglob("*"))
        if path.is_file() and not _is_no_part(path, place, dockerfile)
    }
    return dict(sorted(found.items()))


def _is_no_part(file: Path, copied: Path, dockerfile: Path) -> bool:
    """Whether a file is no part of a program because its folder alone is named, and not the file.

    Such are hidden files, wheels (their own line copies them) and the Dockerfile; Python's cache never is.
    """
    inside = file.relative_to(copied).parts
    if "__pycache__" in file.parts or "wheelhouse" in inside:
        return True
    is_dockerfile = len(inside) == 1 and file == dockerfile.resolve()
    return is_dockerfile or any(part.startswith(".") for part in inside)


def _check_own(name: str, path: Path, dockerfile: Path, line: int) -> None:
    """Refuse a file that must not go to other people.

    Raises:
        DataError: It is one.
    """
    if path.resolve() != path:
        what = f"copies {name}, which is a link or lies behind one"
        raise DataError(what, dockerfile, line, code="copy-link", hint="put the file itself there")
    if _has_true_classes(PurePosixPath(name)):
        what = f"copies {name}, which may contain the reference of the testing images"
        raise DataError(what, dockerfile, line, code="copy-reference", hint="copy less")


def _has_true_classes(name: PurePosixPath) -> bool:
    return name.parts[0] in (STATE_NAME, SUBMISSION_DIR_NAME) or name.name == solution_name("testing")
