"""The networks, and what a training does with any of them.

To add one: write a function (channels, class_count) -> nn.Module here, or in a module that this one imports,
and give it a line in NETWORKS. It takes images (B, C, H, W), float32, normalised, and returns logits (B, K).
"""

import copy
import inspect
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from data import Geometry, InputError


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, and a 1x1 convolution as the shortcut.

    Source:
        He et al. 2016, "Deep Residual Learning for Image Recognition", figure 2, with projection.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.first = convolution(in_channels, out_channels, 3, stride)
        self.second = convolution(out_channels, out_channels, 3, 1)
        self.shortcut = convolution(in_channels, out_channels, 1, stride)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, C', H/stride, W/stride)."""
        hidden = F.relu(self.first(images))
        return F.relu(self.second(hidden) + self.shortcut(images))


def convolution(in_channels: int, out_channels: int, size: int, stride: int) -> nn.Module:
    """A convolution with batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    )


def make_small(channels: int, class_count: int) -> nn.Module:
    """A residual network of 0.16 million parameters, for small images and two processor cores."""
    width = 24
    return nn.Sequential(
        # Every fourth pixel, as ResNet's first two layers together: what is left of 64x64 fits the cache.
        convolution(channels, width, 5, 4),  # (B, 24, H/4, W/4)
        nn.ReLU(),
        ResidualBlock(width, 2 * width, 2),  # (B, 48, H/8, W/8)
        ResidualBlock(2 * width, 4 * width, 2),  # (B, 96, H/16, W/16)
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),  # (B, 96)
        nn.Dropout(0.2),
        nn.Linear(4 * width, class_count),  # (B, K)
    )


# MONAI is imported where one of its networks is made: it takes 4 s, and the small network does not need it.


def make_densenet121(channels: int, class_count: int) -> nn.Module:
    """MONAI's DenseNet121, the network of MONAI's own MedNIST tutorial."""
    from monai.networks.nets.densenet import DenseNet121

    return DenseNet121(spatial_dims=2, in_channels=channels, out_channels=class_count)


def make_resnet18(channels: int, class_count: int) -> nn.Module:
    """MONAI's ResNet-18, from random weights."""
    from monai.networks.nets.resnet import resnet18

    return resnet18(spatial_dims=2, n_input_channels=channels, num_classes=class_count)


NETWORKS: dict[str, Callable[[int, int], nn.Module]] = {
    "small": make_small,
    "densenet121": make_densenet121,
    "resnet18": make_resnet18,
}


# How a network is trained by several processes, which torchrun starts; a process alone notices nothing of it.
# A batch is divided among them, and every mean over it (of the gradients, of batch normalisation) is taken
# over all of it: the number of processes changes the time and not the training.


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes that train together, as one of them sees them."""

    rank: int = 0  # of this one; 0 alone writes and prints
    size: int = 1

    def own_rows(self, batch: torch.Tensor) -> torch.Tensor:
        """This process's rows of a batch: rank, rank + size, ..."""
        return batch[self.rank :: self.size]

    def add(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def from_first(self, value: Any) -> Any:
        """The first process's value, for all."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]


def join(device: str) -> Processes:
    """Connect to the other processes, if torchrun started this one: by NCCL with GPUs, else by Gloo."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Processes()
    dist.init_process_group("nccl" if device != "cpu" and torch.cuda.is_available() else "gloo")
    return Processes(int(os.environ["RANK"]), size)


def leave() -> None:
    """Disconnect from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def share(network: nn.Module, processes: Processes, device: torch.device) -> nn.Module:
    """The network as all processes train it; its weights are the same tensors."""
    if processes.size == 1:
        return network
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm
    return DistributedDataParallel(network, device_ids=[device.index] if device.type == "cuda" else None)


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the images of all processes; torch's own needs a GPU.

    Source:
        Ioffe & Szegedy 2015, "Batch Normalization", algorithm 1, with the sums taken over the processes.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalise (B, C, H, W)."""
        if not self.training:
            return super().forward(images)
        from torch.distributed.nn.functional import all_reduce

        count = torch.tensor([images.numel() / images.shape[1]], device=images.device)
        sums = torch.cat([images.sum(dim=(0, 2, 3)), images.square().sum(dim=(0, 2, 3)), count])
        total, squares, everyone = all_reduce(sums).split([self.num_features, self.num_features, 1])
        mean = total / everyone
        variance = (squares / everyone - mean.square()).clamp(min=0.0)
        with torch.no_grad():
            self._update_running(mean, variance * everyone / (everyone - 1.0))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        normalised: torch.Tensor = images * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)
        return normalised

    def _update_running(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        momentum = self.momentum or 0.1
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance, momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1


def mean_loss(total: torch.Tensor, batch_size: int, processes: Processes) -> torch.Tensor:
    """The loss of this process's rows, scaled so that its mean over the processes is the batch's mean."""
    return total * (processes.size / batch_size)


class PlainAdamW(torch.optim.AdamW):
    """torch's AdamW without the hooks of torch's compiler: to import it takes 1.3 s, and nothing is compiled.

    The hooks are wrappers (functools.wraps); in a torch that has none, this is AdamW itself.
    """

    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)


