"""The labelled images: read and checked once, kept decoded, augmented a batch at a time."""

import csv
import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F

from distributed import Group
from images import GRAY_MODES, ImageError, is_deep, read_header, read_image

Read = TypeVar("Read")

DEFAULT_SIDE = 224
"""Height and width, pixels, of images that differ in size or are larger than LARGEST_OWN_PIXELS."""

LARGEST_OWN_PIXELS = 1024 * 1024
"""Images with more are made smaller unless a size is asked for: a step on 32 of 4000x4000 takes 70 GiB."""

_VALUES_AT_ONCE = 2**24


class InputError(Exception):
    """The input folder is at fault; the message names the file and row."""


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """A row of a solution csv whose file is there."""

    path: Path
    class_name: str


@dataclass(frozen=True, slots=True)
class Split:
    """The images of a split, decoded.

    Args:
        images: (N, C, H, W), uint8, or float32 from 0 to 255 where a file has more than 8 bits; in memory, or
            in a file that is mapped into it.
        labels: (N,), int64.
    """

    images: torch.Tensor
    labels: torch.Tensor


def read_solution(in_dir: Path, split: str) -> list[LabelledFile]:
    """Read `SPLIT_solution.csv` and find the images that it names.

    Args:
        in_dir: The program's input.
        split: `training` or `validation`.

    Raises:
        InputError: The csv or a file that it names is not there, a wrong header, a row that is not two
            values, a file that is named twice.
    """
    path = in_dir / f"{split}_solution.csv"
    files: list[LabelledFile] = []
    seen: set[str] = set()
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.reader(opened, strict=True)
            header = next(reader, [])
            if header != ["file", "class"]:
                raise InputError(f"{path}:1: the header is {','.join(header)!r}; expected 'file,class'")
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if not row:
                    continue
                if len(row) != 2 or not all(row):
                    raise InputError(f"{where}: {row!r} is not a file and a class")
                if row[0] in seen:
                    raise InputError(f"{where}: {row[0]!r} appears twice")
                if not (in_dir / row[0]).is_file():
                    raise InputError(f"{where}: {row[0]!r} is not in {in_dir}")
                seen.add(row[0])
                files.append(LabelledFile(in_dir / row[0], row[1]))
    except FileNotFoundError:
        raise InputError(f"{path}: not found; the input folder holds it beside {split}-data/") from None
    except (csv.Error, UnicodeDecodeError) as fault:
        raise InputError(f"{path}: not a UTF-8 csv ({fault})") from None
    if not files:
        raise InputError(f"{path}: no row after the header")
    return files


