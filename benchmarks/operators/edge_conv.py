"""The layer of DGCNN in training, batch norm included, against PyTorch Geometric's and against DGCNN's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import EdgeConv

from benchmarks.operators.graphs import clouds_graph
from benchmarks.operators.measure import Call, Comparison, Work, both, forward_backward
from benchmarks.operators.sizes import Sizes
from geodl.ops import BatchNorm, Neighbors, edge_conv

SLOPE = 0.2


def comparisons(device: torch.device, sizes: Sizes) -> Iterator[Comparison]:
    yield from both("edge_conv", *_layer(sizes.clouds[0], sizes.features[0], sizes, device))
    for clouds, width in [(count, sizes.features[0]) for count in sizes.clouds[1:]] + [
        (sizes.clouds[0], count) for count in sizes.features[1:]
    ]:
        size, ours, peers, _, two = _layer(clouds, width, sizes, device)
        yield forward_backward("edge_conv", size, ours, peers, two)


class DenseEdgeConv(nn.Module):
    """The layer as DGCNN's authors wrote it, on clouds ``[B, C, P]`` and neighbours ``[B, P, k]`` in the cloud."""

    def __init__(self, width: int, near: Tensor) -> None:
        super().__init__()
        self.near = near
        self.layer = nn.Sequential(
            nn.Conv2d(2 * width, width, kernel_size=1, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(SLOPE)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(self.graph_feature(x))
        return out.max(dim=-1)[0]

    def graph_feature(self, x: Tensor) -> Tensor:
        clouds, channels, points = x.shape
        k = self.near.shape[-1]
        index = (self.near + torch.arange(clouds, device=x.device).view(-1, 1, 1) * points).view(-1)
        x = x.transpose(2, 1).contiguous()
        feature = x.view(clouds * points, -1)[index, :].view(clouds, points, k, channels)
        x = x.view(clouds, points, 1, channels).repeat(1, 1, k, 1)
        return torch.cat((feature - x, x), dim=3).permute(0, 3, 1, 2).contiguous()


def _layer(
    clouds: int, width: int, sizes: Sizes, device: torch.device
) -> tuple[str, Call, dict[str, Call], Work, Work]:
    neighbors = clouds_graph(clouds, sizes, device)
    nodes, points = neighbors.num_dst, sizes.points
    x = torch.randn(nodes, width, device=device)
    near = neighbors.col.view(clouds, points, sizes.nearest) % points
    dense = DenseEdgeConv(width, near).to(device)
    conv: Any = dense.layer[0]
    norm: Any = dense.layer[1]
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
        by_edge, by_point = conv.weight.view(width, 2 * width).T.split(width)
        weight = torch.cat([by_point, by_edge]).contiguous()
    edge_index = neighbors.to_edge_index()
    perceptron = nn.Sequential(
        nn.Linear(2 * width, width, bias=False), nn.BatchNorm1d(width), nn.LeakyReLU(SLOPE)
    ).to(device)
    pyg = EdgeConv(perceptron, aggr="max")  # draws the weights anew
    linear: Any = perceptron[0]
    linear.weight.data.copy_(weight.T)
    perceptron[1].load_state_dict(norm.state_dict())

    def dense_rows(x: Tensor, *_: Tensor) -> Tensor:
        out: Tensor = dense(x.view(clouds, points, width).transpose(1, 2))
        return out.transpose(1, 2).reshape(nodes, width)

    edges = float(neighbors.num_edges)
    # Two products a point, and a maximum over every edge; the norm's sums take part in it.
    flops = 8.0 * nodes * width * width + 4.0 * edges * width
    traffic = 4.0 * (2 * x.numel() + weight.numel()) + 8.0 * edges
    return (
        f"{clouds} x {points} points, {sizes.nearest} neighbours, {width} to {width} channels, batch norm",
        Call(_ours(neighbors, width, device), [x, weight, norm.weight.detach(), norm.bias.detach()]),
        {
            "torch_geometric EdgeConv": Call(lambda x, *_: pyg(x, edge_index), [x, *perceptron.parameters()]),
            "DGCNN's dense layer": Call(dense_rows, [x, *dense.parameters()]),
        },
        Work(traffic, flops),
        Work(2 * traffic, 3 * flops),
    )


def _ours(neighbors: Neighbors, width: int, device: torch.device) -> Callable[..., Tensor]:
    mean, variance = torch.zeros(width, device=device), torch.ones(width, device=device)

    def ours(x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        norm = BatchNorm(mean, variance, scale, shift, training=True)
        return edge_conv(x, neighbors, weight, norm=norm, negative_slope=SLOPE)

    return ours
