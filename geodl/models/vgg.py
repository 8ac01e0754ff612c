"""VGG, with 11 to 19 layers."""

from __future__ import annotations

from torch import Tensor, nn

from geodl.models.published import Published, named, state_dict
from geodl.models.stack import AdaptiveMean, Stack
from geodl.nn import GridConv, Level, MaxPool, SignalBatchNorm

__all__ = ["VGG", "VGG11", "VGG13", "VGG16", "VGG19"]

# How many convolutions each of the five blocks has.
_BLOCKS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class VGG(nn.Module):
    """VGG: blocks of 3 x 3 convolutions, each followed by maximum pooling, and three fully connected layers.

    The state dict is that of torchvision's ``vgg11`` ... ``vgg19_bn``. On a :class:`~geodl.nn.Level` with five coarser ones the
    same layers, with the same weights, run on a mesh, a sphere or a graph; the mean over the whole shape stands in for the 7 x 7
    parts of an image that the linear layers read. ``network.features(x, names, level)`` gives what is between, by torchvision's
    names, such as ``["features.3", "features.8"]``; the first layers alone need fewer coarser levels.

    Args:
        depth: 11, 13, 16 or 19 layers with weights.
        in_channels: channels of the images.
        out_channels: classes.
        batch_norm: whether every convolution is normalised.
        dropout: probability of dropping a hidden unit in training.

    Shapes:
        ``[B, in_channels, H, W]``, 224 x 224 for torchvision's weights -> ``[B, out_channels]``; with a level of V points
        ``[B, in_channels, V]``, or ``[V, in_channels]`` for B packed shapes.

    Raises:
        ValueError: no such depth; no such layer; a level without five coarser ones.

    Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015.
    """

    def __init__(
        self,
        depth: int,
        in_channels: int = 3,
        out_channels: int = 1000,
        batch_norm: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if depth not in _BLOCKS:
            raise ValueError(f"depth must be one of {', '.join(map(str, _BLOCKS))}, not {depth}")
        layers: list[nn.Module] = []
        read = in_channels
        for width, repeats in zip((64, 128, 256, 512, 512), _BLOCKS[depth], strict=True):
            for _ in range(repeats):
                layers.append(GridConv(read, width, 3, padding=1))
                nn.init.kaiming_normal_(layers[-1].weight, mode="fan_out", nonlinearity="relu")  # type: ignore[arg-type]
                nn.init.zeros_(layers[-1].bias)  # type: ignore[arg-type]
                layers += [SignalBatchNorm(width)] if batch_norm else []
                layers.append(nn.ReLU(inplace=True))
                read = width
            layers.append(MaxPool(2, 2))
        self.features = Stack(*layers)
        self.avgpool = AdaptiveMean((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(True), nn.Dropout(dropout),
            nn.Linear(4096, 4096), nn.ReLU(True), nn.Dropout(dropout), nn.Linear(4096, out_channels),
        )  # fmt: skip
        for layer in self.classifier:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0, 0.01)
                nn.init.zeros_(layer.bias)

    @classmethod
    def from_published(cls, weights: Published, dropout: float = 0.5) -> VGG:
        """A network with the weights of torchvision's ``vgg11`` ... ``vgg19_bn``; sizes are read off them.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            dropout: as for the network.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of such a network; the message says what is missing, what is too much, what does not
                fit.
        """
        found = state_dict(weights)
        with named("VGG"):
            depth = 3 + sum(
                name.startswith("features.") and tensor.dim() == 4 for name, tensor in found.items()
            )
            channels, classes = found["features.0.weight"].shape[1], found["classifier.6.weight"].shape[0]
            model = cls(depth, channels, classes, "features.1.running_mean" in found, dropout)
            model.load_state_dict(found)
        return model

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        """Scores ``[B, out_channels]`` of images ``[B, in_channels, H, W]``, or with a level of ``[B, in_channels, V]``."""
        x = self.avgpool(self.features(x, level=level), self.features.after(level))
        scores: Tensor = self.classifier(x)
        return scores


def VGG11(
    in_channels: int = 3, out_channels: int = 1000, batch_norm: bool = False, dropout: float = 0.5
) -> VGG:
    """VGG of 11 layers (configuration A); see :class:`VGG`."""
    return VGG(11, in_channels, out_channels, batch_norm, dropout)


def VGG13(
    in_channels: int = 3, out_channels: int = 1000, batch_norm: bool = False, dropout: float = 0.5
) -> VGG:
    """VGG of 13 layers (configuration B); see :class:`VGG`."""
    return VGG(13, in_channels, out_channels, batch_norm, dropout)


def VGG16(
    in_channels: int = 3, out_channels: int = 1000, batch_norm: bool = False, dropout: float = 0.5
) -> VGG:
    """VGG of 16 layers (configuration D); see :class:`VGG`."""
    return VGG(16, in_channels, out_channels, batch_norm, dropout)


def VGG19(
    in_channels: int = 3, out_channels: int = 1000, batch_norm: bool = False, dropout: float = 0.5
) -> VGG:
    """VGG of 19 layers (configuration E); see :class:`VGG`."""
    return VGG(19, in_channels, out_channels, batch_norm, dropout)
