"""How much memory a training needs, found out before it is there or not."""

import copy
import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from dataset import Geometry, InputError, decoded_bytes

ROOM = 0.9
"""The share of the memory that a training may take: the rest is the system's."""

BASE_BYTES = 400 * 2**20
"""What Python, torch and the network take without any image."""

PIXELS_A_BATCH = 100 * 256 * 256
"""Of validation images that are classified at once, where they are larger than 256x256."""

_PROBE_SIDE = 64
_BYTES_A_VALUE = 16
"""Of an image on its way to the network: normalised, turned, with more contrast; and where it comes from."""


def memory_bytes() -> int:
    """How much memory there is, in this container if it is one.

    Source:
        Linux, Documentation/admin-guide/cgroup-v2.rst, memory.max; cgroup-v1/memory.rst, limit_in_bytes.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limits.append(int((Path("/sys/fs/cgroup") / name).read_text()))
        except (OSError, ValueError):
            continue  # not Linux, the other version, or no limit
    return min(limits, default=2**32)


def step_bytes(network: nn.Module, geometry: Geometry) -> tuple[int, int]:
    """How much memory a step takes: what the network keeps to learn from, and the images themselves.

    Two small images go through a copy of the network, and what it keeps grows with pixels and images.

    Args:
        network: The network.
        geometry: Of the images.

    Returns:
        (bytes whatever the number of images, bytes for each image)
    """
    height, width = (min(side, _PROBE_SIDE) for side in (geometry.height, geometry.width))
    probe = copy.deepcopy(network).cpu().train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in probe.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    # Dropout must draw the same numbers afterwards as if this had not been.
    with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept):
        probe(torch.zeros(2, geometry.channels, height, width)).sum().backward()
    growth = geometry.height * geometry.width / (height * width)
    values = geometry.height * geometry.width * (geometry.channels + 1)
    # Gradients, and AdamW's two averages of them.
    learned = 3 * sum(parameter.nbytes for parameter in probe.parameters())
    return learned, math.ceil(growth * sum(kept.values()) / 2 + _BYTES_A_VALUE * values)


def check_memory(network: nn.Module, geometry: Geometry, batch_size: int, images: int, room: int) -> None:
    """Refuse a training whose steps would not fit into the memory.

    Args:
        network: The network.
        geometry: Of the images.
        batch_size: Images a step.
        images: Images that are kept in memory, as they are decoded.
        room: Memory that there is, bytes.

    Raises:
        InputError: They would not; names the options and values that would.
    """
    fixed, of_one = step_bytes(network, geometry)
    step = fixed + batch_size * of_one
    free = max(int(ROOM * room) - BASE_BYTES - decoded_bytes(images, geometry), 0)
    if step <= free:
        return
    for_images = max(free - fixed, 0)
    options = []
    if (fitting := for_images // of_one) >= 2:
        options.append(f"--batch-size {fitting}")
    side = int(math.sqrt(for_images / (batch_size * of_one) * geometry.height * geometry.width)) // 32 * 32
    options.append(f"--image-size {max(side, 32)}")
    raise InputError(
        f"a step of {batch_size} images of {geometry.width}x{geometry.height} pixels takes about"
        f" {_gigabytes(step)} of memory, but {_gigabytes(free)} are free for it; use {' or '.join(options)}"
    )


def describe_shortage(fault: BaseException, geometry: Geometry | None, batch_size: int) -> str | None:
    """Say in a line that there is too little memory, and what to do; None where a fault is another one."""
    text = str(fault)
    short = isinstance(fault, MemoryError | torch.OutOfMemoryError) or "allocate memory" in text
    if not short:
        return None
    size = f" of {geometry.width}x{geometry.height} pixels" if geometry else ""
    return (
        f"there is too little memory for steps of {batch_size} images{size}; use a smaller --image-size or"
        " --batch-size"
    )


def validation_batch_size(shape: Sequence[int], most: int) -> int:
    """How many images of (H, W) are classified at once: at most so many, fewer where they are large."""
    return max(1, min(most, PIXELS_A_BATCH // math.prod(shape)))


def _gigabytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
