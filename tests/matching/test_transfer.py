"""What a match carries: labels, functions, texture coordinates, positions, tangent vectors; and the match on disk."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from geodl.data import Mesh, PointCloud
from geodl.datasets import Puppets
from geodl.geometry import gradient, tangent_frames
from geodl.matching import Match, SpectralShape, match
from geodl.matching.transfer import KINDS


@pytest.fixture(scope="module")
def bodies() -> tuple[Mesh, Mesh]:
    """A body in two poses, each with a mesh of its own."""
    shapes = Puppets(2, 3, split="train", num_vertices=1500, variant="remeshed")
    return shapes[0], shapes[1]


@pytest.fixture(scope="module")
def found(bodies: tuple[Mesh, Mesh]) -> Match:
    one, two = bodies
    stray = torch.cat([two.pos, torch.full((1, 3), 9.0)])
    return match(one, Mesh(stray, two.face), 80)


@pytest.fixture(scope="module")
def itself(bodies: tuple[Mesh, Mesh]) -> Match:
    """The same body renumbered, by the map that is right: all eigenfunctions keep their place."""
    one = bodies[0]
    shape = SpectralShape.of(one, 60)
    every = torch.arange(one.pos.shape[0])
    some = match(shape, shape, 60)
    return replace(some, p2p_21=every, p2p_12=every, c_12=torch.eye(60), shapes=(shape, shape))


def rest(shape: Mesh) -> Tensor:
    """Where a vertex lies on the body at rest."""
    at: Tensor = Puppets(num_vertices=1500).reference.pos[shape.y]
    return at


def test_functions_and_positions(bodies: tuple[Mesh, Mesh], found: Match) -> None:
    one, two = bodies
    count, size = two.pos.shape[0], float(rest(one).std())
    for kind in KINDS:
        carried = found.transfer(rest(one), kind)
        assert carried.shape == (count + 1, 3) and bool(carried[-1].isnan().all())
        assert float((carried[:count] - rest(two)).norm(dim=1).median()) < 0.15 * size
    assert torch.equal(found.transfer(one.pos)[:count], one.pos[found.p2p_21[:count]])
    assert found.transfer(one.pos[:, 0].double(), "functional").dtype == torch.float64
    assert torch.equal(found.transfer(one.pos.numpy())[:count], found.transfer(one.pos)[:count])


def test_precise_is_smoother_than_nearest(bodies: tuple[Mesh, Mesh], found: Match) -> None:
    one, two = bodies
    count = two.pos.shape[0]
    a, b = two.face[:2]
    torn = {
        kind: float((x[a] - x[b]).norm(dim=1).square().mean())
        for kind in ("nearest", "precise")
        for x in [found.transfer(one.pos, kind)[:count]]
    }
    assert torn["precise"] < torn["nearest"]


def test_the_right_map_carries_everything_exactly(bodies: tuple[Mesh, Mesh], itself: Match) -> None:
    one = bodies[0]
    # The same mesh in its own spectral embedding: every vertex finds itself.
    assert torch.allclose(itself.transfer(one.pos, "precise"), one.pos, atol=1e-4)
    assert torch.equal(itself.transfer(one.part, "precise"), one.part)
    low = itself.shapes[0].spectrum.evecs[:, 3:9]  # type: ignore[index]
    assert torch.allclose(itself.transfer(low, "functional"), low, atol=1e-4)
    uv = one.pos[one.face].transpose(0, 1)[..., :2].contiguous()
    assert torch.allclose(itself.transfer(uv), uv, atol=1e-3)
    tangent = torch.linalg.cross(tangent_frames(one)[:, 2], torch.randn_like(one.pos))
    pushed = itself.push_forward(tangent)
    assert float((pushed - tangent).norm(dim=1).median()) < 1e-2


def test_vectors_turn_with_the_body(bodies: tuple[Mesh, Mesh]) -> None:
    """Of a turned body, by the true map: vectors turn as it does, stretched by nothing."""
    one = bodies[0]
    turn = torch.linalg.qr(torch.randn(3, 3)).Q
    turn = turn * torch.linalg.det(turn).sign()
    a, b = (SpectralShape.of(Mesh(pos, one.face), 60) for pos in (one.pos, one.pos @ turn.mT * 7 + 1))
    every = torch.arange(one.pos.shape[0])
    same = a.spectrum.evecs.mT * a.spectrum.mass @ b.spectrum.evecs
    truth = replace(match(a, b, 60), p2p_21=every, p2p_12=every, c_12=same.mT)
    slope = gradient(one)(one.pos[:, :1])[:, 0]
    tangent = (tangent_frames(one)[:, :2] * slope[:, :, None]).sum(1)
    pushed = truth.push_forward(tangent)
    away = (pushed - tangent @ turn.mT).norm(dim=1)
    assert float(away.median()) < 0.02 and float((away < 0.1).double().mean()) > 0.95


def test_labels_are_never_mixed(bodies: tuple[Mesh, Mesh], found: Match) -> None:
    one, two = bodies
    count = two.pos.shape[0]
    for kind in ("nearest", "precise"):
        carried = found.transfer(one.part, kind)
        assert carried[-1] == -1 and set(carried[:count].tolist()) <= set(one.part.tolist())
        assert float((carried[:count] == two.part).double().mean()) > 0.75
    marked = found.transfer(one.part == 3)
    assert marked.dtype == torch.bool and not marked[-1]
    assert found.transfer(one.part.to(torch.uint8)).tolist() == found.transfer(one.part).tolist()
    with pytest.raises(ValueError, match="cannot be mixed"):
        found.transfer(one.part, "functional")


def test_no_face_spans_a_seam(bodies: tuple[Mesh, Mesh], found: Match) -> None:
    """Angle and height, cut open along the back: a texture whose two ends meet at a seam."""
    one, _ = bodies
    corners = rest(one)[one.face].transpose(0, 1)
    angle = torch.atan2(corners[..., 0], corners[..., 2] + 0.02)
    first = angle[:, :1]
    angle = first + torch.remainder(angle - first + math.pi, 2 * math.pi) - math.pi
    uv = torch.stack([angle / (2 * math.pi), corners[..., 1]], 2)

    def extent(of: Tensor) -> Tensor:
        return (of - of.roll(1, 1)).abs().amax((1, 2))

    carried = found.transfer(uv)
    face = found.shapes[1].mesh.face  # type: ignore[index]
    assert carried.shape == (face.shape[1], 3, 2)
    assert float(extent(carried).quantile(0.99)) < 1.5 * float(extent(uv).quantile(0.99))
    # Channels of vertices know no seam: there some faces do span it.
    plain = torch.zeros(one.pos.shape[0], 2).index_copy(0, one.face.mT.flatten(), uv.flatten(0, 1))
    spanning = found.transfer(plain, "precise")[face].transpose(0, 1)
    assert float(extent(spanning).quantile(0.99)) > 2 * float(extent(carried).quantile(0.99))


def test_faces_that_were_turned_keep_their_corners(bodies: tuple[Mesh, Mesh], itself: Match) -> None:
    one = bodies[0]
    uv = one.pos[one.face].transpose(0, 1)[..., :2].contiguous()
    shape = replace(itself.shapes[0], inverted=True)  # type: ignore[index]
    turned = replace(itself, shapes=(shape, shape))
    assert torch.allclose(turned.transfer(uv.flip(1)), uv.flip(1), atol=1e-3)


def test_the_other_direction(bodies: tuple[Mesh, Mesh], found: Match) -> None:
    one, two = bodies
    back = found.inverse()
    part = torch.cat([two.part, two.part[:1]])
    assert torch.equal(back.transfer(part), part[found.p2p_12])
    assert back.notes == ("1 vertices of shape 1 belong to no face: they are matched to -1",)
    assert back.transfer(part.double(), "precise").shape == (one.pos.shape[0],)
    assert torch.equal(back.inverse().p2p_21, found.p2p_21)


def test_saved_and_loaded(bodies: tuple[Mesh, Mesh], found: Match, tmp_path: Path) -> None:
    one, _ = bodies
    path = found.save(tmp_path / "new" / "found.safetensors")
    again = Match.load(path)
    assert torch.equal(again.p2p_21, found.p2p_21) and torch.equal(again.c_12, found.c_12)
    assert (again.trust, again.notes, again.seconds) == (found.trust, found.notes, found.seconds)
    for kind in KINDS:
        assert torch.equal(
            torch.nan_to_num(again.transfer(one.pos, kind)), torch.nan_to_num(found.transfer(one.pos, kind))
        )
    small = Match.load(found.save(tmp_path / "small.safetensors", shapes=False))
    assert small.shapes is None and torch.equal(small.transfer(one.part), found.transfer(one.part))
    with pytest.raises(ValueError, match="has no shapes"):
        small.transfer(one.pos, "precise")
    assert [p.name for p in tmp_path.rglob("*.tmp")] == []


def test_a_cloud_is_saved_and_carries(tmp_path: Path) -> None:
    points = torch.nn.functional.normalize(torch.randn(300, 3), dim=1) * torch.tensor([1.0, 1.4, 2.0])
    cloud = SpectralShape.of(PointCloud(points), 20)
    found = Match.load(match(cloud, cloud, 20).save(tmp_path / "cloud.safetensors"))
    assert found.transfer(points, "functional").shape == (300, 3)
    with pytest.raises(ValueError, match="point cloud"):
        found.transfer(points, "precise")


def test_damaged_and_foreign_files_are_named(found: Match, tmp_path: Path) -> None:
    path = found.save(tmp_path / "found.safetensors")
    whole = path.read_bytes()
    with pytest.raises(FileNotFoundError, match="no match"):
        Match.load(tmp_path / "nothing")
    for part in (0, 5, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:part])
        with pytest.raises(ValueError, match="cannot be read"):
            Match.load(path)
    safetensors.torch.save_file({"p2p_21": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="holds no match"):
        Match.load(path)
    safetensors.torch.save_file({"p2p_21": torch.zeros(1)}, path, {"geodl_match": "99"})
    with pytest.raises(ValueError, match="later version"):
        Match.load(path)
    safetensors.torch.save_file({"p2p_21": torch.zeros(1)}, path, {"geodl_match": "1", "told": "{}"})
    with pytest.raises(ValueError, match="cannot be read"):
        Match.load(path)


def test_values_that_do_not_fit_are_named(bodies: tuple[Mesh, Mesh], found: Match) -> None:
    one, _ = bodies
    vertices = one.pos.shape[0]
    with pytest.raises(ValueError, match=rf"\[{vertices}, C\]"):
        found.transfer(one.pos[:-1])
    with pytest.raises(ValueError, match="three rows for each face"):
        found.transfer(torch.zeros(2, 3, 2))
    with pytest.raises(ValueError, match="kind must be one of"):
        found.transfer(one.pos, "linear")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="vectors must be"):
        found.push_forward(one.pos[:, :2])
