"""What a platform would refuse of a submission, and how to mend it; nothing of it is run."""

import ast
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from tools.archive import open_archive
from tools.errors import DataError, SubmissionError, shown
from tools.findings import Finding
from tools.formats.card import CARD_NAME, MAX_CARD_BYTES, parse_card
from tools.formats.dockerfile import Instruction, copied_sources, is_pattern, parse_dockerfile
from tools.formats.model_json import is_of_other_kind, parse_model_json
from tools.formats.weights import LFS_HINT, check_weights, is_pointer
from tools.guarded import At, Limits, find_guarded, listed, run_guarded
from tools.layout import Layout
from tools.manifest import Bundle, SubmissionSettings
from tools.sources.placed import check_together, known_class_names, names_in

MAX_TEXT_BYTES = 1 << 20
MAX_DOCKERFILE_BYTES = 1 << 16
MAX_SOURCES = 200
MAX_CODE_BYTES = 1 << 22
"""Of all Python files together; what comes after is not looked at."""

_NOT_THERE = "no such file; give a zip made by `zip`, or a results csv"


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
    if not path.is_file():
        raise SubmissionError(_NOT_THERE, path)
    with TemporaryDirectory(prefix="submission-") as folder:
        findings = open_archive(path, Path(folder), settings)
        if not any(finding.severity == "error" for finding in findings):
            findings += check_unpacked(Path(folder), class_names)
    return sorted(findings, key=lambda finding: finding.severity != "error")


def check_unpacked(folder: Path, class_names: Sequence[str]) -> list[Finding]:
    """Look, in a process of its own, at the files of a submission: see find_in_files."""
    arguments = {"folder": str(folder.absolute()), "class_names": list(class_names)}
    return find_guarded("tools.checking:find_in_files", arguments, "the zip")


def find_in_files(folder: str, class_names: Sequence[str]) -> Iterator[list[str] | At]:
    """Find what a build would fail on, and what breaks the contract of the model; yields findings.

    What may exceed a limit comes last, so that all other findings are there by then.
    """
    root = Path(folder)
    yield At("Dockerfile")
    instructions, findings = _read_dockerfile(root)
    yield from map(listed, findings)
    if instructions is None:
        return
    yield from map(listed, [*_check_dockerfile(instructions), *_check_copied(instructions, root)])
    copied = [source.strip("/").removeprefix("./") for source, _ in copied_sources(instructions)]
    for check in (_check_files(root, copied), _check_card(root), _check_model_card(root, class_names)):
        yield from (item if isinstance(item, At) else listed(item) for item in check)
    for item in _check_code(root):
        yield item if isinstance(item, At) else listed(item)


def _read_dockerfile(folder: Path) -> tuple[list[Instruction] | None, list[Finding]]:
    text = _read_text(folder / "Dockerfile", MAX_DOCKERFILE_BYTES)
    if text is None:
        what = "not a UTF-8 text of at most 64 KB"
        return None, [Finding("error", "Dockerfile", what, "save it as UTF-8")]
    instructions = parse_dockerfile(text)
    if len(copied_sources(instructions)) > MAX_SOURCES:
        what = f"copies more than {MAX_SOURCES} files or folders by name"
        return None, [Finding("error", "Dockerfile", what, "copy folders")]
    return instructions, []


def _check_files(folder: Path, copied: Sequence[str]) -> Iterator[Finding | At]:
    """Look for files that are not copied, and for weights that are not whole."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or name in ("Dockerfile", CARD_NAME):
            continue
        yield At(name)
        used = any(_takes(source, name) for source in copied)
        if not used:
            yield Finding("warning", name, "the Dockerfile does not copy it", "leave it out of the zip")
        if is_pointer(path):
            what = "is a pointer of Git LFS, not the file itself"
            # A source with a variable may take it, too.
            severity = "error" if used or any("$" in source for source in copied) else "warning"
            yield Finding(severity, name, what, LFS_HINT)
            continue
        try:
            check_weights(path)
        except SubmissionError as fault:
            yield _from_error(name, fault)


def _check_card(folder: Path) -> Iterator[Finding | At]:
    """Warn of a card that is not read: what is wrong in it, the file's name can make up for."""
    path = folder / CARD_NAME
    if path.is_file():
        yield At(CARD_NAME)
        try:
            with path.open("rb") as opened:
                parse_card(opened.read(MAX_CARD_BYTES + 1))
        except SubmissionError as fault:
            yield _from_error(CARD_NAME, fault, "warning")


def _from_error(name: str, fault: DataError, severity: str = "error") -> Finding:
    """A finding of an error about one file: where, what and what to do."""
    where = name if fault.row is None else f"{name}:{fault.row}"
    what, _, hint = str(fault).removeprefix(f"{fault.path}:").removeprefix(f"{fault.row}:").partition("; ")
    return Finding(severity, where, what.strip(), hint)


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
    arguments = {"path": str(path.absolute()), "image_names": sorted(image_names)}
    arguments["class_names"] = list(class_names)
    limits = Limits(memory_mb=512 + len(image_names) // 500, cpu_s=20 + len(image_names) // 20_000)
    ((count, warning),) = run_guarded("tools.formats.label_table:count_predictions", arguments, limits)
    return int(count), str(warning)


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


def _check_model_card(folder: Path, class_names: Sequence[str]) -> Iterator[Finding | At]:
    path = folder / "model_output" / "model.json"
    if path.is_file():
        name = path.relative_to(folder).as_posix()
        yield At(name)
        text = _read_text(path)
        if text is None:
            yield Finding("error", name, "not a UTF-8 text of at most 1 MB", "train again")
            return
        if not path.with_name("best_metric_model.onnx").exists() and is_of_other_kind(text):
            return  # a method of another kind: its own program alone reads it
        try:
            card = parse_model_json(text, name, SubmissionError)
        except DataError as fault:
            yield Finding("error", name, str(fault).removeprefix(f"{name}: "), "train again")
            return
        unknown = [
            class_name for class_name in card.class_names if class_names and class_name not in class_names
        ]
        if unknown:
            what = f"knows a class {shown(unknown[0])}, but this challenge has {', '.join(class_names)}"
            yield Finding("error", name, what, "train on this challenge's images")


def _check_code(folder: Path) -> Iterator[Finding | At]:
    """Parse the code, small files first: one that takes too long ends this."""
    left = MAX_CODE_BYTES
    files = [(path.stat().st_size, path) for path in folder.rglob("*.py") if path.is_file()]
    for size, path in sorted(files):
        left -= size
        if left < 0:
            return
        name = path.relative_to(folder).as_posix()
        yield At(name)
        text = _read_text(path)
        try:
            if text is None:
                raise ValueError("not a UTF-8 text of at most 1 MB")
            ast.parse(text)
        except (RecursionError, MemoryError):
            what = "is nested too deeply, or needs too much memory, to be parsed"
            yield Finding("error", name, what, "make it simpler")
        except (SyntaxError, ValueError) as fault:
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
