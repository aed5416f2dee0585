"""One image with its masks as a network takes them, and a cache of many on disk."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from challenge_bundle.dicom.contours import check_contour, contour_to_mask, read_contour
from challenge_bundle.dicom.reading import DicomImage, read_dicom
from challenge_bundle.dicom.sunnybrook import ContourSlice
from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.files import replacing, signature
from challenge_bundle.installation import install_hint
from challenge_bundle.progress import Progress

MASKS = {"inner": ("inner",), "outer": ("outer",), "both": ("inner", "outer")}
"""Which contours become masks, in the order of their channels."""

_FORMAT = 2
"""Of a cache; one with another number is made again."""

_DECODED_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class SampleForm:
    """What an image and its contours are made into.

    Args:
        masks: `inner`, `outer` or `both`.
        shape: (H, W) that images are cut or padded to about their centre, pixels; None leaves them.
        standardise: Whether an image is brought to mean 0 and standard deviation 1, bright being positive;
            else it keeps the scanner's values.
        first_pixel: What the contours' files call the centre of the first pixel, in x and y: 0, or 1 as
            MATLAB does.
    """

    masks: str = "inner"
    shape: tuple[int, int] | None = None
    standardise: bool = True
    first_pixel: float = 0.0

    def contours_of(self, item: ContourSlice) -> list[Path | None]:
        """The files of the contours that are asked for, in the order of the masks' channels."""
        return [getattr(item, name) for name in MASKS[self.masks]]


def read_sample(item: ContourSlice, form: SampleForm) -> tuple[np.ndarray, np.ndarray]:
    """Decode an image and fill its contours.

    Args:
        item: With all contours that are asked for.
        form: What they are made into.

    Returns:
        Image (H, W), float32; masks (C, H, W), bool.

    Raises:
        DataError: The image or a contour is at fault.
    """
    decoded = read_dicom(item.dicom)
    image = decoded.pixels
    masks = [_read_mask(path, image.shape, form.first_pixel) for path in form.contours_of(item) if path]
    if form.standardise:
        image = _standardise(image, decoded)
    if form.shape:
        # Cut or padded with the darkest value: there is no tissue beyond an image's edge.
        image = _fit(image, form.shape, float(image.min()))
        masks = [_fit(mask, form.shape, False) for mask in masks]
    return image.astype(np.float32), np.stack(masks)


def _standardise(image: np.ndarray, decoded: DicomImage) -> np.ndarray:
    """Mean 0, standard deviation 1, bright being positive; padding counts in neither and is the darkest."""
    values = image if decoded.padding is None else image[~decoded.padding]
    if not values.size:
        return np.zeros_like(image)
    spread = float(values.std()) or 1.0
    standard: np.ndarray = (image - values.mean()) / (-spread if decoded.header.inverted else spread)
    if decoded.padding is not None:
        standard[decoded.padding] = standard[~decoded.padding].min()
    return standard


def _read_mask(path: Path, shape: tuple[int, ...], first_pixel: float) -> np.ndarray:
    contour_px = read_contour(path)
    findings = check_contour(contour_px, (shape[0], shape[1]), str(path), first_pixel)
    if findings:
        found = findings[0]
        raise DataError(found.message, path, code=found.code, hint=found.hint)
    return contour_to_mask(contour_px - first_pixel, (shape[0], shape[1]))


