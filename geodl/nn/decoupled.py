"""The layers of DeLA, which take local aggregation apart: where neighbours lie is read once, then features only meet in maxima."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from geodl.nn.edge_max import network_max
from geodl.ops import Neighbors, aggregate

__all__ = ["DecoupledAggregation", "SpatialEncoding"]


class DecoupledAggregation(nn.Module):
    r"""The maximum of a linear map over the neighbours, as an offset,

    .. math:: \text{out}_i = \text{BN}\Bigl(\max_{j \in N(i)} W x_j - W x_i\Bigr)

    It costs a product a point, and nothing an edge but to compare. An empty row counts as the maximum 0.

    Args:
        in_channels: ``C``.
        out_channels: C'.
        scale: of the batch norm at first; 0, as in a residual branch that begins as none, or more.

    Shapes:
        x ``[N, C]``, neighbors of the points -> ``[N, C']``.

    Raises:
        ValueError: shapes that do not fit.

    Chen et al., "Decoupled local aggregation for point cloud learning", 2023, section 3.2.
    """

    def __init__(self, in_channels: int, out_channels: int, scale: float = 0.0) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels, bias=False)
        self.norm = nn.BatchNorm1d(out_channels)
        nn.init.constant_(self.norm.weight, scale)

    def forward(self, x: Tensor, neighbors: Neighbors) -> Tensor:
        """``x [N, C]`` read along neighbors, ``[N, C']``."""
        if neighbors.num_dst != neighbors.num_src:
            raise ValueError(
                f"points read each other, but neighbors have {neighbors.num_dst} rows and {neighbors.num_src} sources"
            )
        y = self.linear(x)
        out: Tensor = self.norm(aggregate(y, neighbors, reduce="max") - y)
        return out


class SpatialEncoding(nn.Module):
    r"""Where the neighbours lie, and what they have,

    .. math:: \text{out}_i = \max_{j \in N(i)} h\bigl([p_j - p_i, \; x_j]\bigr)

    with h linear maps, and between them batch norm over all edges and GELU. The first costs a product a point (see
    :class:`~geodl.nn.SetAbstraction`), the last is fused with the maximum (:func:`~geodl.ops.edge_conv`).

    Args:
        in_channels: C, of the signal; 0 if there is none but the positions.
        widths: of the layers of h, two at least.

    Shapes:
        pos ``[N, 3]``, x ``[N, C]`` or None, neighbors of the points -> ``[N, widths[-1]]``. An empty row gives 0.

    Raises:
        ValueError: shapes that do not fit, fewer than two widths.

    Chen et al., "Decoupled local aggregation for point cloud learning", 2023, section 3.3.
    """

    def __init__(self, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError(f"widths must hold two layers at least, got {list(widths)}")
        self.in_channels = in_channels
        layers: list[nn.Module] = []
        for c, d in pairwise([3 + in_channels, *widths]):
            layers += [nn.Linear(c, d, bias=False), nn.BatchNorm1d(d), nn.GELU()]
        self.layers = nn.Sequential(*layers[:-2])

    def forward(self, pos: Tensor, x: Tensor | None, neighbors: Neighbors) -> Tensor:
        """``pos [N, 3]``, ``x [N, C]`` or None and neighbours of the points -> ``[N, widths[-1]]``."""
        expected = None if self.in_channels == 0 else (pos.shape[0], self.in_channels)
        if (None if x is None else tuple(x.shape)) != expected:
            given = "None" if x is None else list(x.shape)
            raise ValueError(f"x must have shape {list(expected) if expected else None}, not {given}")
        return network_max(self.layers, pos, x, neighbors)
