"""Parts matched to a whole and to another part, without training; distances over meshes."""

from pathlib import Path

import pytest
import torch
import trimesh
from torch import Tensor

from geodl.data import CutByPlane, Mesh, PointCloud, RandomHoles
from geodl.datasets import Puppets
from geodl.geometry import geodesic_distance
from geodl.matching import MatchedPair, PartialMatch, PartialShape, evaluate, partial_match
from geodl.matching.geodesic_graph import border_vertices, distance_to, distances_from, geodesic_graph
from geodl.matching.partial_registration import OpenGraph, register_part
from geodl.matching.partial_search import _far_apart, first_maps


@pytest.fixture(scope="module")
def bodies() -> tuple[Mesh, Mesh]:
    """A person in two poses; vertices correspond by number."""
    shapes = Puppets(2, 3, split="train", num_vertices=1500)
    return shapes[0], shapes[1]


def error(target: Mesh, found: Tensor, true: Tensor) -> float:
    return evaluate([MatchedPair(target, found, true)], "dijkstra").mean_error


def overlap(found: Tensor, true: Tensor) -> float:
    return float((found & true).sum() / (found | true).sum())


def inside(vertices: int, whole: Tensor) -> Tensor:
    return torch.zeros(vertices, dtype=torch.bool).index_fill(0, whole, True)


@pytest.mark.parametrize("cut", ["plane", "holes"])
def test_part_to_whole(bodies: tuple[Mesh, Mesh], cut: str) -> None:
    one, two = bodies
    random = torch.Generator().manual_seed(5)
    transform = CutByPlane(0.6, 0.8, random) if cut == "plane" else RandomHoles(0.85, 0.9, 4, random)
    part = transform(two.clone())
    turn = torch.linalg.qr(torch.randn(3, 3)).Q
    turn = turn * torch.linalg.det(turn).sign()
    found = partial_match(one, Mesh(part.pos @ turn.mT + 3, part.face))
    assert isinstance(found, PartialMatch) and bool(found.overlap_2.all())
    assert error(one, found.p2p_21, part.whole) < 4
    assert overlap(found.overlap_1, inside(one.pos.shape[0], part.whole)) > 0.8
    assert found.orientation > 0.7 and found.distortion < 0.1
    there = found.overlap_1
    assert bool((found.p2p_12[~there] == -1).all()) and bool((found.p2p_12[there] >= 0).all())


def test_beginnings_lie_on_the_component_with_most_points() -> None:
    """A vertex of no face, or a crumb, comes first: five landmarks at one place found nothing."""
    far = torch.cdist(torch.arange(10.0)[:, None], torch.arange(10.0)[:, None]) / 5
    far[0, 1:] = far[1:, 0] = 9.0
    landmarks = _far_apart(far)
    assert len(set(landmarks)) == 5 and 0 not in landmarks


def test_a_vertex_of_no_face_changes_nothing() -> None:
    made = trimesh.creation.icosphere(3)
    pos = torch.tensor(made.vertices).float()
    pos = pos * (1 + 0.3 * torch.sin(3 * pos[:, :1] + 1) * torch.cos(2 * pos[:, 1:2]) + 0.2 * pos[:, 2:])
    ball = Mesh(pos, torch.tensor(made.faces).mT)
    part = CutByPlane(0.75, 0.75, torch.Generator().manual_seed(0))(ball.clone())
    stray = Mesh(torch.cat([torch.zeros(1, 3), part.pos]), part.face + 1)
    found = partial_match(ball, stray, k=30)
    assert not bool(found.overlap_2[0]) and int(found.p2p_12[found.overlap_1].min()) > 0
    assert float((pos[found.p2p_21[1:]] - part.pos).norm(dim=1).mean()) < 0.15


@pytest.mark.parametrize(("size", "most", "least"), [(0.9, 4, 0.9), (1.0, 0.8, 0.97)])
def test_a_part_of_the_very_same_shape_lies_on_it(
    bodies: tuple[Mesh, Mesh], size: float, most: float, least: float
) -> None:
    """Cut out, renumbered, turned, moved and made smaller: every vertex is found again, and nothing else is in the overlap."""
    one, _ = bodies
    random = torch.Generator().manual_seed(3)
    part = CutByPlane(0.7, 0.7, random)(one.clone())
    order = torch.randperm(len(part.pos), generator=random)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=random)).Q
    turn = turn * torch.linalg.det(turn).sign()
    found = partial_match(one, Mesh(size * part.pos[order] @ turn.mT + 1, order.argsort()[part.face]), k=40)
    assert error(one, found.p2p_21, part.whole[order]) < most
    assert overlap(found.overlap_1, inside(one.pos.shape[0], part.whole)) > least
    assert found.distortion < 0.08 and found.scale * size == pytest.approx(1, rel=0.03)


