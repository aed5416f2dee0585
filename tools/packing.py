"""The submission zip: what the inference Dockerfile copies, and nothing else, the same bytes each time."""

import zipfile
from pathlib import Path

from tools.files import replacing
from tools.formats.model_json import read_model_json
from tools.layout import Layout
from tools.programs import INFERENCE, check_inputs
from tools.runners.images import context_files

_TIME = (1980, 1, 1, 0, 0, 0)
_REGULAR_FILE_MODE = 0o100644


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
    program_dir = layout.program_dir(INFERENCE.folder)
    files = context_files(program_dir / "Dockerfile", layout.root, program_dir)
    sizes: dict[str, int] = {}
    with replacing(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, file in files.items():
            member = zipfile.ZipInfo(name, _TIME)
            member.create_system = 3
            member.external_attr = _REGULAR_FILE_MODE << 16
            member.file_size = sizes[name] = file.stat().st_size
            with file.open("rb") as opened, archive.open(member, "w") as out:
                while chunk := opened.read(1 << 20):
                    out.write(chunk)
    return sizes
