"""Six classes of drawn phantoms, named as MedNIST's: for a first run with nothing to download."""

import functools
import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.layout import SPLITS
from challenge_bundle.progress import Progress
from challenge_bundle.sources.base import Listing, SourceImage

CLASS_NAMES = ("AbdomenCT", "BreastMRI", "CXR", "ChestCT", "Hand", "HeadCT")
SIZE_PX = 64
DEFAULT_SAMPLE_SIZE = 100

_EDGE = 12.0
_NOISE = 0.3


class SyntheticSource:
    """Phantoms drawn from ellipses, with a pose, contrast and noise of their own each."""

    description = "synthetic"
    names_are_public = False

    def list_images(self, request: ImportRequest, progress: Progress) -> Listing:
        """List the images; each is drawn when it is loaded, from seed, split, class and number alone."""
        count = request.sample_size or DEFAULT_SAMPLE_SIZE
        images = [
            SourceImage(
                origin=f"synthetic/{split}/{class_name}/{number:06d}.png",
                class_name=class_name,
                split=split,
                load=functools.partial(_png_bytes, request.seed, split, label, number),
            )
            for split in SPLITS
            for label, class_name in enumerate(CLASS_NAMES)
            for number in range(count)
        ]
        return Listing(images)


def draw_phantom(class_name: str, generator: np.random.Generator) -> np.ndarray:
    """Draw one image.

    Args:
        class_name: One of CLASS_NAMES.
        generator: Gives pose, contrast and noise.

    Returns:
        Image (64, 64), uint8.
    """
    canvas = _Canvas(generator)
    _DRAW[class_name](canvas)
    image = canvas.pixels
    background = generator.uniform(0.0, 0.15)
    contrast = generator.uniform(0.4, 1.0)
    ramp = np.linspace(-0.5, 0.5, SIZE_PX)
    shading = generator.uniform(-0.25, 0.25) * ramp[None, :] + generator.uniform(-0.25, 0.25) * ramp[:, None]
    image = background + contrast * image + shading + generator.normal(0.0, _NOISE, image.shape)
    return (255.0 * np.clip(image, 0.0, 1.0)).round().astype(np.uint8)


def _png_bytes(seed: int, split: str, label: int, number: int) -> bytes:
    generator = np.random.default_rng([seed, SPLITS.index(split), label, number])
    buffer = io.BytesIO()
    Image.fromarray(draw_phantom(CLASS_NAMES[label], generator)).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


class _Canvas:
    """A field of view from -1 to 1 on both axes, turned, moved and scaled at random."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator
        angle = generator.uniform(-0.45, 0.45)
        scale = generator.uniform(0.8, 1.45)
        grid = (np.arange(SIZE_PX) + 0.5) / SIZE_PX * 2.0 - 1.0
        x, y = np.meshgrid(grid - generator.uniform(-0.2, 0.2), grid - generator.uniform(-0.2, 0.2))
        self.x = scale * (np.cos(angle) * x + np.sin(angle) * y)
        self.y = scale * (np.cos(angle) * y - np.sin(angle) * x)
        self.pixels = np.zeros((SIZE_PX, SIZE_PX))

    def vary(self, value: float, share: float = 0.15) -> float:
        """A value up to `share` above or below."""
        return value * self.generator.uniform(1.0 - share, 1.0 + share)

    def ellipse(
        self, center: tuple[float, float], radii: tuple[float, float], value: float, angle: float = 0.0
    ) -> None:
        """Paint an ellipse over what is there, with a soft edge."""
        x, y = self.x - center[0], self.y - center[1]
        u = (np.cos(angle) * x + np.sin(angle) * y) / self.vary(radii[0])
        v = (np.cos(angle) * y - np.sin(angle) * x) / self.vary(radii[1])
        cover = 1.0 / (1.0 + np.exp(np.clip(_EDGE * (np.hypot(u, v) - 1.0), -50.0, 50.0)))
        self.pixels += cover * (self.vary(value) - self.pixels)


def _draw_abdomen_ct(canvas: _Canvas) -> None:
    canvas.ellipse((0.0, 0.0), (0.85, 0.62), 0.45)
    canvas.ellipse((-0.38, -0.12), (0.34, 0.3), 0.65)
    canvas.ellipse((0.42, -0.15), (0.18, 0.2), 0.6)
    canvas.ellipse((-0.3, 0.3), (0.13, 0.1), 0.7)
    canvas.ellipse((0.3, 0.3), (0.13, 0.1), 0.7)
    canvas.ellipse((0.0, 0.4), (0.13, 0.13), 0.95)


def _draw_chest_ct(canvas: _Canvas) -> None:
    canvas.ellipse((0.0, 0.0), (0.85, 0.62), 0.5)
    canvas.ellipse((-0.42, 0.0), (0.3, 0.42), 0.08)
    canvas.ellipse((0.42, 0.0), (0.3, 0.42), 0.08)
    canvas.ellipse((0.08, -0.12), (0.22, 0.22), 0.65)
    canvas.ellipse((0.0, 0.42), (0.13, 0.13), 0.95)


def _draw_cxr(canvas: _Canvas) -> None:
    canvas.ellipse((0.0, 0.1), (0.95, 1.05), 0.6)
    canvas.ellipse((-0.4, 0.0), (0.28, 0.62), 0.15, angle=0.12)
    canvas.ellipse((0.4, 0.0), (0.28, 0.62), 0.15, angle=-0.12)
    canvas.ellipse((0.18, 0.3), (0.3, 0.26), 0.75)
    canvas.ellipse((0.0, 0.0), (0.07, 0.9), 0.85)


def _draw_breast_mri(canvas: _Canvas) -> None:
    for side in (-1.0, 1.0):
        canvas.ellipse((side * 0.42, -0.15), (0.34, 0.55), 0.35)
        canvas.ellipse((side * 0.42, -0.1), (0.2, 0.32), 0.75)
    canvas.ellipse((0.0, 0.55), (0.9, 0.3), 0.5)


def _draw_hand(canvas: _Canvas) -> None:
    canvas.ellipse((0.0, 0.4), (0.4, 0.38), 0.6)
    for finger in range(4):
        x = -0.36 + 0.24 * finger
        canvas.ellipse((1.25 * x, -0.32), (0.08, 0.5), 0.7, angle=0.5 * x)
    canvas.ellipse((0.52, 0.2), (0.09, 0.34), 0.7, angle=0.7)


def _draw_head_ct(canvas: _Canvas) -> None:
    canvas.ellipse((0.0, 0.0), (0.66, 0.85), 0.95)
    canvas.ellipse((0.0, 0.0), (0.56, 0.75), 0.45)
    for side in (-1.0, 1.0):
        canvas.ellipse((side * 0.12, -0.08), (0.08, 0.28), 0.15, angle=-0.2 * side)


_DRAW: dict[str, Callable[[_Canvas], None]] = {
    "AbdomenCT": _draw_abdomen_ct,
    "BreastMRI": _draw_breast_mri,
    "CXR": _draw_cxr,
    "ChestCT": _draw_chest_ct,
    "Hand": _draw_hand,
    "HeadCT": _draw_head_ct,
}
