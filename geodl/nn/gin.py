"""Graph isomorphism convolution: a network of the sum over the neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.nn.plain import plain_first
from geodl.nn.sparse_features import Features, linear
from geodl.ops import Neighbors, aggregate

__all__ = ["GINConv"]


class GINConv(nn.Module):
    r"""Graph isomorphism convolution,

    .. math:: y_i = \text{mlp}\Bigl((1 + \epsilon) \, x_i + \sum_{j \in N(i)} x_j\Bigr) .

    The sum commutes with the network's first layer, so the narrower side of that layer is what the graph carries, where that layer
    is plain (:func:`~geodl.nn.plain.is_plain`).

    Args:
        mlp: the network, ``nn.Sequential`` with ``nn.Linear`` first.
        eps: its first value.
        train_eps: whether eps is learned.

    Shapes:
        x ``[N, C]`` (or :class:`~geodl.nn.SparseFeatures`), neighbors of N points -> ``[N, C']``.

    Raises:
        ValueError: the network does not begin with a linear layer.

    Xu, Hu, Leskovec and Jegelka, "How powerful are graph neural networks?", ICLR 2019.
    """

    eps: Tensor

    def __init__(self, mlp: nn.Sequential, eps: float = 0.0, train_eps: bool = False) -> None:
        super().__init__()
        if not (isinstance(mlp, nn.Sequential) and len(mlp) and isinstance(mlp[0], nn.Linear)):
            raise ValueError(f"mlp must be nn.Sequential with nn.Linear first, not {mlp!r}")
        self.mlp = mlp
        if train_eps:
            self.eps = nn.Parameter(torch.tensor([eps]))
        else:
            self.register_buffer("eps", torch.tensor([eps]))

    def forward(self, x: Features, neighbors: Neighbors) -> Tensor:
        first, rest = plain_first(self.mlp)
        if first is None or (isinstance(x, Tensor) and first.in_features < first.out_features):
            x = x if isinstance(x, Tensor) else x.to_dense()
            h: Tensor = self.mlp((1 + self.eps) * x + aggregate(x, neighbors))
            return h
        h = linear(x, first.weight.t())
        h = (1 + self.eps) * h + aggregate(h, neighbors)
        h = h if first.bias is None else h + first.bias
        for layer in rest:
            h = layer(h)
        return h
