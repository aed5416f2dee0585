"""What an import has downloaded, kept until it is complete, so that an interrupted one goes on."""

import contextlib
import hashlib
import os
import re
import shutil
from pathlib import Path

from challenge_bundle.layout import Layout
from challenge_bundle.sources.base import SourceImage

_KEY_BYTES = 16
_NAME = re.compile(r"([0-9a-f]{32})-([0-9a-f]{64})")


class Downloads:
    """The images of one source that were fetched and are valid.

    A file's name is a hash of where the image is and its version, a dash, and the hash of its bytes. What a
    power cut damages has another hash and is fetched again, so keeping an image does not wait for the disk.

    Args:
        folder: Where they are; need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names = os.listdir(folder) if folder.is_dir() else []
        # Others are a file manager's or a network's own.
        found = [match for match in map(_NAME.fullmatch, names) if match]
        # As bytes, for there may be a million.
        self._kept = {bytes.fromhex(match[1]): bytes.fromhex(match[2]) for match in found}

    def read(self, image: SourceImage) -> bytes | None:
        """Give an image's bytes; None if they are not there, or damaged."""
        sha256 = self._kept.get(_key(image))
        if sha256 is None:
            return None
        try:
            data = self._file(image, sha256.hex()).read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).digest() == sha256 else None

    def keep(self, image: SourceImage, sha256: str, file: str, data: bytes | None = None) -> None:
        """Keep what is in a file, by a link that takes no room, if the source knows the image's version.

        An import does not need this: it reports by itself that a disk is full.

        Args:
            image: The image.
            sha256: Of the bytes that are kept.
            file: What holds them.
            data: The bytes, where the file holds other ones.
        """
        if image.version is None:
            return
        kept = self._file(image, sha256)
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            kept.unlink(missing_ok=True)
            if data is not None:
                kept.write_bytes(data)
                return
            try:
                os.link(file, kept)
            except OSError:
                # Another file system, or one without links.
                shutil.copyfile(file, kept)

    def _file(self, image: SourceImage, sha256: str) -> Path:
        return self.folder / f"{_key(image).hex()}-{sha256}"


def open_downloads(source: str, layout: Layout) -> Downloads:
    """What was fetched from a source; what the import of another one left is removed.

    Args:
        source: Its description.
        layout: Of the bundle that is filled.
    """
    folder = layout.downloads / _hash(source).hex()
    if layout.downloads.is_dir():
        for other in layout.downloads.iterdir():
            if other.is_dir() and other != folder:
                shutil.rmtree(other)
    return Downloads(folder)


def _key(image: SourceImage) -> bytes:
    return _hash(f"{image.origin}\0{image.version}")


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:_KEY_BYTES]
