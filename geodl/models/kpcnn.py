"""KP-CNN: a residual network of kernel point convolutions on ever coarser grids."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from geodl.geometry import Charts
from geodl.models.clouds import CloudClassifier, Clouds, pool, read_clouds
from geodl.nn import KPConv
from geodl.nn.dtype_of import dtype_of
from geodl.ops import Neighbors, aggregate, radius, voxel_neighbors, voxel_pool
from geodl.ops.dynamic_size import at_least

__all__ = ["KPCNN"]

_LEVELS, _SLOPE, _MOMENTUM = 5, 0.2, 0.05
_REACH = 2.5  # of neighbourhoods, in sides of a cell: what kernel points see


class KPCNN(CloudClassifier):
    """KP-CNN for classification, with rigid kernels: five grids, each of cells twice as wide as the one before and with twice the
    channels, a bottleneck block on each, the mean over the cloud, a network on that.

    The first grid takes the mean of the points of a cell, and of their signal, to which a constant 1 is added. The order of points
    does not matter, and a cloud gives the same in any batch. 14,295,144 parameters for the 40 classes of ModelNet40, 14.3 million
    as in the paper.

    Args:
        in_channels: of the signal beside the positions, such as 3 for normals; 0 for none.
        out_channels: number of classes.
        cell: side of a cell of the first grid, in the unit of the positions. For clouds in the unit ball, the authors take 0.02
            with 10,000 points; 0.05 suits 1024. Kernel points see as far around them, and neighbourhoods reach 2.5 times as far.
        width: channels of the first grid.
        dropout: probability of dropping a hidden unit of the last network in training.

    Thomas, Qi, Deschaud, Marcotegui, Goulette, Guibas: KPConv: flexible and deformable convolution for point clouds, ICCV 2019.
    """

    def __init__(
        self, in_channels: int, out_channels: int, cell: float = 0.05, width: int = 128, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.encoder = Encoder(1 + in_channels, cell, width)
        self.head = nn.Sequential(
            *unary(self.encoder.channels[-1], 1024), nn.Dropout(dropout), nn.Linear(1024, out_channels)
        )

    def features(self, pos: Tensor, ptr: Tensor | None = None, x: Tensor | None = None) -> Tensor:
        """What ``head`` reads, ``[B, 16 width]``."""
        clouds = read_clouds(pos, ptr, x, self.in_channels, dtype_of(self))
        grid, y = self.encoder(clouds)[0][-1]
        return pool(y, grid.ptr, "mean")


@dataclass(frozen=True, eq=False)
class Cells:
    """Points of a grid, ``pos [Q, 3]`` and ``ptr [B + 1]``, one for every cell that holds a point: the mean of its points."""

    pos: Tensor
    ptr: Tensor

    def charts(self, reach: float, source: Cells) -> Charts:
        """The points of a grid within reach of those of this one."""
        neighbors = radius(source.pos, reach, source.ptr, self.pos, self.ptr)
        at_least(neighbors.num_edges, 1)
        return Charts(neighbors, source.pos[neighbors.col] - self.pos[neighbors.row], "cartesian")


class Encoder(nn.Module):
    """Five grids: a block on each, and one that leads to cells twice as wide.

    Args:
        in_channels: of the signal, the constant among them.
        cell: side of the cells of the first grid.
        width: channels after the first grid's block; of the others, twice those of the one before.
    """

    def __init__(self, in_channels: int, cell: float, width: int) -> None:
        super().__init__()
        if not cell > 0 or width < 4 or width % 4:
            raise ValueError(f"cell must be positive and width a multiple of 4, got {cell} and {width}")
        self.sides = [cell * 2**level for level in range(_LEVELS)]
        self.channels = [width * 2**level for level in range(_LEVELS)]
        self.first = KPConv(in_channels, width // 2, cell)
        self.norm = nn.Sequential(_norm(width // 2), nn.LeakyReLU(_SLOPE))
        read = [width // 2, *self.channels]
        self.stay = nn.ModuleList(map(_Bottleneck, read, self.channels, self.sides))
        self.down = nn.ModuleList(
            _Bottleneck(c, c, side, True) for c, side in zip(self.channels[:-1], self.sides, strict=False)
        )

    def forward(self, clouds: Clouds) -> tuple[list[tuple[Cells, Tensor]], Neighbors]:
        """Points and signal of every grid, and the points that every cell of the first one holds."""
        held, ptr = voxel_neighbors(clouds.pos, self.sides[0], clouds.ptr)
        at_least(held.num_dst, 2 if self.training else 1)
        grid = Cells(aggregate(clouds.pos, held, reduce="mean"), ptr)
        y = grid.pos.new_ones(grid.pos.shape[0], 1)
        if clouds.x is not None:
            y = torch.cat([y, aggregate(clouds.x, held, reduce="mean")], dim=1)
        charts = grid.charts(_REACH * self.sides[0], grid)
        y = self.norm(self.first(y, charts))
        reached = []
        for level, stay in enumerate(self.stay):
            if level:
                pooled = voxel_pool(grid.pos[:, :0], grid.pos, self.sides[level], grid.ptr)
                at_least(pooled.pos.shape[0], 2 if self.training else 1)
                coarse = Cells(pooled.pos, pooled.ptr)
                y = self.down[level - 1](y, coarse.charts(_REACH * self.sides[level - 1], grid))
                grid, charts = coarse, coarse.charts(_REACH * self.sides[level], coarse)
            y = stay(y, charts)
            reached.append((grid, y))
        return reached, held


class _Bottleneck(nn.Module):
    """A kernel point convolution of a quarter of the channels between two linear layers, and a shortcut.

    To another grid (``strided``), the shortcut is the maximum over the neighbours.
    """

    def __init__(self, in_channels: int, out_channels: int, cell: float, strided: bool = False) -> None:
        super().__init__()
        self.strided = strided
        narrow = out_channels // 4
        self.narrow = unary(in_channels, narrow)
        self.conv = KPConv(narrow, narrow, cell)
        self.norm = nn.Sequential(_norm(narrow), nn.LeakyReLU(_SLOPE))
        self.widen = unary(narrow, out_channels, False)
        self.shortcut = (
            nn.Identity() if in_channels == out_channels else unary(in_channels, out_channels, False)
        )

    def forward(self, x: Tensor, charts: Charts) -> Tensor:
        y = self.widen(self.norm(self.conv(self.narrow(x), charts)))
        kept = aggregate(x, charts.neighbors, reduce="max") if self.strided else x
        return functional.leaky_relu(y + self.shortcut(kept), _SLOPE)


def unary(in_channels: int, out_channels: int, activation: bool = True) -> nn.Sequential:
    """Linear layer, batch norm and leaky ReLU."""
    last = [nn.LeakyReLU(_SLOPE)] if activation else []
    return nn.Sequential(nn.Linear(in_channels, out_channels, bias=False), _norm(out_channels), *last)


def _norm(channels: int) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(channels, momentum=_MOMENTUM)
