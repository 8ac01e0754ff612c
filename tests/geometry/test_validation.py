"""What validate counts on meshes whose faults are known, and what repair makes of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import trimesh
from torch_geometric.data import Data

from geodl.geometry import geodesic_charts, repair, validate

from .shapes import Shape, book, bumpy, flat_corner, flat_grid, icosphere, join, moebius, prism


def two_tetrahedra_at_a_vertex() -> Shape:
    pos = torch.tensor(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0], [0, 0, -1]], dtype=torch.float64
    )
    up = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    low = torch.tensor([[0, 4, 5], [0, 6, 4], [0, 5, 6], [4, 6, 5]])
    return Shape(pos, torch.cat([up, low]).T.contiguous())


CASES: dict[str, tuple[Shape, dict[str, Any]]] = {
    "sphere": (
        icosphere(2),
        {"euler_characteristic": 2, "components": 1, "is_closed": True, "is_clean": True},
    ),
    "disc": (
        flat_grid(5),
        {
            "euler_characteristic": 1,
            "boundary_edges": 16,
            "boundary_loops": 1,
            "is_clean": True,
            "is_closed": False,
        },
    ),
    "corner": (flat_corner(3), {"euler_characteristic": 1, "boundary_loops": 1}),
    "tube": (
        prism(8, 4),
        {"euler_characteristic": 0, "boundary_edges": 16, "boundary_loops": 2, "orientable": True},
    ),
    "two": (
        join(icosphere(1), flat_grid(4)),
        {"euler_characteristic": 3, "components": 2, "boundary_loops": 1},
    ),
    "moebius": (
        moebius(24),
        {
            "euler_characteristic": 0,
            "orientable": False,
            "boundary_edges": 48,
            "boundary_loops": 1,
            "inconsistent_edges": 1,
            "is_manifold": True,
        },
    ),
    "book": (
        book(3, 4),
        {"non_manifold_edges": 3, "non_manifold_vertices": 0, "is_manifold": False, "is_clean": False},
    ),
    "vertex": (
        two_tetrahedra_at_a_vertex(),
        {"non_manifold_vertices": 1, "non_manifold_edges": 0, "boundary_edges": 0, "is_manifold": False},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_faults_are_counted(name: str) -> None:
    mesh, expected = CASES[name]
    report = validate(mesh)
    assert {key: getattr(report, key) for key in expected} == expected
    assert (report.vertices, report.faces) == (mesh.size, mesh.face.shape[1])
    assert f"{mesh.size} vertices" in str(report)


@pytest.mark.parametrize("name", ["sphere", "disc", "tube", "two", "corner"])
def test_counts_are_those_of_trimesh(name: str) -> None:
    mesh, _ = CASES[name]
    other = trimesh.Trimesh(mesh.pos.numpy(), mesh.face.T.numpy(), process=False)
    report = validate(mesh)
    assert report.edges == len(other.edges_unique)
    assert report.euler_characteristic == other.euler_number
    assert report.is_closed == other.is_watertight
    assert (report.inconsistent_edges == 0) == other.is_winding_consistent


def spoiled() -> Shape:
    """An icosphere with one fault of every kind that repair mends."""
    mesh = bumpy(1)
    nan, far, copy_of_5 = mesh.size, mesh.size + 1, mesh.size + 2
    extra = torch.tensor([[float("nan"), 0, 0], [9, 9, 9], mesh.pos[5].tolist()], dtype=torch.float64)
    face = mesh.face.clone()
    face[:, 7] = face[[1, 0, 2], 7]
    face = torch.where((face == 5) & (torch.arange(face.shape[1]) % 2 == 0), torch.tensor(copy_of_5), face)
    bad = torch.tensor([[0, 1, 1], [2, 3, nan], [0, 1, 999], [*face[[2, 0, 1], 3]]])
    assert far not in face
    return Shape(torch.cat([mesh.pos, extra]), torch.cat([face, bad.T], dim=1))


def test_validate_tells_everything_at_once() -> None:
    mesh = spoiled()
    report = validate(mesh)
    assert report.not_finite.tolist() == [42] and report.out_of_range.tolist() == [82]
    assert report.degenerate_faces == 1 and report.duplicate_faces == 1 and report.duplicate_vertices == 1
    assert report.isolated_vertices == 2 and report.inconsistent_edges > 0 and not report.is_clean
    told = str(report)
    for phrase in (
        "not finite: 42",
        "do not exist: 82",
        "have no area",
        "repeat an earlier one",
        "belong to no face",
        "opposite winding",
    ):
        assert phrase in told


def test_repair_restores_the_mesh() -> None:
    mesh, original = spoiled(), bumpy(1)
    before = (mesh.pos.clone(), mesh.face.clone())
    fixed, report = repair(Data(pos=mesh.pos, face=mesh.face, y=torch.arange(mesh.size), name="spoiled"))
    assert torch.equal(mesh.face, before[1]) and torch.equal(mesh.pos.nan_to_num(), before[0].nan_to_num())
    assert report.is_clean and report.is_closed and (report.vertices, report.faces) == (42, 80)
    assert len(report.done) == 7 and all(deed in str(report) for deed in report.done)
    assert report.vertex_map is not None and report.vertex_map[[42, 43]].tolist() == [-1, -1]
    assert report.vertex_map[44] == report.vertex_map[5] and torch.equal(fixed.pos, original.pos)
    assert torch.equal(fixed.y, torch.arange(42)) and fixed.name == "spoiled"
    faces = {tuple(sorted(corner)) for corner in fixed.face.T.tolist()}
    assert faces == {tuple(sorted(corner)) for corner in original.face.T.tolist()}
    assert torch.allclose(geodesic_charts(fixed, 1.0).rho, geodesic_charts(original, 1.0).rho)


def test_repair_leaves_a_clean_mesh_alone() -> None:
    for mesh in (icosphere(1), flat_grid(4), prism(8, 3)):
        fixed, report = repair(mesh)
        assert report.done == () and torch.equal(fixed.face, mesh.face) and torch.equal(fixed.pos, mesh.pos)
        assert report.vertex_map is not None and torch.equal(report.vertex_map, torch.arange(mesh.size))


def test_repair_turns_faces_to_their_first() -> None:
    mesh = join(icosphere(1), prism(8, 3))
    some = torch.rand(mesh.face.shape[1]) < 0.5
    some[[0, 80]] = False
    fixed, report = repair(Shape(mesh.pos, torch.where(some, mesh.face[[0, 2, 1]], mesh.face)))
    assert report.inconsistent_edges == 0 and report.done == (
        f"turned {int(some.sum())} faces to the winding of their component",
    )
    assert torch.equal(fixed.face.sort(dim=0).values, mesh.face.sort(dim=0).values)
    rolled = torch.stack([mesh.face.roll(k, dims=0) for k in range(3)])
    assert bool((rolled == fixed.face).all(dim=1).any(dim=0).all())


def test_a_moebius_strip_stays_as_it_is() -> None:
    fixed, report = repair(moebius())
    assert not report.orientable and "not orientable" in str(report)
    assert torch.equal(fixed.face.sort(dim=0).values, moebius().face.sort(dim=0).values)


def test_nothing_left_is_an_error() -> None:
    mesh = Shape(torch.zeros(3, 3), torch.tensor([[0], [0], [1]]))
    with pytest.raises(
        ValueError, match=r"nothing would be left of the 1 faces: merged 2 vertices.*named a vertex twice"
    ):
        repair(mesh)


@pytest.mark.parametrize(("vertices", "faces"), [(0, 0), (3, 0)])
def test_empty_meshes_are_told(vertices: int, faces: int) -> None:
    report = validate(Shape(torch.zeros(vertices, 3), torch.zeros(3, faces, dtype=torch.int64)))
    assert not report.is_clean and "empty" in str(report)
