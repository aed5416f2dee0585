"""Several processes that train one network together, as torchrun starts them; alone, nothing of it is felt.

    torchrun --nproc-per-node 2 train.py IN_DIR OUT_DIR        one machine, a process a GPU

A batch is dealt out over the processes, and every mean over it, of the gradients and of batch normalisation,
is taken over all of it, so that the number of processes changes the time and not the training.
"""

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True, slots=True)
class Group:
    """The processes that train together.

    Args:
        rank: Of this one, from 0; 0 alone writes and speaks.
        size: How many there are.
        local_rank: Of this one on its machine: the number of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    def deal(self, rows: torch.Tensor) -> torch.Tensor:
        """The part of a batch that is this process's: row rank, rank + size, ..."""
        return rows[self.rank :: self.size]

    def add(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def from_first(self, value: Any) -> Any:
        """What the first process has, given to all."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]


def join(device: str) -> Group:
    """Meet the other processes, if torchrun started this one.

    Args:
        device: `auto`, `cpu` or `cuda`; GPUs speak to one another by NCCL, processors by Gloo.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Group()
    group = Group(int(os.environ["RANK"]), size, int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device != "cpu" and torch.cuda.is_available() else "gloo")
    return group


def leave() -> None:
    """Part from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def share(network: nn.Module, group: Group, device: torch.device) -> nn.Module:
    """Make a network's training forward one that all processes take part in.

    Args:
        network: Its batch normalisations are replaced in place, its weights are shared with what is returned.
        group: The processes.
        device: Of the network.
    """
    if group.size == 1:
        return network
    _share_batch_norm(network)
    on_gpu = device.type == "cuda"
    return DistributedDataParallel(network, device_ids=[device.index] if on_gpu else None)


def _share_batch_norm(network: nn.Module) -> None:
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose means are those of all processes' images; torch's own needs a GPU.

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
            self._remember(mean, variance * everyone / (everyone - 1.0))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        normalised: torch.Tensor = images * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)
        return normalised

    def _remember(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        momentum = self.momentum or 0.1
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance, momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1


def mean_loss(logits: torch.Tensor, labels: torch.Tensor, batch_size: int, group: Group) -> torch.Tensor:
    """This process's part of the batch's cross entropy, so that the mean over processes is that of the batch.

    Args:
        logits: (B', K), of this process's part.
        labels: (B',).
        batch_size: B, of the whole batch.
        group: The processes, whose gradients are averaged.
    """
    loss = F.cross_entropy(logits, labels, label_smoothing=0.05, reduction="sum")
    return loss * (group.size / batch_size)
