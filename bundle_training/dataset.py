"""The labelled images: read and checked once, kept decoded, augmented a batch at a time."""

import csv
import hashlib
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})


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
        images: (N, C, H, W), uint8, or float32 from 0 to 255 where a file has more than 8 bits.
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


def find_geometry(files: Sequence[LabelledFile], image_size: int) -> tuple[int, int, int]:
    """Decide the network's input from the images' headers.

    Args:
        files: The training images.
        image_size: Height and width wanted, pixels; 0 takes the images' own if they agree, else 224.

    Returns:
        (channels, height, width): 1 channel if all images are gray, else 3.

    Raises:
        InputError: An image cannot be read.
    """
    sizes: set[tuple[int, int]] = set()
    modes: set[str] = set()
    for file in files:
        try:
            with Image.open(file.path) as opened:
                sizes.add(opened.size)
                modes.add(opened.mode)
        except (OSError, ValueError, Image.DecompressionBombError) as fault:
            raise InputError(f"{file.path}: cannot be read as an image ({fault})") from None
    channels = 1 if modes <= GRAY_MODES else 3
    if image_size:
        return channels, image_size, image_size
    if len(sizes) == 1:
        width, height = sizes.pop()
        return channels, height, width
    return channels, 224, 224


def read_image(path: Path, channels: int, height: int, width: int) -> np.ndarray:
    """Decode an image to the network's channels and size; the inference program does the same.

    Args:
        path: Of any mode and size that Pillow reads.
        channels: 1 for gray, 3 for RGB.
        height: Wanted, pixels.
        width: Wanted, pixels.

    Returns:
        Image (C, H, W), from 0 to 255: uint8, or float32 where the file has more than 8 bits a channel.
    """
    with Image.open(path) as opened:
        if opened.mode in ("I", "F") or opened.mode.startswith("I;16"):
            values = np.asarray(opened, dtype=np.float32)
            # 16-bit files use the range of 16 bits; floating-point files are taken to run from 0 to 1.
            image = Image.fromarray(values * (255.0 if opened.mode == "F" else 255.0 / 65535.0))
        else:
            image = opened.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        return np.repeat(pixels[None], channels, axis=0)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def decode(
    files: Sequence[LabelledFile], class_names: Sequence[str], geometry: tuple[int, int, int], workers: int
) -> Split:
    """Decode a whole split.

    Args:
        files: Its images.
        class_names: In label order.
        geometry: (channels, height, width).
        workers: Threads that decode.

    Raises:
        InputError: An image cannot be decoded, or its class is not among class_names.
    """
    label_of = {class_name: label for label, class_name in enumerate(class_names)}
    for file in files:
        if file.class_name not in label_of:
            raise InputError(f"{file.path}: its class {file.class_name!r} has no training image")

    def read(file: LabelledFile) -> np.ndarray:
        try:
            return read_image(file.path, *geometry)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as fault:
            raise InputError(f"{file.path}: cannot be read as an image ({fault})") from None

    with ThreadPoolExecutor(max_workers=workers) as pool:
        images = np.stack(list(pool.map(read, files)))
    labels = torch.tensor([label_of[file.class_name] for file in files])
    return Split(torch.from_numpy(images), labels)


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


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Turn, mirror, scale, move and change the contrast of a batch, each image in its own way.

    Args:
        images: (B, C, H, W), normalised.
        generator: On the CPU, so that every device augments alike.

    Returns:
        Images (B, C, H, W).
    """
    count = len(images)

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
    contrast = 1.0 + 0.2 * uniform(1, 1, 1)
    grid = F.affine_grid(affine.to(images.device), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return moved * contrast.to(images.device)
