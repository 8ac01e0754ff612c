"""assert_invariant: it passes for layers that keep their promises, and fails for those that break one."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
import trimesh
from torch import Tensor, nn
from torch_geometric.data import Data

from geodl.data import Mesh, VertexSignal
from geodl.geometry import (
    Charts,
    Gradient,
    Spectrum,
    geodesic_charts,
    gradient,
    laplacian,
    polar_template,
    spectrum,
)
from geodl.models import DGCNN, GCN, DGCNNParts, DiffusionNet, PointNet
from geodl.nn import (
    DiffusionBlock,
    FeaStConv,
    GATConv,
    GCNConv,
    GeodesicConv,
    KPConv,
    SetAbstraction,
    SpatialGradientFeatures,
    gaussian_windows,
    normalized_laplacian,
)
from geodl.ops import Neighbors, aggregate, radius
from geodl.testing import assert_invariant


def ball(subdivisions: int = 2) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions)
    pos = torch.tensor(made.vertices) * torch.tensor([1.0, 1.2, 0.8])
    return Mesh(pos, torch.tensor(made.faces).long().t().contiguous())


def graph(points: int = 30) -> Neighbors:
    pairs = torch.randint(points, (2, 3 * points))
    return Neighbors.from_edge_index(torch.unique(torch.cat([pairs, pairs.flip(0)], 1), dim=1), points)


def signal(points: int, channels: int = 4) -> Tensor:
    return torch.randn(points, channels, dtype=torch.float64)


def cartesian(pos: Tensor, reach: float = 0.6) -> Charts:
    near = radius(pos, reach)
    return Charts(near, pos[near.col] - pos[near.row], "cartesian", radius=reach)


class Positions(nn.Module):
    """What it returns of ``pos`` is given to it."""

    def __init__(self, read: Any) -> None:
        super().__init__()
        self.read = read

    def forward(self, pos: Tensor) -> Tensor:
        found: Tensor = self.read(pos)
        return found


# --- order ---


@pytest.mark.parametrize(
    "layer", [GCNConv(4, 5), GATConv(4, 5, 2), FeaStConv(4, 5, 3)], ids=lambda layer: type(layer).__name__
)
def test_layers_on_graphs_know_no_numbers(layer: nn.Module) -> None:
    assert_invariant(layer.double(), (signal(30), graph()), under="order")


def test_every_operator_type_is_numbered_anew() -> None:
    mesh, x = ball(), signal(162)
    charts = geodesic_charts(mesh, 0.5)
    near, basis, derivative = laplacian(mesh), spectrum(mesh, 9), gradient(mesh)
    matrix = normalized_laplacian(charts.neighbors, torch.float64)
    conv = GeodesicConv(4, 3, 2, 6).double()
    assert_invariant(conv, (x, charts), under="order")
    assert_invariant(conv, (x, gaussian_windows(charts, 2, 6)), under="order")
    assert_invariant(conv, (x, polar_template(mesh, charts, 2, 6)), under="order")
    assert_invariant(DiffusionBlock(4).double().eval(), (x, basis, derivative), under="order")
    assert_invariant(
        DiffusionBlock(4, method="direct").double().eval(), (x, [near], derivative), under="order"
    )
    assert_invariant(lambda x, matrix: matrix @ x, (x, matrix), under="order")
    assert_invariant(lambda x, basis: basis.mass @ x, (x, basis), under="order")


def test_networks_on_data_know_no_numbers() -> None:
    edge_index = graph().to_edge_index()
    network = GCN(4, 3).double().eval()
    assert_invariant(network, Data(x=signal(30), edge_index=edge_index), under="order")
    assert_invariant(lambda mesh: VertexSignal()(copy.copy(mesh)).x, ball(), under="order")


def test_the_shapes_of_a_batch_stay_apart() -> None:
    first, second = ball(1), ball(2)
    both = Spectrum.cat([spectrum(first, 5), spectrum(second, 5)])
    slope = Gradient.cat([gradient(first), gradient(second)])
    network = DiffusionNet(4, 3, 8, 2, "global").double().eval()
    assert_invariant(network, (signal(42 + 162), both, slope), under="order")
    pos, ptr = torch.randn(50, 3), torch.tensor([0, 20, 50])
    assert_invariant(PointNet(0, 4).eval(), (pos, ptr), under="order")


def test_a_layer_that_reads_the_numbers_is_found() -> None:
    def numbered(x: Tensor, neighbors: Neighbors) -> Tensor:
        return aggregate(x, neighbors) + 0.01 * torch.arange(len(x)).to(x)[:, None]

    with pytest.raises(
        AssertionError,
        match=r"the function is not invariant under order: \d+ of 30 rows differ, most at \[",
    ):
        assert_invariant(numbered, (signal(30), graph()), under="order")

    def first_neighbor(x: Tensor, neighbors: Neighbors) -> Tensor:
        return x[neighbors.col[neighbors.rowptr[:-1]]]

    mesh = geodesic_charts(ball(1), 0.9).neighbors
    with pytest.raises(AssertionError, match="not invariant under order"):
        assert_invariant(first_neighbor, (signal(42), mesh), under="order")
    with pytest.raises(AssertionError, match="SetAbstraction is not invariant under order"):
        layer = SetAbstraction(4, 10, [0.6], [8], [[8]]).double().eval()
        assert_invariant(layer, (signal(30, 3), signal(30), torch.tensor([0, 30])), under="order")


# --- batch ---


def test_shapes_side_by_side_are_as_alone() -> None:
    meshes = [ball(1), ball(2), ball(0)]
    calls = [(signal(mesh.pos.shape[0]), spectrum(mesh, 8), gradient(mesh)) for mesh in meshes]
    assert_invariant(DiffusionBlock(4).double().eval(), *calls, under="batch")
    direct = [(x, [laplacian(mesh)], slope) for mesh, (x, _, slope) in zip(meshes, calls, strict=True)]
    assert_invariant(DiffusionBlock(4, method="direct").double().eval(), *direct, under="batch")
    shapes = [Data(x=signal(size), edge_index=graph(size).to_edge_index()) for size in (30, 12, 25)]
    assert_invariant(GCN(4, 3).double().eval(), *shapes, under="batch")
    clouds = [(torch.randn(size, 3),) for size in (30, 60, 45)]
    assert_invariant(DGCNN(0, 4).eval(), *clouds, under="batch")
    parts = [(torch.randn(size, 3), torch.tensor([kind])) for kind, size in enumerate((30, 60, 45))]
    assert_invariant(DGCNNParts(0, 4, 3).eval(), *parts, under="batch")


def test_batch_norm_of_a_batch_is_found() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(4).double()

        def forward(self, x: Tensor, neighbors: Neighbors) -> Tensor:
            return aggregate(self.norm(x), neighbors)

    calls = [(signal(size), graph(size)) for size in (30, 12)]
    layer = Normed()
    with pytest.raises(
        AssertionError, match=r"Normed is not invariant under batch: 4[012] of 42 rows differ"
    ):
        assert_invariant(layer, *calls, under="batch")
    assert_invariant(layer.eval(), *calls, under="batch")

    def pooled(x: Tensor, batch: Tensor | None = None) -> Tensor:
        return x.mean(0, keepdim=True)  # of all shapes

    with pytest.raises(AssertionError, match=r"shapes \[\[1, 4\]\] instead of \[\[2, 4\]\]"):
        assert_invariant(pooled, (signal(9),), (signal(5),), under="batch")


def test_batch_numbers_are_filled_in() -> None:
    def means(x: Tensor, batch: Tensor | None = None) -> Tensor:
        batch = torch.zeros(len(x), dtype=torch.int64) if batch is None else batch
        total = x.new_zeros(int(batch.max()) + 1, x.shape[1]).index_add_(0, batch, x)
        return total / batch.bincount()[:, None]

    assert_invariant(means, (signal(9),), (signal(5),), under="batch")


# --- frames ---


def test_tangent_frames_do_not_matter() -> None:
    mesh, x = ball(), signal(162)
    charts, slope = geodesic_charts(mesh, 0.5), gradient(mesh)
    conv = GeodesicConv(4, 3, 2, 6).double()
    assert_invariant(conv, (x, charts), under="frames", step=math.pi / 3)
    assert_invariant(conv, (x, gaussian_windows(charts, 2, 6)), under="frames")
    assert_invariant(conv, (x, polar_template(mesh, charts, 2, 6)), under="frames")
    assert_invariant(DiffusionBlock(4).double().eval(), (x, spectrum(mesh, 9), slope), under="frames")
    assert_invariant(lambda x, slope: slope(x), (x, slope), under="frames", vectors=True)


def test_windows_turn_as_their_charts_do() -> None:
    """The rotations of a filter move by one when every chart turns by a ray, whatever the windows are made of."""
    mesh, x = ball(), signal(162)
    charts = geodesic_charts(mesh, 0.5)
    conv = GeodesicConv(4, 3, 2, 6, pool=None).double()
    for windows in (charts, gaussian_windows(charts, 2, 6), polar_template(mesh, charts, 2, 6)):
        with pytest.raises(AssertionError, match="GeodesicConv is not invariant under frames"):
            assert_invariant(conv, (x, windows), under="frames", step=math.pi / 3)


def test_a_layer_that_reads_angles_is_found() -> None:
    mesh, x = ball(), signal(162)
    old = SpatialGradientFeatures(4, "frame-dependent").double()
    with pytest.raises(AssertionError, match="SpatialGradientFeatures is not invariant under frames"):
        assert_invariant(old, (x, gradient(mesh)), under="frames")
    assert_invariant(SpatialGradientFeatures(4).double(), (x, gradient(mesh)), under="frames")

    def along(x: Tensor, charts: Charts) -> Tensor:
        return aggregate(x, charts.neighbors, charts.theta.cos())

    with pytest.raises(AssertionError, match=r"instead of .* of the largest number, where 1e-09 is allowed"):
        assert_invariant(along, (x, geodesic_charts(mesh, 0.5)), under="frames")
    with pytest.raises(AssertionError, match="not invariant under frames"):  # vectors that do not turn along
        assert_invariant(lambda x, slope: slope(x), (x, gradient(mesh)), under="frames")


# --- rotation and scale ---


def test_positions_turn() -> None:
    mesh = ball()
    network = DiffusionNet(4, 3, 8, 2).double().eval()
    assert_invariant(
        lambda mesh: network(signal_of(mesh), spectrum(mesh, 9), gradient(mesh)),
        mesh,
        under="rotation",
        tolerance=1e-5,
    )
    assert_invariant(Positions(lambda pos: pos / pos.norm()), (mesh.pos,), under="rotation", vectors=True)
    with pytest.raises(AssertionError, match="Positions is not invariant under rotation"):
        assert_invariant(Positions(lambda pos: pos), (mesh.pos,), under="rotation")
    conv = KPConv(4, 5, 0.6).double()
    with pytest.raises(AssertionError, match="KPConv is not invariant under rotation"):
        assert_invariant(conv, (signal(162), cartesian(mesh.pos)), under="rotation")
    clouds = Data(pos=mesh.pos, normal=mesh.pos / mesh.pos.norm(dim=1, keepdim=True))
    assert_invariant(lambda cloud: (cloud.pos * cloud.normal).sum(1), clouds, under="rotation")


def signal_of(mesh: Any) -> Tensor:
    """Four numbers a vertex that no rotation changes."""
    return mesh.pos.norm(dim=1, keepdim=True).expand(-1, 4)


def test_sizes() -> None:
    mesh, x = ball(), signal(162)
    assert_invariant(Positions(lambda pos: pos / pos.norm()), (mesh.pos,), under="scale")
    conv = GeodesicConv(4, 3, 2, 6).double()
    assert_invariant(conv, (x, geodesic_charts(mesh, 0.5)), under="scale")
    assert_invariant(
        lambda basis, slope: (
            basis.evals / basis.evals[-1] + (slope.values * slope.values).sum() / basis.evals[-1]
        ),
        (spectrum(mesh, 9), gradient(mesh)),
        under="scale",
    )
    with pytest.raises(AssertionError, match=r"not invariant under scale, 0\.001 times as large"):
        assert_invariant(
            DiffusionBlock(4).double().eval(), (x, spectrum(mesh, 9), gradient(mesh)), under="scale"
        )
    with pytest.raises(AssertionError, match="DGCNN is not invariant under scale"):
        assert_invariant(DGCNN(0, 4).double().eval(), (mesh.pos,), under="scale")


# --- what cannot be tested ---


def test_dropout_is_not_blamed_on_the_symmetry() -> None:
    with pytest.raises(
        AssertionError, match=r"Dropout gives different results for the same arguments \(does it drop out"
    ):
        assert_invariant(nn.Dropout(0.5), (signal(9),), under="order")


def test_numbers_that_are_not_finite_are_found() -> None:
    with pytest.raises(AssertionError, match="Positions returns numbers that are not finite"):
        assert_invariant(Positions(lambda pos: pos.sum() / 0), (signal(9, 3),), under="rotation")


def test_arguments_that_do_not_fit_are_named() -> None:
    x, near = signal(30), graph()
    with pytest.raises(
        ValueError, match="under must be one of frames, rotation, order, batch, scale, not 'mirror'"
    ):
        assert_invariant(GCNConv(4, 5).double(), (x, near), under="mirror")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="returns no tensor that could be compared"):
        assert_invariant(lambda x: float(x.sum()), (x,), under="order")
    with pytest.raises(ValueError, match="batch needs at least 2 calls, got 1"):
        assert_invariant(GCNConv(4, 5).double(), (x, near), under="batch")
    with pytest.raises(ValueError, match="frames need Charts, PolarWindows or a Gradient"):
        assert_invariant(GCNConv(4, 5).double(), (x, near), under="frames")
    with pytest.raises(
        ValueError,
        match=r"nothing among the arguments \(x: Tensor, neighbors: Neighbors\) changes under scale",
    ):
        assert_invariant(GCNConv(4, 5).double(), (x, near), under="scale")
    with pytest.raises(ValueError, match="vectors turn under frames and rotation, not under order"):
        assert_invariant(GCNConv(4, 5).double(), (x, near), under="order", vectors=True)
    with pytest.raises(ValueError, match="bias differs between the calls, and float cannot be packed"):
        assert_invariant(lambda x, bias: x + bias, (x, 1.0), (x, 2.0), under="batch")
    windows = gaussian_windows(geodesic_charts(ball(1), 0.9), 2, 6)
    with pytest.raises(ValueError, match="polar windows with 6 rays turn by multiples of 2 pi / 6 alone"):
        assert_invariant(GeodesicConv(4, 3, 2, 6).double(), (signal(42), windows), under="frames", step=0.1)
