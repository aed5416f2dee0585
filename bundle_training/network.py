"""The networks one can choose; each takes images (B, C, H, W) and returns logits (B, K)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a 1x1 one.

    Source:
        He et al. 2016, "Deep Residual Learning for Image Recognition", figure 2, with projection.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(in_channels, out_channels, 3, stride)
        self.second = _convolution(out_channels, out_channels, 3, 1)
        self.shortcut = _convolution(in_channels, out_channels, 1, stride)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, C', H/stride, W/stride)."""
        hidden = F.relu(self.first(images))
        return F.relu(self.second(hidden) + self.shortcut(images))


def make_small(channels: int, class_count: int) -> nn.Module:
    """A residual network of 0.16 million parameters: made for small images and two processor cores.

    Its first layer takes every fourth pixel, as ResNet's first two do together; what is left of an image of
    64x64 fits into the cache.
    """
    width = 24
    return nn.Sequential(
        _convolution(channels, width, 5, 4),
        nn.ReLU(),
        ResidualBlock(width, 2 * width, 2),
        ResidualBlock(2 * width, 4 * width, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(4 * width, class_count),
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


def make_network(name: str, channels: int, class_count: int) -> nn.Module:
    """Make a network with fresh weights from torch's global generator.

    Args:
        name: A key of NETWORKS.
        channels: Of the images.
        class_count: K.
    """
    return NETWORKS[name](channels, class_count)


def _convolution(in_channels: int, out_channels: int, size: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    )
