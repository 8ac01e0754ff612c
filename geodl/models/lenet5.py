"""LeNet-5, as published and as it is built today."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from geodl.nn import GridConv, Level, MaxPool, MeanPool

__all__ = ["LeNet5"]

# Which maps of S2 every map of C3 reads (table I of the paper).
_C3_READS = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5), (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5),
    (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5), (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5),
)  # fmt: skip

# What the output units compare F6 with: each digit drawn on 12 rows of 7 pixels, a byte a row.
_DIGITS = (
    "1c224141414141414141221c", "08182808080808080808083e", "1c224101020408102040407f", "3e410101011e01010101413e",
    "02060a0a121222227f020202", "7f4040407e4101010101413e", "1e2040405c6241414141221c", "7f0101020204040808101010",
    "1c224141221c22414141221c", "1c224141231d01010101023c",
)  # fmt: skip


class Subsampling(nn.Module):
    """The mean of 2 x 2 points (or of a cell), times 4, times a coefficient, plus a bias, both learned for every channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), 0.25))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.pool = MeanPool(2)

    def forward(self, x: Tensor, domain: Level | None = None) -> Tensor:
        shape = [-1] + [1] * (x.dim() - 2)
        y: Tensor = 4 * self.pool(x, domain) * self.weight.view(shape) + self.bias.view(shape)
        return y


class Squash(nn.Module):
    r""":math:`1.7159 \tanh(2 x / 3)`, which leaves 1 and -1 where they are."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


class RadialOutput(nn.Module):
    """Minus the squared distance to a fixed picture of each class, so that the largest is the answer."""

    centers: Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        if classes == 10 and features == 84:
            rows = [[int(digit[k : k + 2], 16) for k in range(0, 24, 2)] for digit in _DIGITS]
            bits = torch.tensor([[row >> (6 - k) & 1 for row in digit for k in range(7)] for digit in rows])
            centers = 2.0 * bits - 1
        else:
            generator = torch.Generator().manual_seed(0)
            centers = 2.0 * torch.randint(2, (classes, features), generator=generator) - 1
        self.register_buffer("centers", centers)

    def forward(self, x: Tensor) -> Tensor:
        return -(x[:, None] - self.centers).square().sum(2)


class TableConv(nn.ModuleList):
    """A convolution each of whose outputs reads some of the inputs: C3."""

    def __init__(self, reads: tuple[tuple[int, ...], ...], kernel_size: int) -> None:
        super().__init__(GridConv(len(read), 1, kernel_size) for read in reads)
        self.reads = [list(read) for read in reads]

    def forward(self, x: Tensor, domain: Level | None = None) -> Tensor:
        return torch.cat([conv(x[:, read], domain) for conv, read in zip(self, self.reads, strict=True)], 1)


class LeNet5(nn.Module):
    """LeNet-5: convolution, pooling, convolution, pooling, and fully connected layers of 120, 84 and ``out_channels``.

    ``"1998"`` is the published network: C3 reads the maps of S2 by a table, pooling has a coefficient and a bias for every map, the
    activation is the scaled tanh, and the outputs are (minus) squared distances to fixed pictures of the digits: 60,000 parameters.
    ``"dense"`` is the form in use today: everything is connected, ReLU, maximum pooling, linear outputs: 61,706.

    On a :class:`~geodl.nn.Level` with two coarser ones the same layers run on a mesh, a sphere or a graph.

    Args:
        in_channels: channels of the input.
        out_channels: classes.
        variant: "1998" or "dense".
        points: how many points are left after both poolings: 25 for images of 32 x 32, else those of the coarsest level.

    Shapes:
        x ``[B, in_channels, 32, 32]``, or ``[B, in_channels, V]`` with a level of V points -> ``[B, out_channels]``.

    Raises:
        ValueError: no such variant, or a signal that does not leave that many points.

    LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 10,
        variant: Literal["dense", "1998"] = "dense",
        points: int = 25,
    ) -> None:
        super().__init__()
        if variant not in ("dense", "1998"):
            raise ValueError(f'variant must be "dense" or "1998", not {variant!r}')
        published = variant == "1998"
        self.points = points
        self.c1 = GridConv(in_channels, 6, 5)
        self.s2: nn.Module = Subsampling(6) if published else MaxPool(2)
        self.c3: nn.Module = TableConv(_C3_READS, 5) if published else GridConv(6, 16, 5)
        self.s4: nn.Module = Subsampling(16) if published else MaxPool(2)
        self.c5 = nn.Linear(16 * points, 120)  # a stencil that covers what is left
        self.f6 = nn.Linear(120, 84)
        self.output: nn.Module = RadialOutput(84, out_channels) if published else nn.Linear(84, out_channels)
        self.activation: nn.Module = Squash() if published else nn.ReLU()
        # In the published network pooling has a sigmoid of its own, and convolutions 1 and 3 have none.
        self.after_conv: nn.Module = nn.Identity() if published else nn.ReLU()
        self.after_pool: nn.Module = Squash() if published else nn.Identity()

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        """Scores ``[B, out_channels]`` of images ``[B, in_channels, 32, 32]``, or with a level of ``[B, in_channels, V]``."""
        x = self.after_pool(self.s2(self.after_conv(self.c1(x, level)), level))
        level = None if level is None else level.after()
        x = self.after_pool(self.s4(self.after_conv(self.c3(x, level)), level)).flatten(2)
        if x.shape[2] != self.points:
            raise ValueError(
                f"{x.shape[2]} points are left after both poolings, but the network was made for {self.points}: "
                f"pad images to 32 x 32 (28 x 28 by 2 on every side), or make the network with points={x.shape[2]}"
            )
        y: Tensor = self.output(self.activation(self.f6(self.activation(self.c5(x.flatten(1))))))
        return y
