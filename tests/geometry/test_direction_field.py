"""Direction fields: parallel where the surface is flat, without singularities where it can be, and a matter of the shape alone."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from geodl.datasets import broken_meshes
from geodl.geometry import (
    curvature,
    direction_field,
    geodesic_charts,
    mean_edge_length,
    tangent_frames,
    validate,
)

from .shapes import Shape, book, bumpy, flat_corner, flat_grid, flat_random, icosphere, join, moebius, wrap
from .test_curvature import torus

FLAT = {
    "grid": flat_grid(),
    "random": flat_random(),
    "obtuse": flat_random(stretch=8, seed=1),
    "needles": flat_random(stretch=0.03, seed=2),
    "corner": flat_corner(),
}


def in_space(mesh: Shape, field: Tensor) -> Tensor:
    return (field[:, :, None] * tangent_frames(mesh)[:, :2]).sum(1)


def along_edges(mesh: Shape) -> tuple[Tensor, Tensor, Tensor]:
    """Both ends of the edges of all faces, ``[3, F]``, and what carries the frame of the second to the first."""
    charts = geodesic_charts(mesh, 3 * float(mean_edge_length(mesh)))
    key = charts.neighbors.row * mesh.size + charts.neighbors.col
    i, j = mesh.face, mesh.face.roll(-1, 0)
    assert charts.transport is not None
    return i, j, charts.transport[torch.searchsorted(key, (i * mesh.size + j).contiguous())]


def indices(mesh: Shape, field: Tensor) -> Tensor:
    """How often the field turns around each face, beyond what the curvature of the face turns it."""
    i, j, transport = along_edges(mesh)
    angle = torch.atan2(field[:, 1], field[:, 0])
    turns = wrap(angle[j] + transport - angle[i]).sum(0) - wrap(transport.sum(0))
    return turns / (2 * math.pi)


@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_on_a_flat_mesh_it_is_parallel(name: str, dtype: torch.dtype) -> None:
    mesh = FLAT[name].with_pos(FLAT[name].pos.to(dtype))
    field = direction_field(mesh)
    assert field.dtype == dtype and torch.allclose(field.norm(dim=1), torch.ones(mesh.size).to(dtype))
    vectors = in_space(mesh, field)
    assert (vectors - vectors[0]).abs().max() < (1e-6 if dtype == torch.float64 else 1e-3)


def test_singularities_are_those_that_must_be() -> None:
    ring = torus(2.0, 0.7, 40, 20)[0]
    for mesh, most in ((ring, 0), (bumpy(), 2), (icosphere(3), 2)):
        found = indices(mesh, direction_field(mesh))
        assert (found - found.round()).abs().max() < 1e-9
        assert int(found.round().abs().sum()) == most
        assert abs(int(found.round().sum())) == validate(mesh).euler_characteristic


def test_it_is_the_smoothest() -> None:
    # The smallest eigenvalue of the connection Laplacian, put together face by face.
    mesh = bumpy(2)
    i, j, transport = along_edges(mesh)
    across = mesh.pos[mesh.face.roll(-2, 0)]
    one, two = mesh.pos[i] - across, mesh.pos[j] - across
    weight = 0.5 * (one * two).sum(2) / torch.linalg.cross(one, two).norm(dim=2)
    connection = torch.zeros(mesh.size, mesh.size, dtype=torch.complex128)
    turn = weight * torch.polar(torch.ones_like(transport), transport)
    connection.index_put_((i.flatten(), j.flatten()), -turn.flatten(), accumulate=True)
    connection = connection + connection.mH
    diagonal = torch.zeros(mesh.size, dtype=torch.float64)
    for v in (i, j):
        diagonal.index_add_(0, v.flatten(), weight.flatten())
    connection = connection + torch.diag(diagonal).to(connection)
    from geodl.geometry import vertex_areas

    root = vertex_areas(mesh).sqrt()
    vector = torch.linalg.eigh(connection / (root[:, None] * root)).eigenvectors[:, 0] / root
    unit = vector / vector.abs()
    found = torch.view_as_complex(direction_field(mesh))
    apart = (found * unit.conj() * (found * unit.conj()).mean().conj()).angle().abs()
    assert apart.median() < 0.01 and apart.quantile(0.95) < 0.05


@pytest.mark.parametrize("guided", [False, True])
def test_numbering_and_position_do_not_matter(guided: bool) -> None:
    mesh = bumpy()
    strokes = torch.zeros(mesh.size, 3, dtype=torch.float64)
    strokes[10], strokes[400] = torch.randn(2, 3, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    turn = turn * turn.det()
    order = torch.randperm(mesh.size)
    other = Shape(7 * mesh.pos[order] @ turn.T + 1, order.argsort()[mesh.face].roll(1, 0))
    one = direction_field(mesh, strokes if guided else None, curvature=0.5 * guided)
    two = direction_field(other, strokes[order] @ turn.T if guided else None, curvature=0.5 * guided)
    assert (in_space(other, two) - in_space(mesh, one)[order] @ turn.T).abs().max() < 1e-5
    beside = direction_field(join(icosphere(1), mesh))
    if not guided:
        assert (beside[42:] - one).abs().max() < 1e-5


def test_numbering_does_not_matter_where_the_shape_is_symmetric() -> None:
    for mesh in (torus(2.0, 0.7, 40, 20)[0], icosphere(2)):
        order = torch.randperm(mesh.size)
        other = Shape(mesh.pos[order], order.argsort()[mesh.face])
        one, two = in_space(mesh, direction_field(mesh)), in_space(other, direction_field(other))
        assert (two - one[order]).abs().max() < 1e-5


def test_strokes_are_followed_and_continued() -> None:
    mesh = flat_grid(17)
    strokes = torch.zeros(mesh.size, 3, dtype=torch.float64)
    left, right = mesh.pos[:, 0] < 1e-9, mesh.pos[:, 0] > 1 - 1e-9
    strokes[left], strokes[right] = torch.tensor([[3.0, 0, 0], [0, 0.01, 0]], dtype=torch.float64)
    strokes[100] = torch.tensor([0.0, 0.0, 1.0])  # out of the surface: says nothing
    vectors = in_space(mesh, direction_field(mesh, strokes))
    torch.testing.assert_close(vectors[left], (strokes[left] / 3))
    torch.testing.assert_close(vectors[right], (strokes[right] / 0.01))
    # Between them components are harmonic, so linear in x, before they are brought to length 1.
    x = mesh.pos[:, 0]
    expected = torch.atan2(x, 1 - x)
    assert (torch.atan2(vectors[:, 1], vectors[:, 0]) - expected).abs().max() < 2e-2
    again = direction_field(mesh, (tangent_frames(mesh)[:, :2] @ strokes[:, :, None]).squeeze(2))
    assert (in_space(mesh, again) - vectors).abs().max() < 1e-9
    whole = direction_field(mesh, vectors)
    torch.testing.assert_close(in_space(mesh, whole), vectors)


def test_curvature_is_followed_up_to_its_sign() -> None:
    mesh, v = torus(2.0, 0.7, 40, 20)
    around = torch.nn.functional.normalize(
        torch.stack([-mesh.pos[:, 1], mesh.pos[:, 0], 0 * v], dim=1), dim=1
    )
    agrees = (in_space(mesh, direction_field(mesh, curvature=1.0)) * around).sum(1)
    assert agrees.abs().min() > 0.99 and abs(float(agrees.sign().sum())) == mesh.size
    mesh = bumpy()
    found = curvature(mesh)
    size = found.principal.abs()
    least = found.directions[torch.arange(mesh.size), size.argmin(dim=1)]
    clear = (size[:, 0] - size[:, 1]).abs() > 1
    agrees = [
        float((direction_field(mesh, curvature=c) * least).sum(1)[clear].abs().mean())
        for c in (0.0, 1.0, 10.0)
    ]
    assert agrees[0] < agrees[1] < agrees[2] and agrees[2] > 0.93, agrees


def test_any_mesh_has_one() -> None:
    lonely = Shape(torch.cat([icosphere(1).pos, torch.ones(1, 3).double()]), icosphere(1).face)
    for mesh in (
        lonely,
        moebius(),
        book(),
        join(flat_grid(3), icosphere(0)),
        Shape(torch.eye(3).double(), torch.tensor([[0], [1], [2]])),
    ):
        field = direction_field(mesh, curvature=1.0)
        torch.testing.assert_close(field.norm(dim=1), torch.ones(mesh.size, dtype=torch.float64))


def test_bad_guidance_is_named() -> None:
    mesh = icosphere(1)
    for bad in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="curvature must be finite and not negative"):
            direction_field(mesh, curvature=bad)
    strokes = torch.zeros(42, 3)
    strokes[7, 0] = np.nan
    with pytest.raises(ValueError, match="direction is not finite at vertex 7"):
        direction_field(mesh, strokes)
    with pytest.raises(ValueError, match=r"direction must have shape"):
        direction_field(mesh, strokes[:7])


@pytest.mark.parametrize("subdivisions", [0, 1, 2, 3])
def test_faces_of_no_area_do_not_matter(subdivisions: int) -> None:
    """Their cotangents are endless. Five of them are added to a sound mesh here; its field is the same but near their edges."""
    meshes = broken_meshes(subdivisions)
    sound, flat = meshes["sound"], meshes["zero-area faces"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the spectrum needs no second method
        found = direction_field(flat)
    assert torch.allclose(found.norm(dim=1), torch.ones(len(found)))
    if subdivisions == 2:
        wanted = in_space(sound, direction_field(sound))
        alike = (wanted * in_space(flat, found)[: len(wanted)]).sum(1)
        assert float(alike.median()) > 0.95
