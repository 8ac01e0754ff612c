"""Levels of a grid whose numbers are torch's: cells of 2 x 2 pixels, read at the first of them by a stride of 2."""

from __future__ import annotations

import torch

from geodl.data import Grid
from geodl.geometry import Charts, Coarsening
from geodl.nn import Level, graph_levels
from geodl.ops import Neighbors


def pixel_levels(side: int, depth: int, kernel_size: int = 3) -> Level:
    """``side x side`` pixels and ``depth`` coarser levels, each of half as many along either axis."""
    if side == 1:  # a graph without edges has no unit
        own = Neighbors(torch.tensor([0, 1]), torch.tensor([0]), 1)
        one = torch.ones(1, dtype=torch.float64)
        return Level(Charts(own, torch.zeros(1, 2, dtype=torch.float64), "cartesian"), one)
    graph = Grid(torch.zeros(1, side, side, dtype=torch.float64)).to_graph(radius=1.5)
    level = graph_levels(graph, kernel_size=kernel_size)
    if not depth:
        return level
    half = side // 2
    axis = torch.arange(side)
    cluster = ((axis // 2)[:, None] * half + axis // 2).flatten()
    centers = ((axis[::2])[:, None] * side + axis[::2]).flatten()
    member = Neighbors.from_edge_index(torch.stack([torch.arange(side**2), cluster]), half**2, side**2)
    cells = Neighbors(member.rowptr, member.col, side**2)
    quarter = torch.full((side**2,), 0.25, dtype=torch.float64)
    none = torch.zeros(2, 0, dtype=torch.int64)
    mass = torch.full((half**2,), 4.0, dtype=torch.float64)
    step = Coarsening(cluster, centers, cells, quarter, mass, none, torch.zeros(0))
    return Level(
        level.charts, level.area, None, step, pixel_levels(half, depth - 1, kernel_size), level.reach
    )
