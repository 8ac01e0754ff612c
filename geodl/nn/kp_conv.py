"""KPConv: windows that are hats around kernel points in space."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from geodl.geometry import Charts
from geodl.ops import patch_conv, patch_gather
from geodl.ops.remembered import Shelf, remembered

__all__ = ["KPConv", "kernel_points"]


def kernel_points(count: int) -> Tensor:
    r"""Where the kernel points of KPConv lie: one at the centre, the others as far from each other as an attraction to the centre
    lets them,

    .. math:: \min_{k_2, \ldots} \; 5 \sum_m \|k_m\|^2 + \sum_{m < n} \frac{1}{\|k_m - k_n\|}, \qquad k_1 = 0

    and then scaled so that these are at the distance 1 from the centre in the mean. The best of eight minima, always the same one.

    Args:
        count: K, at least 1.

    Returns:
        ``[K, 3]`` float64.

    Raises:
        ValueError: fewer than one point.

    Thomas et al., "KPConv: flexible and deformable convolution for point clouds", ICCV 2019, supplement.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    return remembered(_POINTS, count, lambda: _minimum(count)).clone()


def _minimum(count: int) -> Tensor:
    centre = torch.zeros(_STARTS, 1, 3, dtype=torch.float64)
    if count == 1:
        return centre[0]
    generator = torch.Generator().manual_seed(count)
    free = torch.randn(_STARTS, count - 1, 3, dtype=torch.float64, generator=generator)
    free /= torch.linalg.vector_norm(free, dim=2, keepdim=True)
    velocity = torch.zeros_like(free)
    for _ in range(_STEPS):
        offset, distance = _apart(centre, free)
        force = (offset / distance[..., None] ** 3).sum(2)[:, 1:] - 10 * free
        velocity = 0.9 * velocity + 0.02 * force
        velocity /= (torch.linalg.vector_norm(velocity, dim=2, keepdim=True) / 0.05).clamp(min=1)
        free += velocity
    repulsion = (1 / _apart(centre, free)[1]).sum((1, 2)) / 2
    energy = 5 * free.square().sum((1, 2)) + repulsion
    # The first of equally good ones: which is lowest by the last digits would depend on the machine.
    best = free[int((energy < energy.min() * (1 + 1e-9)).nonzero()[0])]
    return torch.cat([centre[0], best / torch.linalg.vector_norm(best, dim=1).mean()])


def _apart(centre: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
    """Offsets of all pairs and their lengths, infinite from a point to itself."""
    points = torch.cat([centre, free], dim=1)
    offset = points[:, :, None] - points[:, None]
    distance = torch.linalg.vector_norm(offset, dim=3)
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return offset, distance


_STARTS, _STEPS = 8, 600
_POINTS = Shelf(64)


class KPConv(nn.Module):
    r"""Kernel point convolution with rigid kernels,

    .. math:: y_i = \sum_m \sum_{j \in N(i)} w_m(p_j - p_i) \, x_j W_m, \qquad
        w_m(u) = \max\Bigl(0, \; 1 - \frac{\|u - k_m\|}{\sigma}\Bigr)

    where the kernel points :math:`k_m` are spread over a ball (:func:`kernel_points`), at :math:`1.5 \sigma` from its centre, and
    each has a matrix. So they see points within :math:`2.5 \sigma`.

    Args:
        in_channels: ``C``.
        out_channels: C'.
        extent: sigma, how far a kernel point sees, in the unit of the charts; about the distance of points from one another.
        kernel_size: K, the number of kernel points.

    Shapes:
        x ``[num_src, C]``, charts with coordinates :math:`p_j - p_i` ``[E, 3]`` -> ``[N, C']``. An empty row gives 0.

    Raises:
        ValueError: shapes that do not fit, polar charts, or an extent that is not positive.

    Thomas, Qi, Deschaud, Marcotegui, Goulette, Guibas, "KPConv: flexible and deformable convolution for point clouds", ICCV 2019,
    eq. 1-6.
    """

    points: Tensor  # in units of the extent

    def __init__(self, in_channels: int, out_channels: int, extent: float, kernel_size: int = 15) -> None:
        super().__init__()
        if not extent > 0:
            raise ValueError(f"extent must be positive, got {extent}")
        self.extent = extent
        bound = 1 / math.sqrt(max(kernel_size * in_channels, 1))
        self.filters = nn.Parameter(
            torch.empty(kernel_size, in_channels, out_channels).uniform_(-bound, bound)
        )
        self.register_buffer("points", (1.5 * kernel_points(kernel_size)).to(self.filters))

    def forward(self, x: Tensor, charts: Charts) -> Tensor:
        """``x [num_src, C]`` in charts with offsets ``[E, 3]``, ``[N, C']``."""
        if charts.kind != "cartesian" or charts.coords.shape[1] != 3:
            raise ValueError(
                f"charts must be cartesian with 3 coordinates, not {charts.kind} with {charts.coords.shape[1]}"
            )
        x = x.to(self.filters.dtype)  # windows and filters stay in full precision under mixed precision
        tracing = torch.compiler.is_compiling()  # then nobody knows how many edges and points there are
        mode = "use_mm_for_euclid_dist" + ("" if tracing else "_if_necessary")
        windows = (1 - torch.cdist(charts.coords / self.extent, self.points, compute_mode=mode)).clamp(min=0)
        neighbors = charts.neighbors
        # What few points read is smaller than the filter.
        if not tracing and neighbors.num_dst < self.filters.shape[2]:
            return patch_gather(x, neighbors, windows).flatten(1) @ self.filters.flatten(0, 1)
        return patch_conv(x, neighbors, windows, self.filters)

    def extra_repr(self) -> str:
        kernel_size, in_channels, out_channels = self.filters.shape
        return f"{in_channels}, {out_channels}, extent={self.extent}, kernel_size={kernel_size}"
