"""Filters of a graph Laplacian on a graph of Cora's shape."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import ARMAConv, ChebConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from benchmarks.operators.graphs import citation_graph, sparse_matrix
from benchmarks.operators.measure import Call, Comparison, Work, both, forward_backward
from benchmarks.operators.sizes import Sizes
from geodl.ops import Neighbors, arma, bernstein, chebyshev


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


def moving_average(device: torch.device, sizes: Sizes) -> Iterator[Comparison]:
    papers, x = citation_graph(sizes, device)
    nodes, features, out, stacks, steps = papers.num_dst, x.shape[1], sizes.hidden, 2, 2
    peer = ARMAConv(features, out, stacks, steps, shared_weights=True, bias=False).to(device)
    edge_index = papers.to_edge_index()
    neighbors, laplacian = _normalised(papers, x.dtype)
    parameters = [peer.init_weight, peer.weight, peer.root_weight]
    weights = [peer.init_weight.detach(), peer.weight.detach()[0], peer.root_weight.detach()[0]]

    def ours(x: Tensor, initial: Tensor, recurrent: Tensor, skip: Tensor) -> Tensor:
        return arma(
            x, neighbors, laplacian, initial, recurrent, skip, steps, activation=torch.relu, symmetric=True
        )

    flops = 2.0 * stacks * out * (2 * nodes * features + nodes * out + steps * neighbors.num_edges)
    traffic = 4.0 * (x.numel() + sum(weight.numel() for weight in weights) + nodes * out)
    yield from both(
        "arma",
        f"Cora's shape, {stacks} stacks of {steps} steps, {features} to {out} channels",
        Call(ours, [x, *weights]),
        {"torch_geometric ARMAConv": Call(lambda x, *_: peer(x, edge_index), [x, *parameters])},
        Work(traffic, flops),
        Work(2 * traffic, 3 * flops),
    )


def positive(device: torch.device, sizes: Sizes) -> Iterator[Comparison]:
    """Bernstein's polynomials, against products with a sparse matrix in the order of BernNet's authors."""
    papers, _ = citation_graph(sizes, device)
    nodes, width, order = papers.num_dst, sizes.hidden, sizes.powers
    x = torch.randn(nodes, width, device=device)
    neighbors, adjacency = _normalised(papers, x.dtype)
    filters = torch.randn(order + 1, width, width, device=device)
    matrix = sparse_matrix(neighbors, adjacency)  # one minus the Laplacian

    def ours(x: Tensor, filters: Tensor) -> Tensor:
        return bernstein(x, neighbors, -adjacency, filters, symmetric=True)

    def products(x: Tensor, filters: Tensor) -> Tensor:
        left = [x]
        for _ in range(order):
            left.append((left[-1] + torch.mm(matrix, left[-1])) / 2)
        total = left[order] @ filters[0]
        for k in range(1, order + 1):
            now = left[order - k]
            for _ in range(k):
                now = (now - torch.mm(matrix, now)) / 2
            total = total + math.comb(order, k) * (now @ filters[k])
        return total

    flops = 2.0 * filters.numel() * nodes + 2.0 * neighbors.num_edges * width * order
    traffic = 8.0 * x.numel() + 4.0 * filters.numel() + 12.0 * neighbors.num_edges
    yield from both(
        "bernstein",
        f"Cora's shape, K = {order}, {width} to {width} channels",
        Call(ours, [x, filters]),
        {"torch.sparse CSR, as BernNet's authors": Call(products, [x, filters])},
        Work(traffic, flops),
        Work(2 * traffic, 3 * flops),
    )


def _normalised(graph: Neighbors, dtype: torch.dtype) -> tuple[Neighbors, Tensor]:
    """The adjacency matrix with 1 / sqrt(d_i d_j) at every edge."""
    edge_index = graph.to_edge_index()
    edge_index, entries = gcn_norm(edge_index, None, graph.num_dst, add_self_loops=False, dtype=dtype)
    neighbors = Neighbors.from_edge_index(edge_index, graph.num_dst)
    assert neighbors.order is not None
    return neighbors, entries[neighbors.order]
