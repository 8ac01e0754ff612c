"""ShadedShapes: sound meshes of five families, each with its own light."""

from __future__ import annotations

import pytest
import torch

from geodl.datasets import ShadedShapes
from geodl.geometry import ambient_occlusion, surface_area, validate, vertex_normals


@pytest.mark.parametrize("family", ShadedShapes.FAMILIES)
def test_a_shape_of_every_family(family: str) -> None:
    shapes = ShadedShapes([family], "train", num_per_family=2, rays=16)
    mesh = shapes[1]
    report = validate(mesh)
    assert report.non_manifold_edges == report.degenerate_faces == report.inconsistent_edges == 0, str(report)
    assert 1000 < mesh.num_nodes < 3500 and mesh.name == f"train/{family}_0001" and mesh.y.tolist() == [0]
    assert abs(float(surface_area(mesh)) - 1) < 1e-4
    assert torch.equal(mesh.normal, vertex_normals(mesh))
    assert torch.equal(mesh.occlusion, ambient_occlusion(mesh, rays=16))
    assert float(mesh.occlusion.min()) >= 0 and float(mesh.occlusion.mean()) < 0.6  # seen from outside
    again = ShadedShapes([family], "train", num_per_family=2, rays=16)[1]
    assert torch.equal(again.pos, mesh.pos)


def test_splits_and_labels() -> None:
    shapes = ShadedShapes(["terrains", "puppets"], num_per_family=2)
    assert shapes.classes == ["terrains", "puppets"] and shapes.labels.tolist() == [0, 1] * 4
    assert shapes.names[0] == "train/terrains_0000" and shapes.names[-1] == "test/puppets_0001"


def test_errors_name_the_trouble() -> None:
    with pytest.raises(ValueError, match="there is no family 'clouds': they are creatures, furniture"):
        ShadedShapes(["clouds"])
    with pytest.raises(ValueError, match="num_vertices must be at least 1500, got 10"):
        ShadedShapes(num_vertices=10)
    with pytest.raises(ValueError, match="number of families must be at least 1, got 0"):
        ShadedShapes([])
