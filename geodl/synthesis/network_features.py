"""NetworkFeatures: what layers of a network see of a picture, on a grid and on every level."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.nn import BlurPool, GridConv, Level, MaxPool, MeanPool
from geodl.synthesis.filter_bank import Features

__all__ = ["NetworkFeatures"]

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class NetworkFeatures(nn.Module):
    """The features of a trained network, such as SqueezeNet or VGG, in the place of a :class:`FilterBank`.

    The network is copied, and its copy reads no aliases, which would show as a checkerboard: maxima over cells become means, and a
    convolution with stride 2 that a ReLU follows answers everywhere, is rectified and blurred before points are left out.

    Args:
        network: with ``features(x, names, level)``.
        names: the layers, as the network names them.
        octaves: at how many octaves a texture is made, from a coarse one to the finest; the network sees one of them at a time.
        mean, deviation: ``[C]``, what the network was trained to have subtracted from colours in 0..1, and divided by, in its own
            order of channels; those of ImageNet if not given.
        order: of the channels that the network was trained on. Networks of Caffe read "bgr" in 0..255: their mean is
            ``(104 / 255, 117 / 255, 123 / 255)``, their deviation ``(1 / 255,) * 3``.
        margin: by how many points a circular grid is wrapped around before the network sees it.

    Shapes:
        As of :class:`FilterBank`; all points of a layer count, on a level by area. The first layer is the colours, which deep
        features tell little of.

    Raises:
        ValueError: no names, no octaves, or another order.

    Gatys, Ecker, Bethge, "Texture synthesis using convolutional neural networks", 2015. Zhang, "Making convolutional networks
    shift-invariant again", 2019.
    """

    network: Any
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        network: Any,
        names: Sequence[str],
        octaves: int = 2,
        mean: Sequence[float] = _IMAGENET[0],
        deviation: Sequence[float] = _IMAGENET[1],
        order: Literal["rgb", "bgr"] = "rgb",
        margin: int = 16,
    ) -> None:
        super().__init__()
        if not names or octaves < 1:
            raise ValueError(f"names and octaves must be positive in number, got {list(names)} and {octaves}")
        if order not in ("rgb", "bgr"):
            raise ValueError(f'order must be "rgb" or "bgr", not {order!r}')
        self.names, self.octaves, self.order, self.margin = list(names), octaves, order, margin
        self.network = _without_aliases(deepcopy(network).eval().requires_grad_(False))
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("deviation", torch.tensor(deviation))

    def forward(
        self, x: Tensor, level: Level | None = None, circular: bool = False, first: int = 0
    ) -> list[Features]:
        """Features of ``x``, which is given at the octave ``first``."""
        x = x[None] if level is None and x.dim() == 3 else x
        x = x.flip(1) if self.order == "bgr" else x
        if level is not None:
            layers = self.network.features((x - self.mean) / self.deviation, self.names, level)
            area = {there.num_nodes: there.area for there in level.pyramid()}
            return [Features(found[None], area[len(found)]) for found in (x, *layers.values())]
        if circular:
            x = F.pad(x, (self.margin,) * 4, mode="circular")
        x = (x - self.mean[:, None, None]) / self.deviation[:, None, None]
        layers = self.network.features(x, self.names)
        return [Features(found.flatten(2).transpose(1, 2)) for found in (x, *layers.values())]


class _Blurred(nn.Module):
    """A convolution with stride 2 that answers everywhere, is rectified and blurred before points are left out."""

    stride = 2

    def __init__(self, conv: GridConv) -> None:
        super().__init__()
        conv.stride = (1,) * len(conv.stride)
        self.conv, self.pool = conv, BlurPool()

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        found: Tensor = self.pool(self.conv(x, level).relu(), level)
        return found


def _without_aliases(network: nn.Module) -> nn.Module:
    for module in list(network.modules()):
        layers = list(module.named_children())
        for name, layer in layers:
            if isinstance(layer, MaxPool):
                mean = MeanPool(layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode, False)
                setattr(module, name, mean)
        for (name, layer), (_, after) in pairwise(layers):
            if isinstance(layer, GridConv) and set(layer.stride) == {2} and isinstance(after, nn.ReLU):
                setattr(module, name, _Blurred(layer))
    return network