def test_only_what_lies_beside_one_another_pulls(bodies: tuple[Mesh, Mesh]) -> None:
    """Two parts of one body, each matched where it is: neither is bent, and what hangs over stays where it was."""
    one, _ = bodies
    height = one.pos[:, 1] / one.pos[:, 1].max()
    kept = [height < 0.75, height > 0.35]
    shapes, rows = [], []
    for mask in kept:
        face = one.face[:, mask[one.face].all(0)]
        used = face.unique()
        place = torch.full((len(one.pos),), -1).index_copy(0, used, torch.arange(len(used)))
        shapes.append(PartialShape.of(Mesh(one.pos[used], place[face]), 1.6, 20))
        rows.append(used)
    first, second = (OpenGraph.of(shape, 200) for shape in shapes)
    both = [k for k in rows[1].tolist() if k in set(rows[0].tolist())]
    at_1, at_2 = (torch.tensor([mine.tolist().index(k) for k in both]).numpy() for mine in rows)
    made = register_part(first, second, at_1, at_2, contained=False)
    assert made.bending < 1e-3 and made.scale == pytest.approx(1, abs=0.01) and 0.4 < made.touched < 0.8
    own, base = second.graph, one.pos[rows[1]].double().numpy() / 1.6
    shift = first.graph.pos[at_1[0]] - base[at_2[0]]
    assert float(abs(made.moved - base[own.nodes] - shift).max()) < 0.02


def test_first_maps_know_the_size(bodies: tuple[Mesh, Mesh]) -> None:
    one, _ = bodies
    part = CutByPlane(0.8, 0.8, torch.Generator().manual_seed(1))(one.clone())
    whole, small = PartialShape.of(one, 1.6, 40), PartialShape.of(Mesh(0.9 * part.pos, part.face), 1.6, 40)
    best = min(first_maps(whole, small, True), key=lambda made: error(one, made.p2p_21, part.whole))
    assert error(one, best.p2p_21, part.whole) < 8 and 1.03 < best.scale < 1.15


@pytest.mark.slow
def test_part_to_part(bodies: tuple[Mesh, Mesh]) -> None:
    one, two = bodies
    a, b = (
        CutByPlane(0.75, 0.8, torch.Generator().manual_seed(s))(m.clone()) for s, m in ((1, one), (2, two))
    )
    found = partial_match(a, b)
    place = torch.full((one.pos.shape[0],), -1).index_copy(0, a.whole, torch.arange(a.whole.numel()))
    true = place[b.whole]
    both = found.overlap_2 & (true >= 0)
    assert error(a, found.p2p_21[both], true[both]) < 8
    assert overlap(found.overlap_2, true >= 0) > 0.7
    assert overlap(found.overlap_1, inside(one.pos.shape[0], b.whole)[a.whole]) > 0.7


def test_a_whole_is_its_own_part(bodies: tuple[Mesh, Mesh]) -> None:
    one, _ = bodies
    found = partial_match(one, one, k=40)
    assert error(one, found.p2p_21, torch.arange(one.pos.shape[0])) < 2
    assert float(found.overlap_1.double().mean()) > 0.98


def test_what_cannot_be_matched_is_named(bodies: tuple[Mesh, Mesh]) -> None:
    one, _ = bodies
    with pytest.raises(ValueError, match="shape 2 is a point cloud"):
        partial_match(one, PointCloud(one.pos))
    with pytest.raises(ValueError, match="this is a point cloud"):
        PartialShape.of(PointCloud(one.pos), 1.0)
    with pytest.raises(ValueError, match="one unit of length"):
        partial_match(one, Mesh(one.pos[:, :] * 1e-4, one.face), contained=True)


def test_a_partial_shape_of_a_file(tmp_path: Path) -> None:
    made = trimesh.creation.icosphere(2)
    made.export(tmp_path / "ball.ply")
    shape = PartialShape.of(tmp_path / "ball.ply", 1.0, 8)
    assert shape.signal().shape == (162, 16) and shape.area == pytest.approx(float(made.area), rel=1e-4)


def test_distances_over_a_mesh_are_near_the_exact_ones() -> None:
    made = trimesh.creation.icosphere(3)
    ball = Mesh(torch.tensor(made.vertices), torch.tensor(made.faces).mT)
    graph = geodesic_graph(ball)
    sources = torch.arange(0, 640, 64)
    far = distances_from(graph, sources)
    targets = torch.arange(ball.pos.shape[0])
    exact = geodesic_distance(
        ball, sources.repeat_interleave(targets.numel()), targets.repeat(sources.numel())
    )
    exact = exact.view(far.shape).float()
    assert bool((far >= exact - 1e-5).all())
    assert float((far - exact).mean() / exact.mean()) < 0.04
    assert torch.allclose(distance_to(graph, sources), far.amin(0))
    assert border_vertices(ball).numel() == 0 and bool(distance_to(graph, sources[:0]).isinf().all())
    half = Mesh(ball.pos, ball.face[:, (ball.pos[ball.face][..., 2] > -1e-9).all(0)])
    assert bool((half.pos[border_vertices(half), 2].abs() < 0.15).all())
