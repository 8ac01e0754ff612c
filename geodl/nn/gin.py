"""Graph isomorphism convolution: a network of the sum over the neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.nn.gin_fused import fused_gin, two_layers
from geodl.nn.graph_layer import GraphLayer, product
from geodl.nn.plain import plain_first
from geodl.nn.sparse_features import Features, linear
from geodl.ops import Neighbors, aggregate

__all__ = ["GINConv"]


class GINConv(GraphLayer):
    r"""Graph isomorphism convolution,

    .. math:: y_i = \text{mlp}\Bigl((1 + \epsilon) \, x_i + \sum_{j \in N(i)} x_j\Bigr) .

    Where the network begins with a plain linear layer (:func:`~geodl.nn.plain.is_plain`), the sum commutes with it, so its narrower
    side is what the graph carries. Where it is exactly a linear layer, ReLU and a linear layer, a CPU computes all in one
    operator.

    Args:
        mlp: the network, such as ``nn.Sequential(nn.Linear(C, H), nn.ReLU(), nn.Linear(H, C'))``.
        eps: its first value.
        train_eps: whether eps is learned.

    Shapes:
        x ``[N, C]`` (or :class:`~geodl.nn.SparseFeatures`), a graph of N points (:class:`~geodl.nn.GraphLayer`) -> ``[N, C']``.

    Xu, Hu, Leskovec and Jegelka, "How powerful are graph neural networks?", ICLR 2019.
    """

    eps: Tensor

    def __init__(self, mlp: nn.Module, eps: float = 0.0, train_eps: bool = False) -> None:
        super().__init__()
        self.mlp = mlp
        if train_eps:
            self.eps = nn.Parameter(torch.tensor(eps))
        else:
            self.register_buffer("eps", torch.tensor(eps))

    def convolve(
        self, x: Features, neighbors: Neighbors, weight: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        factor = product(weight, mask)
        layers = two_layers(self.mlp)
        if (
            layers
            and factor is None
            and isinstance(x, Tensor)
            and x.is_cpu
            and layers[0].in_features <= layers[0].out_features
        ):
            return fused_gin(x, neighbors, self.eps, *layers)
        first, rest = plain_first(self.mlp)
        if first is None or (isinstance(x, Tensor) and first.in_features < first.out_features):
            x = x if isinstance(x, Tensor) else x.to_dense()
            h: Tensor = self.mlp((1 + self.eps) * x + aggregate(x, neighbors, factor))
            return h
        h = linear(x, first.weight.t())
        h = (1 + self.eps) * h + aggregate(h, neighbors, factor)
        h = h if first.bias is None else h + first.bias
        for layer in rest:
            h = layer(h)
        return h
