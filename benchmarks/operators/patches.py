"""Patch operators on a mesh of the size of a FAUST registration."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import GMMConv

from benchmarks.operators.graphs import mesh_neighbors
from benchmarks.operators.measure import Call, Comparison, Run, Work, both
from benchmarks.operators.sizes import Sizes
from geodl.ops import Neighbors, PolarWindows, patch_conv, patch_gather, polar_conv, use_backend


def gather(device: torch.device, sizes: Sizes) -> Iterator[Comparison]:
    """Against the batched matrix product that neighbourhoods of one size allow."""
    neighbors, _ = mesh_neighbors(sizes, device)
    windows = sizes.rings * sizes.rays
    x = torch.randn(sizes.vertices, sizes.width, device=device)
    weight = torch.rand(neighbors.num_edges, windows, device=device)
    near = neighbors.col.view(sizes.vertices, sizes.patch)

    def products(x: Tensor, weight: Tensor) -> Tensor:
        return weight.view(sizes.vertices, sizes.patch, windows).transpose(1, 2) @ x[near]

    traffic = 4.0 * (x.numel() + weight.numel() + sizes.vertices * windows * sizes.width)
    flops = 2.0 * weight.numel() * sizes.width
    yield from both(
        "patch_gather",
        f"{_mesh(sizes)}, {sizes.width} channels, {windows} windows (dense)",
        Call(lambda x, weight: patch_gather(x, neighbors, weight), [x, weight]),
        {"torch.bmm, padded": Call(products, [x, weight])},
        Work(traffic, flops),
        Work(2 * traffic + 4.0 * weight.numel(), 3 * flops),
    )


def conv(device: torch.device, sizes: Sizes) -> Iterator[Comparison]:
    """The mixture model CNN (Monti et al. 2017): learned Gaussian windows, their gradients included on both sides."""
    neighbors, u = mesh_neighbors(sizes, device)
    edge_index = neighbors.to_edge_index()
    windows, width = sizes.rings * sizes.rays, sizes.width
    x = torch.randn(sizes.vertices, width, device=device)
    peer = GMMConv(width, width, dim=2, kernel_size=windows, bias=False).to(device)
    with torch.no_grad():
        peer.mu.normal_()
        peer.sigma.uniform_(0.5, 1.5)
    mean, scale = peer.mu.detach(), peer.sigma.detach()
    filters = peer.g.detach().view(width, windows, width).transpose(0, 1).contiguous()

    def ours(x: Tensor, mean: Tensor, scale: Tensor, filters: Tensor, root: Tensor) -> Tensor:
        # The exponent -|(u - mean) / scale|^2 / 2, expanded into one product of matrices.
        precision = scale.square().add(1e-15).reciprocal()
        constant = -0.5 * (precision * mean.square()).sum(1, keepdim=True)
        powers = torch.cat([u.square(), u, torch.ones_like(u[:, :1])], dim=1)
        weight = (powers @ torch.cat([-0.5 * precision, precision * mean, constant], dim=1).T).exp()
        # GMMConv takes the mean of its messages, and adds a linear map of the point itself.
        return patch_conv(x, neighbors, weight, filters) / sizes.patch + x @ root

    edges = float(neighbors.num_edges)
    traffic = 4.0 * (2 * x.numel() + u.numel() + filters.numel()) + 8.0 * edges
    flops = 2.0 * edges * windows * width + 2.0 * filters.numel() * sizes.vertices + 10.0 * edges * windows
    yield from both(
        "patch_conv",
        f"{_mesh(sizes)}, {width} to {width} channels, {windows} Gaussian windows",
        Call(ours, [x, mean, scale, filters, peer.root.weight.detach().T]),
        {"torch_geometric GMMConv": Call(lambda x, *_: peer(x, edge_index, u), [x, *peer.parameters()])},
        Work(traffic, flops),
        Work(2 * traffic, 3 * flops),
    )


def polar(device: torch.device, sizes: Sizes) -> Iterator[Comparison]:
    """No other library has it: against this library's own definition in PyTorch."""
    rings, rays, width = sizes.rings, sizes.rays, sizes.width
    near = mesh_neighbors(sizes, device)[0].col.view(sizes.vertices, sizes.patch)
    template = _barycentric_windows(near, sizes)
    x = torch.randn(sizes.vertices, width, device=device)
    filters = torch.randn(rings, rays, width, width, device=device) / math.sqrt(rings * rays * width)
    # Over the rays the filters are circulant: a Fourier transform leaves one product for each of the two real
    # frequencies and three for each of the complex ones.
    products = 2 + 3 * (rays // 2 - 1)
    edges = template.neighbors.num_edges
    traffic = 8.0 * x.numel() + 20.0 * edges
    flops = 2.0 * edges * width + 2.0 * sizes.vertices * rings * width * width * products

    def ours(x: Tensor, filters: Tensor) -> Tensor:
        return polar_conv(x, template, filters)

    size = f"{_mesh(sizes)}, {width} to {width} channels, {rings} rings x {rays} rays of 3 corners, {rays} rotations"
    call = Call(ours, [x, filters])
    for pair in both("polar_conv", size, call, {}, Work(traffic, flops), Work(3 * traffic, 3 * flops)):
        yield replace(pair, peers={"geodl reference": _by_reference(pair.ours)})


def _by_reference(run: Run) -> Run:
    def by_reference() -> Any:
        with use_backend("reference"):
            return run()

    return by_reference


def _mesh(sizes: Sizes) -> str:
    return f"mesh of {sizes.vertices:,} x {sizes.patch}"


def _barycentric_windows(near: Tensor, sizes: Sizes) -> PolarWindows:
    """For every template point the corners of some triangle of the patch, with weights that sum to one."""
    vertices, windows = sizes.vertices, sizes.rings * sizes.rays
    corners = torch.randint(sizes.patch, (vertices, windows * 3), device=near.device)
    weight = torch.rand(vertices, windows, 3, device=near.device)
    weight = weight / weight.sum(-1, keepdim=True)
    rowptr = torch.arange(vertices + 1, device=near.device) * windows * 3
    neighbors = Neighbors(rowptr, near.gather(1, corners).flatten(), vertices)
    index = torch.arange(windows, device=near.device).repeat_interleave(3).repeat(vertices)
    return PolarWindows(neighbors, weight.view(-1, 1), index.view(-1, 1), sizes.rings, sizes.rays)
