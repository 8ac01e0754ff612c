"""NetworkFeatures: what layers of a network see of a picture, on a grid and on every level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.nn import Level
from geodl.synthesis.filter_bank import Features

__all__ = ["NetworkFeatures"]

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class NetworkFeatures(nn.Module):
    """The features of a trained network, such as SqueezeNet or VGG, in the place of a :class:`FilterBank`.

    Args:
        network: with ``features(x, names, level)``; it is set to evaluation, and its weights are not changed.
        names: the layers, as the network names them.
        octaves: at how many octaves a texture is made, from a coarse one to the finest; the network sees one of them at a time.
        mean, deviation: ``[C]``, what the network was trained to have subtracted from colours in 0..1, and divided by; those of
            ImageNet if not given.

    Shapes:
        As of :class:`FilterBank`. A circular grid is wrapped around by ``margin`` points before the network sees it.

    Gatys, Ecker, Bethge, "Texture synthesis using convolutional neural networks", 2015.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        network: Any,
        names: Sequence[str],
        octaves: int = 2,
        mean: Sequence[float] = _IMAGENET[0],
        deviation: Sequence[float] = _IMAGENET[1],
        margin: int = 16,
    ) -> None:
        super().__init__()
        if not names or octaves < 1:
            raise ValueError(f"names and octaves must be positive in number, got {list(names)} and {octaves}")
        self.network, self.names, self.octaves, self.margin = network.eval(), list(names), octaves, margin
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("deviation", torch.tensor(deviation))
        for parameter in network.parameters():
            parameter.requires_grad_(False)

    def forward(
        self, x: Tensor, level: Level | None = None, circular: bool = False, first: int = 0
    ) -> list[Features]:
        """Features of ``x``, which is given at the octave ``first``."""
        if level is not None:
            layers = self.network.features((x - self.mean) / self.deviation, self.names, level)
            area = {there.num_nodes: there.area for there in level.pyramid()}
            return [Features(found[None], area[len(found)]) for found in layers.values()]
        x = x[None] if x.dim() == 3 else x
        if circular:
            x = F.pad(x, (self.margin,) * 4, mode="circular")
        x = (x - self.mean[:, None, None]) / self.deviation[:, None, None]
        layers = self.network.features(x, self.names)
        return [Features(found.flatten(2).transpose(1, 2)) for found in layers.values()]
