"""aggregate, against what MessagePassing of PyTorch Geometric does and against sparse matrix products."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch_geometric.utils import scatter

from benchmarks.operators.graphs import mesh_neighbors, power_law_graph, random_graph, sparse_matrix
from benchmarks.operators.measure import Call, Comparison, Work, both, forward_backward
from benchmarks.operators.peers import optional
from benchmarks.operators.sizes import Sizes
from geodl.ops import Neighbors, aggregate


def comparisons(device: torch.device, sizes: Sizes) -> Iterator[Comparison]:
    neighbors = random_graph(sizes.nodes, sizes.degree, device)
    x = torch.randn(sizes.nodes, sizes.channels, device=device)
    size = f"{sizes.nodes:,} x {sizes.degree} x {sizes.channels}"
    for reduce in ("sum", "mean", "max", "min"):
        yield from both(
            f"aggregate {reduce}", size, *calls(x, neighbors, reduce), *work(x, neighbors, reduce)
        )

    mesh = mesh_neighbors(sizes, device)[0]
    x = torch.randn(sizes.vertices, sizes.width, device=device)
    size = f"mesh of {sizes.vertices:,} x {sizes.patch} x {sizes.width}"
    yield from both("aggregate sum", size, *calls(x, mesh, "sum"), *work(x, mesh, "sum"))

    crowd = power_law_graph(sizes.crowd, sizes.crowd_edges, device)
    x = torch.randn(sizes.crowd, sizes.crowd_channels, device=device)
    size = f"power law, {sizes.crowd:,} nodes, {crowd.num_edges:,} edges, {sizes.crowd_channels} channels"
    yield forward_backward("aggregate sum", size, *calls(x, crowd, "sum"), work(x, crowd, "sum")[1])


def calls(x: Tensor, neighbors: Neighbors, reduce: str) -> tuple[Call, dict[str, Call]]:
    src, dst = neighbors.to_edge_index()
    nodes = neighbors.num_dst

    def ours(x: Tensor) -> Tensor:
        return aggregate(x, neighbors, reduce=reduce)

    def pyg(x: Tensor) -> Tensor:
        out: Tensor = scatter(x[src], dst, dim_size=nodes, reduce=reduce)
        return out

    peers = {"torch_geometric scatter": Call(pyg, [x])}
    if (torch_scatter := optional("torch_scatter")) is not None:

        def segments(x: Tensor) -> Tensor:
            out: Tensor = torch_scatter.segment_csr(x[src], neighbors.rowptr, reduce=reduce)
            return out

        peers["torch_scatter segment_csr"] = Call(segments, [x])
    if reduce == "sum":
        matrix = sparse_matrix(neighbors)
        peers["torch.sparse CSR"] = Call(lambda x: torch.mm(matrix, x), [x])
    return Call(ours, [x]), peers


def work(x: Tensor, neighbors: Neighbors, reduce: str) -> tuple[Work, Work]:
    signal = 4.0 * x.shape[1] * (neighbors.num_dst + neighbors.num_src)
    structure = 8.0 * (neighbors.num_edges + neighbors.num_dst)
    flops = 2.0 * neighbors.num_edges * x.shape[1]
    # An extremum writes which edge it took and reads it again: as many bytes as the signal.
    selection = 4.0 * x.shape[1] * neighbors.num_dst if reduce in ("max", "min") else 0.0
    once = signal + structure
    return Work(once + selection, flops), Work(2 * (once + selection), 2 * flops)
