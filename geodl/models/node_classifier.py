"""What the networks that classify the nodes of a graph have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from geodl.data import graph_neighbors
from geodl.nn import SparseFeatures
from geodl.nn.sparse_features import Features, dropout
from geodl.ops import Neighbors
from geodl.ops.remembered import remembered

__all__ = ["ConvolutionalClassifier", "NodeClassifier"]

# Below this share of nonzeros the first layer reads them alone.
_SPARSE = 0.1


def node_features(data: Data) -> Features:
    """``data.x``, as sparse features if few of its numbers are nonzero; looked at once for a tensor."""
    x = data.x
    if not isinstance(x, Tensor):
        raise ValueError(f"nodes need a signal x, but the data has {sorted(data.keys())}")
    if x.requires_grad or torch.compiler.is_compiling():
        return x

    def nonzeros() -> SparseFeatures | None:
        sparse = x.numel() > 0 and int(torch.count_nonzero(x)) < _SPARSE * x.numel()
        return SparseFeatures.from_dense(x) if sparse else None

    features = remembered(x, "nonzeros", nonzeros)
    return x if features is None else features


class NodeClassifier(nn.Module):
    """A network with a score of every class for every node.

    ``network(data)`` takes PyG ``Data`` (:class:`~geodl.data.Graph`) with ``x`` and ``edge_index``: neighbourhoods and the
    matrices of the layers are made once for an ``edge_index``, and an ``x`` that is mostly zeros is read by its nonzeros alone.
    ``network(x, neighbors)`` takes both ready-made.

    Shapes:
        x ``[N, in_channels]`` or :class:`~geodl.nn.SparseFeatures`, neighbors of N nodes -> ``[N, out_channels]``, before the
        softmax. Graphs side by side (PyG's ``Batch``) get the scores of each alone.
    """

    def forward(self, x: Data | Features, neighbors: Neighbors | None = None) -> Tensor:
        if isinstance(x, Data):
            if x.edge_weight is not None:
                raise ValueError(
                    "the data has edge_weight, which this network does not read: delete it, or give the layers a GraphMatrix"
                )
            x, neighbors = node_features(x), graph_neighbors(x)
        if not isinstance(x, (Tensor, SparseFeatures)):
            raise ValueError(f"x must be Data, a tensor or SparseFeatures, not {type(x).__name__}")
        if not isinstance(neighbors, Neighbors):
            raise ValueError(
                f"neighbors must be given as Neighbors, not {type(neighbors).__name__}: "
                "Neighbors.from_edge_index(edge_index, len(x)) makes them of an edge_index; network(data) takes a graph as it is"
            )
        return self.scores(x, neighbors)

    def scores(self, x: Features, neighbors: Neighbors) -> Tensor:
        raise NotImplementedError


class ConvolutionalClassifier(NodeClassifier):
    """Convolutions with an activation between, and dropout before each.

    Args:
        convs: layers that take ``(x, neighbors)``.
        activation: between layers.
        dropout: before every layer, in training.
        input_dropout: before the first; as ``dropout`` if not given.
    """

    def __init__(
        self,
        convs: Iterable[nn.Module],
        activation: Callable[[Tensor], Tensor] = torch.relu,
        dropout: float = 0.0,
        input_dropout: float | None = None,
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.activation, self.dropout = activation, dropout
        self.input_dropout = dropout if input_dropout is None else input_dropout

    def scores(self, x: Features, neighbors: Neighbors) -> Tensor:
        first, *rest = self.convs
        y: Tensor = first(dropout(x, self.input_dropout, self.training), neighbors)
        for conv in rest:
            y = conv(dropout(self.activation(y), self.dropout, self.training), neighbors)
        return y
