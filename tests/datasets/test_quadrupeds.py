"""Quadrupeds: closed animals of one piece, the same for the same seed, species apart, in exact correspondence."""

from __future__ import annotations

import pytest
import torch

from geodl.datasets import Quadrupeds
from geodl.geometry import mean_edge_length, validate


@pytest.fixture(scope="module")
def animals() -> Quadrupeds:
    return Quadrupeds(1, 2, split="test", num_vertices=1500)


def test_closed_surfaces_of_one_piece(animals: Quadrupeds) -> None:
    assert animals.num_classes == pytest.approx(1500, rel=0.1)
    shapes = [animals[k] for k in range(6)]
    for mesh in (animals.reference, *shapes):
        report = validate(mesh)
        assert report.components == 1 and report.euler_characteristic == 2, mesh.name
        assert report.boundary_edges == report.non_manifold_edges == report.inconsistent_edges == 0
        a, b, c = mesh.pos.double()[mesh.face]
        assert float((a * torch.linalg.cross(b, c)).sum()) > 0  # faces outward
    assert all(abs(float(mesh.pos[:, 1].min())) < 1e-6 for mesh in shapes)


def test_species_are_held_out_and_differ(animals: Quadrupeds) -> None:
    train = Quadrupeds(2, 3, split="train")
    assert len(train) == 7 * 6 and not set(train.species) & set(animals.species)
    assert len(Quadrupeds(2, 3)) == 60 and animals.species == ("lion", "deer", "bear")
    assert len(animals.pairs()) == 3 * 2  # of one species
    legs = [name for name in Quadrupeds.parts if "leg" in name]
    assert len(Quadrupeds.parts) == 23 and len(legs) == 4
    heights = {
        mesh.species: float(mesh.pos[:, 1].max() / (mesh.pos[:, 2].max() - mesh.pos[:, 2].min()))
        for mesh in (animals[0], animals[2], animals[4])
    }
    assert heights["deer"] > 1.3 * heights["lion"]


def test_corresponding_vertices_are_at_the_same_point(animals: Quadrupeds) -> None:
    """Registrations have the same points exactly; the vertices of own meshes lie where those would, within an edge."""
    bent = Quadrupeds(1, 2, split="test", num_vertices=1500, variant="registrations")
    for own, exact in ((animals[k], bent[k]) for k in range(6)):
        error = (own.pos[own.corres] - exact.pos).norm(dim=1) / mean_edge_length(own)
        assert float(error.median()) < 0.8 and float(error.max()) < 2.5
        assert float((own.part[own.corres] == exact.part).float().mean()) > 0.93
        torch.testing.assert_close(own.joints - own.joints[0], exact.joints - exact.joints[0])
        assert own.joints.shape == (23, 3) and len(own.part.unique()) == 23
        same = own.barycentric_weights[..., None] * exact.pos[own.barycentric_vertices]
        off = same.sum(1) - own.pos
        off = off - off.median(0).values  # each stands on its own lowest vertex
        assert float(off.norm(dim=1).median() / mean_edge_length(own)) < 0.15
    one, other = animals.common_points(0, 3)  # of two species
    assert one.shape == other.shape == (animals.num_classes,)


def test_same_seed_same_animals(animals: Quadrupeds) -> None:
    again, another = (Quadrupeds(2, 3, seed, split="test", num_vertices=1500) for seed in (0, 1))
    mesh, same = animals[1], again[again.names.index(animals.names[1])]
    assert torch.equal(mesh.pos, same.pos) and torch.equal(mesh.face, same.face)
    assert mesh.pos.shape != another[1].pos.shape or not torch.equal(mesh.pos, another[1].pos)


@pytest.mark.parametrize(
    ("arguments", "trouble"),
    [
        ({"variant": "scans"}, "variant must be one of 'registrations', 'remeshed', not 'scans'"),
        ({"split": "all"}, "split must be 'train', 'test' or None, not 'all'"),
        ({"num_animals": 0}, "num_animals must be at least 1, got 0"),
        ({"num_poses": 0}, "num_poses must be at least 1, got 0"),
        ({"num_vertices": 100}, "num_vertices must be at least 1500, got 100"),
        ({"seed": -1}, "seed must not be negative, got -1"),
    ],
)
def test_arguments(arguments: dict[str, object], trouble: str) -> None:
    with pytest.raises(ValueError, match=trouble):
        Quadrupeds(**arguments)  # type: ignore[arg-type]
