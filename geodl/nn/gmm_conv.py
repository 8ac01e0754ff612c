"""MoNet's convolution: windows that are Gaussians with learned means and widths."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.geometry import Charts
from geodl.nn.glorot import glorot
from geodl.nn.graph_layer import Adjacency, GraphLayer, product
from geodl.nn.sparse_features import Features, patch_conv_of
from geodl.ops import Neighbors

__all__ = ["GMMConv", "degree_charts"]


def degree_charts(neighbors: Neighbors, dtype: torch.dtype = torch.float32) -> Charts:
    r"""The local coordinates of a graph without any other: :math:`u_{ij} = (1 / \sqrt{d_i}, 1 / \sqrt{d_j})`.

    Args:
        neighbors: the graph, N by N; degrees are the numbers of neighbours, whatever weights or masks their edges have.
        dtype: of the coordinates.

    Raises:
        ValueError: the graph is not square.

    Monti et al., CVPR 2017, eq. 11.
    """
    if neighbors.num_dst != neighbors.num_src:
        raise ValueError(
            f"a graph is square, but neighbors have {neighbors.num_src} sources and {neighbors.num_dst} rows"
        )
    scale = neighbors.degree().clamp(min=1).to(dtype).rsqrt()
    coords = torch.stack([scale[neighbors.row], scale[neighbors.col]], 1)
    return Charts(neighbors, coords, "cartesian")


class GMMConv(GraphLayer):
    r"""Mixture model convolution,

    .. math:: y_i = b + \sum_m \sum_{j \in N(i)} w_m(u_{ij}) \, x_j W_m, \qquad
        w_m(u) = \exp\Bigl(-\tfrac{1}{2} \sum_d (u_d - \mu_{md})^2 / \sigma_{md}^2\Bigr)

    with learned :math:`\mu` and :math:`\sigma`. Whatever the domain, only the coordinates u change: geodesic polar ones on a
    mesh, degrees on a graph (:func:`degree_charts`).

    Args:
        in_channels: ``C``.
        out_channels: C'.
        windows: ``M``.
        dim: of the coordinates.
        max_coord: the means begin uniformly in [0, max_coord], the widths at max_coord / 2.
        bias: whether b is learned.

    Shapes:
        x ``[N, C]`` (or :class:`~geodl.nn.SparseFeatures`), charts with coordinates ``[E, dim]`` -> ``[N, C']``.
        As in PyG also ``edge_index [2, E]`` and ``edge_attr [E, dim]`` in its order (:class:`~geodl.nn.GraphLayer`).

    Raises:
        ValueError: coordinates of another dimension.

    Monti, Boscaini, Masci, Rodolà, Svoboda and Bronstein, "Geometric deep learning on graphs and manifolds using mixture model
    CNNs", CVPR 2017.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        windows: int,
        dim: int = 2,
        max_coord: float = 1.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if windows < 1 or dim < 1 or not max_coord > 0:
            raise ValueError(
                f"windows, dim and max_coord must be positive, got {windows}, {dim} and {max_coord}"
            )
        self.mean = nn.Parameter(torch.rand(windows, dim) * max_coord)
        self.scale = nn.Parameter(torch.full((windows, dim), max_coord / 2))
        self.filters = glorot(windows, in_channels, out_channels)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(  # type: ignore[override]  # charts stand for the graph
        self,
        x: Features,
        charts: Charts | Adjacency,
        edge_attr: Tensor | None = None,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        """``x [N, C]`` in charts with coordinates ``[E, dim]``, or PyG's ``edge_index`` and ``edge_attr``, ``[N, C']``."""
        charts, counted, mask = self.coordinates(x, charts, edge_attr, edge_weight)
        u, dim = charts.coords, self.mean.shape[1]
        if u.shape[1] != dim:
            raise ValueError(f"charts have coordinates of dimension {u.shape[1]} but the layer reads {dim}")
        weight = (((u[:, None] - self.mean) / self.scale).square().sum(2) / -2).exp()
        factor = product(counted, mask)
        weight = weight if factor is None else weight * factor[:, None]
        y = patch_conv_of(x, charts.neighbors, weight, self.filters)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        windows, in_channels, out_channels = self.filters.shape
        return f"{in_channels}, {out_channels}, windows={windows}, dim={self.mean.shape[1]}"
