"""u_i + v_j at every edge: what a linear layer of two points is, once each point has been multiplied by its part."""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.ops import Neighbors, aggregate


def edge_sum(u: Tensor, v: Tensor, neighbors: Neighbors) -> Tensor:
    """``u_i + v_j`` of every edge, ``[E, C]`` in CSR order.

    A product an edge becomes one a point. As the sum of the two ends of an edge, it is a gather whose gradient is a gather as well,
    without atomics.

    Args:
        u: ``[N, C]``, at the destinations.
        v: ``[num_src, C]``, at the sources.
        neighbors: which sources every destination reads.
    """
    edges, points = neighbors.num_edges, u.shape[0]
    rowptr = torch.arange(0, 2 * edges + 1, 2, device=u.device)
    ends = torch.stack([neighbors.row, neighbors.col + points], dim=1).flatten()
    return aggregate(torch.cat([u, v]), Neighbors.trusted(rowptr, ends, points + v.shape[0]))
