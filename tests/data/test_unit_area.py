"""UnitArea: a mesh of area 1 about its centroid, wherever and however large it was."""

from __future__ import annotations

import pytest
import torch
import trimesh

from geodl.data import Mesh, UnitArea
from geodl.geometry import face_areas, surface_area
from geodl.testing import assert_invariant


def body(dtype: torch.dtype = torch.float64) -> Mesh:
    made = trimesh.creation.icosphere(2)
    pos = torch.tensor(made.vertices) * torch.tensor([1.0, 1.5, 0.6])
    return Mesh((3 * pos + 7).to(dtype), torch.tensor(made.faces).long().t().contiguous())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_area_and_centroid(dtype: torch.dtype) -> None:
    mesh = UnitArea()(body(dtype))
    assert mesh.pos.dtype == dtype
    assert float(surface_area(mesh)) == pytest.approx(1, rel=1e-5)
    centroid = face_areas(mesh) @ mesh.pos[mesh.face].mean(0)
    torch.testing.assert_close(centroid, torch.zeros(3, dtype=dtype), atol=1e-5, rtol=0)


def test_size_and_numbering_do_not_matter() -> None:
    assert_invariant(lambda mesh: UnitArea()(mesh).pos, body(), under="scale")
    assert_invariant(lambda mesh: UnitArea()(mesh).pos, body(), under="order")
    assert_invariant(lambda mesh: UnitArea()(mesh).pos, body(), under="rotation", vectors=True)


def test_a_mesh_without_area_is_refused() -> None:
    mesh = body()
    mesh.pos[:] = 1
    with pytest.raises(ValueError, match="surface area 0 and cannot be scaled to 1"):
        UnitArea()(mesh)
