"""AlexNet, as published and as torchvision has it."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from geodl.models.published import Published, named, state_dict
from geodl.models.stack import AdaptiveMean, ResponseNorm, Stack
from geodl.nn import GridConv, Level, MaxPool

__all__ = ["AlexNet"]


class AlexNet(nn.Module):
    """AlexNet: five convolutions and three fully connected layers.

    ``"torchvision"`` is the one-column network of torchvision (Krizhevsky 2014), whose weights load: 61,100,840 parameters.
    ``"2012"`` is the published one: convolutions 2, 4 and 5 in two groups, one a GPU, and local response normalisation: 60,965,224.

    On a :class:`~geodl.nn.Level` with four coarser ones (the stride of 4 leads to the next, as one of 2 does) the same layers run
    on a mesh, a sphere or a graph; the mean over the whole shape stands in for the 6 x 6 parts of an image that the linear layers
    read. ``network.features(x, names, level)`` gives what is between, by torchvision's names, such as ``["features.2"]``.

    Args:
        in_channels: channels of the images.
        out_channels: classes.
        variant: "torchvision" or "2012".
        dropout: probability of dropping a hidden unit in training.

    Shapes:
        ``[B, in_channels, H, W]``, 224 x 224 for torchvision's weights -> ``[B, out_channels]``; with a level of V points
        ``[B, in_channels, V]``, or ``[V, in_channels]`` for B packed shapes.

    Raises:
        ValueError: no such variant; no such layer; a level without four coarser ones, or that does not reach 11 taps.

    Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks", 2012.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 1000,
        variant: Literal["torchvision", "2012"] = "torchvision",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if variant not in ("torchvision", "2012"):
            raise ValueError(f'variant must be "torchvision" or "2012", not {variant!r}')
        published = variant == "2012"
        widths = (96, 256, 384, 384, 256) if published else (64, 192, 384, 256, 256)
        groups = (1, 2, 1, 2, 2) if published else (1, 1, 1, 1, 1)
        shapes = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))  # kernel, stride, padding
        layers: list[nn.Module] = []
        read = in_channels
        for number, (width, group, (kernel, stride, padding)) in enumerate(
            zip(widths, groups, shapes, strict=True)
        ):
            layers += [GridConv(read, width, kernel, stride, padding, groups=group), nn.ReLU(inplace=True)]
            if published and number < 2:
                layers.append(ResponseNorm(5, alpha=5e-4, beta=0.75, k=2))  # torch divides alpha by the size
            if number in (0, 1, 4):
                layers.append(MaxPool(3, 2))
            read = width
        self.features = Stack(*layers)
        self.avgpool = AdaptiveMean((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(inplace=True),
            nn.Dropout(dropout), nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Linear(4096, out_channels),
        )  # fmt: skip

    @classmethod
    def from_published(cls, weights: Published, dropout: float = 0.5) -> AlexNet:
        """A network with the weights of torchvision's ``alexnet``; sizes are read off them.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            dropout: as for the network.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of such a network; the message says what is missing, what is too much, what does not
                fit.
        """
        found = state_dict(weights)
        with named("AlexNet"):
            channels, classes = found["features.0.weight"].shape[1], found["classifier.6.weight"].shape[0]
            model = cls(channels, classes, dropout=dropout)
            model.load_state_dict(found)
        return model

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        """Scores ``[B, out_channels]`` of images ``[B, in_channels, H, W]``, or with a level of ``[B, in_channels, V]``."""
        x = self.avgpool(self.features(x, level=level), self.features.after(level))
        scores: Tensor = self.classifier(x)
        return scores
