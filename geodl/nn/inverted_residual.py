"""The blocks of PointNeXt: a set abstraction with a shortcut, and the inverted residual block."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from geodl.nn.edge_max import network_max
from geodl.nn.mlp import mlp
from geodl.nn.set_abstraction import Grouping, centred, group
from geodl.ops import Neighbors, farthest_points
from geodl.ops.dynamic_size import at_least

__all__ = ["InvResMLP", "ResidualAbstraction"]


class ResidualAbstraction(nn.Module):
    r"""PointNeXt's set abstraction: fewer points, each of which has looked at its surroundings and remembers itself,

    .. math:: \text{out}_i = \text{ReLU}\Bigl(W_s x_i + \max_{j : \|p_j - p_i\| \le r} \;
        h\bigl([(p_j - p_i) / r, \; x_j]\bigr)\Bigr)

    with h layers of linear map and batch norm, and ReLU between them; W_s is the identity if the channels do not change. Offsets
    are in units of the radius, so that they are of one size at every level. The first layer costs a product a point (see
    :class:`~geodl.nn.SetAbstraction`), the last is fused with its norm and the maximum (:func:`~geodl.ops.edge_conv`).

    Args:
        in_channels: ``C``.
        widths: of the layers of h.
        radius: r, in the unit of the positions.
        stride: a cloud of n points keeps the n / stride farthest, rounded down, but one at least.
        max_neighbors: how many points of a ball are read.
        grouping: see :class:`~geodl.nn.SetAbstraction`.

    Shapes:
        pos ``[P, 3]``, x ``[P, C]``, ptr ``[B + 1]`` -> pos ``[M, 3]``, x ``[M, widths[-1]]``, ptr ``[B + 1]``.

    Raises:
        ValueError: shapes that do not fit, on the CPU a point that is not finite.

    Qian et al., "PointNeXt: revisiting PointNet++ with improved training and scaling strategies", NeurIPS 2022, section 3.2.
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        radius: float,
        stride: int = 2,
        max_neighbors: int = 32,
        grouping: Grouping = "nearest",
    ) -> None:
        super().__init__()
        if not radius > 0 or stride < 1:
            raise ValueError(f"radius must be positive and stride at least 1, got {radius} and {stride}")
        self.in_channels, self.radius, self.stride = in_channels, radius, stride
        self.max_neighbors, self.grouping = max_neighbors, grouping
        self.layers = mlp([3 + in_channels, *widths], bias=False, last_activation=False)
        self.skip = nn.Identity() if in_channels == widths[-1] else nn.Linear(in_channels, widths[-1])

    def forward(self, pos: Tensor, x: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``pos``, ``x [P, C]`` and ``ptr`` of clouds -> ``pos``, ``x [M, widths[-1]]`` and ``ptr`` of fewer points."""
        if x.shape != (pos.shape[0], self.in_channels):
            raise ValueError(f"x must have shape {[pos.shape[0], self.in_channels]}, not {list(x.shape)}")
        index, sample_ptr = farthest_points(pos, (ptr.diff() // self.stride).clamp(min=1), ptr)
        at_least(index.shape[0], 2 if self.training else 1)
        centers = pos[index]
        neighbors = group(pos, ptr, centers, sample_ptr, self.radius, self.max_neighbors, self.grouping)
        about = centred(pos, ptr) / self.radius
        y = network_max(self.layers, about, x, neighbors, index)
        return centers, functional.relu(y + self.skip(x[index])), sample_ptr

    def extra_repr(self) -> str:
        return f"{self.in_channels}, radius={self.radius}, stride={self.stride}, max_neighbors={self.max_neighbors}"


class InvResMLP(nn.Module):
    r"""Inverted residual block of PointNeXt: reads the surroundings by one layer, then widens and narrows every point alone,

    .. math:: \text{out}_i = \text{ReLU}\Bigl(x_i + g\bigl(\max_j \text{ReLU}(\text{BN}(W [(p_j - p_i) / r, \; x_j]))\bigr)\Bigr)

    with g two layers of linear map and batch norm and a ReLU between them. The part on edges is fused
    (:func:`~geodl.ops.edge_conv`): it costs products a point, and nothing is stored for an edge.

    Args:
        channels: C, of what it reads and writes.
        radius: r, by which offsets are divided.
        expansion: how many times wider it is between the layers of g.

    Shapes:
        pos ``[P, 3]``, x ``[P, C]``, ptr ``[B + 1]``, neighbors of the points -> ``[P, C]``.

    Raises:
        ValueError: shapes or dtypes that do not fit.

    Qian et al., "PointNeXt", NeurIPS 2022, section 3.2.
    """

    def __init__(self, channels: int, radius: float, expansion: int = 4) -> None:
        super().__init__()
        if not radius > 0:
            raise ValueError(f"radius must be positive, got {radius}")
        self.channels, self.radius = channels, radius
        self.surroundings = mlp([3 + channels, channels], bias=False)
        self.points = mlp([channels, expansion * channels, channels], bias=False, last_activation=False)

    def forward(self, pos: Tensor, x: Tensor, ptr: Tensor, neighbors: Neighbors) -> Tensor:
        """``pos [P, 3]``, ``x [P, C]``, ``ptr [B + 1]`` and neighbours of the points -> ``[P, C]``."""
        if x.shape != (pos.shape[0], self.channels):
            raise ValueError(f"x must have shape {[pos.shape[0], self.channels]}, not {list(x.shape)}")
        y = network_max(self.surroundings, centred(pos, ptr) / self.radius, x, neighbors)
        return functional.relu(x + self.points(y))

    def extra_repr(self) -> str:
        return f"{self.channels}, radius={self.radius}"