def _fit(array: np.ndarray, shape: tuple[int, int], fill: float) -> np.ndarray:
    """Cut or pad (H, W) about its centre."""
    fitted = np.full(shape, fill, array.dtype)
    lengths = [min(have, want) for have, want in zip(array.shape, shape, strict=True)]
    source, target = (
        tuple(
            slice((length - part) // 2, (length - part) // 2 + part)
            for length, part in zip(of, lengths, strict=True)
        )
        for of in (array.shape, shape)
    )
    fitted[target] = array[source]
    return fitted


class SampleCache:
    """All samples of an index, decoded once and kept in one HDF5 file.

    It is made again when the size or time of a source file changes, or the index or the form. Several
    processes may open one at once: the first makes it, the others wait.

    Args:
        path: The file; its folder is made.
        index: The images.
        form: What they are made into.
        workers: Threads that decode.
        progress: Called with (what is done, how many are done, how many there are).

    Raises:
        DataError: An image or a contour is at fault, or the images differ in size.
        UnavailableError: h5py is not installed.
    """

    def __init__(
        self,
        path: Path,
        index: Sequence[ContourSlice],
        form: SampleForm,
        workers: int,
        progress: Progress,
    ) -> None:
        key = _key(index, form)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if _key_of(path) != key:
                _write(path, key, index, form, workers, progress)
            # Opened under the lock: whoever makes another one leaves this one's file to who has it open.
            self._file = path.open("rb", buffering=0)
            with _h5py().File(path, "r") as opened:
                # Where they begin: samples lie one after another, and one is read without HDF5, which takes
                # four times as long. Not by a mapping, whose pages would count as this process's memory.
                self._images_at = opened["images"].id.get_offset()
                self._masks_at = opened["masks"].id.get_offset()
                self.shape: tuple[int, int] = opened["images"].shape[1:]

    def read(self, number: int, image: np.ndarray, masks: np.ndarray) -> None:
        """Copy a sample; not to be called by two threads at once.

        Args:
            number: In the index.
            image: Gets it: (H, W), float32.
            masks: Gets them: (C, H, W), bool.
        """
        for start, array in ((self._images_at, image), (self._masks_at, masks)):
            self._file.seek(start + number * array.nbytes)
            if self._file.readinto(array.data) != array.nbytes:
                raise DataError(
                    "ends too early",
                    self._file.name,
                    code="cache-truncated",
                    hint="remove it",
                )

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _h5py() -> Any:
    try:
        import h5py
    except ModuleNotFoundError:
        raise UnavailableError(
            "a cache of images needs h5py", code="h5py-missing", hint=install_hint("dicom")
        ) from None
    return h5py


def _key(index: Sequence[ContourSlice], form: SampleForm) -> str:
    """A hash of all that a cache's content depends on: names, sizes and times of the files, and the form."""
    files = [path for item in index for path in (item.dicom, *form.contours_of(item)) if path]
    settings = [_FORMAT, form.masks, form.shape, form.standardise, form.first_pixel]
    return hashlib.sha256(f"{json.dumps(settings)}\0{signature(files)}".encode()).hexdigest()


def _key_of(path: Path) -> str | None:
    """The key of a cache; None if there is none that can be read."""
    if not path.exists():
        return None
    try:
        with _h5py().File(path, "r") as opened:
            return str(opened.attrs["key"])
    except (OSError, KeyError):
        return None


def _write(
    path: Path,
    key: str,
    index: Sequence[ContourSlice],
    form: SampleForm,
    workers: int,
    progress: Progress,
) -> None:
    """Decode all images; the file stands under its name once all are in it."""
    with replacing(path) as temporary, _h5py().File(temporary, "w") as out:
        for number, (image, masks) in enumerate(_decode(index, form, workers)):
            if number == 0:
                # Whole, not in chunks: a sample is one read, and pixels of a scanner hardly compress.
                images_out = out.create_dataset("images", (len(index), *image.shape), np.float32)
                masks_out = out.create_dataset("masks", (len(index), *masks.shape), np.uint8)
                first = image.shape
            if image.shape != first:
                raise DataError(
                    f"{image.shape} pixels (H, W), but {index[0].dicom} has {first}",
                    index[number].dicom,
                    code="images-differ-in-size",
                    hint="give a shape that all are cut or padded to",
                )
            images_out[number], masks_out[number] = image, masks
            progress("decoding", number + 1, len(index))
        out.attrs["key"] = key


def _decode(
    index: Sequence[ContourSlice], form: SampleForm, workers: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All samples in order, a few at a time, so that memory stays flat and a fault does not wait for all."""
    with ThreadPoolExecutor(max_workers=workers) as pool:
        for start in range(0, len(index), _DECODED_AT_ONCE):
            part = index[start : start + _DECODED_AT_ONCE]
            yield from pool.map(lambda item: read_sample(item, form), part)
