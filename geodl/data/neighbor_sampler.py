"""Neighbour sampling for graphs that are too large to train at once, through PyG's loaders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.sampler import BaseSampler, NodeSamplerInput, SamplerOutput

from geodl.data.graph import graph_neighbors
from geodl.ops import Neighbors

__all__ = ["NeighborSampler"]


class NeighborSampler(BaseSampler):
    """Draws, hop by hop, some neighbours of every node reached, without replacement.

    It is what PyG's loaders ask for a subgraph, and needs neither pyg-lib nor torch-sparse, without which PyG's own
    ``NeighborLoader`` does nothing::

        loader = torch_geometric.loader.NodeLoader(
            graph, NeighborSampler(graph, [10, 10]), input_nodes=graph.train_mask, batch_size=1024, shuffle=True
        )
        for batch in loader:  # the first batch.batch_size nodes are the seeds
            loss(model(batch)[: batch.batch_size], batch.y[: batch.batch_size])

    Every node is expanded at most once, in the hop after the one that reached it first. What is drawn depends on ``seed`` and on
    how often the sampler was asked, not on the number of threads.

    Args:
        graph: PyG ``Data`` with ``edge_index`` and a number of nodes.
        num_neighbors: the most neighbours to draw of a node, for every hop; -1 draws all.
        seed: of the draws. Workers of a loader draw from streams of their own.

    Raises:
        ValueError: no hops, or a number of neighbours that is neither positive nor -1.
    """

    def __init__(self, graph: Data, num_neighbors: Sequence[int], seed: int = 0) -> None:
        if not num_neighbors or any(number < 1 and number != -1 for number in num_neighbors):
            raise ValueError(f"num_neighbors must be positive or -1 for every hop, got {list(num_neighbors)}")
        self.neighbors, self.num_neighbors, self.seed = graph_neighbors(graph), list(num_neighbors), seed
        self._random: torch.Generator | None = None
        # The place of a node in the subgraph that is being made, -1 outside.
        self._place = torch.full((self.neighbors.num_src,), -1)

    def sample_from_nodes(self, index: NodeSamplerInput, **_: Any) -> SamplerOutput:
        """The subgraph of seeds that differ: edges point at what reads them, seeds come first."""
        seeds = index.node
        if seeds.unique().numel() != seeds.numel():
            raise ValueError("the same node is a seed twice")
        place, nodes, frontier, first = self._place, [seeds], seeds, 0
        place[seeds] = torch.arange(seeds.numel())
        sources, targets, edges, counts = [], [], [], [seeds.numel()]
        for most in self.num_neighbors:
            row, edge = _draw(self.neighbors, frontier, most, self._generator())
            read = self.neighbors.col[edge]
            fresh = read[place[read] < 0].unique()
            total = sum(counts)
            place[fresh] = torch.arange(total, total + fresh.numel())
            sources.append(place[read])
            targets.append(first + row)
            edges.append(edge)
            nodes.append(fresh)
            counts.append(fresh.numel())
            frontier, first = fresh, total
        node = torch.cat(nodes)
        place[node] = -1
        order = self.neighbors.order
        edge = torch.cat(edges)
        return SamplerOutput(
            node, torch.cat(sources), torch.cat(targets), edge if order is None else order[edge],
            num_sampled_nodes=counts, num_sampled_edges=[part.numel() for part in edges],
            metadata=(index.input_id, index.time),
        )  # fmt: skip

    def sample_from_edges(self, index: Any, neg_sampling: Any = None) -> SamplerOutput:
        raise NotImplementedError("NeighborSampler draws around nodes: use torch_geometric.loader.NodeLoader")

    def _generator(self) -> torch.Generator:
        if self._random is None:
            worker = torch.utils.data.get_worker_info()
            stream = 0 if worker is None else worker.id + 1
            self._random = torch.Generator().manual_seed(self.seed + (stream << 32))
        return self._random

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_random": None}  # a generator cannot be sent to a worker


def _draw(neighbors: Neighbors, rows: Tensor, most: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """At most ``most`` different edges of every row: the position of the row in ``rows``, and the edge."""
    begin = neighbors.rowptr[rows]
    degree = neighbors.rowptr[rows + 1] - begin
    whole = torch.ones_like(degree, dtype=torch.bool) if most < 0 else degree <= most
    kept = whole.nonzero().squeeze(1)
    row = torch.repeat_interleave(kept, degree[kept])
    offset = torch.arange(row.numel()) - torch.repeat_interleave(
        degree[kept].cumsum(0) - degree[kept], degree[kept]
    )
    edge = begin[row] + offset
    if bool(whole.all()):
        return row, edge
    many = (~whole).nonzero().squeeze(1)
    chosen = _subsets(degree[many], most, random) + begin[many, None]
    row = torch.cat([row, many.repeat_interleave(most)])
    order = row.argsort(stable=True)
    return row[order], torch.cat([edge, chosen.flatten()])[order]


def _subsets(sizes: Tensor, number: int, random: torch.Generator) -> Tensor:
    """A uniformly drawn subset of 0 .. sizes[i] - 1 for every i, ``[n, number]``, ascending.

    Floyd's algorithm, for all at once: at step k draw from 0 .. size - number + k, and take that bound itself where the
    draw was chosen before.
    """
    chosen = sizes.new_empty(sizes.numel(), number)
    for k in range(number):
        last = sizes - number + k
        drawn = (torch.rand(sizes.numel(), generator=random, dtype=torch.float64) * (last + 1)).long()
        seen = (chosen[:, :k] == drawn[:, None]).any(1)
        chosen[:, k] = drawn.where(~seen, last)
    return chosen.sort(1).values
