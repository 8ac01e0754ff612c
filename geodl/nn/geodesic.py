"""Geodesic convolution: polar windows on a geodesic disc, all rotations of the filter, angular max pooling."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from geodl.geometry import Charts
from geodl.ops import PolarWindows, patch_gather, polar_conv
from geodl.ops.remembered import remembered

# Beyond this many nats a Gaussian is zero for all purposes; the bound keeps a bin that no neighbour is near from
# underflowing to 0 / 0, so that it reads its nearest neighbours instead.
_FAINTEST = 60.0


def gaussian_windows(charts: Charts, rings: int, rays: int, radius: float | None = None) -> PolarWindows:
    r"""Gaussian polar bins, the patch operator of the geodesic CNN.

    .. math:: w_{ra}(\rho, \theta) \propto \exp\Bigl(-\frac{(\rho - \rho_r)^2}{2 \sigma_\rho^2}
              - \frac{d(\theta, \theta_a)^2}{2 \sigma_\theta^2}\Bigr), \qquad \sum_{j \in N(i)} w_{ra}(u_{ij}) = 1

    with bin centres :math:`\rho_r = (r + 1/2) R_i / \text{rings}` and :math:`\theta_a = 2 \pi a / \text{rays}`, and half a
    bin's width as :math:`\sigma_\rho, \sigma_\theta`; :math:`d` is the distance on the circle. The centre of a chart has
    no direction: it counts for all rays alike.

    Args:
        charts: polar charts with E edges.
        rings: number of bins in rho.
        rays: number of bins in theta.
        radius: R, in the unit of the charts' rho; of every chart its own if not given.

    Returns:
        PolarWindows with dense weights ``[E, rings * rays]`` in the dtype of ``charts.coords``.

    Raises:
        ValueError: the charts are not polar; rings, rays or radius is not positive, or no finite radius is known.

    Masci, Boscaini, Bronstein, Vandergheynst: Geodesic convolutional neural networks on Riemannian manifolds, ICCVW 2015.
    """
    if charts.kind != "polar":
        raise ValueError(f"gaussian_windows needs polar charts, not {charts.kind!r}")
    if rings < 1 or rays < 1 or not (radius is None or radius > 0):
        raise ValueError(f"rings, rays and radius must be positive, got {rings}, {rays} and {radius}")
    rho, theta = charts.coords.unbind(1)
    reach = rho.new_tensor(radius) if radius is not None else chart_reach(charts)
    half_ring, half_ray = reach / rings / 2, math.pi / rays
    # In half bins, as the bins of every chart have a width of their own.
    rho_r = 2 * torch.arange(rings, dtype=rho.dtype, device=rho.device) + 1
    theta_a = 2 * math.pi / rays * torch.arange(rays, dtype=rho.dtype, device=rho.device)

    radial = ((rho / half_ring)[:, None] - rho_r).square() / 2
    turn = torch.remainder(theta[:, None] - theta_a + math.pi, 2 * math.pi) - math.pi
    angular = torch.where(rho[:, None] > 0, (turn / half_ray).square() / 2, 0.0)
    exponent = (radial[:, :, None] + angular[:, None, :]).flatten(1)
    weight = torch.exp(-exponent.clamp(max=_FAINTEST))

    total = patch_gather(weight.new_ones(charts.neighbors.num_src, 1), charts.neighbors, weight).squeeze(-1)
    return PolarWindows(charts.neighbors, weight / total[charts.neighbors.row], None, rings, rays)


def chart_reach(charts: Charts) -> Tensor:
    """The radius of the chart of every edge, ``[E]``.

    Raises:
        ValueError: charts without a radius, or with an infinite one.
    """
    radius = charts.radius
    if radius is None:
        raise ValueError("these charts have no radius of their own, so radius must be given")
    if not torch.compiler.is_compiling() and not remembered(
        charts, "ends", lambda: bool(radius.isfinite().all())
    ):
        raise ValueError("these charts reach without end, so radius must be given")
    return radius[charts.neighbors.row]


class GeodesicConv(nn.Module):
    r"""Geodesic convolution with angular pooling.

    .. math:: y_i = b + \max_{t} \sum_{r, a} D_{r, a + t} x (i) \, W_{ra}

    where :math:`D` reads the signal through polar windows and t runs over the rotations of the filter. With the maximum
    the result does not depend on the reference directions of the charts, for turns by multiples of the ray spacing. Those of
    :func:`~geodl.geometry.geodesic_charts` are told by the shape, so neither the numbering of vertices nor a rigid motion changes
    anything, with any number of rotations; where a shape tells no direction (see :func:`~geodl.geometry.tangent_frames`), a
    rotation of the shape does.

    Args:
        in_channels: ``C``.
        out_channels: C'.
        rings: number of radial windows.
        rays: number of angular windows.
        rotations: number of rotations of the filter, a divisor of ``rays``; all ``rays`` of them if not given.
            1 applies the filter in the direction of the charts.
        pool: "max" over the rotations, or None to return them all.
        bias: whether b is learned.

    Shapes:
        x ``[V, C]`` and charts over V vertices (:class:`~geodl.geometry.Charts`: Gaussian polar bins, or
        :class:`~geodl.ops.PolarWindows`, such as the template points of :func:`~geodl.geometry.polar_template`)
        -> ``[V, C']``, or ``[V, rotations, C']`` without pooling.

    Raises:
        ValueError: x has not a row for every vertex, or the windows have not ``rings`` x ``rays``.

    Masci et al. 2015; angular max pooling as there.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        rings: int = 5,
        rays: int = 8,
        rotations: int | None = None,
        pool: Literal["max"] | None = "max",
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.rotations = rotations
        self.pool: Literal["max"] | None = pool
        self.filters = nn.Parameter(torch.empty(rings, rays, in_channels, out_channels))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot's uniform distribution, over all windows of the patch."""
        rings, rays, in_channels, out_channels = self.filters.shape
        bound = math.sqrt(6 / max(rings * rays * in_channels + out_channels, 1))
        nn.init.uniform_(self.filters, -bound, bound)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, charts: Charts | PolarWindows) -> Tensor:
        """``x [V, C]`` in charts over V vertices, ``[V, C']``, or ``[V, rotations, C']`` without pooling."""
        vertices = charts.neighbors.num_src
        if x.shape[0] != vertices:
            raise ValueError(f"charts have {vertices} vertices but x has {x.shape[0]} rows")
        rings, rays = self.filters.shape[:2]
        windows = gaussian_windows(charts, rings, rays) if isinstance(charts, Charts) else charts
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(self.filters.dtype)  # windows and filters stay in full precision under mixed precision
        y = polar_conv(x, windows, self.filters, self.rotations, self.pool)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        rings, rays, in_channels, out_channels = self.filters.shape
        return f"{in_channels}, {out_channels}, rings={rings}, rays={rays}, rotations={self.rotations}, pool={self.pool!r}"
