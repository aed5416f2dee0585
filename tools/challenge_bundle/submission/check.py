"""What a platform would refuse of a submission, and how to fix it; nothing of it is run."""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from challenge_bundle.engines.build_context import ANY_IMAGE, DOCKERFILE, read_dockerfile, read_ignore_rules
from challenge_bundle.errors import DataError, SubmissionError, shown
from challenge_bundle.findings import ERROR, WARNING, Finding
from challenge_bundle.formats.build_recipe import Recipe, read_recipe
from challenge_bundle.formats.dockerfile import DockerfileError
from challenge_bundle.formats.dockerignore import DOCKERIGNORE, IgnoreRules
from challenge_bundle.formats.model_json import is_of_other_kind, parse_model_json
from challenge_bundle.formats.submission_toml import CARD_NAME, MAX_CARD_BYTES, parse_card
from challenge_bundle.formats.weights import LFS_HINT, check_weights, is_pointer
from challenge_bundle.guarded import At, find_guarded, listed
from challenge_bundle.settings import SubmissionSettings
from challenge_bundle.submission.build_rules import NO_RULES, BuildRules, check_rules, parse_rules
from challenge_bundle.submission.recipe_checks import BuildContext, check_recipe, taken_files, unused_file
from challenge_bundle.submission.unpack import open_archive

MAX_TEXT_BYTES = 1 << 20
MAX_SOURCES = 200
MAX_CODE_BYTES = 1 << 22
"""Of all Python files together; what comes after is not looked at."""

_NOT_THERE, _NOT_THERE_HINT = "no such file", "give a zip made by `zip`, or a results csv"


def check_submission(
    path: Path,
    settings: SubmissionSettings,
    class_names: Sequence[str],
    rules: BuildRules = NO_RULES,
) -> list[Finding]:
    """Find what is wrong with a submission zip; nothing of it is run.

    Args:
        path: The zip.
        settings: What a submission may be.
        class_names: The bundle's classes or labels, which a model.json may name; empty if unknown here.
        rules: What is known of how it is built.

    Returns:
        Findings, errors first; none if it would be taken.

    Raises:
        SubmissionError: There is no such file.
    """
    if not path.is_file():
        raise SubmissionError(_NOT_THERE, path, code="no-such-file", hint=_NOT_THERE_HINT)
    with TemporaryDirectory(prefix="submission-") as folder:
        findings = open_archive(path, Path(folder), settings)
        if not any(finding.severity == ERROR for finding in findings):
            findings += check_unpacked(Path(folder), class_names, rules)
    return sorted(findings, key=lambda finding: finding.severity != ERROR)


def check_unpacked(folder: Path, class_names: Sequence[str], rules: BuildRules) -> list[Finding]:
    """Look, in a process of its own, at the files of a submission: see find_in_files."""
    arguments = {
        "folder": str(folder.absolute()),
        "class_names": list(class_names),
        "rules_text": rules.to_text(),
    }
    return find_guarded("challenge_bundle.submission.check:find_in_files", arguments, "the zip")


def find_in_files(
    folder: str, class_names: Sequence[str], rules_text: str = NO_RULES.to_text()
) -> Iterator[list[str | int | None] | At]:
    """Find what a build would fail on, and what breaks the contract of the model; yields findings.

    What may exceed a limit comes last, so that all other findings are there by then.
    """
    root, rules = Path(folder), parse_rules(rules_text)
    yield At("Dockerfile")
    recipe, findings = _read_dockerfile(root, rules.base_image)
    yield from map(listed, findings)
    yield At(DOCKERIGNORE)
    ignored, findings = _read_ignored(root)
    yield from map(listed, findings)
    names = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*")) if path.is_file()]
    hidden = {name: line for name in names if name != DOCKERFILE and (line := ignored.line_of(name))}
    context = BuildContext(root, ignored.name, frozenset(names), hidden)
    # Where nobody knows what is copied, everything may be.
    taken = context.names
    if recipe is not None:
        yield from map(listed, check_recipe(recipe, context))
        taken = taken_files(recipe, context)
        yield from map(listed, check_rules(recipe, context, taken, rules))
    for check in (_check_files(context, taken), _check_card(root), _check_model_card(root, class_names)):
        yield from (item if isinstance(item, At) else listed(item) for item in check)
    newer = recipe is not None and any(_has_newer_python(base.name) for base in recipe.bases)
    for item in _check_code(root, frozenset() if newer else taken):
        yield item if isinstance(item, At) else listed(item)


