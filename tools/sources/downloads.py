"""What an import has fetched from afar, kept until it is complete, so that one that broke off goes on."""

import contextlib
import hashlib
import shutil
from pathlib import Path

from tools.layout import Layout
from tools.sources.base import SourceImage

_DIGEST_BYTES = 32


def open_downloads(source: str, layout: Layout) -> Path:
    """The folder of what is fetched from a source; what the import of another one left is removed.

    Args:
        source: Its description.
        layout: Of the bundle that is filled.
    """
    folder = layout.downloads / hashlib.sha256(source.encode()).hexdigest()
    if layout.downloads.is_dir():
        for other in layout.downloads.iterdir():
            if other != folder:
                shutil.rmtree(other)
    return folder


def keep_download(image: SourceImage, data: bytes, sha256: str, folder: Path) -> None:
    """Keep an image's bytes, with their hash before them.

    To keep them is a help, no need: whether the disk is full is for the import itself to say.
    """
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with _file(image, folder).open("wb") as out:
            out.write(bytes.fromhex(sha256))
            out.write(data)


def read_download(image: SourceImage, folder: Path) -> bytes | None:
    """Give an image's bytes; None if they are not there, or not whole.

    Whatever a kill or a power cut spoils has another hash and is fetched again: keeping waits for no disk.
    """
    try:
        kept = _file(image, folder).read_bytes()
    except OSError:
        return None
    data = kept[_DIGEST_BYTES:]
    return data if hashlib.sha256(data).digest() == kept[:_DIGEST_BYTES] else None


def _file(image: SourceImage, folder: Path) -> Path:
    return folder / hashlib.sha256(f"{image.origin}\0{image.version}".encode()).hexdigest()
