"""A network of a point and of the cloud that it lies in."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from geodl.models.clouds import Clouds
from geodl.nn.plain import plain_first


def joint(network: nn.Module, clouds: Clouds, pooled: Tensor, local: Tensor) -> Tensor:
    """The network of what the cloud has, ``[B, C]``, and the point, ``[P, C']``: ``[P, C'']``.

    Of a linear layer that it begins with, the former costs a product a cloud.
    """
    first, rest = plain_first(network)
    if first is None:
        scores: Tensor = network(torch.cat([clouds.to_points(pooled), local], dim=1))
        return scores
    of_cloud = functional.linear(pooled, first.weight[:, : pooled.shape[1]], first.bias)
    y = functional.linear(local, first.weight[:, pooled.shape[1] :]) + clouds.to_points(of_cloud)
    for layer in rest:
        y = layer(y)
    return y
