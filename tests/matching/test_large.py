"""Matching large meshes by a coarse copy: as good as at all vertices, and all that a match is used for works."""

from pathlib import Path

import pytest
import torch

from geodl.data import Mesh
from geodl.datasets import Puppets
from geodl.geometry import surface_area
from geodl.matching import Match, MatchedPair, SpectralShape, evaluate, match, spectral_shape, transfer
from geodl.matching.barycentric_map import nearest_on_faces, nearest_on_ring


@pytest.fixture(scope="module")
def bodies() -> tuple[Mesh, Mesh]:
    shapes = Puppets(2, 3, split="train", num_vertices=4000)
    return shapes[0], shapes[1]


@pytest.fixture(scope="module")
def found(bodies: tuple[Mesh, Mesh]) -> Match:
    """By 1200 vertices of 4000, with landmarks; of the pieces that carry values, those for large meshes."""
    one, two = bodies
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectral_shape, "_LARGE", 3000)
        patch.setattr(spectral_shape, "_COARSE", 1200)
        return match(one, Mesh(3 * two.pos, two.face), 60, landmarks=[(5, 5), (2000, 2000)])


def test_as_good_as_at_all_vertices(bodies: tuple[Mesh, Mesh], found: Match) -> None:
    one, two = bodies
    every = torch.arange(one.pos.shape[0])
    assert evaluate([MatchedPair(one, found.p2p_21, every)]).mean_error < 2
    assert evaluate([MatchedPair(two, found.p2p_12, every)]).mean_error < 2
    assert found.trust.verdict == "good"
    assert found.trust.error is not None and bool(torch.isfinite(found.trust.error).all())


def test_notes_say_so_and_name_another_scale(bodies: tuple[Mesh, Mesh], found: Match) -> None:
    vertices = bodies[0].pos.shape[0]
    assert sum(f"has {vertices} vertices: it was matched at" in note for note in found.notes) == 2
    assert sum("differ in scale" in note for note in found.notes) == 1


def test_interpolated_eigenfunctions_are_orthonormal(found: Match) -> None:
    assert found.shapes is not None
    for shape in found.shapes:
        made = shape.spectrum
        inner = made.evecs.mT @ (made.mass[:, None] * made.evecs)
        torch.testing.assert_close(inner, torch.eye(60), atol=1e-4, rtol=0)


def test_eigenfunctions_are_near_those_of_the_mesh(bodies: tuple[Mesh, Mesh], found: Match) -> None:
    assert found.shapes is not None
    exact, own = SpectralShape.of(bodies[0], 60).spectrum, found.shapes[0].spectrum
    inner = exact.evecs.mT @ (exact.mass[:, None] * own.evecs[:, :20])
    # How much of the first 20 lies in the span of the exact 60.
    assert float(inner.square().sum(0).min()) > 0.97
    torch.testing.assert_close(own.evals[1:20], exact.evals[1:20], rtol=0.15, atol=0)


@pytest.mark.parametrize("kind", ["nearest", "precise", "functional"])
def test_positions_are_carried(
    bodies: tuple[Mesh, Mesh], found: Match, kind: transfer.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_PAIRS", 0)
    one = bodies[0]
    off = (found.transfer(one.pos, kind) - one.pos).norm(dim=1).mean() / float(surface_area(one)) ** 0.5
    assert float(off) < 0.04


def test_texture_coordinates_are_carried(
    bodies: tuple[Mesh, Mesh], found: Match, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_PAIRS", 0)
    one, two = bodies
    carried = found.transfer(one.pos[one.face.mT][:, :, :2])
    true = one.pos[two.face.mT][:, :, :2]
    assert float((carried - true).norm(dim=2).mean()) / float(surface_area(one)) ** 0.5 < 0.04


def test_saved_and_loaded(found: Match, tmp_path: Path) -> None:
    again = Match.load(found.save(tmp_path / "large.safetensors"))
    values = torch.rand(found.p2p_12.shape[0])
    torch.testing.assert_close(again.transfer(values, "functional"), found.transfer(values, "functional"))
    assert again.shapes is not None and found.shapes is not None
    assert again.shapes[1].area == found.shapes[1].area


def test_a_map_given_and_regions(bodies: tuple[Mesh, Mesh], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectral_shape, "_LARGE", 3000)
    monkeypatch.setattr(spectral_shape, "_COARSE", 1200)
    one, two = bodies
    every = torch.arange(one.pos.shape[0])
    loose = Mesh(torch.cat([two.pos, torch.zeros(1, 3, dtype=two.pos.dtype)]), two.face)
    label = (one.pos[:, 1] > one.pos[:, 1].median()).long()
    shapes = SpectralShape.of(one, 60), SpectralShape.of(loose, 60)
    given = match(*shapes, 60, initial=torch.cat([every, torch.tensor([-1])]))
    assert int(given.p2p_21[-1]) == -1
    assert float((given.p2p_21[:-1] == every).double().mean()) > 0.9
    regions = match(*shapes, 60, regions=(label, torch.cat([label, label[:1]])))
    assert bool((label[regions.p2p_21[:-1]] == label).all())


def test_the_faces_about_the_right_vertex_hold_the_nearest_point() -> None:
    random = torch.Generator().manual_seed(0)
    grid = torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0))
    corner = torch.arange(49) + torch.arange(49) // 7
    face = torch.stack(
        [
            torch.cat([corner, corner + 1]),
            torch.cat([corner + 8, corner + 8]),
            torch.cat([corner + 1, corner + 9]),
        ]
    )
    query = 7 * torch.rand(100, 2, generator=random)
    start = torch.cdist(query, grid).argmin(1)
    _, true = nearest_on_faces(grid, face, query)
    home, weights = nearest_on_ring(grid, face, query, start)
    torch.testing.assert_close(
        (grid[face[:, home]] * weights.mT[:, :, None]).sum(0), query, atol=1e-5, rtol=0
    )
    assert true.shape == weights.shape
