"""Every network with nodes, clouds or meshes to read, small, in any dtype; what is drawn at random in training is switched off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import trimesh
from torch import nn

from geodl import models
from geodl.data import Graph
from geodl.geometry import Gradient, Spectrum, geodesic_charts, gradient, spectrum
from geodl.ops import Neighbors

Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class Network:
    """How a network is made, and the arguments of its call in a dtype, the first of which is a signal or positions."""

    make: Callable[[], nn.Module]
    arguments: Callable[[torch.dtype], Arguments]


def _graph(dtype: torch.dtype) -> Arguments:
    generator = torch.Generator().manual_seed(0)
    ends = torch.randint(0, 20, (2, 60), generator=generator)
    edges = torch.cat([ends, ends.flip(0)], 1).unique(dim=1)
    x = torch.randn(20, 6, generator=generator).to(dtype)
    return x, Neighbors.from_edge_index(edges, 20)


def data(dtype: torch.dtype) -> Graph:
    x, neighbors = _graph(dtype)
    return Graph(neighbors.to_edge_index(), x)


def _clouds(dtype: torch.dtype) -> Arguments:
    generator = torch.Generator().manual_seed(0)
    pos = torch.randn(90, 3, dtype=torch.float64, generator=generator)
    return (pos / pos.norm(dim=1).max()).to(dtype), torch.tensor([0, 40, 65, 90])


def _labelled(dtype: torch.dtype) -> Arguments:
    pos, ptr = _clouds(dtype)
    return pos, torch.tensor([1, 0, 1]), ptr


class _Sphere:
    """A mesh without symmetries."""

    def __init__(self) -> None:
        made = trimesh.creation.icosphere(subdivisions=1)
        self.pos = torch.from_numpy(made.vertices.copy()) * torch.tensor([1.0, 1.3, 0.7], dtype=torch.float64)
        self.face = torch.from_numpy(made.faces.copy()).t().contiguous()


@cache
def _operators() -> tuple[Spectrum, Gradient]:
    return spectrum(_Sphere(), 8), gradient(_Sphere())


def _mesh(dtype: torch.dtype) -> Arguments:
    s, g = _operators()
    return _Sphere().pos.to(dtype), s.to(dtype), Gradient(g.neighbors, g.values.to(dtype))


@cache
def _charts() -> Any:
    return geodesic_charts(_Sphere(), 1.0)


def _charted(dtype: torch.dtype) -> Arguments:
    charts = _charts()
    return _Sphere().pos.to(dtype), type(charts)(
        charts.neighbors, charts.coords.to(dtype), charts.kind, radius=charts.radius
    )


def _still(name: str, *sizes: int, **options: Any) -> Callable[[], nn.Module]:
    return lambda: getattr(models, name)(*sizes, **options)


NODES = [
    "GCN",
    "GraphSAGE",
    "GIN",
    "GAT",
    "GATv2",
    "ChebNet",
    "CayleyNet",
    "BernNet",
    "ARMA",
    "APPNP",
    "FeaStNet",
    "MoNet",
]
NETWORKS = {name: Network(_still(name, 6, 4, dropout=0.0), _graph) for name in NODES}
NETWORKS |= {
    name: Network(_still(name, 0, 4, dropout=0.0, **options), _clouds)
    for name, options in {
        "PointNet": {}, "PointNet2": {}, "DGCNN": {"k": 5}, "PointNeXt": {"blocks": (1, 2, 1, 1)},
        "DeLA": {"k": 5, "drop_path": 0.0}, "KPCNN": {"cell": 0.2, "width": 8},
    }.items()
}  # fmt: skip
NETWORKS |= {
    "DiffusionNet": Network(_still("DiffusionNet", 3, 4, width=8, blocks=2, dropout=0.0), _mesh),
    "GCNN": Network(_still("GCNN", 3, 4, rings=2, rays=4, lift=4, widths=(4, 6), hidden=8), _charted),
    "PointNetParts": Network(_still("PointNetParts", 0, 4, categories=2), _labelled),
    "PointNet2Parts": Network(_still("PointNet2Parts", 0, 4, categories=2, dropout=0.0), _labelled),
    "DGCNNParts": Network(_still("DGCNNParts", 0, 4, k=5, categories=2, dropout=0.0), _labelled),
    "PointNeXtParts": Network(_still("PointNeXtParts", 0, 4, categories=2, dropout=0.0), _labelled),
    "DeLAParts": Network(_still("DeLAParts", 0, 4, k=5, categories=2, drop_path=0.0), _labelled),
    "KPFCNN": Network(_still("KPFCNN", 0, 4, cell=0.2, width=8, categories=2), _labelled),
}
