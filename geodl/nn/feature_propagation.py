"""Feature propagation of PointNet++: a signal back from the samples to the points that they were taken from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from geodl.nn.mlp import mlp
from geodl.nn.plain import plain_first
from geodl.ops import aggregate, knn

__all__ = ["FeaturePropagation", "interpolate"]


def interpolate(
    x: Tensor, pos: Tensor, ptr: Tensor, queries: Tensor, query_ptr: Tensor, k: int = 3, power: int = 2
) -> Tensor:
    r"""Mean of the nearest points, weighted by inverse distance, squared if not said otherwise,

    .. math:: \text{out}_i = \frac{\sum_j w_{ij} x_j}{\sum_j w_{ij}}, \qquad w_{ij} = \frac{1}{\|q_i - p_j\|^\text{power} + 10^{-8}}

    over the k nearest points j of the same cloud, or all where there are fewer. The small number is for positions of clouds of
    about unit size. No gradient reaches the positions.

    Args:
        x: ``[M, C]``, the signal at the points.
        pos: ``[M, 3]``, where they are.
        ptr: ``[B + 1]``, where their clouds begin.
        queries: ``[P, 3]``, where the signal is wanted.
        query_ptr: ``[B + 1]``, where theirs begin.
        k: how many points count.
        power: of the distance.

    Returns:
        ``[P, C]``; 0 in a cloud without points.

    Qi et al., "PointNet++", NeurIPS 2017, eq. 2.
    """
    neighbors, distance = knn(pos, k, ptr, queries, query_ptr, return_distance=True)
    distance = distance.to(
        torch.promote_types(distance.dtype, torch.float32)
    )  # half precision has no number so large
    weight = 1 / (distance**power + 1e-8)
    total = aggregate(weight[:, None], neighbors.edges())[:, 0]
    return aggregate(x, neighbors, (weight / total[neighbors.row]).to(x.dtype))


class FeaturePropagation(nn.Module):
    """Interpolates the signal of the samples (:func:`interpolate`), appends it to that of the points, and applies a network.

    Interpolation is linear, and so is the first layer: where that is plain (:func:`~geodl.nn.plain.is_plain`), the samples' part of
    it is multiplied at the samples, which are fewer.

    Args:
        in_channels: of the points' signal and the samples' together.
        widths: of the layers of linear map, batch norm and ReLU.
        bias: whether linear maps have one, for the norm to take away again.
        power: of the distance in the interpolation; 1 in PointNeXt.

    Shapes:
        pos ``[P, 3]``, x ``[P, C]`` or None, ptr ``[B + 1]`` and the same of the samples, of which M -> ``[P, widths[-1]]``.

    Raises:
        ValueError: shapes that do not fit; on the CPU a point that is not finite.

    Qi et al., "PointNet++", NeurIPS 2017, section 3.4.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], bias: bool = True, power: int = 2) -> None:
        super().__init__()
        self.in_channels, self.power = in_channels, power
        self.layers = mlp([in_channels, *widths], bias=bias)

    def forward(
        self,
        pos: Tensor,
        x: Tensor | None,
        ptr: Tensor,
        sample_pos: Tensor,
        sample_x: Tensor,
        sample_ptr: Tensor,
    ) -> Tensor:
        """The signal of the samples at the points, together with theirs, ``[P, widths[-1]]``."""
        own = 0 if x is None else x.shape[1]
        if own + sample_x.shape[1] != self.in_channels:
            raise ValueError(
                f"the signals of points and samples have {own + sample_x.shape[1]} channels together, not {self.in_channels}"
            )
        first, rest = plain_first(self.layers)
        if first is None:
            y = interpolate(sample_x, sample_pos, sample_ptr, pos, ptr, power=self.power)
            out: Tensor = self.layers(y if x is None else torch.cat([x, y], dim=1))
            return out
        multiplied = functional.linear(sample_x, first.weight[:, own:])
        y = interpolate(multiplied, sample_pos, sample_ptr, pos, ptr, power=self.power)
        if x is not None:
            y = y + functional.linear(x, first.weight[:, :own])
        y = y if first.bias is None else y + first.bias
        for layer in rest:
            y = layer(y)
        return y
