"""KPConv whose kernel points go where the shape is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.geometry import Charts
from geodl.nn.kp_conv import KPConv
from geodl.ops import aggregate, patch_conv

__all__ = ["DeformableKPConv"]


class DeformableKPConv(nn.Module):
    r"""Kernel point convolution with deformable kernels: another, rigid one says at every point where its kernel points move,

    .. math:: y_i = \sum_m \sum_{j \in N(i)} w_{im}(p_j - p_i) \, x_j W_m, \qquad
        w_{im}(u) = \max\Bigl(0, \; 1 - \frac{\|u - k_m - \sigma \Delta_m(x)_i\|}{\sigma}\Bigr)

    At first they stay: the filter of :math:`\Delta` is 0. The authors learn it ten times slower than the rest.

    Args:
        in_channels: ``C``.
        out_channels: C'.
        extent: sigma, as for :class:`~geodl.nn.KPConv`.
        kernel_size: K, the number of kernel points.

    Shapes:
        x ``[num_src, C]``, charts with coordinates :math:`p_j - p_i` ``[E, 3]`` -> ``[N, C']``. An empty row gives 0. As kernel
        points move, neighbourhoods should reach farther than 2.5 sigma; 5 in the paper's networks.

    Raises:
        ValueError: shapes that do not fit, polar charts, or an extent that is not positive.

    Thomas et al., "KPConv: flexible and deformable convolution for point clouds", ICCV 2019, section 3.2.
    """

    def __init__(self, in_channels: int, out_channels: int, extent: float, kernel_size: int = 15) -> None:
        super().__init__()
        self.move = KPConv(in_channels, 3 * kernel_size, extent, kernel_size)
        nn.init.zeros_(self.move.filters)
        self.bias = nn.Parameter(torch.zeros(3 * kernel_size))
        self.filters = nn.Parameter(KPConv(in_channels, out_channels, extent, kernel_size).filters.detach())

    def forward(self, x: Tensor, charts: Charts) -> Tensor:
        """``x [num_src, C]`` in charts with offsets ``[E, 3]``, ``[N, C']``."""
        distance, _ = self._distances(x, charts)
        return self._through(x, charts, distance)

    def forward_and_penalty(self, x: Tensor, charts: Charts) -> tuple[Tensor, Tensor]:
        r"""The convolution and what the authors add to the loss, so that kernel points lie at points and apart from one another,

        .. math:: \frac{1}{N} \sum_i \Bigl(\sum_m \min_j \frac{\|u_{ij} - q_{im}\|^2}{\sigma^2} + \sum_{m \ne l}
            \max\Bigl(0, \; 1 - \frac{\|q_{im} - q_{il}\|}{\sigma}\Bigr)^2\Bigr), \qquad q_{im} = k_m + \sigma \Delta_m(x)_i
        """
        distance, points = self._distances(x, charts)
        fitting = aggregate(distance.square(), charts.neighbors.edges(), reduce="min").sum(1)
        one, other = torch.triu_indices(points.shape[1], points.shape[1], 1, device=points.device)
        apart = torch.linalg.vector_norm(points[:, one] - points[:, other], dim=2)
        repulsion = 2 * (1 - apart).clamp(min=0).square().sum(1)
        return self._through(x, charts, distance), (fitting + repulsion).mean()

    def _distances(self, x: Tensor, charts: Charts) -> tuple[Tensor, Tensor]:
        """Of every edge from every kernel point of its row, ``[E, K]``, and where these are, ``[N, K, 3]``, both in extents."""
        moved = self.move(x, charts) + self.bias + self.move.points.flatten()
        return self._to(moved, charts), moved.view(charts.neighbors.num_dst, -1, 3)

    def _to(self, points: Tensor, charts: Charts) -> Tensor:
        """Of every edge from every kernel point of its row, which are ``[N, 3 K]``."""
        to_edges, _ = charts.neighbors.edges().t()
        offset = (
            aggregate(points, to_edges).view(charts.neighbors.num_edges, -1, 3)
            - (charts.coords / self.move.extent)[:, None]
        )
        distance: Tensor = torch.linalg.vector_norm(offset, dim=2)
        return distance

    def _through(self, x: Tensor, charts: Charts, distance: Tensor) -> Tensor:
        return self._filtered(x, charts, (1 - distance).clamp(min=0))

    def _filtered(self, x: Tensor, charts: Charts, windows: Tensor) -> Tensor:
        return patch_conv(x.to(self.filters.dtype), charts.neighbors, windows, self.filters)

    def extra_repr(self) -> str:
        kernel_size, in_channels, out_channels = self.filters.shape
        return f"{in_channels}, {out_channels}, extent={self.move.extent}, kernel_size={kernel_size}"
