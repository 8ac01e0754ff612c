"""The maximum over neighbours of a network that reads what they have and where they lie, with as little as can be for every edge.

The first layer is linear in two points, so it costs a product a point; the last is fused with its norm and the maximum. That reads
layers instead of calling them, so where one is not plain (:mod:`geodl.nn.plain`) the network is called with what every edge reads.
"""

from __future__ import annotations

from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

from geodl.nn.edge_sum import edge_sum
from geodl.nn.plain import is_plain, plain_first
from geodl.ops import BatchNorm, Neighbors, aggregate, edge_conv
from geodl.ops.dynamic_size import at_least


class Layers(NamedTuple):
    """A network whose last layer may be fused with the maximum: what comes before, and a norm and an activation after it."""

    before: list[nn.Module]
    last: nn.Linear
    norm: nn.BatchNorm1d | None
    negative_slope: float  # 1 is no activation


def network_max(
    network: nn.Module, pos: Tensor, x: Tensor | None, neighbors: Neighbors, index: Tensor | None = None
) -> Tensor:
    """Maximum over every row of network([p_j - p_i, x_j]), ``[N, C']``; an empty row gives 0.

    Args:
        network: linear layers, between them what one likes, after the last batch norm and then a ReLU, or nothing. Of one layer,
            nothing is stored for an edge. Any other network is called.
        pos: ``[P, 3]``, about the origin: far from it, differences of products lose digits.
        x: ``[P, C]``, or None.
        neighbors: of the rows among the points.
        index: ``[N]``, which of the points the rows are; all if not given.
    """
    at_least(neighbors.num_edges, 2 if network.training else 1)
    signal = pos if x is None else torch.cat([pos, x], dim=1)
    layers = plain_layers(network)
    if layers is not None and not layers.before:
        return _offset_max(signal, neighbors, layers, index)
    centers = pos if index is None else pos[index]
    first, _ = plain_first(network)
    if layers is None or first is None:
        offset = edge_sum(functional.pad(-centers, (0, signal.shape[1] - 3)), signal, neighbors)
        return edge_maximum(network(offset), neighbors)
    u = -functional.linear(centers, first.weight[:, :3])
    messages = edge_sum(u, functional.linear(signal, first.weight, first.bias), neighbors)
    for layer in layers.before[1:]:
        messages = layer(messages)
    return _fused_max(messages, neighbors, layers)


def message_max(network: nn.Module, messages: Tensor, neighbors: Neighbors) -> Tensor:
    """Maximum over every row of network(messages), ``[E, C]`` -> ``[N, C']``; an empty row gives 0."""
    layers = plain_layers(network)
    if layers is None:
        return edge_maximum(network(messages), neighbors)
    for layer in layers.before:
        messages = layer(messages)
    return _fused_max(messages, neighbors, layers)


def plain_layers(network: nn.Module) -> Layers | None:
    """The layers of a network, if it and its last linear layer, norm and activation may be read instead of called."""
    if not is_plain(network, nn.Sequential):
        return None
    layers = list(network)
    negative_slope = _slope(layers[-1]) if layers else None
    if negative_slope is not None:
        layers.pop()
    norm = layers[-1] if layers else None
    if norm is not None and is_plain_norm(norm):
        layers.pop()
    else:
        norm = None
    last = layers.pop() if layers else None
    if last is None or not is_plain(last, nn.Linear):
        return None
    return Layers(layers, last, norm, 1.0 if negative_slope is None else negative_slope)


def _slope(activation: nn.Module) -> float | None:
    """Of a plain activation that the operator knows."""
    if is_plain(activation, nn.ReLU):
        return 0.0
    if is_plain(activation, nn.LeakyReLU) and activation.negative_slope >= 0:
        return activation.negative_slope
    return None


def is_plain_norm(norm: nn.Module) -> TypeGuard[nn.BatchNorm1d]:
    """Whether :func:`statistics` says all of it; without a momentum the running ones are means, which the norm itself must take."""
    return is_plain(norm, nn.BatchNorm1d) and norm.momentum is not None


def statistics(norm: nn.BatchNorm1d | None) -> BatchNorm | None:
    """A plain batch norm as the operator reads it; one in training counts the batch."""
    if norm is None:
        return None
    assert norm.momentum is not None
    mean, variance = norm.running_mean, norm.running_var
    if norm.training and not norm.track_running_stats:
        mean = variance = None
    elif norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked += 1
    by_batch = norm.training or (mean is None and variance is None)
    return BatchNorm(mean, variance, norm.weight, norm.bias, by_batch, norm.momentum, norm.eps)


def edge_maximum(messages: Tensor, neighbors: Neighbors) -> Tensor:
    """Maximum over every row of what its edges have, ``[E, C]`` -> ``[N, C]``."""
    return aggregate(messages, neighbors.edges(), reduce="max")


def _fused_max(messages: Tensor, neighbors: Neighbors, layers: Layers) -> Tensor:
    """Maximum over every row of activation(norm(last(messages))).

    It is an edge convolution in which points are edges, each read by its own row: what the layer makes of an edge is stored, but
    neither what the norm makes of that nor any gradient.
    """
    last = layers.last
    messages = messages.to(last.weight.dtype)  # operators stay in full precision under mixed precision
    weight = last.weight.t()
    both = torch.cat([weight, weight])
    nothing = messages.new_zeros(neighbors.num_dst, messages.shape[1])  # rows have no part in a message
    norm = statistics(layers.norm)
    return edge_conv(messages, neighbors.edges(), both, last.bias, norm, layers.negative_slope, nothing)


def _offset_max(signal: Tensor, neighbors: Neighbors, layers: Layers, index: Tensor | None) -> Tensor:
    r"""One layer of :math:`[p_j - p_i, x_j]` as an edge convolution of the signal :math:`[p, x]`.

    The part of the filter that reads x_i cancels what the offset :math:`x_j - x_i` holds of it.
    """
    last = layers.last
    signal = signal.to(last.weight.dtype)
    weight = last.weight.t()
    own = torch.cat([torch.zeros_like(weight[:3]), weight[3:]])
    both, dst = torch.cat([own, weight]), None if index is None else signal[index]
    return edge_conv(signal, neighbors, both, last.bias, statistics(layers.norm), layers.negative_slope, dst)
