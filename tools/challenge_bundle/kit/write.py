"""The participant kit: the files that participants get, and nothing that they must not see."""

import os
import shutil
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from challenge_bundle.dataset.consistency import check_together
from challenge_bundle.dataset.placed import names_in
from challenge_bundle.dataset.summary import known_class_names
from challenge_bundle.errors import DataError
from challenge_bundle.files import replacing, synchronise
from challenge_bundle.formats.kit_json import KIT_NAME, Kit, kit_text
from challenge_bundle.formats.reference import read_reference
from challenge_bundle.kit.texts import public_manifest, readme_text
from challenge_bundle.layout import TASK_NAME, Layout, solution_name, split_dir_name
from challenge_bundle.settings import Bundle
from challenge_bundle.submission.pack import add_file, opened

_TIME_S = 315_532_800
"""1980-01-01, UTC, of every file: the order of true times could reveal classes or splits."""

_FILE_MODE = 0o644
_LABELLED = ("training", "validation")

Content = bytes | Path
"""Of a file of the kit: its bytes, or where they are copied from."""


def write_kit(bundle: Bundle, layout: Layout, kit: Kit, output: Path) -> int:
    """Write the kit, whole or not at all; the same content gives the same bytes.

    Args:
        bundle: The organiser's manifest.
        layout: Of the organiser's bundle.
        kit: What submissions are built with.
        output: A new folder, or a file with the suffix .zip or .tar.

    Returns:
        How many files it has.

    Raises:
        DataError: There are no data to hand out, or the folder is there already.
    """
    files = kit_files(bundle, layout, kit)
    if output.suffix.lower() == ".zip":
        _write_zip(files, output)
    elif output.suffix.lower() == ".tar":
        _write_tar(files, output)
    else:
        _write_folder(files, output)
    return len(files)


def kit_files(bundle: Bundle, layout: Layout, kit: Kit) -> dict[str, Content]:
    """What a kit holds, by name: listed one by one, so that nothing else comes in.

    Raises:
        DataError: There are no data to hand out, or they are of two data sets.
    """
    class_names = known_class_names(bundle, layout)
    images: dict[str, Content] = {}
    check_together(layout)
    for split in _LABELLED:
        path = layout.solution_csv(split)
        if not path.is_file():
            raise DataError(
                "not found, but a kit contains data", path, code="kit-no-data", hint="run `data import` first"
            )
        names = sorted(read_reference(path).label_of)
        images[f"input_data/{solution_name(split)}"] = path
        images |= _images(layout, split, names)
    if layout.task_json.is_file():
        images[f"input_data/{TASK_NAME}"] = layout.task_json
    testing = sorted(names_in(layout.testing_data))
    if not testing:
        raise DataError(
            "has no images, but a kit contains data",
            layout.testing_data,
            code="kit-no-data",
            hint="run `data import` first",
        )
    images |= _images(layout, "testing", testing)
    texts = {
        "README.md": readme_text(bundle, class_names, kit),
        "bundle.toml": public_manifest(bundle, class_names),
        KIT_NAME: kit_text(kit),
    }
    return {**{name: text.encode() for name, text in texts.items()}, **dict(sorted(images.items()))}


def _images(layout: Layout, split: str, names: Sequence[str]) -> dict[str, Content]:
    folder = layout.split_dir(split)
    for name in names:
        if not (folder / name).is_file() or (folder / name).is_symlink():
            raise DataError(
                "expected a plain file, but got a link or a folder",
                folder / name,
                code="kit-not-a-file",
                hint="import the images again",
            )
    return {f"input_data/{split_dir_name(split)}/{name}": folder / name for name in names}


def _write_folder(files: Mapping[str, Content], output: Path) -> None:
    if output.exists():
        raise DataError(
            "exists already", output, code="output-exists", hint="give another name, or remove it"
        )
    incoming = output.with_name(f".{output.name}.part")
    shutil.rmtree(incoming, ignore_errors=True)
    try:
        for name, content in files.items():
            path = incoming / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, path)
            else:
                path.write_bytes(content)
            path.chmod(_FILE_MODE)
            os.utime(path, (_TIME_S, _TIME_S))
            synchronise(path)
        incoming.rename(output)
        synchronise(output.absolute().parent)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _write_zip(files: Mapping[str, Content], output: Path) -> None:
    with replacing(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            add_file(archive, name, content)


def _write_tar(files: Mapping[str, Content], output: Path) -> None:
    with replacing(output) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = content.stat().st_size if isinstance(content, Path) else len(content)
            member.mode, member.mtime = _FILE_MODE, _TIME_S
            with opened(content) as source:
                archive.addfile(member, source)
