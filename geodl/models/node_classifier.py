"""What the networks that classify the nodes of a graph have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from geodl.data import graph_neighbors
from geodl.nn import SparseFeatures
from geodl.nn.graph_layer import Adjacency, as_neighbors, checked_weight
from geodl.nn.sparse_features import Features, dropout
from geodl.ops import Neighbors
from geodl.ops.edge_index import in_csr_order
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
    ``network(x, edge_index)`` and ``network(x, edge_index, edge_weight)`` are PyG's forms, which its explainers call, and
    ``network(x, neighbors)`` takes :class:`~geodl.ops.Neighbors` (see :class:`~geodl.nn.GraphLayer`).

    Shapes:
        x ``[N, in_channels]`` or :class:`~geodl.nn.SparseFeatures`, a graph of N nodes -> ``[N, out_channels]``, before the
        softmax. Graphs side by side (PyG's ``Batch``) get the scores of each alone.

    Raises:
        ValueError: something else in the place of one of them; ``data`` with ``edge_weight``, which must be given to be read.
    """

    def forward(
        self,
        x: Data | Features,
        neighbors: Adjacency | None = None,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        """Scores ``[N, out_channels]`` of PyG ``Data``, or of ``x [N, in_channels]`` and a graph."""
        if isinstance(x, Data):
            if neighbors is not None or edge_weight is not None:
                raise ValueError("network(data) reads all of the graph: nothing may be given beside it")
            if x.edge_weight is not None:
                raise ValueError(
                    "the data has edge_weight, which network(data) does not read: call network(data.x, data.edge_index, "
                    "data.edge_weight), or delete it"
                )
            x, neighbors = node_features(x), graph_neighbors(x)
        if not isinstance(x, (Tensor, SparseFeatures)):
            raise ValueError(f"x must be Data, a tensor or SparseFeatures, not {type(x).__name__}")
        known = as_neighbors(neighbors, x.shape[0])
        if edge_weight is not None:
            order = known.order if isinstance(neighbors, Tensor) else None
            edge_weight = in_csr_order(checked_weight(edge_weight, known), known, order, x.dtype)
        return self.scores(x, known, edge_weight)

    def scores(self, x: Features, neighbors: Neighbors, edge_weight: Tensor | None) -> Tensor:
        """The scores, for weights in the order of the rows of neighbors."""
        raise NotImplementedError


class ConvolutionalClassifier(NodeClassifier):
    """Convolutions with an activation between, and dropout before each.

    Args:
        convs: layers that take ``(x, neighbors, edge_weight)``.
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

    def scores(self, x: Features, neighbors: Neighbors, edge_weight: Tensor | None) -> Tensor:
        first, *rest = self.convs
        y: Tensor = first(dropout(x, self.input_dropout, self.training), neighbors, edge_weight)
        for conv in rest:
            y = conv(dropout(self.activation(y), self.dropout, self.training), neighbors, edge_weight)
        return y
