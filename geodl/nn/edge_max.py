"""The last layer before a maximum over neighbours: linear map, batch norm and maximum in one operator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.nn.edge_conv import statistics
from geodl.ops import Neighbors, edge_conv


def message_max(
    messages: Tensor, neighbors: Neighbors, layer: nn.Module, norm: nn.Module | None, negative_slope: float
) -> Tensor:
    """Maximum over every row of activation(norm(layer(messages))), ``[E, C]`` -> ``[N, C']``; a slope of 1 is no activation.

    It is an edge convolution in which points are edges, each read by its own row: what the layer makes of an edge is stored, but
    neither what the norm makes of that nor any gradient.
    """
    assert isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d | None)
    edges, channels = messages.shape
    number = torch.arange(edges, device=messages.device)
    own = Neighbors._valid(neighbors.rowptr, number, edges)
    every = torch.arange(edges + 1, device=messages.device)
    own._transpose = Neighbors._valid(every, neighbors.row, neighbors.num_dst), number
    weight = layer.weight.t()
    nothing = messages.new_zeros(neighbors.num_dst, channels)  # rows have no part in a message
    return edge_conv(
        messages,
        own,
        torch.cat([weight, weight]),
        layer.bias,
        None if norm is None else statistics(norm),
        negative_slope,
        nothing,
    )


def offset_max(
    pos: Tensor,
    x: Tensor,
    neighbors: Neighbors,
    layer: nn.Module,
    norm: nn.Module,
    negative_slope: float,
    index: Tensor | None = None,
) -> Tensor:
    r"""Maximum over the neighbours of activation(norm(layer([p_j - p_i, x_j]))), ``[N, C']``, without a number an edge.

    As an edge convolution of :math:`[p, x]`, the part of the filter that reads x_i cancels what the offset :math:`x_j - x_i` holds
    of it.

    Args:
        pos: ``[P, 3]`` and x ``[P, C]``.
        index: ``[N]``, which of the points the rows are; all if not given.
    """
    assert isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d)
    both = torch.cat([pos, x], dim=1)
    weight = layer.weight.t()
    own = torch.cat([torch.zeros_like(weight[:3]), weight[3:]])
    dst = None if index is None else both[index]
    return edge_conv(
        both, neighbors, torch.cat([own, weight]), layer.bias, statistics(norm), negative_slope, dst
    )
