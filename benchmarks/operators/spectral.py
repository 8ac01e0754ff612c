"""Filters of a graph Laplacian on a graph of Cora's shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import ChebConv

from benchmarks.operators.graphs import citation_graph, sparse_matrix
from benchmarks.operators.measure import Call, Comparison, Work, both, forward_backward
from benchmarks.operators.sizes import Sizes
from geodl.ops import Neighbors, chebyshev


def polynomial(device: torch.device, sizes: Sizes) -> Iterator[Comparison]:
    papers, x = citation_graph(sizes, device)
    nodes, features, out, powers = papers.num_dst, x.shape[1], sizes.hidden, sizes.powers
    peer: Any = ChebConv(features, out, powers, bias=False).to(device)
    edge_index, entries = peer.__norm__(papers.to_edge_index(), nodes, None, "sym", None, dtype=x.dtype)
    peer.__norm__ = lambda *_, **__: (edge_index, entries)  # it would make the Laplacian in every call
    neighbors = Neighbors.from_edge_index(edge_index, nodes)
    assert neighbors.order is not None
    laplacian = entries[neighbors.order]
    matrix = sparse_matrix(neighbors, laplacian)
    parameters = [lin.weight for lin in peer.lins]
    filters = torch.stack([weight.detach().T for weight in parameters])

    def ours(x: Tensor, filters: Tensor) -> Tensor:
        return chebyshev(x, neighbors, laplacian, filters, symmetric=True)

    def products(x: Tensor, filters: Tensor) -> Tensor:
        before, now = x, torch.mm(matrix, x)
        total = before @ filters[0] + now @ filters[1]
        for k in range(2, powers):
            before, now = now, 2 * torch.mm(matrix, now) - before
            total = total + now @ filters[k]
        return total

    # The products with the Laplacian at the lesser number of channels.
    flops = 2.0 * nodes * features * out * powers + 2.0 * neighbors.num_edges * out * (powers - 1)
    traffic = 4.0 * (x.numel() + filters.numel() + nodes * out) + 12.0 * neighbors.num_edges
    size = f"Cora's shape, K = {powers}, {features} to {out} channels"
    peers = {
        "torch_geometric ChebConv, Laplacian given": Call(
            lambda x, *_: peer(x, edge_index), [x, *parameters]
        ),
        "torch.sparse CSR": Call(products, [x, filters]),
    }
    call = Call(ours, [x, filters])
    yield from both("chebyshev", size, call, peers, Work(traffic, flops), Work(2 * traffic, 3 * flops))
    # As in the first layer of a network, whose input is data.
    alone = {
        "torch_geometric ChebConv, Laplacian given": Call(lambda *_: peer(x, edge_index), parameters),
        "torch.sparse CSR": Call(lambda filters: products(x, filters), [filters]),
    }
    yield forward_backward(
        "chebyshev",
        f"{size}, filters alone",
        Call(lambda filters: ours(x, filters), [filters]),
        alone,
        Work(2 * traffic, 2 * flops),
        unlike=[name for name in alone if "ChebConv" in name],  # one tensor a power
    )