def hash_files(files: Sequence[LabelledFile]) -> str:
    """SHA-256, in hexadecimal, over names, classes and bytes of the files in their order."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.path.name}\0{file.class_name}\0".encode())
        digest.update(hashlib.sha256(file.path.read_bytes()).digest())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Geometry:
    """What the images are brought to.

    Args:
        channels: 1 for gray, 3 for RGB.
        height: Pixels.
        width: Pixels.
        deep: Whether a file has more than 8 bits a channel.
        own_size: (width, height), pixels, of images that are brought to another size though all agree.
    """

    channels: int
    height: int
    width: int
    deep: bool
    own_size: tuple[int, int] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.height, self.width


def find_geometry(
    training: Sequence[LabelledFile], validation: Sequence[LabelledFile], image_size: int
) -> Geometry:
    """Decide the network's input from the images' headers.

    Args:
        training: The images that decide.
        validation: The others; only whether they have more than 8 bits counts.
        image_size: Height and width wanted, pixels; 0 takes the images' own if they agree and have no more
            than LARGEST_OWN_PIXELS, else 224.

    Returns:
        1 channel if all images are gray, else 3.

    Raises:
        InputError: An image cannot be read.
    """
    headers = {_read(read_header, file.path) for file in training}
    sizes = {size for size, _ in headers}
    modes = {mode for _, mode in headers}
    other_modes = {mode for _, mode in (_read(read_header, file.path) for file in validation)}
    own = sizes.pop() if len(sizes) == 1 else (DEFAULT_SIDE, DEFAULT_SIDE)
    large = own[0] * own[1] > LARGEST_OWN_PIXELS
    width, height = (DEFAULT_SIDE, DEFAULT_SIDE) if large else own
    return Geometry(
        channels=1 if modes <= GRAY_MODES else 3,
        height=image_size or height,
        width=image_size or width,
        deep=any(is_deep(mode) for mode in modes | other_modes),
        own_size=own if large and not image_size else None,
    )


def _read(read: Callable[[Path], Read], path: Path) -> Read:
    """Read an image file.

    Raises:
        InputError: It is no image that is taken.
    """
    try:
        return read(path)
    except ImageError as fault:
        raise InputError(f"{path}: cannot be read as an image ({fault})") from None


def decode(
    files: Sequence[LabelledFile],
    class_names: Sequence[str],
    geometry: Geometry,
    workers: int,
    pixel_file: Path | None,
) -> Split:
    """Decode a whole split, once: every epoch takes its batches from the pixels.

    Args:
        files: Its images.
        class_names: In label order.
        geometry: What they are brought to.
        workers: Threads that decode.
        pixel_file: Where the pixels go if they are too many for the memory; None keeps them in memory.

    Returns:
        The split, in the order of files.

    Raises:
        InputError: An image cannot be decoded, or its class is not among class_names.
    """
    label_of = {class_name: label for label, class_name in enumerate(class_names)}
    for file in files:
        if file.class_name not in label_of:
            raise InputError(f"{file.path}: its class {file.class_name!r} has no training image")
    shape, kind = (len(files), *geometry.shape), np.dtype(np.float32 if geometry.deep else np.uint8)
    images = np.empty(shape, kind) if pixel_file is None else _map_file(pixel_file, shape, kind)

    def read(number: int) -> None:
        images[number] = _read(lambda path: read_image(path, *geometry.shape), files[number].path)

    with ThreadPoolExecutor(max_workers=workers) as pool:
        # A thousand at a time, so that a fault or Ctrl-C does not wait for all.
        for start in range(0, len(files), 1000):
            deque(pool.map(read, range(start, min(start + 1000, len(files)))), maxlen=0)
    labels = torch.tensor([label_of[file.class_name] for file in files])
    return Split(torch.from_numpy(images), labels)


def _map_file(path: Path, shape: tuple[int, ...], kind: np.dtype[Any]) -> np.ndarray:
    """Map a new file into memory; the system keeps in memory what there is room for."""
    pixels = np.memmap(path, dtype=kind, mode="w+", shape=shape)
    # The mapping keeps the file alive; without a name it is gone with the process, however that ends.
    path.unlink()
    return pixels


def decoded_bytes(count: int, geometry: Geometry) -> int:
    """How much memory so many decoded images take."""
    return count * math.prod(geometry.shape) * (4 if geometry.deep else 1)


def channel_statistics(images: torch.Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of images scaled to 0..1.

    Args:
        images: (N, C, H, W), from 0 to 255.

    Returns:
        Two lists of C numbers with six decimals, as they stand in model.json.
    """
    total = torch.zeros(images.shape[1], dtype=torch.float64)
    squares = torch.zeros_like(total)
    # Large images a few at a time: each of their pixels takes three times 8 bytes here.
    at_once = max(1, min(256, _VALUES_AT_ONCE // math.prod(images.shape[1:])))
    for batch in images.split(at_once):
        scaled = batch.double() / 255.0
        total += scaled.sum(dim=(0, 2, 3))
        squares += scaled.square().sum(dim=(0, 2, 3))
    count = images.numel() / images.shape[1]
    mean = total / count
    spread = (squares / count - mean.square()).clamp(min=0.0).sqrt().clamp(min=1e-3)
    return [round(value, 6) for value in mean.tolist()], [round(value, 6) for value in spread.tolist()]


def normalise(
    images: torch.Tensor, mean: Sequence[float], standard_deviation: Sequence[float]
) -> torch.Tensor:
    """Scale to 0..1, then to the training images' mean and standard deviation.

    Args:
        images: (B, C, H, W), from 0 to 255.
        mean: Of each channel, of images from 0 to 1.
        standard_deviation: Likewise.

    Returns:
        Images (B, C, H, W), float32.
    """
    scaled = images.float() / 255.0
    center = torch.tensor(mean, device=images.device).view(1, -1, 1, 1)
    spread = torch.tensor(standard_deviation, device=images.device).view(1, -1, 1, 1)
    return (scaled - center) / spread


def shuffled_batches(count: int, batch_size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Yield the indices (B,) of one epoch's batches, in random order.

    A last batch of one image is left out: batch normalisation cannot train on it.
    """
    order = torch.randperm(count, generator=generator)
    for batch in order.split(batch_size):
        if len(batch) > 1:
            yield batch


def prefetch(
    batches: Iterable[torch.Tensor], fetch: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Fetch batches one ahead of the caller: what is on disk is read while the network is at work."""
    # One thread is one thread: by itself torch would give it a team of its own beside the network's, and the
    # two would take the processors from each other (an epoch took half as long again).
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        ahead: Future[tuple[torch.Tensor, torch.Tensor]] | None = None
        for batch in batches:
            following = pool.submit(fetch, batch)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How each image of a batch is changed.

    Args:
        affine: (B, 2, 3), from where in the image each pixel comes.
        contrast: (B, 1, 1, 1), by what it is multiplied.
    """

    affine: torch.Tensor
    contrast: torch.Tensor

    def deal(self, group: Group) -> "Augmentation":
        """The part of it that is of this process's images."""
        return Augmentation(group.deal(self.affine), group.deal(self.contrast))


def draw_augmentation(count: int, generator: torch.Generator) -> Augmentation:
    """Draw turn, mirror, scale, shift and contrast of each image of a batch.

    Args:
        count: B.
        generator: On the CPU, so that every device augments alike.

    Returns:
        What `augment` takes, on the CPU.
    """

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(count, *shape, generator=generator) * 2.0 - 1.0

    angle = uniform() * math.radians(15.0)
    scale = 1.0 + 0.15 * uniform()
    mirror = torch.where(uniform() < 0.0, -1.0, 1.0)
    affine = torch.zeros(count, 2, 3)
    affine[:, 0, 0] = torch.cos(angle) * scale * mirror
    affine[:, 0, 1] = -torch.sin(angle) * scale
    affine[:, 1, 0] = torch.sin(angle) * scale * mirror
    affine[:, 1, 1] = torch.cos(angle) * scale
    affine[:, :, 2] = 0.12 * uniform(2)
    return Augmentation(affine, 1.0 + 0.2 * uniform(1, 1, 1))


def augment(images: torch.Tensor, drawn: Augmentation) -> torch.Tensor:
    """Change a batch as drawn.

    Args:
        images: (B, C, H, W), normalised.
        drawn: Of the same B.

    Returns:
        Images (B, C, H, W).
    """
    grid = F.affine_grid(drawn.affine.to(images.device), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return moved * drawn.contrast.to(images.device)
