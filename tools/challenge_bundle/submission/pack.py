"""The submission zip: what the inference Dockerfile copies, and nothing else, the same bytes each time."""

import io
import shutil
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import BinaryIO

from challenge_bundle.engines.build_context import context_files
from challenge_bundle.errors import DataError
from challenge_bundle.files import hash_file, replacing
from challenge_bundle.findings import WARNING, Finding
from challenge_bundle.formats.model_json import read_model_json
from challenge_bundle.formats.submission_toml import CARD_NAME, card_text
from challenge_bundle.layout import Layout
from challenge_bundle.runs.programs import INFERENCE, TRAINING, check_inputs, output_files

_TIME = (1980, 1, 1, 0, 0, 0)
_FILE_MODE, _SCRIPT_MODE = 0o100644, 0o100755
_SCRIPT_SIGN = b"#!"
_CHUNK_BYTES = 1 << 20


def pack_submission(layout: Layout, output: Path, team: str = "", method: str = "") -> dict[str, int]:
    """Write the inference submission.

    Stored, not compressed: weights do not shrink, and no version of a compressor changes the bytes.

    Args:
        layout: Of the bundle.
        output: The zip.
        team: Whose it is, for a submission.toml; empty writes none.
        method: What it is called there.

    Returns:
        Bytes of each file in it.

    Raises:
        DataError: The trained model or a file that the Dockerfile copies is not there, or one has the
            reference in it.
    """
    check_inputs(INFERENCE, layout)
    if layout.model_output / "model.json" in output_files(TRAINING, layout):
        read_model_json(layout.model_output / "model.json")
    program_dir = layout.program_dir(INFERENCE.folder)
    files = context_files(program_dir / "Dockerfile", layout.root, program_dir)
    refuse_reference(files, layout)
    contents: dict[str, Path | bytes] = {**files}
    if team:
        contents[CARD_NAME] = card_text(team, method).encode()
    sizes: dict[str, int] = {}
    with replacing(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            sizes[name] = add_file(archive, name, content)
    return sizes


def add_file(archive: zipfile.ZipFile, name: str, content: Path | bytes) -> int:
    """Add a file to a zip, with a fixed time and a mode by its content; gives its bytes."""
    member = zipfile.ZipInfo(name, _TIME)
    member.create_system = 3
    with opened(content) as source:
        is_script = source.read(len(_SCRIPT_SIGN)) == _SCRIPT_SIGN
    # By its content: a copy on another system may have lost its mode.
    member.external_attr = (_SCRIPT_MODE if is_script else _FILE_MODE) << 16
    member.file_size = content.stat().st_size if isinstance(content, Path) else len(content)
    with archive.open(member, "w") as out, opened(content) as source:
        shutil.copyfileobj(source, out, _CHUNK_BYTES)
    return member.file_size


def opened(content: Path | bytes) -> BinaryIO:
    """A file's content as a stream."""
    return content.open("rb") if isinstance(content, Path) else io.BytesIO(content)


def refuse_reference(files: Mapping[str, Path], layout: Layout) -> None:
    """Refuse to pack the reference of the testing images, under whatever name.

    Raises:
        DataError: A file has the reference's bytes.
    """
    reference = layout.solution_csv("testing")
    if not reference.is_file():
        return
    size, digest = reference.stat().st_size, hash_file(reference)
    for name, path in files.items():
        if path.stat().st_size == size and hash_file(path) == digest:
            raise DataError(
                f"has the same bytes as the reference {reference}",
                name,
                code="contains-reference",
                hint="leave it out: participants must not see it",
            )


def not_copied(layout: Layout, names: Collection[str]) -> list[Finding]:
    """Warn of what training promises and the inference Dockerfile does not copy.

    Args:
        layout: Of the bundle.
        names: Of the files in the zip.
    """
    dockerfile = f"{INFERENCE.folder}/Dockerfile"
    return [
        Finding(
            "output-not-copied",
            WARNING,
            dockerfile,
            f"does not copy {name}, which training writes for it",
            "write COPY model_output/ model_output/, or leave it out of 'outputs' in program.toml",
        )
        for name in (path.relative_to(layout.root).as_posix() for path in output_files(TRAINING, layout))
        if name not in names
    ]
