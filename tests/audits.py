"""Small data sets for the audit's tests: a sound one, and what spoils it."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from challenge_bundle.audit.base import ImageTable
from challenge_bundle.audit.reading import read_images
from challenge_bundle.files import write_csv
from challenge_bundle.layout import SPLITS, Layout
from tests.conftest import say_nothing

IMAGES = 20
"""Of each class in each split."""


@dataclass(frozen=True)
class Row:
    """An image of a made-up set; `save` writes it, so that a test can write it otherwise."""

    split: str
    name: str
    class_name: str
    image: Image.Image
    save: Callable[[Image.Image, Path], object] = lambda image, path: image.save(path)


def sound_rows() -> list[Row]:
    """Noise of two classes in three splits, under names that tell nothing."""
    generator = np.random.default_rng(7)
    keys = [(split, name) for split in SPLITS for name in ("cat", "dog") for _ in range(IMAGES)]
    numbers = generator.permutation(len(keys))
    rows = [
        Row(split, f"{number:06d}.png", class_name, noise(generator))
        for number, (split, class_name) in zip(numbers, keys, strict=True)
    ]
    return sorted(rows, key=lambda row: row.name)


def noise(generator: np.random.Generator) -> Image.Image:
    """Gray noise, 16 x 16."""
    return Image.fromarray(generator.integers(0, 256, (16, 16), dtype=np.uint8))


def picture(seed: int = 1, side: int = 96) -> Image.Image:
    """Something smooth, as photographs are: noise of 6 x 6, enlarged."""
    small = np.random.default_rng(seed).integers(0, 200, (6, 6), dtype=np.uint8)
    return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)


def place(layout: Layout, rows: Sequence[Row]) -> None:
    """Put images and csvs where an import would; the rows' order is that of the csvs."""
    for split in SPLITS:
        folder = layout.split_dir(split)
        folder.mkdir(parents=True, exist_ok=True)
        there = [row for row in rows if row.split == split]
        for row in there:
            row.save(row.image, folder / row.name)
            status = (folder / row.name).stat()
            if status.st_mtime_ns > 10**18:  # a test that sets a time of its own takes an early one
                os.utime(folder / row.name, (0, 0))
        cells = [(f"{folder.name}/{row.name}", row.class_name) for row in there]
        write_csv(layout.solution_csv(split), ("file", "class"), cells)


def table_of(layout: Layout, rows: Sequence[Row]) -> ImageTable:
    """Place rows and read them."""
    place(layout, rows)
    return read_images(layout, say_nothing)


def renamed(rows: Sequence[Row], name: Callable[[int, Row], str]) -> list[Row]:
    """The rows under other names."""
    return [dataclasses.replace(row, name=name(number, row)) for number, row in enumerate(rows)]


def find(rows: Sequence[Row], split: str, class_name: str, number: int = 0) -> Row:
    """An image of a split and class."""
    return [row for row in rows if (row.split, row.class_name) == (split, class_name)][number]
