"""Windows on a surface: the taps of a filter laid into every chart, each of which answers."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from geodl.nn import GridWindows, Level
from geodl.nn.spline_windows import spline_windows
from geodl.ops import Neighbors
from geodl.ops.remembered import remembered

__all__ = ["seen_taps", "surface_windows"]

# A tap whose neighbours weigh less than this in all sees nothing.
_LEAST = 0.1

# How far from the tap the middle of what it sees may be corrected, in taps, and how strongly.
_SINGULAR = 1e-2


def surface_windows(level: Level, kernel_size: int, stride: int = 1) -> GridWindows:
    r"""The taps of a k x k filter in the charts of a level (remembered).

    A tap reads its neighbours by a bilinear hat, corrected so that functions that are linear in the chart are read exactly at the
    tap,

    .. math:: w_j = h(u_j - t) (\alpha + \beta \cdot (u_j - t)), \qquad \sum_j w_j = 1, \quad \sum_j w_j u_j = t ,

    where its neighbours allow that; else the mean by the hat. A tap with nothing near it, beyond a boundary or behind a thin limb,
    reads the neighbour that is nearest to it: else statistics would be about how a surface ends.

    Args:
        level: with charts in units of the taps.
        kernel_size: ``k``.
        stride: 2 gives the windows of the points of the next coarser level alone.

    Shepard, "A two-dimensional interpolation function for irregularly-spaced data", 1968, for the correction (moving least squares
    of degree one).
    """
    made: GridWindows = remembered(
        level, ("surface windows", kernel_size), lambda: _make(level, kernel_size)[0]
    )
    if stride == 1:
        return made
    key = ("surface windows", kernel_size, stride)
    strided: GridWindows = remembered(level, key, lambda: made.rows(level.cells().centers))
    return strided


def seen_taps(level: Level, kernel_size: int) -> Tensor:
    """``[V]``, the share of the taps around every point that lie on the surface."""
    found: Tensor = remembered(level, ("seen taps", kernel_size), lambda: _make(level, kernel_size)[1])
    return found


def _make(level: Level, kernel_size: int) -> tuple[GridWindows, Tensor]:
    level.windows((kernel_size,) * 2)  # refuses charts that do not fit
    charts, taps, side = level.charts, kernel_size**2, kernel_size
    u, neighbors = charts.coords, charts.neighbors
    row, points = neighbors.row, neighbors.num_dst
    hat, index = spline_windows(u + (side - 1) / 2, [side, side], 1)  # [E, 4]
    slot = row[:, None] * taps + index
    lattice = torch.cartesian_prod(*[torch.arange(side, device=u.device, dtype=u.dtype) - (side - 1) / 2] * 2)
    off = u[:, None] - lattice[index]  # [E, 4, 2]

    def total(values: Tensor) -> Tensor:
        return values.new_zeros(points * taps).index_add(0, slot.flatten(), values.flatten())

    mass = total(hat)
    first = torch.stack([total(hat * off[..., a]) for a in range(2)], 1)
    xx, xy, yy = (total(hat * off[..., a] * off[..., b]) for a, b in ((0, 0), (0, 1), (1, 1)))
    # With the moments centred: beta = -C^-1 m, where m is the middle of what the tap sees and C its spread.
    weight = mass.clamp(min=_LEAST)
    middle = first / weight[:, None]
    cxx, cxy, cyy = (
        xx / weight - middle[:, 0] ** 2,
        xy / weight - middle.prod(1),
        yy / weight - middle[:, 1] ** 2,
    )
    determinant = cxx * cyy - cxy**2
    inverse = torch.where(determinant > _SINGULAR**2, 1 / determinant.clamp(min=_SINGULAR**2), 0)
    beta = -inverse[:, None] * torch.stack(
        [cyy * middle[:, 0] - cxy * middle[:, 1], cxx * middle[:, 1] - cxy * middle[:, 0]], 1
    )
    value = hat / weight[slot] * (1 + (beta[slot] * (off - middle[slot])).sum(-1))
    blind = mass < _LEAST
    value = value.masked_fill(blind[slot], 0)
    seen = 1 - blind.view(points, taps).to(u).mean(1)
    neighbors, value, index = _nearest(neighbors, u, value, index, blind.view(points, taps), lattice)
    near = (value != 0).any(1)
    kept = neighbors.select(near)
    return GridWindows(kept, value[near], index[near], (side, side)), seen


def _nearest(
    neighbors: Neighbors, u: Tensor, value: Tensor, index: Tensor, blind: Tensor, lattice: Tensor
) -> tuple[Neighbors, Tensor, Tensor]:
    """With an entry more for every blind tap: the neighbour that is nearest to it."""
    point, tap = blind.nonzero().unbind(1)
    if not len(point):
        return neighbors, value, index
    # All edges of those points, once for every blind tap.
    begin, count = neighbors.rowptr[point], neighbors.degree()[point]
    owner = torch.repeat_interleave(torch.arange(len(point), device=u.device), count)
    edge = torch.arange(len(owner), device=u.device) - (count.cumsum(0) - count)[owner] + begin[owner]
    apart = (u[edge] - lattice[tap[owner]]).square().sum(1)
    least = apart.new_full((len(point),), math.inf).scatter_reduce(0, owner, apart, "amin")
    attained = torch.where(apart <= least[owner], edge, neighbors.num_edges)
    chosen = torch.full_like(point, neighbors.num_edges).scatter_reduce(0, owner, attained, "amin")
    rows = torch.cat([neighbors.row, point])
    order = torch.sort(rows, stable=True).indices
    rowptr = F.pad(torch.bincount(rows, minlength=neighbors.num_dst).cumsum(0), (1, 0))
    col = torch.cat([neighbors.col, neighbors.col[chosen]])[order]
    more = F.pad(value.new_ones(len(point), 1), (0, value.shape[1] - 1))
    which = F.pad(tap[:, None], (0, value.shape[1] - 1))
    value, index = torch.cat([value, more])[order], torch.cat([index, which])[order]
    return Neighbors(rowptr, col, neighbors.num_src), value, index