# What fits into the memory: found out before any image is decoded.

KEPT_SHARE = 0.4  # decoded images that take more of the memory are kept in a file
USABLE_SHARE = 0.9  # the rest is the system's
BASE_BYTES = 400 * 2**20  # Python, torch and the network, without any image
PROBE_SIDE = 64
BYTES_PER_VALUE = 16  # of an image on its way to the network: normalised, moved, with contrast; and the grid


def keeps_on_disk(images: str, count: int, geometry: Geometry) -> bool:
    """Whether decoded images are kept in a file: `disk`, or `auto` and too many for the memory."""
    return images == "disk" or (
        images == "auto" and geometry.decoded_bytes(count) > KEPT_SHARE * memory_bytes()
    )


def memory_bytes() -> int:
    """How much memory this machine or container has.

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
    """Memory of a training step: (bytes for the weights, bytes per image).

    Two small images go through a copy of the network; what it keeps for the backward pass grows with the
    number of pixels and images.
    """
    height, width = (min(side, PROBE_SIDE) for side in (geometry.height, geometry.width))
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
    return learned, math.ceil(growth * sum(kept.values()) / 2 + BYTES_PER_VALUE * values)


def check_memory(network: nn.Module, geometry: Geometry, batch_size: int, images: int, memory: int) -> None:
    """Check that a step fits into so many bytes of memory, next to so many decoded images."""
    fixed, per_image = step_bytes(network, geometry)
    step = fixed + batch_size * per_image
    free = max(int(USABLE_SHARE * memory) - BASE_BYTES - geometry.decoded_bytes(images), 0)
    if step <= free:
        return
    for_images = max(free - fixed, 0)
    options = []
    if (fitting := for_images // per_image) >= 2:
        options.append(f"--batch-size {fitting}")
    side = int(math.sqrt(for_images / (batch_size * per_image) * geometry.height * geometry.width)) // 32 * 32
    options.append(f"--image-size {max(side, 32)}")
    raise InputError(
        f"a step of {batch_size} images of {geometry.width}x{geometry.height} pixels takes about"
        f" {step / 2**30:.1f} GiB of memory, but {free / 2**30:.1f} GiB are free for it;"
        f" use {' or '.join(options)}"
    )


def describe_shortage(fault: BaseException, geometry: Geometry | None, batch_size: int) -> str | None:
    """The line for a participant whose memory was too small all the same; None if the fault is another."""
    # torch raises a plain RuntimeError where the processor's memory is at its end.
    if not isinstance(fault, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(fault):
        return None
    size = f" of {geometry.width}x{geometry.height} pixels" if geometry else ""
    return (
        f"there is too little memory for steps of {batch_size} images{size}; use a smaller --image-size or"
        " --batch-size"
    )


def export_onnx(network: nn.Module, shape: tuple[int, int, int], path: Path) -> None:
    """Write the network as ONNX: `images` (B, C, H, W), float32 and normalised, to `logits` (B, K)."""
    example = torch.from_numpy(np.zeros((2, *shape), dtype=np.float32))
    with warnings.catch_warnings():
        # torch warns that this exporter is the older one; it is also 20 times faster than dynamo's.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (example,),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["images"],
            output_names=["logits"],
            dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}},
        )
