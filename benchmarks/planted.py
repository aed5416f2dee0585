"""Copies that are planted among a bundle's images, and how many of them a search has found."""

import io
import json
from collections.abc import Callable, Iterable
from itertools import combinations
from pathlib import Path

from PIL import Image

COPIES = 50
"""Of each kind; all are listed in an audit's JSON, which lists 200 examples of a finding."""

Pair = frozenset[str]


def compress(image: Image.Image) -> Image.Image:
    """An image as it comes back from JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=50)
    return Image.open(buffer)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "exact": lambda image: image,
    "resized to 3/4": lambda image: image.resize((image.width * 3 // 4, image.height * 3 // 4)),
    "of JPEG quality 50": compress,
    "brightened by 30": lambda image: image.point(lambda level: min(255, level + 30)),
}


def plant_copies(input_data: Path) -> dict[str, set[Pair]]:
    """Put duplicates of training images in the place of validation images.

    Args:
        input_data: With images of one channel.

    Returns:
        The pairs of names, below input_data, by kind of change.
    """
    sources, targets = (sorted((input_data / f"{s}-data").iterdir()) for s in ("training", "validation"))
    planted: dict[str, set[Pair]] = {}
    for kind, (name, change) in enumerate(CHANGES.items()):
        planted[name] = set()
        for number in range(kind * COPIES, (kind + 1) * COPIES):
            with Image.open(sources[number]) as image:
                change(image).save(targets[number], "PNG")  # as it is, whatever its name
            planted[name].add(pair(sources[number], targets[number]))
    return planted


def pair(*paths: Path | str) -> Pair:
    """Two images as `split-data/name`."""
    return frozenset("/".join(Path(path).parts[-2:]) for path in paths)


def audited_pairs(document: Path) -> tuple[set[Pair], int]:
    """The pairs that an audit's JSON lists, and how many it counts."""
    findings = json.loads(document.read_text())["findings"]
    listed: set[Pair] = set()
    unlisted = 0
    for finding in findings:
        examples = finding["examples"]
        unlisted += max(0, finding["count"] - len(examples))
        for example in examples:
            listed |= {pair(one["file"], other["file"]) for one, other in combinations(example, 2)}
    return listed, len(listed) + unlisted


def hashed_pairs(document: Path) -> tuple[set[Pair], int]:
    """The pairs of the peer's JSON, which names each image's duplicates, and how many they are."""
    found = {pair(one, other) for one, others in json.loads(document.read_text()).items() for other in others}
    return found, len(found)


def describe_found(who: str, planted: dict[str, set[Pair]], found: Iterable[Pair], total: int) -> str:
    """How many planted duplicates were found, and how many pairs that were not planted."""
    found = set(found)
    parts = [f"{len(pairs & found)} of {len(pairs)} {kind}" for kind, pairs in planted.items()]
    others = total - sum(len(pairs & found) for pairs in planted.values())
    return f"duplicates found by {who}: {', '.join(parts)}; other pairs: {others:,}"