def _read_dockerfile(folder: Path, base_image: str) -> tuple[Recipe | None, list[Finding]]:
    try:
        text = read_dockerfile(folder / DOCKERFILE)
        # Without a default of its own it takes the image that the challenge gives.
        has_own = re.search(r"(?im)^\s*ARG\s.*\bBASE_IMAGE=", text) is not None
        given = base_image or ("" if has_own else ANY_IMAGE)
        recipe = read_recipe(text, {"BASE_IMAGE": given} if given else {})
    except DockerfileError as fault:
        return None, [fault.finding]
    except DataError:
        return None, [
            Finding(
                "dockerfile-encoding",
                ERROR,
                DOCKERFILE,
                "not a UTF-8 text of at most 64 KB",
                "save it as UTF-8",
            )
        ]
    if sum(len(copied.sources) for copied in recipe.copies) > MAX_SOURCES:
        what = f"copies more than {MAX_SOURCES} files or folders by name"
        return None, [Finding("dockerfile-source-count", ERROR, DOCKERFILE, what, "copy folders")]
    return recipe, []


def _read_ignored(folder: Path) -> tuple[IgnoreRules, list[Finding]]:
    try:
        return read_ignore_rules(folder / DOCKERFILE, [folder]), []
    except DataError as fault:
        return IgnoreRules(), [fault.finding]


def _check_files(context: BuildContext, taken: frozenset[str]) -> Iterator[Finding | At]:
    """Look for files that the image does not hold, and for weights that are not whole."""
    for name in sorted(context.names - {DOCKERFILE, DOCKERIGNORE, context.ignore_name, CARD_NAME}):
        path = context.folder / name
        yield At(name)
        used = name in taken
        if not used:
            yield unused_file(name, context)
        if is_pointer(path):
            what = "is a pointer of Git LFS, not the file itself"
            yield Finding("weights-pointer", ERROR if used else WARNING, name, what, LFS_HINT)
            continue
        try:
            check_weights(path)
        except SubmissionError as fault:
            yield replace(fault.finding, location=name)


def _check_card(folder: Path) -> Iterator[Finding | At]:
    """Warn of a card that is not read: the name of the zip can replace it."""
    path = folder / CARD_NAME
    if path.is_file():
        yield At(CARD_NAME)
        try:
            with path.open("rb") as opened:
                parse_card(opened.read(MAX_CARD_BYTES + 1))
        except SubmissionError as fault:
            yield replace(fault.finding, location=CARD_NAME, severity=WARNING)


def _check_model_card(folder: Path, class_names: Sequence[str]) -> Iterator[Finding | At]:
    path = folder / "model_output" / "model.json"
    if path.is_file():
        name = path.relative_to(folder).as_posix()
        yield At(name)
        text = _read_text(path)
        if text is None:
            yield Finding("model-encoding", ERROR, name, "not a UTF-8 text of at most 1 MB", "train again")
            return
        if not path.with_name("best_metric_model.onnx").exists() and is_of_other_kind(text):
            return  # a participant's own format, which only its own program reads
        try:
            card = parse_model_json(text, name, SubmissionError)
        except DataError as fault:
            yield fault.finding
            return
        unknown = [
            class_name for class_name in card.class_names if class_names and class_name not in class_names
        ]
        if unknown:
            what = f"has the class {shown(unknown[0])}, but the classes are {', '.join(class_names)}"
            yield Finding("model-class-unknown", ERROR, name, what, "train on this challenge's images")


def _has_newer_python(image: str) -> bool:
    """Whether an image's name has a newer version of Python than the one that parses here."""
    version = re.search(r"python:?3\.(\d+)", image)
    return version is not None and int(version[1]) > sys.version_info.minor


def _check_code(folder: Path, run_here: frozenset[str]) -> Iterator[Finding | At]:
    """Parse the code, small files first: one that takes too long ends this.

    Args:
        folder: The unpacked zip.
        run_here: Files that come into an image whose Python is not newer than this one. What cannot be parsed
            in any other is a warning, for it may be right there, or is never run.
    """
    left = MAX_CODE_BYTES
    files = [(path.stat().st_size, path) for path in folder.rglob("*.py") if path.is_file()]
    for size, path in sorted(files):
        left -= size
        if left < 0:
            return
        name = path.relative_to(folder).as_posix()
        yield At(name)
        try:
            if size > MAX_TEXT_BYTES:
                raise ValueError("larger than 1 MB")
            # As bytes: a file may declare its encoding in its first lines.
            ast.parse(path.read_bytes())
        except (RecursionError, MemoryError):
            what = "is nested too deeply, or needs too much memory, to be parsed"
            yield Finding("code-too-complex", ERROR, name, what, "make it simpler")
        except (SyntaxError, ValueError) as fault:
            severity = ERROR if name in run_here else WARNING
            reason, row = (fault.msg, fault.lineno) if isinstance(fault, SyntaxError) else (str(fault), None)
            version = f"Python {sys.version_info.major}.{sys.version_info.minor}"
            what, hint = f"is not valid Python ({reason})", f"correct it for {version}"
            yield Finding("code-syntax", severity, name, what, hint, row or None)


def _read_text(path: Path, limit_bytes: int = MAX_TEXT_BYTES) -> str | None:
    """A small UTF-8 text, or None."""
    if not path.is_file() or path.stat().st_size > limit_bytes:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
