"""SplineConv: a filter that is a B-spline over the local coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geodl.geometry import Charts
from geodl.nn.geodesic import chart_reach
from geodl.nn.graph_layer import Adjacency, GraphLayer, shares
from geodl.nn.spline_windows import spline_windows
from geodl.ops import patch_conv

__all__ = ["SplineConv"]


class SplineConv(GraphLayer):
    r"""Convolution with a continuous filter, a tensor product of B-splines with a matrix at every control point.

    .. math:: y_i = b + x_i W_\text{root} + \frac{1}{|N(i)|} \sum_{j \in N(i)} \sum_m w_m(u_{ij}) \, x_j W_m

    Coordinates are brought to [0, 1]: cartesian ones by :math:`u = (c / R + 1) / 2`, polar ones by
    :math:`(\rho / R, \theta / 2 \pi)`, where the spline over theta is closed. A neighbour beyond R counts in its direction, at
    the border.

    Args:
        in_channels: ``C``.
        out_channels: C'.
        kernel_size: control points along each axis; its length is the number of coordinates.
        degree: of the splines, 1, 2 or 3.
        radius: R, in the unit of the charts; of every chart its own if not given.
        mean: whether to divide by the number of neighbours, or to sum.
        root: whether :math:`W_\text{root}` is learned.
        bias: whether b is.

    Shapes:
        x ``[V, C]``, charts over V points -> ``[V, C']``. As in PyG also ``edge_index [2, E]`` and ``edge_attr [E, axes]`` in its
        order (:class:`~geodl.nn.GraphLayer`), which are u already: in [0, 1], beyond at the border.

    Raises:
        ValueError: a degree that is not 1, 2 or 3, charts that do not fit, or no radius.

    Fey, Lenssen, Weichert, Müller, "SplineCNN: fast geometric deep learning with continuous B-spline kernels", CVPR 2018.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int] = (5, 5),
        degree: int = 1,
        radius: float | None = None,
        mean: bool = True,
        root: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if degree not in (1, 2, 3):
            raise ValueError(f"degree must be 1, 2 or 3, got {degree}")
        if min(kernel_size) <= degree:
            raise ValueError(
                f"splines of degree {degree} need more than {degree} control points, got {list(kernel_size)}"
            )
        self.kernel_size, self.degree, self.radius, self.mean = tuple(kernel_size), degree, radius, mean
        self.filters = nn.Parameter(torch.empty(math.prod(kernel_size), in_channels, out_channels))
        self.root = nn.Linear(in_channels, out_channels, bias=False) if root else None
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform within one over the root of what a filter reads, as the authors do."""
        taps, in_channels, _ = self.filters.shape
        bound = 1 / math.sqrt(max(taps * in_channels, 1))
        nn.init.uniform_(self.filters, -bound, bound)
        if self.root is not None:
            self.root.reset_parameters()
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(  # type: ignore[override]  # charts stand for the graph
        self,
        x: Tensor,
        charts: Charts | Adjacency,
        edge_attr: Tensor | None = None,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        """``x [V, C]`` in charts over V points, or PyG's ``edge_index`` and ``edge_attr``, ``[V, C']``."""
        in_unit = not isinstance(charts, Charts)
        charts, counted, mask = self.coordinates(x, charts, edge_attr, edge_weight)
        neighbors = charts.neighbors
        if x.shape[0] != neighbors.num_src:
            raise ValueError(f"charts have {neighbors.num_src} vertices but x has {x.shape[0]} rows")
        weight, index = self._windows(charts, in_unit)
        if counted is not None:
            weight = weight * (shares(neighbors, counted) if self.mean else counted)[:, None]
        elif self.mean:
            weight = weight / neighbors.degree().clamp(min=1)[neighbors.row, None]
        if mask is not None:
            weight = weight * mask[:, None]
        y = patch_conv(x, neighbors, weight.to(x.dtype), self.filters, index)
        if self.root is not None:
            y = y + self.root(x)
        return y if self.bias is None else y + self.bias

    def _windows(self, charts: Charts, in_unit: bool) -> tuple[Tensor, Tensor]:
        axes = len(self.kernel_size)
        if charts.coords.shape[1] != axes:
            raise ValueError(
                f"charts have {charts.coords.shape[1]} coordinates but the kernel has {axes} axes"
            )
        size = charts.coords.new_tensor(self.kernel_size)
        if in_unit:
            unit = charts.coords.clamp(0, 1)
            return spline_windows(unit * (size - self.degree), self.kernel_size, self.degree)
        radius = chart_reach(charts) if self.radius is None else charts.coords.new_tensor(self.radius)
        if charts.kind == "cartesian":
            unit = ((charts.coords / radius[..., None]).clamp(-1, 1) + 1) / 2
            return spline_windows(unit * (size - self.degree), self.kernel_size, self.degree)
        rho = (charts.rho / radius).clamp(max=1) * (size[0] - self.degree)
        theta = charts.theta / (2 * math.pi) * size[1]
        return spline_windows(torch.stack([rho, theta], dim=1), self.kernel_size, self.degree, (False, True))

    def extra_repr(self) -> str:
        _, in_channels, out_channels = self.filters.shape
        return f"{in_channels}, {out_channels}, kernel_size={self.kernel_size}, degree={self.degree}"
