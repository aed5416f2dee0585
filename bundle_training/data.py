"""The images: checked, decoded once, then normalised and augmented a batch at a time."""

import hashlib
import math
import os
import re
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError

# What Pillow may try, whatever a file is called: its other formats start programs or are hardly tested.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP", "PPM")
DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})  # more than 8 bits per channel
GRAY_MODES = DEEP_MODES | {"1", "L", "LA"}
MODES = GRAY_MODES | {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
PNM_MODES = frozenset({"1", "L", "I", "RGB"})  # of pbm, pgm, ppm: Pillow opens others under these names
MAX_PIXELS = 50_000_000

# Images that differ in size, or with more pixels than this, are resized to 224x224 unless --image-size is
# given: a step on 32 images of 4000x4000 takes 70 GiB.
LARGEST_OWN_PIXELS = 1024 * 1024
DEFAULT_SIDE = 224

VALUES_AT_ONCE = 2**24  # for the statistics: float64 copies of all images would not fit

# Damaged metadata, and images over Pillow's own limit, which is higher than MAX_PIXELS.
warnings.filterwarnings("ignore", module="PIL")

Result = TypeVar("Result")


class InputError(Exception):
    """The input or an option is at fault; the message is the one line that the participant sees."""


class ImageError(Exception):
    """A file is not an image that can be used; the message gives the reason, without the file's name."""


# 1. What identifies the program.


def hash_program(folder: Path) -> str:
    """SHA-256 over all that the program can read from its own folder: modules, weights, settings.

    Left out is what its image lacks too: hidden files, __pycache__, wheelhouse, and what .dockerignore names
    (Docker's reference, ".dockerignore file"; a pattern with a character class matches nothing here).
    """
    names = program_files(folder)
    rules = folder / ".dockerignore"
    kept = dict.fromkeys(names, True)
    for line in rules.read_text(encoding="utf-8").splitlines() if rules.is_file() else ():
        pattern = re.escape(line.strip().removeprefix("!").strip("/").removeprefix("./"))
        for words, meaning in (("**/", "(?:.*/)?"), ("**", ".*"), ("*", "[^/]*"), ("?", "[^/]")):
            pattern = pattern.replace(re.escape(words), meaning)
        if pattern and not line.startswith("#"):
            for name in filter(re.compile(f"{pattern}(?:/.*)?").fullmatch, names):
                kept[name] = line.strip().startswith("!")  # the last line that matches decides
    digest = hashlib.sha256()
    for name in sorted(name for name in names if kept[name]):
        with (folder / name).open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        digest.update(f"{name}\0{content}\0".encode())
    return digest.hexdigest()


def program_files(folder: Path) -> list[str]:
    """The files below a folder, with slashes; links are followed, but not into a folder seen before."""
    names: list[str] = []
    seen = {os.path.realpath(folder)}
    for place, folders, files in os.walk(folder, followlinks=True):
        above = Path(place)
        hidden = {name for name in (*folders, *files) if name.startswith(".")} | {"__pycache__", "wheelhouse"}
        folders[:] = [
            name for name in folders if name not in hidden and os.path.realpath(above / name) not in seen
        ]
        seen |= {os.path.realpath(above / name) for name in folders}
        found = [above / name for name in files if name not in hidden]
        names += [path.relative_to(folder).as_posix() for path in found if path.is_file()]
    return names


# 2. What the network gets: decided from the headers, before any image is decoded.


@dataclass(frozen=True, slots=True)
class Geometry:
    """The network's input."""

    channels: int  # 1: all training images are gray; 3: RGB
    height: int
    width: int
    deep: bool  # whether a file has more than 8 bits per channel
    own_size: tuple[int, int] | None = None  # (width, height) of images that are resized though all agree

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.height, self.width

    def decoded_bytes(self, count: int) -> int:
        """Memory that so many decoded images take."""
        return count * math.prod(self.shape) * (4 if self.deep else 1)


def find_geometry(training: Sequence[Path], validation: Sequence[Path], image_size: int) -> Geometry:
    """Decide from the training images; image_size 0 keeps their size if all agree and it is not too large."""
    headers = {_checked(read_header, path) for path in training}
    sizes, modes = {size for size, _ in headers}, {mode for _, mode in headers}
    all_modes = modes | {_checked(read_header, path)[1] for path in validation}
    own = sizes.pop() if len(sizes) == 1 else (DEFAULT_SIDE, DEFAULT_SIDE)
    is_large = math.prod(own) > LARGEST_OWN_PIXELS
    width, height = (DEFAULT_SIDE, DEFAULT_SIDE) if is_large else own
    return Geometry(
        channels=1 if modes <= GRAY_MODES else 3,
        height=image_size or height,
        width=image_size or width,
        deep=not all_modes.isdisjoint(DEEP_MODES),
        own_size=own if is_large and not image_size else None,
    )


def _checked(read: Callable[[Path], Result], path: Path) -> Result:
    try:
        return read(path)
    except ImageError as fault:
        raise InputError(f"{path}: cannot be read as an image ({fault})") from None


# 3. Image files as arrays. bundle_inference/infer.py decodes the same way; a test holds the two together.


def read_header(path: Path) -> tuple[tuple[int, int], str]:
    """An image's (width, height) and Pillow mode."""
    with open_image(path) as opened:
        return opened.size, opened.mode


def read_image(path: Path, channels: int, height: int, width: int) -> np.ndarray:
    """Decode an image to (C, H, W), from 0 to 255: uint8, or float32 of a file with more than 8 bits."""
    with open_image(path) as opened:
        try:
            image = _convert(opened, channels)
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.asarray(image)
        except ImageError:
            raise
        except Exception as fault:
            raise ImageError(_describe(fault)) from None
    if pixels.ndim == 2:
        return np.repeat(pixels[None], channels, axis=0)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _convert(opened: Image.Image, channels: int) -> Image.Image:
    """Gray or RGB from 0 to 255; transparency is ignored."""
    opened.load()
    if opened.mode in DEEP_MODES:
        values = np.asarray(opened, dtype=np.float32)
        # 16-bit files use the range of 16 bits; floating-point files run from 0 to 1.
        highest = 1.0 if opened.mode == "F" else 65535.0
        if not (np.isfinite(values).all() and values.min() >= 0.0 and values.max() <= highest):
            raise ImageError(f"values that are not from 0 to {highest:g}")
        return Image.fromarray(values * (255.0 / highest))
    opened.info.pop("transparency", None)  # else Pillow looks for a colour to stand for it
    if channels == 3 or opened.mode not in GRAY_MODES:
        opened = opened.convert("RGB")
    return opened.convert("L" if channels == 1 else "RGB")


def open_image(path: Path) -> Image.Image:
    """Open an image file and check its header; an import accepts the same files."""
    try:
        opened = Image.open(path, formats=FORMATS)
        try:
            _check_header(opened)
        except BaseException:
            opened.close()
            raise
    except ImageError:
        raise
    except Exception as fault:  # of damaged files Pillow raises nearly anything
        raise ImageError(_describe(fault)) from None
    return opened


def _check_header(opened: Image.Image) -> None:
    frames = getattr(opened, "n_frames", 1)
    if frames != 1:
        raise ImageError(f"{frames} frames or pages, expected one")
    if opened.mode not in (PNM_MODES if opened.format == "PPM" else MODES):
        raise ImageError(f"the mode {opened.mode} is not taken; save it in gray or RGB")
    if opened.width * opened.height > MAX_PIXELS:
        raise ImageError(f"{opened.width}x{opened.height} pixels; at most {MAX_PIXELS:,} are read")


def _describe(fault: Exception) -> str:
    if isinstance(fault, UnidentifiedImageError):
        return f"not an image; expected {', '.join(FORMATS)}"
    return next(iter(str(fault).strip().splitlines()), "") or type(fault).__name__


# 4. A whole split, decoded once; every epoch takes its batches from the pixels.


class Split(NamedTuple):
    """Decoded images (N, C, H, W), uint8 or float32 from 0 to 255, and what is to be learnt (N, ...)."""

    images: torch.Tensor
    targets: torch.Tensor

    def to(self, device: torch.device) -> "Split":
        """The split on a device."""
        return Split(self.images.to(device), self.targets.to(device))


def decode(paths: Sequence[Path], geometry: Geometry, workers: int, pixel_file: Path | None) -> torch.Tensor:
    """Decode images in so many threads, into memory or, if they are too many, into a mapped file."""
    shape, kind = (len(paths), *geometry.shape), np.float32 if geometry.deep else np.uint8
    images: np.ndarray
    if pixel_file is None:
        images = np.empty(shape, kind)
    else:
        images = np.memmap(pixel_file, dtype=kind, mode="w+", shape=shape)
        # The mapping keeps the file alive; without a name it is gone with the process, however that ends.
        pixel_file.unlink()

    def read(number: int) -> None:
        images[number] = _checked(lambda path: read_image(path, *geometry.shape), paths[number])

    with ThreadPoolExecutor(max_workers=workers) as pool:
        # A thousand at a time, so that a fault or Ctrl-C does not wait for all.
        for start in range(0, len(paths), 1000):
            deque(pool.map(read, range(start, min(start + 1000, len(paths)))), maxlen=0)
    return torch.from_numpy(images)


def channel_statistics(images: torch.Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of images (N, C, H, W) scaled to 0..1, six decimals."""
    total = torch.zeros(images.shape[1], dtype=torch.float64)
    squares = torch.zeros_like(total)
    at_once = max(1, min(256, VALUES_AT_ONCE // math.prod(images.shape[1:])))
    for batch in images.split(at_once):
        scaled = batch.double() / 255.0
        total += scaled.sum(dim=(0, 2, 3))
        squares += scaled.square().sum(dim=(0, 2, 3))
    count = images.numel() / images.shape[1]
    mean = total / count
    spread = (squares / count - mean.square()).clamp(min=0.0).sqrt().clamp(min=1e-3)
    return [round(value, 6) for value in mean.tolist()], [round(value, 6) for value in spread.tolist()]


# 5. Batches.


def shuffled_batches(
    count: int, batch_size: int, generator: torch.Generator, at_least: int = 1
) -> list[torch.Tensor]:
    """The indices (B,) of one epoch's batches; a last batch of fewer images than needed is left out."""
    order = torch.randperm(count, generator=generator)
    # Batch normalisation cannot train on one image, and each process needs one.
    return [batch for batch in order.split(batch_size) if len(batch) >= max(2, at_least)]


def prefetch(
    split: Split, batches: Iterable[torch.Tensor], device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Fetch images (B, C, H, W) and targets (B, ...) one batch ahead: read while the network works."""

    def fetch(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return split.images[rows].to(device), split.targets[rows].to(device)

    # One thread must be one thread: torch would give it a team of its own next to the network's, and the two
    # would take the processors from each other (an epoch took half as long again).
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        ahead: Future[tuple[torch.Tensor, torch.Tensor]] | None = None
        for batch in batches:
            following = pool.submit(fetch, batch)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()


def normalise(
    images: torch.Tensor, mean: Sequence[float], standard_deviation: Sequence[float]
) -> torch.Tensor:
    """Images (B, C, H, W) from 0..255 to float32 of mean 0 and deviation 1, per channel."""
    center = torch.tensor(mean, device=images.device).view(1, -1, 1, 1)
    spread = torch.tensor(standard_deviation, device=images.device).view(1, -1, 1, 1)
    return (images.float() / 255.0 - center) / spread


@dataclass(frozen=True, slots=True)
class Changes:
    """How much an image may be changed at most."""

    mirror: str = "horizontal"  # or none, or both: left and right, and top and bottom
    rotation: float = 15.0  # degrees, either way
    scaling: float = 0.15  # from 1 - 0.15 to 1 + 0.15
    shift: float = 0.06  # of the side, in every direction
    contrast: float = 0.2  # from 1 - 0.2 to 1 + 0.2


class Augmentation(NamedTuple):
    """How each image of a batch is changed."""

    affine: torch.Tensor  # (B, 2, 3), from where in the image each pixel comes
    contrast: torch.Tensor  # (B, 1, 1, 1), a factor


def draw_augmentation(count: int, generator: torch.Generator, changes: Changes) -> Augmentation:
    """Draw rotation, mirroring, scale, shift, contrast; on the CPU, so that every device augments alike."""

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(count, *shape, generator=generator) * 2.0 - 1.0

    angle = uniform() * math.radians(changes.rotation)
    scale = 1.0 + changes.scaling * uniform()
    # Drawn in any case: an option that is off changes nothing else of the training.
    horizontal = torch.where(uniform() < 0.0, -1.0, 1.0)
    affine = torch.zeros(count, 2, 3)
    affine[:, :, 2] = 2.0 * changes.shift * uniform(2)
    contrast = 1.0 + changes.contrast * uniform(1, 1, 1)
    if changes.mirror == "none":
        horizontal = torch.ones(count)
    vertical = torch.ones(count)
    if changes.mirror == "both":
        vertical = torch.where(uniform() < 0.0, -1.0, 1.0)
    affine[:, 0, 0] = torch.cos(angle) * scale * horizontal
    affine[:, 0, 1] = -torch.sin(angle) * scale * vertical
    affine[:, 1, 0] = torch.sin(angle) * scale * horizontal
    affine[:, 1, 1] = torch.cos(angle) * scale * vertical
    return Augmentation(affine, contrast)


def augment(images: torch.Tensor, drawn: Augmentation) -> torch.Tensor:
    """Change normalised images (B, C, H, W) as drawn."""
    grid = F.affine_grid(drawn.affine.to(images.device), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return moved * drawn.contrast.to(images.device)
