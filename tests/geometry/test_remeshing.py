"""Remeshing: the same surface, sound, with edges of one length, and all that it wore."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
import trimesh

from geodl.data import Mesh
from geodl.geometry import edges, face_normals, laplacian, remesh, surface_area, validate

from .shapes import Shape, book, bumpy, flat_grid, flat_random, icosphere, join, moebius


def mesh_of(shape: Shape, **attributes) -> Mesh:
    return Mesh(shape.pos, shape.face, **attributes)


def box(size=(1.0, 1.0, 1.0)) -> Mesh:
    made = trimesh.creation.box(size)
    return Mesh(torch.tensor(made.vertices), torch.tensor(made.faces).T.contiguous())


def lengths(mesh) -> torch.Tensor:
    start, end = edges(mesh)
    return (mesh.pos[start] - mesh.pos[end]).norm(dim=1)


def smallest_angle(mesh) -> torch.Tensor:
    corner = mesh.pos[mesh.face]
    sides = [torch.nn.functional.normalize(corner[(k + 1) % 3] - corner[k], dim=1) for k in range(3)]
    cosines = torch.stack([-(sides[k] * sides[k - 1]).sum(1) for k in range(3)])
    return torch.rad2deg(cosines.clamp(-1, 1).acos()).amin(0)


def distance(points: torch.Tensor, mesh) -> np.ndarray:
    """From points to a surface, by trimesh."""
    surface = trimesh.Trimesh(mesh.pos.numpy(), mesh.face.T.numpy(), process=False)
    return trimesh.proximity.closest_point_naive(surface, points.numpy())[1]


def check_sound(made, given) -> None:
    found, before = validate(made), validate(given)
    assert found.is_manifold and found.orientable and not found.inconsistent_edges
    assert not (found.degenerate_faces or found.duplicate_faces or found.isolated_vertices)
    assert found.components == before.components and found.boundary_loops == before.boundary_loops
    assert found.euler_characteristic == before.euler_characteristic


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.5])
@pytest.mark.parametrize(
    "make", [lambda: bumpy(3), lambda: flat_random(700, stretch=2)], ids=["closed", "boundary"]
)
def test_edges_have_the_length_and_the_surface_stays(make, factor) -> None:
    given = mesh_of(make())
    target = factor * float(lengths(given).mean())
    made = remesh(given, target)
    check_sound(made, given)
    length = lengths(made) / target
    assert 0.9 < float(length.median()) < 1.1
    assert float(((length > 0.7) & (length < 1.35)).double().mean()) > 0.95
    angle = smallest_angle(made)
    assert float(angle.mean()) > 50 and float(angle.min()) > 10
    area = float(surface_area(given))
    assert float(surface_area(made)) == pytest.approx(area, rel=0.03 * max(1, factor**2))
    # Vertices lie on the given surface; what lies between them is off by the sagitta of an edge.
    assert distance(made.pos, given).max() < 1e-9
    assert distance(given.pos[::7], made).max() < 0.5 * target
    assert made.pos.shape[0] == pytest.approx(2 * area / math.sqrt(3) / target**2, rel=0.25)


def test_an_uneven_mesh_becomes_even() -> None:
    """One half of a square has a hundred times the faces of the other."""
    grid = flat_grid(21)
    x, y, z = grid.pos.unbind(1)
    given = Mesh(torch.stack([x**4, y, z], 1), grid.face)
    made = remesh(given, 0.05)
    check_sound(made, given)
    assert float(surface_area(made)) == pytest.approx(1, abs=1e-6)
    assert (
        float(lengths(made).std() / lengths(made).mean())
        < 0.15
        < float(lengths(given).std() / lengths(given).mean())
    )


def test_creases_and_corners_stay() -> None:
    given = box((1.0, 0.7, 0.4))
    made = remesh(given, 0.1)
    check_sound(made, given)
    assert torch.cdist(given.pos, made.pos).amin(1).max() < 1e-12  # the eight corners
    assert float(surface_area(made)) == pytest.approx(float(surface_area(given)), rel=1e-9)
    assert face_normals(made).abs().amax(1).min() > 1 - 1e-9  # every face lies in one side
    assert 0.9 < float(lengths(made).median()) / 0.1 < 1.1
    rounded = remesh(given, 0.1, feature_angle=math.pi)
    assert float(surface_area(rounded)) < 0.99 * float(surface_area(given))


def test_boundaries_stay() -> None:
    """A square with a square hole: corners are kept, edges along the boundary have the length as others do."""
    grid = flat_grid(31)
    centre = grid.pos[grid.face].mean(0)[:, :2]
    given = Mesh(grid.pos, grid.face[:, ((centre - 0.5).abs() > 0.2).any(1)])
    made = remesh(given, 0.06)
    check_sound(made, given)
    assert float(surface_area(made)) == pytest.approx(float(surface_area(given)), rel=1e-9)
    corners = torch.tensor(
        [[a, b, 0.0] for c in ((0, 1), (0.3, 0.7)) for a in c for b in c], dtype=torch.float64
    )
    assert torch.cdist(corners, made.pos).amin(1).max() < 1e-9
    x, y, _ = made.pos.unbind(1)
    rim = int(((x * (1 - x) * y * (1 - y)).abs() < 1e-9).sum())
    assert rim == pytest.approx(4 / 0.06, rel=0.1)


def test_components_stay_apart() -> None:
    """Two balls, one within the other and much nearer than an edge, and one that is smaller than an edge."""
    ball, small = icosphere(3), icosphere(1)
    shell = Shape(ball.pos * 0.97, ball.face.flip(0))
    dust = Shape(small.pos * 0.02 + 3, small.face)
    given = mesh_of(join(ball, shell, dust))
    made = remesh(given, 0.2)
    check_sound(made, given)
    radius = made.pos.norm(dim=1)
    outer, inner = int((radius > 0.985).sum()), int((radius < 0.985).sum())
    assert outer == pytest.approx(inner, rel=0.2)
    assert int((radius > 2).sum()) >= 4


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_any_unit(scale) -> None:
    given = mesh_of(bumpy(2))
    expected = remesh(given, 0.2)
    moved = remesh(Mesh(given.pos * scale + 10 * scale, given.face), 0.2 * scale)
    check_sound(moved, given)
    assert moved.pos.shape[0] == pytest.approx(expected.pos.shape[0], rel=0.05)
    single = remesh(Mesh(given.pos.float(), given.face), 0.2)
    assert single.pos.dtype == torch.float32 and single.face.dtype == torch.int64


def test_attributes_are_carried_over() -> None:
    shape = bumpy(3)
    pos, count = shape.pos, shape.size
    given = mesh_of(
        shape,
        x=pos @ torch.tensor([[1.0, 2], [0, 1], [3, 0]], dtype=torch.float64),
        y=(pos[:, 0] > 0).long() + 2,
        color=((pos - pos.amin(0)) / (pos.amax(0) - pos.amin(0)) * 255).byte(),
        normal=torch.nn.functional.normalize(pos, dim=1),
        mask=pos[:, 1] > 0,
        target=torch.tensor([4]),
        name="a body",
        operator=laplacian(shape),
        weight=torch.rand(shape.face.shape[1]),
        half=torch.ones(count, 1, 2).half(),
    )
    made = remesh(given, 0.12)
    # What is linear in space is linear on every face.
    expected = made.pos @ torch.tensor([[1.0, 2], [0, 1], [3, 0]], dtype=torch.float64)
    torch.testing.assert_close(made.x, expected, atol=1e-9, rtol=0)
    assert made.y.dtype == torch.int64 and set(made.y.tolist()) == {2, 3}
    far = made.pos[:, 0].abs() > 0.2
    assert torch.equal(made.y[far], (made.pos[far, 0] > 0).long() + 2)
    scaled = (made.pos - pos.amin(0)) / (pos.amax(0) - pos.amin(0)) * 255
    assert made.color.dtype == torch.uint8 and float((made.color.double() - scaled).abs().max()) < 1.6
    torch.testing.assert_close(made.normal.norm(dim=1), torch.ones(len(made.pos), dtype=torch.float64))
    assert made.mask.dtype == torch.bool and made.half.shape == (len(made.pos), 1, 2)
    assert made.name == "a body" and int(made.target) == 4 and isinstance(made, Mesh)
    assert "operator" not in made and "weight" not in made
    assert given.operator is not None and given.pos.shape[0] == count  # the given one is as it was


@dataclass
class Plain:
    pos: torch.Tensor
    face: torch.Tensor
    rest: list[int] = field(default_factory=list)


def test_any_object_with_positions_and_faces() -> None:
    shape = bumpy(2)
    made = remesh(Plain(shape.pos.float(), shape.face), 0.2)
    assert isinstance(made, Plain) and validate(made).is_closed


def test_slivers_and_faces_without_area_are_no_obstacle() -> None:
    """A ball with a vertex in the middle of an edge of one face alone, and one just beside another."""
    ball = icosphere(3)
    pos, face = ball.pos, ball.face.T.tolist()
    a, b, c = face.pop(0)
    start, end = pos[a], pos[b]
    middle = len(pos)
    pos = torch.cat(
        [pos, ((start + end) / 2)[None], (pos[face[5][0]] * (1 - 1e-9) + pos[face[5][1]] * 1e-9)[None]]
    )
    face += [[a, middle, c], [middle, b, c], [a, b, middle]]  # the last has no area
    u, v, w = face.pop(5)
    face += [[u, v, middle + 1], [v, w, middle + 1], [w, u, middle + 1]]
    given = Mesh(pos, torch.tensor(face).T.contiguous())
    assert validate(given).is_closed and validate(given).degenerate_faces
    made = remesh(given, 0.15)
    check_sound(made, given)
    assert float(smallest_angle(made).min()) > 10


def test_a_vertex_of_two_fans_becomes_two() -> None:
    """Two tetrahedra that touch in one vertex."""
    solid = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    other = torch.tensor([[0, 4, 5], [0, 6, 4], [0, 5, 6], [4, 6, 5]])
    given = Mesh(torch.cat([solid, -solid[1:]]), torch.cat([faces, other]).T.contiguous())
    assert validate(given).non_manifold_vertices == 1
    made = remesh(given, 0.2)
    assert validate(made).is_closed and validate(made).components == 2
    assert int((made.pos.norm(dim=1) < 1e-12).sum()) == 2


def test_what_has_few_faces_keeps_them() -> None:
    """A tetrahedron as large as an edge, and a triangle."""
    solid = trimesh.creation.icosphere(0)
    given = Mesh(torch.tensor(solid.vertices), torch.tensor(solid.faces).T.contiguous())
    made = remesh(given, 2.0)
    assert validate(made).is_closed and made.face.shape[1] >= 4
    triangle = Mesh(torch.eye(3), torch.tensor([[0], [1], [2]]))
    assert remesh(triangle, 1.2).face.shape[1] == 1
    assert validate(remesh(triangle, 0.2)).boundary_loops == 1


def test_the_same_every_time() -> None:
    given = mesh_of(bumpy(3))
    one, two = remesh(given, 0.1), remesh(given, 0.1)
    assert torch.equal(one.pos, two.pos) and torch.equal(one.face, two.face)


@pytest.mark.parametrize(
    ("make", "length", "message"),
    [
        (lambda: bumpy(1), 0.0, "edge_length must be positive and finite, not 0"),
        (lambda: bumpy(1), math.nan, "edge_length must be positive and finite, not nan"),
        (lambda: bumpy(1), 100.0, r"edge_length 100 is longer than the mesh, whose diagonal is \d"),
        (lambda: bumpy(1), 1e-5, "would make .* vertices of the 42, more than 50,000,000"),
        (lambda: book(), 0.1, "3 edges have more than two faces. Take faces away"),
        (lambda: moebius(), 0.1, "not orientable: cut it open"),
        (lambda: Shape(bumpy(1).pos * math.inf, bumpy(1).face), 0.1, "not finite"),
        (lambda: Shape(bumpy(1).pos * 0, bumpy(1).face), 0.1, "lie in one point"),
        (
            lambda: Shape(torch.arange(9.0).view(3, 3), torch.arange(3)[:, None]),
            0.1,
            "none of the 1 faces has an area",
        ),
        (lambda: Shape(bumpy(1).pos, bumpy(1).face[:, :0]), 0.1, "no faces"),
    ],
)
def test_errors_say_what_to_do(make, length, message) -> None:
    with pytest.raises(ValueError, match=message):
        remesh(make(), length)


def test_what_repair_mends_is_sent_to_repair() -> None:
    given = mesh_of(bumpy(2))
    given.face[:, 0] = given.face[:, 0].flip(0)
    given.face = torch.cat([given.face, given.face[:, 5:7], torch.zeros(3, 1, dtype=torch.int64)], 1)
    with pytest.raises(ValueError, match=r"geodl\.geometry\.repair"):
        remesh(Mesh(given.pos, given.face[:, :-3]), 0.2)
    with pytest.raises(ValueError, match=r"^1 faces name a vertex twice, 2 faces repeat another: geodl"):
        remesh(given, 0.2)
    with pytest.raises(ValueError, match=r"feature_angle must lie in 0\.\.pi"):
        remesh(given, 0.2, feature_angle=-1)
