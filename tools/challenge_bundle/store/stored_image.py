"""One image of the database, with all that is known of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from challenge_bundle.image_io import reading, to_eight_bits


@dataclass(frozen=True, slots=True, repr=False)
class StoredImage:
    """An image and its record.

    Args:
        sha256: SHA-256 of its bytes, in hexadecimal.
        width: Pixels.
        height: Pixels.
        mode: Mode of the pixels, as Pillow names it.
        format: Format of the file, as Pillow names it.
        label: Class name.
        origin: Where it came from.
        added: When it came into the store, UTC.
        group_name: What it shares with images of the same patient, or the like.
        split: Its split, if it has one.
        taken: When it was made, as its source reports it.
        path: The file, if the store has no bytes of it (`store ingest --by-path`).
        data: The file's bytes, otherwise.

    Example:
        >>> image = next(iter(store.images("label == 'CXR'", as_="record")))
        >>> image
        StoredImage('CXR', 64x64 L PNG, origin='images/CXR/1.png', sha256=9a0364b9..., 3,061 bytes)
        >>> image.pixels("RGB", size=(32, 32)).shape
        (32, 32, 3)
    """

    sha256: str
    width: int
    height: int
    mode: str
    format: str
    label: str
    origin: str
    added: str
    group_name: str | None = None
    split: str | None = None
    taken: str | None = None
    path: str | None = None
    data: bytes | None = None

    def __repr__(self) -> str:
        form = f"{self.label!r}, {self.width}x{self.height} {self.mode} {self.format}"
        place = f"path={self.path!r}" if self.data is None else f"{len(self.data):,} bytes"
        return f"StoredImage({form}, origin={self.origin!r}, sha256={self.sha256[:8]}..., {place})"

    def read(self) -> bytes:
        """Return the file's bytes, from the store or from its path.

        Raises:
            FileNotFoundError: The store has its path only, and the file is gone.
        """
        return self.data if self.data is not None else Path(str(self.path)).read_bytes()

    def pixels(self, mode: str | None = None, size: tuple[int, int] | None = None) -> np.ndarray:
        """Decode the image.

        Args:
            mode: `L` (gray) or `RGB`, of 8 bits a channel; None leaves the mode as Pillow decodes it.
            size: (width, height), pixels; the image is resized to it (bilinear). None leaves the size.

        Returns:
            Image (H, W) or (H, W, C), a writable array of its own.
        """
        with reading(self.read()) as opened:
            image = opened if mode is None else to_eight_bits(opened).convert(mode)
            if size is not None:
                image = image.resize(size, Image.Resampling.BILINEAR)
            # asarray would give the file's own bytes, which cannot be written, and torch warns of that.
            return np.array(image)
