"""Graph: nodes and edges as PyG Data, and the neighbourhoods of any PyG Data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from geodl.ops import Neighbors
from geodl.ops.edge_index import neighbors_of

__all__ = ["Graph", "graph_neighbors"]


class Graph(Data):
    """A graph: edges between nodes, and a signal on the nodes.

    It is a :class:`torch_geometric.data.Data` and keeps its conventions. Any attribute can ride along (labels ``y``, masks).

    Args:
        edge_index: ``[2, E]`` int64 in ``[0, N)``: edge ``(j, i)`` means that i reads j. An undirected graph lists both ways.
        x: ``[N, C]`` floating point, the signal; without it, ``num_nodes`` says how many nodes there are.
        **attributes: anything else that belongs to the graph.

    Raises:
        ValueError: wrong shape, dtype or device.
        IndexError: an edge that names a node that is not there.
    """

    def __init__(self, edge_index: Tensor | None = None, x: Tensor | None = None, **attributes: Any) -> None:
        # PyG's batching makes an empty one and fills it.
        if edge_index is not None:
            _check(edge_index, x, attributes.get("num_nodes"))
        super().__init__(x=x, edge_index=edge_index, **attributes)

    @property
    def neighbors(self) -> Neighbors:
        """Row i lists the nodes that i reads; made once (see :func:`graph_neighbors`)."""
        return graph_neighbors(self)


def graph_neighbors(data: Data) -> Neighbors:
    """The neighbourhoods of a PyG ``Data`` with ``edge_index``: row i lists the nodes j of its edges ``(j, i)``.

    They are made once for a tensor ``edge_index``, and with it live the matrices that layers make of them; a tensor that was
    changed in place since has its own.

    Raises:
        ValueError: there are no edges, or nobody knows how many nodes.
        IndexError: an edge that names a node that is not there.
    """
    edge_index, x = data.edge_index, data.x
    # What PyG does to count the nodes can't be traced, and takes a third of the time of all this.
    nodes = x.shape[0] if isinstance(x, Tensor) else data.num_nodes
    if not isinstance(edge_index, Tensor) or nodes is None:
        raise ValueError(
            f"a graph needs edge_index and a number of nodes, but the data has {sorted(data.keys())}"
        )
    return neighbors_of(edge_index, nodes)


def _check(edge_index: Tensor, x: Tensor | None, num_nodes: int | None) -> None:
    if edge_index.dim() != 2 or edge_index.shape[0] != 2:
        hint = "; transpose it" if edge_index.dim() == 2 and edge_index.shape[1] == 2 else ""
        raise ValueError(f"edge_index must have shape [2, E], not {list(edge_index.shape)}{hint}")
    if edge_index.dtype != torch.int64:
        raise ValueError(f"edge_index must be int64, not {edge_index.dtype}")
    if x is not None and x.device != edge_index.device:
        raise ValueError(f"x is on {x.device} but edge_index is on {edge_index.device}")
    nodes = num_nodes if x is None else x.shape[0]
    if nodes is None or edge_index.numel() == 0:
        return
    low, high = (int(bound) for bound in edge_index.aminmax())
    if low < 0 or high >= nodes:
        raise IndexError(f"edge_index names nodes {low}..{high}, but there are {nodes} nodes")
