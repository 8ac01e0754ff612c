"""What the layers on graphs have in common: the forms in which they take a graph, and the weights of its edges."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from geodl.geometry import Charts
from geodl.nn.graph_matrix import GraphMatrix, product
from geodl.nn.sparse_features import Features, SparseFeatures
from geodl.ops import Neighbors, aggregate
from geodl.ops.core.watch import wrapped
from geodl.ops.edge_index import in_csr_order, neighbors_of
from geodl.ops.remembered import remembered

__all__ = ["Adjacency", "EdgeMask", "GraphLayer", "as_neighbors", "checked_weight", "product", "shares"]

Adjacency = Neighbors | Tensor


class EdgeMask(MessagePassing):
    """The place where torch_geometric's explainers put a mask of the edges; every :class:`GraphLayer` has one.

    ``torch_geometric.explain`` (GNNExplainer, PGExplainer, fidelity) looks through a model for ``MessagePassing``, counts them as
    hops, and sets ``explain``, ``_edge_mask``, ``_loop_mask`` and ``_apply_sigmoid``. This is one that passes no messages and
    learns nothing: it says what the layer's messages are multiplied with, after degrees, means and softmax were found, as in PyG;
    those of loops with 1. An edge of mask 0 is as one that is not there, also in degrees, means and softmax.

    Shapes:
        neighbors made of an ``edge_index`` -> the mask in CSR order ``[E]``, or None where nothing is explained.

    Raises:
        ValueError: a mask of other edges.

    Ying, Bourgeois, You, Zitnik and Leskovec, "GNNExplainer: generating explanations for graph neural networks", NeurIPS 2019.
    """

    explain: bool | None = None
    flow = "source_to_target"
    __setstate__ = nn.Module.__setstate__

    def __init__(self) -> None:
        nn.Module.__init__(self)  # PyG's would write a source file for messages that nobody sends
        self._edge_mask: Tensor | None = None
        self._loop_mask: Tensor | None = None
        self._apply_sigmoid = True

    def forward(self, neighbors: Neighbors) -> Tensor | None:
        """Weight and mask of the edges, ``[E]`` each or None: see the shapes above."""
        mask = self._edge_mask
        if not self.explain or mask is None:
            return None
        if neighbors.order is None or mask.shape != (neighbors.num_edges,):
            raise ValueError(
                f"the mask of shape {list(mask.shape)} is of the edges of an edge_index, but the layer was given "
                f"{neighbors.num_edges} edges {'in another order' if neighbors.order is None else ''}".rstrip()
            )
        mask = mask.sigmoid() if self._apply_sigmoid else mask
        return (mask if self._loop_mask is None else mask.where(self._loop_mask, 1))[neighbors.order]


class GraphLayer(nn.Module):
    """A layer on graphs: ``layer(x, neighbors)``, or as in PyG ``layer(x, edge_index)`` and ``layer(x, edge_index, edge_weight)``.

    An edge of weight w counts as w edges, whatever the layer does with them; but where a layer adds self-loops, a point has one,
    with the weight of the last that the graph has (as in PyG), and degrees as coordinates (MoNet) are numbers of neighbours. What
    is made of an ``edge_index`` (and of weights that want no gradient) is made once for a tensor, and anew after a change in place;
    one through ``.data`` is not seen.

    Subclasses write :meth:`convolve`.

    Shapes:
        x ``[N, C]``; neighbors of N points, or ``edge_index [2, E]`` int64 with sources in row 0 and destinations in row 1; and
        ``edge_weight [E]``, not negative, in the order of ``edge_index``, or of the rows of neighbors -> ``[N, C']``.

    Raises:
        ValueError: something else in the place of a graph, or weights that do not fit it or, looked at in eager mode only, are
            negative or not finite.
        IndexError: an edge that names a point that is not there.
    """

    # Whether a GraphMatrix, which is applied as it is, may stand for the graph.
    reads_matrices: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.edge_mask = EdgeMask()

    def forward(
        self, x: Features, neighbors: Adjacency | GraphMatrix, edge_weight: Tensor | None = None
    ) -> Tensor:
        """The layer on a signal ``[N, C]`` and a graph, ``[N, C']``: see the shapes above."""
        if isinstance(neighbors, GraphMatrix) and self.reads_matrices:
            if edge_weight is not None or self.edge_mask.explain:
                raise ValueError(
                    "a GraphMatrix has its weights: no others can be given, nor can it be explained"
                )
            return self.convolve(x, neighbors)
        return self.convolve(x, *self.edges(x, neighbors, edge_weight))

    def convolve(
        self, x: Features, neighbors: Any, weight: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """The layer, for weights in the order of the rows of neighbors, and a mask of what its edges bring (:class:`EdgeMask`)."""
        raise NotImplementedError

    def edges(
        self, x: Features, neighbors: object, edge_weight: Tensor | None
    ) -> tuple[Neighbors, Tensor | None, Tensor | None]:
        """The neighbours, weights and mask of the forms that a graph is given in."""
        if not isinstance(x, (Tensor, SparseFeatures)):
            raise ValueError(f"x must be a tensor or SparseFeatures, not {type(x).__name__}")
        known = as_neighbors(neighbors, x.shape[0])
        if edge_weight is not None:
            order = known.order if isinstance(neighbors, Tensor) else None
            edge_weight = in_csr_order(checked_weight(edge_weight, known), known, order, self._dtype(x))
        mask: Tensor | None = self.edge_mask(known)  # called even if nothing is explained: its hooks fire
        if mask is not None:
            mask = mask.to(self._dtype(x))
            there = mask != 0
            edge_weight = edge_weight if bool(there.all()) else product(edge_weight, there.to(mask.dtype))
        return known, edge_weight, mask

    def _dtype(self, x: Features) -> torch.dtype:
        # A mask that is learned is a parameter too, for as long as it is set.
        own = (one.dtype for name, one in self.named_parameters() if not name.startswith("edge_mask."))
        return next(own, x.dtype)

    def coordinates(
        self, x: Features, graph: object, edge_attr: Tensor | None, edge_weight: Tensor | None
    ) -> tuple[Charts, Tensor | None, Tensor | None]:
        """Charts, weights and mask of the forms that a graph with coordinates ``edge_attr [E, d]`` of its edges is given in.

        Raises:
            ValueError: coordinates beside charts, none for edges, or of another number of edges.
        """
        charts = graph if isinstance(graph, Charts) else None
        known, weight, mask = self.edges(x, graph if charts is None else charts.neighbors, edge_weight)
        if (charts is None) == (edge_attr is None):
            raise ValueError(
                "coordinates are those of charts, or edge_attr [E, d] beside an edge_index: one of them"
            )
        if charts is not None:
            return charts, weight, mask
        assert edge_attr is not None
        coords = edge_attr[:, None] if edge_attr.dim() == 1 else edge_attr
        if coords.dim() != 2 or coords.shape[0] != known.num_edges or not coords.is_floating_point():
            raise ValueError(
                f"edge_attr must be floating point of shape [{known.num_edges}, d], one row an edge, "
                f"not {edge_attr.dtype} {list(edge_attr.shape)}"
            )
        order = known.order if isinstance(graph, Tensor) else None
        return Charts(known, in_csr_order(coords, known, order, coords.dtype), "cartesian"), weight, mask


def as_neighbors(graph: object, num_dst: int, num_src: int | None = None) -> Neighbors:
    """Neighbours as they are, or of an ``edge_index``.

    Raises:
        ValueError: something else.
    """
    if isinstance(graph, Neighbors):
        return graph
    if not isinstance(graph, Tensor) or graph.layout != torch.strided:
        what = type(graph).__name__ if not isinstance(graph, Tensor) else f"a tensor of layout {graph.layout}"
        raise ValueError(
            f"neighbors must be given as Neighbors or an edge_index [2, E], not {what}; "
            "torch_geometric.utils.to_edge_index makes one of a sparse matrix"
        )
    return neighbors_of(graph, num_dst, num_src)


def shares(neighbors: Neighbors, weight: Tensor) -> Tensor:
    """What every edge has of the weight of its row, ``[E]``; of a row without weight nothing."""
    whole = aggregate(weight.new_ones(neighbors.num_src, 1), neighbors, weight)[neighbors.row, 0]
    nothing = whole == 0
    return weight / whole.masked_fill(nothing, 1)


def checked_weight(weight: Tensor, neighbors: Neighbors) -> Tensor:
    """Weights of edges as they are.

    Raises:
        ValueError: they are no numbers, one an edge, or some are negative or not finite (looked at once for a tensor).
    """
    edges = neighbors.num_edges
    if weight.shape == (edges, 1):
        weight = weight.squeeze(1)
    if weight.shape != (edges,) or not weight.is_floating_point():
        raise ValueError(
            f"edge_weight must be floating point of shape [{edges}], one an edge, not {weight.dtype} {list(weight.shape)}"
        )
    if weight.device != neighbors.device:
        raise ValueError(f"edge_weight is on {weight.device} but the edges are on {neighbors.device}")

    def look() -> None:
        if not bool(((weight >= 0) & weight.isfinite()).all()):
            raise ValueError(
                "edge_weight must be finite and not negative: an edge of weight w counts as w edges"
            )

    if not torch.compiler.is_compiling() and not wrapped(weight):
        remembered(weight, "weight", look)
    return weight
