"""Every network, small, with inputs of whatever size one asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from geodl import models
from geodl.data import Graph, Mesh
from geodl.geometry import geodesic_charts, gradient, spectrum
from geodl.ops import Neighbors
from tests.geometry.shapes import icosphere

NODES = (
    "APPNP", "ARMA", "BernNet", "CayleyNet", "ChebNet", "FeaStNet", "GAT", "GATv2", "GCN", "GIN", "GraphSAGE", "MoNet",
)  # fmt: skip
CLOUDS = ("DGCNN", "DeLA", "KPCNN", "PointNeXt", "PointNet", "PointNet2")
PARTS = ("DGCNNParts", "DeLAParts", "KPFCNN", "PointNeXtParts", "PointNet2Parts", "PointNetParts")
MESHES = ("DiffusionNet", "FunctionalMapNet", "GCNN")
IMAGES = ("AlexNet", "InceptionV1", "InceptionV3", "LeNet5", "ResNet18", "SqueezeNet", "VGG11")
NETWORKS = (*NODES, *CLOUDS, *PARTS, *MESHES, *IMAGES)


def network(name: str) -> nn.Module:
    """For 6 channels of nodes, no signal beside positions, 3 channels of meshes and of images."""
    torch.manual_seed(0)
    make: Callable[..., nn.Module] = getattr(models, name)
    small: dict[str, Any] = {
        "DiffusionNet": {"width": 16, "blocks": 2, "dropout": 0.0},
        "FunctionalMapNet": {"features": 16, "width": 16, "blocks": 2},
        "GCNN": {"rings": 2, "rays": 4, "lift": 8, "widths": (8, 8), "hidden": 16},
        "KPCNN": {"cell": 0.2, "width": 16},
        "KPFCNN": {"cell": 0.2, "width": 16},
        "PointNeXt": {"width": 8, "blocks": (1, 2, 1, 1)},
        "PointNeXtParts": {"width": 8},
    }
    options = small.get(name, {})
    if name in IMAGES:
        return make(**{"in_channels": 3} if name == "LeNet5" else {}, out_channels=4)
    if name == "FunctionalMapNet":
        return make(3, **options)
    return make({**dict.fromkeys(NODES, 6), **dict.fromkeys(MESHES, 3)}.get(name, 0), 4, **options)


def graph(size: int) -> tuple[Tensor, Tensor]:
    """``edge_index`` of an undirected graph and a signal of 6 channels; the more, the larger ``size``."""
    generator = torch.Generator().manual_seed(size)
    nodes = 20 + 7 * size
    edges = torch.randint(0, nodes, (2, 3 * nodes), generator=generator)
    edge_index = torch.cat([edges, edges.flip(0)], dim=1).unique(dim=1)
    return edge_index, torch.randn(nodes, 6, generator=generator)


def clouds(size: int) -> tuple[Tensor, Tensor]:
    """Positions in the unit ball and ``ptr`` of clouds of different sizes."""
    generator = torch.Generator().manual_seed(size)
    sizes = torch.tensor([30 + 5 * size, 41] + [25 + size] * (1 + size % 3))
    pos = torch.randn(int(sizes.sum()), 3, generator=generator)
    return pos / pos.norm(dim=1).max(), torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])


def mesh(size: int) -> Mesh:
    """A sphere without some of its faces."""
    ball = icosphere(2)
    return Mesh(ball.pos.float(), ball.face[:, : 320 - 3 * size])


def inputs(name: str, size: int) -> tuple[Any, ...]:
    """What :func:`network` takes."""
    if name in NODES:
        edge_index, x = graph(size)
        return x, Neighbors.from_edge_index(edge_index, len(x))
    if name in CLOUDS:
        return clouds(size)
    if name in PARTS:
        pos, ptr = clouds(size)
        return pos, torch.arange(len(ptr) - 1) % 16, ptr
    if name in IMAGES:
        side = {"LeNet5": 32, "InceptionV3": 299}.get(name, 128)
        return (torch.randn(1 + size, 3, side, side, generator=torch.Generator().manual_seed(size)),)
    shape = mesh(size)
    if name == "GCNN":
        return shape.pos, geodesic_charts(shape, 0.5)
    return shape.pos, spectrum(shape, 8).to(torch.float32), gradient(shape)


def as_data(size: int) -> tuple[Graph]:
    return (Graph(*graph(size)),)
