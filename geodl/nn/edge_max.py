"""The maximum over neighbours of a network that reads what they have and where they lie, with as little as can be for every edge.

The first layer is linear in two points, so it costs a product a point; the last is fused with its norm and the maximum.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from geodl.nn.edge_sum import edge_sum
from geodl.ops import BatchNorm, Neighbors, edge_conv


def network_max(
    network: nn.Sequential, pos: Tensor, x: Tensor | None, neighbors: Neighbors, index: Tensor | None = None
) -> Tensor:
    """Maximum over every row of network([p_j - p_i, x_j]), ``[N, C']``; an empty row gives 0.

    Args:
        network: linear layers, between them what one likes, after the last batch norm and then a ReLU, or nothing. Of one layer,
            nothing is stored for an edge.
        pos: ``[P, 3]``, about the origin: far from it, differences of products lose digits.
        x: ``[P, C]``, or None.
        neighbors: of the rows among the points.
        index: ``[N]``, which of the points the rows are; all if not given.
    """
    layers = list(network)
    negative_slope = 1.0
    if isinstance(layers[-1], nn.ReLU):
        layers.pop()
        negative_slope = 0.0
    norm = layers.pop() if isinstance(layers[-1], nn.BatchNorm1d) else None
    last = layers.pop()
    signal = pos if x is None else torch.cat([pos, x], dim=1)
    if not layers:
        return _offset_max(signal, neighbors, last, norm, negative_slope, index)
    first, *between = layers
    assert isinstance(first, nn.Linear)
    v = functional.linear(signal, first.weight, first.bias)
    u = -functional.linear(pos if index is None else pos[index], first.weight[:, :3])
    messages = edge_sum(u, v, neighbors)
    for layer in between:
        messages = layer(messages)
    return message_max(messages, neighbors, last, norm, negative_slope)


def message_max(
    messages: Tensor, neighbors: Neighbors, layer: nn.Module, norm: nn.Module | None, negative_slope: float
) -> Tensor:
    """Maximum over every row of activation(norm(layer(messages))), ``[E, C]`` -> ``[N, C']``; a slope of 1 is no activation.

    It is an edge convolution in which points are edges, each read by its own row: what the layer makes of an edge is stored, but
    neither what the norm makes of that nor any gradient.
    """
    assert isinstance(layer, nn.Linear)
    messages = messages.to(layer.weight.dtype)  # operators stay in full precision under mixed precision
    weight = layer.weight.t()
    both = torch.cat([weight, weight])
    nothing = messages.new_zeros(neighbors.num_dst, messages.shape[1])  # rows have no part in a message
    return edge_conv(messages, neighbors.edges(), both, layer.bias, statistics(norm), negative_slope, nothing)


def _offset_max(
    signal: Tensor,
    neighbors: Neighbors,
    layer: nn.Module,
    norm: nn.Module | None,
    negative_slope: float,
    index: Tensor | None,
) -> Tensor:
    r"""One layer of :math:`[p_j - p_i, x_j]` as an edge convolution of the signal :math:`[p, x]`.

    The part of the filter that reads x_i cancels what the offset :math:`x_j - x_i` holds of it.
    """
    assert isinstance(layer, nn.Linear)
    signal = signal.to(layer.weight.dtype)
    weight = layer.weight.t()
    own = torch.cat([torch.zeros_like(weight[:3]), weight[3:]])
    both, dst = torch.cat([own, weight]), None if index is None else signal[index]
    return edge_conv(signal, neighbors, both, layer.bias, statistics(norm), negative_slope, dst)


def statistics(norm: nn.Module | None) -> BatchNorm | None:
    """A batch norm as the operator reads it; one in training counts the batch."""
    if norm is None:
        return None
    assert isinstance(norm, nn.BatchNorm1d) and norm.momentum is not None
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked += 1
    return BatchNorm(
        norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training, norm.momentum, norm.eps
    )
