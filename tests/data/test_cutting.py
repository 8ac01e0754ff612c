"""Parts of meshes: what is left, that attributes follow, and that it is one piece."""

import pytest
import torch
import trimesh

from geodl.data import CutByPlane, Mesh, RandomHoles, UnitArea
from geodl.datasets import Puppets
from geodl.geometry import surface_area, validate


@pytest.fixture(scope="module")
def body() -> Mesh:
    return Puppets(2, 2, num_vertices=1500)[0]


@pytest.mark.parametrize("transform", [CutByPlane, RandomHoles])
def test_parts_of_a_body(body: Mesh, transform: type[CutByPlane] | type[RandomHoles]) -> None:
    cut = transform(0.6, 0.8, generator=torch.Generator().manual_seed(3))
    for _ in range(5):
        marked = body.clone()
        marked.of_face = body.face[0]
        part = cut(marked)
        assert torch.equal(part.pos, body.pos[part.whole]) and torch.equal(part.y, body.y[part.whole])
        assert torch.equal(part.whole[part.face[0]], part.of_face)
        assert 0.5 < float(surface_area(part) / surface_area(body)) < 0.85
        assert part.face.unique().numel() == part.pos.shape[0]
        report = validate(part)
        assert report.components == 1 and report.boundary_edges > 0
        there = part.corres >= 0
        assert torch.equal(part.pos[part.corres[there]], body.pos[body.corres[there]])
        assert int(there.sum()) == part.pos.shape[0]


def test_the_same_seed_cuts_the_same(body: Mesh) -> None:
    parts = [RandomHoles(generator=torch.Generator().manual_seed(1))(body.clone()).whole for _ in range(2)]
    assert torch.equal(*parts)
    assert not torch.equal(
        parts[0], RandomHoles(generator=torch.Generator().manual_seed(2))(body.clone()).whole
    )


def test_a_plane_separates(body: Mesh) -> None:
    part = CutByPlane(0.7, 0.7, generator=torch.Generator().manual_seed(0))(body.clone())
    gone = torch.ones(body.pos.shape[0], dtype=torch.bool)
    gone[part.whole] = False
    # No vertex that is gone lies in the hull's half-space of all that is left: some direction tells the two apart.
    away = body.pos[part.whole].mean(0) - body.pos[gone].mean(0)
    assert float(away.norm()) > 0.1


def test_what_cannot_be_cut_is_named(body: Mesh) -> None:
    with pytest.raises(ValueError, match="shares must be in"):
        CutByPlane(0.9, 0.5)
    with pytest.raises(ValueError, match="holes must be at least 1"):
        RandomHoles(holes=0)
    with pytest.raises(ValueError, match="no faces"):
        CutByPlane()(Mesh(body.pos, None))
    with pytest.raises(ValueError, match="surface area"):
        UnitArea()(Mesh(torch.zeros(3, 3), torch.tensor([[0], [1], [2]])))


def test_attributes_where_vertices_and_faces_are_as_many() -> None:
    icosahedron = trimesh.creation.icosphere(0)  # 12 vertices, of whose 20 faces 12 stay
    face = torch.tensor(icosahedron.faces[:12]).T
    mesh = Mesh(icosahedron.vertices, face, face_part=torch.arange(12), heat=torch.arange(12))
    cut = RandomHoles(0.7, 0.7, holes=1, generator=torch.Generator().manual_seed(0))(mesh)
    assert cut.face.shape[1] != cut.pos.shape[0] < 12
    assert cut.face_part.shape[0] == cut.face.shape[1] and cut.heat.shape[0] == cut.pos.shape[0]
