"""Attention layers of GAT and GATv2, with their linear layers on both sides.

Where a linear layer outweighs all else, the layer without it is beside it, and so is the operator alone: softmax and sum,
given the two halves of the scores, which in PyG is what GATConv does in edge_updater and propagate.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch_geometric.nn import GATConv, GATv2Conv
from torch_geometric.utils import add_self_loops

from benchmarks.operators.graphs import citation_graph, mesh_neighbors
from benchmarks.operators.measure import Call, Comparison, Work, both, forward_backward
from benchmarks.operators.sizes import Sizes
from geodl.nn import SparseFeatures
from geodl.nn.sparse_features import linear
from geodl.ops import Neighbors, attention


def comparisons(device: torch.device, sizes: Sizes) -> Iterator[Comparison]:
    mesh = mesh_neighbors(sizes, device)[0]
    x = torch.randn(sizes.vertices, sizes.channels, device=device)
    heads, channels = sizes.heads, sizes.channels // sizes.heads
    size = f"mesh of {sizes.vertices:,} x {sizes.patch}, {sizes.channels} to {heads} x {channels} channels"
    yield from both("attention", size, *_gat(x, mesh, heads, channels))
    yield from both("attention (GATv2)", size, *_gat2(x, mesh, heads, channels))

    papers, words = citation_graph(sizes, device)
    edge_index = add_self_loops(papers.to_edge_index(), num_nodes=papers.num_dst)[0]
    papers = Neighbors.from_edge_index(edge_index, papers.num_dst)
    size = f"Cora's shape, {words.shape[1]} to {heads} x {channels} channels"
    yield from both("attention", size, *_gat(words, papers, heads, channels))
    size = f"Cora's shape, bags of words of {words.shape[1]} to {heads} x {channels} channels, gradients of the weights"
    yield forward_backward("attention", size, *_gat_of_words(words, papers, heads, channels))
    mapped = torch.randn(papers.num_dst, heads * channels, device=device)
    size = f"Cora's shape, {heads} x {channels} channels, no linear layer"
    yield from both("attention", size, *_gat(mapped, papers, heads, channels, linear=False))
    size = f"Cora's shape, {heads} x {channels} channels, given the scores of the nodes"
    yield from both("attention", size, *_propagation(mapped, papers, heads, channels))


def _gat(
    x: Tensor, neighbors: Neighbors, heads: int, channels: int, linear: bool = True
) -> tuple[Call, dict[str, Call], Work, Work]:
    peer = GATConv(x.shape[1], channels, heads, add_self_loops=False, bias=False).to(x.device)
    weights = [peer.lin.weight] if linear else []
    if not linear:
        peer.lin = torch.nn.Identity()
    edge_index = neighbors.to_edge_index()

    def ours(x: Tensor, by_source: Tensor, by_target: Tensor, *weight: Tensor) -> Tensor:
        h = (x @ weight[0].T if weight else x).view(-1, heads, channels)
        return attention(h, neighbors, (h * by_source).sum(-1), (h * by_target).sum(-1)).flatten(1)

    parameters = [peer.att_src, peer.att_dst, *weights]
    call = Call(ours, [x, *(parameter.detach() for parameter in parameters)])
    theirs = Call(lambda x, *_: peer(x, edge_index), [x, *parameters])
    return call, {"torch_geometric GATConv": theirs}, *_work(x, neighbors, heads * channels, int(linear))


def _gat_of_words(
    x: Tensor, neighbors: Neighbors, heads: int, channels: int
) -> tuple[Call, dict[str, Call], Work]:
    """A first layer in training: words are data, of which nobody asks a gradient, and most of them are 0."""
    peer = GATConv(x.shape[1], channels, heads, add_self_loops=False, bias=False).to(x.device)
    words, edge_index = SparseFeatures.from_dense(x), neighbors.to_edge_index()

    def ours(by_source: Tensor, by_target: Tensor, weight: Tensor) -> Tensor:
        h = linear(words, weight.T).view(-1, heads, channels)
        return attention(h, neighbors, (h * by_source).sum(-1), (h * by_target).sum(-1)).flatten(1)

    parameters = [peer.att_src, peer.att_dst, peer.lin.weight]
    call = Call(ours, [parameter.detach() for parameter in parameters])
    theirs = Call(lambda *_: peer(x, edge_index), parameters)
    mapped = _work(x.new_zeros(len(x), heads * channels), neighbors, heads * channels, 0)[1]
    nonzeros = float(words.places.num_edges)
    product = Work(2 * (12.0 * nonzeros + 4.0 * peer.lin.weight.numel()), 4.0 * nonzeros * heads * channels)
    least = Work(mapped.traffic + product.traffic, mapped.flops + product.flops)
    return call, {"torch_geometric GATConv": theirs}, least


def _propagation(
    x: Tensor, neighbors: Neighbors, heads: int, channels: int
) -> tuple[Call, dict[str, Call], Work, Work]:
    peer = GATConv(x.shape[1], channels, heads, add_self_loops=False, bias=False).to(x.device)
    edge_index = neighbors.to_edge_index()

    def theirs(x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        weights = peer.edge_updater(edge_index, alpha=(source, target), edge_attr=None, size=None)
        out: Tensor = peer.propagate(edge_index, x=(x, x), alpha=weights, size=None)
        return out

    source, target = (torch.randn(x.shape[0], heads, device=x.device) for _ in range(2))
    inputs = [x.view(-1, heads, channels), source, target]
    call = Call(lambda x, source, target: attention(x, neighbors, source, target), inputs)
    peers = {"torch_geometric GATConv.propagate": Call(theirs, inputs)}
    return call, peers, *_work(x, neighbors, heads * channels, 0)


def _gat2(
    x: Tensor, neighbors: Neighbors, heads: int, channels: int
) -> tuple[Call, dict[str, Call], Work, Work]:
    peer = GATv2Conv(x.shape[1], channels, heads, add_self_loops=False, bias=False).to(x.device)
    edge_index = neighbors.to_edge_index()

    def ours(x: Tensor, source: Tensor, target: Tensor, vector: Tensor) -> Tensor:
        by_source = (x @ source.T).view(-1, heads, channels)
        by_target = (x @ target.T).view(-1, heads, channels)
        return attention(by_source, neighbors, by_source, by_target, vector).flatten(1)

    inputs = [peer.lin_l.weight, peer.lin_r.weight, peer.att]
    parameters = [peer.lin_l.weight.detach(), peer.lin_r.weight.detach(), peer.att.detach()[0]]
    call = Call(ours, [x, *parameters])
    theirs = Call(lambda x, *_: peer(x, edge_index), [x, *inputs])
    return call, {"torch_geometric GATv2Conv": theirs}, *_work(x, neighbors, heads * channels, 2)


def _work(x: Tensor, neighbors: Neighbors, width: int, products: int) -> tuple[Work, Work]:
    """``products`` linear layers, and for every edge a score and a sum."""
    edges, weight = float(neighbors.num_edges), float(products * x.shape[1] * width)
    traffic = 4.0 * (x.numel() + weight + neighbors.num_dst * width) + 8.0 * edges
    flops = 2.0 * neighbors.num_src * weight + (2.0 + 3.0 * max(products - 1, 0)) * edges * width
    return Work(traffic, flops), Work(2 * traffic, 3 * flops)
