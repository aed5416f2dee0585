"""The submission zip: what the inference Dockerfile copies, and nothing else, the same bytes each time."""

import zipfile
from pathlib import Path

from tools.errors import DataError
from tools.files import replacing
from tools.formats.dockerfile import copied_sources, parse_dockerfile
from tools.formats.model_json import read_model_json
from tools.layout import Layout
from tools.programs import INFERENCE, check_inputs

DOCKERFILE = "Dockerfile"
_TIME = (1980, 1, 1, 0, 0, 0)
_REGULAR_FILE_MODE = 0o100644


def submission_files(dockerfile_text: str, root: Path) -> dict[str, Path]:
    """Decide what goes into the zip: the files that COPY and ADD name, folders with all that they hold.

    Args:
        dockerfile_text: Of the inference program.
        root: What its sources are relative to.

    Returns:
        The file for each name in the zip, by name; the Dockerfile itself not among them.

    Raises:
        DataError: A source is not there, or is outside of the root.
    """
    files: dict[str, Path] = {}
    for source, line in copied_sources(parse_dockerfile(dockerfile_text)):
        path = (root / source.lstrip("/")).resolve()
        if not path.is_relative_to(root.resolve()):
            raise DataError(
                f"copies {source}, which is outside of {root}; copy from inside", DOCKERFILE, line
            )
        if not path.exists():
            raise DataError(
                f"copies {source}, which is not in {root}; make it, or mend the line", DOCKERFILE, line
            )
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                files[file.relative_to(root.resolve()).as_posix()] = file
    return dict(sorted(files.items()))


def pack_submission(layout: Layout, output: Path) -> dict[str, int]:
    """Write the inference submission.

    Stored, not compressed: weights do not shrink, and no version of a compressor changes the bytes.

    Args:
        layout: Of the bundle.
        output: The zip.

    Returns:
        Bytes of each file in it.

    Raises:
        DataError: The trained model or a file that the Dockerfile copies is not there.
    """
    check_inputs(INFERENCE, layout)
    read_model_json(layout.model_output / "model.json")
    dockerfile = layout.program_dir(INFERENCE.folder) / DOCKERFILE
    if not dockerfile.is_file():
        raise DataError("not found; a submission is built from it", dockerfile)
    files = submission_files(dockerfile.read_text(encoding="utf-8"), _context(layout))
    sizes: dict[str, int] = {}
    with replacing(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, file in {DOCKERFILE: dockerfile, **files}.items():
            member = zipfile.ZipInfo(name, _TIME)
            member.create_system = 3
            member.external_attr = _REGULAR_FILE_MODE << 16
            member.file_size = sizes[name] = file.stat().st_size
            with file.open("rb") as opened, archive.open(member, "w") as out:
                while chunk := opened.read(1 << 20):
                    out.write(chunk)
    return sizes


def _context(layout: Layout) -> Path:
    """What the Dockerfile's sources are relative to: the folder that holds both the program and the model."""
    program_parent = layout.program_dir(INFERENCE.folder).parent
    if program_parent != layout.root:
        raise DataError(
            f"{INFERENCE.folder}/ is not in this bundle, so its Dockerfile cannot copy it;"
            " copy the folder there",
            layout.root,
        )
    return layout.root
