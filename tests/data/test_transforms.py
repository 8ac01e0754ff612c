"""VertexSignal: what it holds, and what it does not depend on. SpectralOperators: packed, each shape keeps its own."""

from pathlib import Path

import pytest
import torch
import trimesh

from geodl.data import DataLoader, Mesh, OperatorCache, SpectralOperators, VertexSignal
from geodl.geometry import (
    differential_coordinates,
    gradient,
    mean_edge_length,
    spectrum,
    surface_area,
    vertex_areas,
)


@pytest.fixture
def body() -> Mesh:
    made = trimesh.creation.icosphere(2)
    pos = torch.tensor(made.vertices) * torch.tensor([1.0, 1.5, 0.6])
    return Mesh(pos, torch.tensor(made.faces).long().t().contiguous())


def test_sphere_in_closed_form() -> None:
    made = trimesh.creation.icosphere(4)
    pos = torch.tensor(made.vertices)
    x = VertexSignal()(Mesh(3 * pos + 7, torch.tensor(made.faces).long().t().contiguous())).x
    assert x.shape == (pos.shape[0], VertexSignal().channels)
    torch.testing.assert_close(x[:, :3], pos / (4 * torch.pi) ** 0.5, atol=2e-3, rtol=0)
    torch.testing.assert_close(x[:, 3:6], pos, atol=8e-3, rtol=0)
    assert float((x[:, 6:] * pos).sum(1).max()) < 0  # neighbours on a sphere lie below the tangent plane


def test_differential_coordinates_are_in_edge_lengths(body: Mesh) -> None:
    x = VertexSignal()(body.clone()).x
    torch.testing.assert_close(x[:, 6:], differential_coordinates(body) / mean_edge_length(body))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_unit_and_place_do_not_matter(body: Mesh, scale: float) -> None:
    moved = Mesh(scale * (body.pos + torch.tensor([3.0, -2.0, 5.0])), body.face)
    torch.testing.assert_close(VertexSignal()(moved).x, VertexSignal()(body.clone()).x, atol=1e-7, rtol=1e-7)


def test_a_turned_shape_has_a_turned_signal(body: Mesh) -> None:
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    turn = turn * torch.linalg.det(turn)
    turned = VertexSignal()(Mesh(body.pos @ turn.T, body.face)).x
    for part in (slice(0, 3), slice(3, 6), slice(6, 9)):
        torch.testing.assert_close(turned[:, part], VertexSignal()(body.clone()).x[:, part] @ turn.T)


def test_how_a_shape_is_meshed(body: Mesh) -> None:
    """On an icosphere twelve vertices have five faces and all others six."""
    signal = VertexSignal(meshing=True)
    x = signal(body.clone()).x
    assert x.shape[1] == signal.channels
    torch.testing.assert_close(x[:, :9], VertexSignal()(body.clone()).x)
    assert x[:, 10].sort().values.tolist() == [-1.0] * 12 + [0.0] * (body.num_nodes - 12)
    relative = x[:, 9].exp()
    torch.testing.assert_close(relative.mean(), torch.tensor(1.0, dtype=torch.float64))
    torch.testing.assert_close(relative * float(surface_area(body)) / body.num_nodes, vertex_areas(body))


def ball(subdivisions: int) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions)
    pos = torch.tensor(made.vertices).float() * torch.tensor([1.0, 1.5, 0.6])
    return Mesh(pos, torch.tensor(made.faces).long().t().contiguous(), name=f"ball{subdivisions}")


@pytest.mark.parametrize("workers", [0, 1])
def test_operators_of_a_ragged_batch_are_those_of_its_shapes(tmp_path: Path, workers: int) -> None:
    carry = SpectralOperators(OperatorCache(tmp_path), k=7)
    shapes = [carry(ball(subdivisions)) for subdivisions in (1, 2, 1)]
    (batch,) = DataLoader(shapes, batch_size=3, num_workers=workers)
    assert batch.spectrum.ptr.tolist() == batch.ptr.tolist()
    assert batch.spectrum.evecs.dtype == batch.gradient.values.dtype == torch.float32
    slopes = batch.gradient(batch.pos)
    for number, subdivisions in enumerate((1, 2, 1)):
        alone = ball(subdivisions)
        rows = batch.batch == number
        expected = spectrum(alone, 7).to(torch.float32)
        assert torch.equal(batch.spectrum.evals[number], expected.evals)
        assert torch.equal(batch.spectrum.evecs[rows], expected.evecs)
        assert torch.equal(batch.spectrum.mass[rows], expected.mass)
        torch.testing.assert_close(slopes[rows], gradient(alone)(alone.pos), rtol=0, atol=0)


def test_operators_move_with_their_shape(tmp_path: Path) -> None:
    mesh = SpectralOperators(OperatorCache(tmp_path), k=7)(ball(1))
    (batch,) = DataLoader([mesh], batch_size=1)
    for moved in (mesh.clone().to("meta"), batch.to("meta")):
        assert moved.spectrum.device.type == moved.gradient.device.type == "meta"
