"""Set abstraction of PointNet++: fewer points, each of which has looked at its surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn

from geodl.nn.edge_max import network_max
from geodl.nn.mlp import mlp
from geodl.ops import Neighbors, aggregate, farthest_points, knn, radius
from geodl.ops.core.transpose import edge_rows
from geodl.ops.dynamic_size import at_least
from geodl.ops.row_edges import first_of_rows

__all__ = ["SetAbstraction"]

Grouping = Literal["nearest", "first"]


class SetAbstraction(nn.Module):
    r"""Farthest points, and at each of them, for every scale, a small PointNet over the points around it,

    .. math:: \text{out}_i = \max_{j : \|p_j - p_i\| \le r} \; h\bigl([p_j - p_i, \; x_j]\bigr)

    with h layers of linear map, batch norm and ReLU. The first is linear in the points,
    :math:`W [p_j - p_i, x_j] = (W_p p_j + W_x x_j) - W_p p_i`, so it costs a product a point and none an edge. The last is fused
    with its norm and the maximum (:func:`~geodl.ops.edge_conv`).

    A ball of fewer points is not filled up with copies, which changes no maximum; in training, each edge counts once in the batch
    norm, where the authors count the copies too.

    Args:
        in_channels: C, of the signal; 0 if there is none but the positions.
        count: how many points every cloud keeps; all, if it has no more.
        radii: of every scale, in the unit of the positions; None for the nearest points however far.
        max_neighbors: of every scale.
        widths: of the layers of h, for every scale.
        grouping: which points of a ball that holds more than ``max_neighbors``: the "nearest", or the "first" in the order that
            they are given in, as the authors take them; their weights were learned so. Then the order matters.

    Shapes:
        pos ``[P, 3]``, x ``[P, C]`` or None, ptr ``[B + 1]`` -> pos ``[M, 3]``, x ``[M, sum of the last widths]``, ptr ``[B + 1]``.

    Raises:
        ValueError: shapes that do not fit, lists of different lengths, on the CPU a point that is not finite.

    Qi et al., "PointNet++: deep hierarchical feature learning on point sets in a metric space", NeurIPS 2017, section 3.2-3.3.
    """

    def __init__(
        self,
        in_channels: int,
        count: int,
        radii: Sequence[float | None],
        max_neighbors: Sequence[int],
        widths: Sequence[Sequence[int]],
        grouping: Grouping = "nearest",
    ) -> None:
        super().__init__()
        if not len(radii) == len(max_neighbors) == len(widths):
            raise ValueError(
                f"there are {len(radii)} radii, {len(max_neighbors)} max_neighbors and {len(widths)} widths: "
                "every scale needs one of each"
            )
        if grouping not in ("nearest", "first"):
            raise ValueError(f"grouping must be 'nearest' or 'first', not {grouping!r}")
        if grouping == "first" and None in radii:
            raise ValueError("grouping='first' needs radii: without one, all points are in the ball")
        self.in_channels, self.count, self.grouping = in_channels, count, grouping
        self.radii, self.max_neighbors = list(radii), list(max_neighbors)
        self.scales = nn.ModuleList(mlp([3 + in_channels, *layers]) for layers in widths)

    def forward(self, pos: Tensor, x: Tensor | None, ptr: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``pos``, ``x [P, C]`` and ``ptr`` of clouds -> those of the points that are kept, their x of all scales side by side."""
        expected = None if self.in_channels == 0 else (pos.shape[0], self.in_channels)
        if (None if x is None else tuple(x.shape)) != expected:
            given = "None" if x is None else list(x.shape)
            raise ValueError(f"x must have shape {list(expected) if expected else None}, not {given}")
        index, sample_ptr = farthest_points(pos, self.count, ptr)
        at_least(index.shape[0], 2 if self.training else 1)
        centers = pos[index]
        about = centred(pos, ptr)
        found = []
        for scale, r, most in zip(self.scales, self.radii, self.max_neighbors, strict=True):
            neighbors = group(pos, ptr, centers, sample_ptr, r, most, self.grouping)
            found.append(network_max(cast(nn.Sequential, scale), about, x, neighbors, index))
        return centers, torch.cat(found, dim=1), sample_ptr

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, count={self.count}, radii={self.radii}, max_neighbors={self.max_neighbors}"
        )


def group(
    pos: Tensor,
    ptr: Tensor,
    centers: Tensor,
    sample_ptr: Tensor,
    r: float | None,
    most: int,
    grouping: Grouping,
) -> Neighbors:
    """What every centre reads: the nearest points, or of those in a ball the nearest or the first."""
    if r is None:
        return knn(pos, most, ptr, centers, sample_ptr)
    if grouping == "nearest":
        return radius(pos, r, ptr, centers, sample_ptr, most)
    return first_of_rows(radius(pos, r, ptr, centers, sample_ptr), most)


def centred(pos: Tensor, ptr: Tensor) -> Tensor:
    """Every cloud moved to its mean: far from the origin, differences of products would lose digits."""
    own = torch.arange(pos.shape[0], device=pos.device)
    means = aggregate(pos, Neighbors.trusted(ptr, own, pos.shape[0]), reduce="mean")
    return pos - means[cloud_of(ptr, pos.shape[0])]


def cloud_of(ptr: Tensor, points: int) -> Tensor:
    """The cloud of every point, ``[P]``."""
    of_points: Tensor = edge_rows(ptr, torch.arange(points, device=ptr.device))
    return of_points
