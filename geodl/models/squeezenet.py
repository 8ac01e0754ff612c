"""SqueezeNet, versions 1.0 and 1.1."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from geodl.models.published import Published, named, state_dict
from geodl.models.stack import Stack
from geodl.nn import GlobalMeanPool, GridConv, Level, MaxPool

__all__ = ["SqueezeNet"]

# Widths of every fire module: squeezed, and expanded by either kernel.
_FIRES: list[tuple[int, int]] = [
    (16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256),
]  # fmt: skip
_POOLED_BEFORE = {"1.0": (0, 3, 7), "1.1": (0, 2, 4)}


class Fire(nn.Module):
    """A 1 x 1 convolution to few channels, and convolutions of 1 x 1 and 3 x 3 side by side that read these."""

    def __init__(self, read: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = GridConv(read, squeezed, 1)
        self.expand1x1 = GridConv(squeezed, expanded, 1)
        self.expand3x3 = GridConv(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        x = self.squeeze(x, level).relu()
        return torch.cat([self.expand1x1(x, level), self.expand3x3(x, level)], dim=1).relu()


class SqueezeNet(nn.Module):
    """SqueezeNet: a convolution, eight fire modules and a 1 x 1 convolution to the classes, whose mean is taken over all points.

    The state dict is that of torchvision's ``squeezenet1_0`` (1,248,424 parameters) and ``squeezenet1_1`` (1,235,496, a 3 x 3
    instead of a 7 x 7 convolution first and pooling earlier: less than half the work). On a :class:`~geodl.nn.Level` with four
    coarser ones the same layers, with the same weights, run on a mesh, a sphere or a graph.
    ``network.features(x, names, level)`` gives what is between, by torchvision's names, such as ``["features.3", "features.6"]``.

    Args:
        in_channels: channels of the signal.
        out_channels: classes.
        version: "1.0" or "1.1".
        dropout: probability of dropping a feature in training.

    Shapes:
        ``[B, in_channels, H, W]`` -> ``[B, out_channels]``; with a level of V points ``[B, in_channels, V]``, or
        ``[V, in_channels]`` for B packed shapes.

    Raises:
        ValueError: no such version; no such layer; a level without four coarser ones.

    Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", 2016.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 1000,
        version: Literal["1.0", "1.1"] = "1.0",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if version not in _POOLED_BEFORE:
            raise ValueError(f'version must be "1.0" or "1.1", not {version!r}')
        width, kernel = (96, 7) if version == "1.0" else (64, 3)
        layers: list[nn.Module] = [GridConv(in_channels, width, kernel, 2), nn.ReLU(inplace=True)]
        for number, (squeezed, expanded) in enumerate(_FIRES):
            layers += [MaxPool(3, 2, ceil_mode=True)] if number in _POOLED_BEFORE[version] else []
            layers.append(Fire(width, squeezed, expanded))
            width = 2 * expanded
        self.features = Stack(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), GridConv(width, out_channels, 1), nn.ReLU(inplace=True), GlobalMeanPool()
        )
        for module in self.modules():
            if isinstance(module, GridConv):
                nn.init.kaiming_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.classifier[1].weight, std=0.01)  # type: ignore[arg-type]

    @classmethod
    def from_published(cls, weights: Published, dropout: float = 0.5) -> SqueezeNet:
        """A network with the weights of torchvision's ``squeezenet1_0`` or ``squeezenet1_1``; sizes are read off them.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            dropout: as for the network.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of such a network; the message says what is missing, what is too much, what does not
                fit.
        """
        found = state_dict(weights)
        with named("SqueezeNet"):
            width, channels = found["features.0.weight"].shape[:2]
            version: Literal["1.0", "1.1"] = "1.0" if width == 96 else "1.1"
            model = cls(channels, found["classifier.1.weight"].shape[0], version, dropout)
            model.load_state_dict(found)
        return model

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        """Scores ``[B, out_channels]`` of images ``[B, in_channels, H, W]``, or with a level of ``[B, in_channels, V]``."""
        x = self.features(x, level=level)
        level = self.features.after(level)
        drop, conv, relu, pool = self.classifier
        scores: Tensor = pool(relu(conv(drop(x), level)), level)
        return scores
