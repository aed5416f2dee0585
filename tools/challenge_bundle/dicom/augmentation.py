"""Turning, scaling, moving and mirroring an image and its masks alike."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far images are changed; each is drawn evenly from minus to plus.

    Args:
        rotation_deg: Largest turn about the centre, degrees.
        scale: Largest change in size, as a share.
        shift: Largest move, as a share of the image's sides.
        mirror: Whether half of the images are mirrored, left to right.
    """

    rotation_deg: float = 15.0
    scale: float = 0.1
    shift: float = 0.05
    mirror: bool = False


def draw_affine(
    augmentation: Augmentation, shape: tuple[int, int], generator: np.random.Generator
) -> np.ndarray:
    """Draw one change.

    Args:
        augmentation: How far.
        shape: (H, W), pixels.
        generator: Gives the numbers, always five of them.

    Returns:
        Affine (2, 3): from where in the old image each (x, y) of the new one comes, measured in pixels from
        the upper left corner, so that the first pixel's centre is (0.5, 0.5).
    """
    turn, size, right, down, side = generator.uniform(-1.0, 1.0, 5)
    angle = math.radians(augmentation.rotation_deg) * turn
    factor = 1.0 + augmentation.scale * size
    mirrored = -1.0 if augmentation.mirror and side < 0.0 else 1.0
    linear = factor * np.array(
        [[math.cos(angle) * mirrored, -math.sin(angle)], [math.sin(angle) * mirrored, math.cos(angle)]]
    )
    sides = np.array([shape[1], shape[0]], dtype=np.float64)
    moved = sides * augmentation.shift * np.array([right, down])
    return np.column_stack([linear, sides / 2.0 + moved - linear @ (sides / 2.0)])


def warp(image: np.ndarray, masks: np.ndarray, affine: np.ndarray) -> None:
    """Change an image and its masks in place, by the same affine; what comes from beyond the edge is dark.

    Args:
        image: (H, W), float32; interpolated between pixels.
        masks: (C, H, W), bool; each pixel takes the nearest one's.
        affine: (2, 3), as `draw_affine` gives it.
    """
    size, numbers = (image.shape[1], image.shape[0]), tuple(affine.ravel().tolist())
    moved = Image.fromarray(image).transform(
        size, Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR, fillcolor=float(image.min())
    )
    image[...] = np.asarray(moved)
    for mask in masks:
        moved = Image.fromarray(mask.view(np.uint8)).transform(
            size, Image.Transform.AFFINE, numbers, Image.Resampling.NEAREST
        )
        mask[...] = np.asarray(moved)
