"""Grids of points, as the networks of kernel points read them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.geometry import Charts
from geodl.models.clouds import Clouds
from geodl.ops import Neighbors, aggregate, radius, voxel_neighbors, voxel_pool
from geodl.ops.dynamic_size import at_least


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

    def coarser(self, side: float, fewest: int) -> Cells:
        """The cells of a coarser grid."""
        pooled = voxel_pool(self.pos[:, :0], self.pos, side, self.ptr)
        at_least(pooled.pos.shape[0], fewest)
        return Cells(pooled.pos, pooled.ptr)


def first_cells(clouds: Clouds, side: float, fewest: int) -> tuple[Cells, Tensor, Neighbors]:
    """The cells of the points, a constant 1 and the mean signal of each, and the points that each holds."""
    held, ptr = voxel_neighbors(clouds.pos, side, clouds.ptr)
    at_least(held.num_dst, fewest)
    grid = Cells(aggregate(clouds.pos, held, reduce="mean"), ptr)
    y = grid.pos.new_ones(grid.pos.shape[0], 1)
    if clouds.x is not None:
        y = torch.cat([y, aggregate(clouds.x, held, reduce="mean")], dim=1)
    return grid, y, held
