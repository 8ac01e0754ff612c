"""Vertex-to-point maps: against a search of all triangles, against trimesh in space, and as matrices."""

import pytest
import torch
import trimesh

from geodl.matching import BarycentricMap, precise_map
from geodl.matching.barycentric_map import closest_on_triangles


def test_nearest_points_of_a_surface_in_space_are_trimeshs() -> None:
    ball = trimesh.creation.icosphere(2)
    pos, face = torch.tensor(ball.vertices), torch.tensor(ball.faces).mT
    query = torch.randn(300, 3, dtype=torch.float64)
    # With positions as the embedding and the identity as the map, the answer is the closest point in space.
    found = precise_map(torch.eye(3, dtype=torch.float64), pos, query, face)
    for j, (point, row) in enumerate(zip(found.apply(pos), query, strict=True)):
        tried = trimesh.triangles.closest_point(ball.triangles, row.expand(len(ball.faces), 3).numpy())
        least = torch.linalg.vector_norm(torch.from_numpy(tried) - row, dim=1).min()
        assert abs(float((point - row).norm() - least)) < 1e-9, j


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_triangle_of_an_embedding_is_nearer(dtype: torch.dtype) -> None:
    """Brute force in float64, in 40 dimensions, where triangles are of every size and some have no area."""
    ball = trimesh.creation.icosphere(2)
    face = torch.tensor(ball.faces).mT
    evecs = torch.randn(len(ball.vertices), 40, dtype=dtype) * torch.logspace(0, -3, 40, dtype=dtype)
    evecs[face[1, 5]] = evecs[face[0, 5]]
    c_12 = torch.linalg.qr(torch.randn(40, 40, dtype=dtype)).Q
    evecs_2 = torch.randn(200, 40, dtype=dtype)
    found = precise_map(c_12, evecs, evecs_2, face)
    query = (evecs_2 @ c_12).double()
    mine = (found.apply(evecs.double()) - query).norm(dim=1)
    for row, j in zip(query, range(200), strict=True):
        least = closest_on_triangles(evecs.double()[face], row.expand(face.shape[1], -1))[0].min().sqrt()
        assert float(mine[j]) <= float(least) * (1 + 1e-6)
    assert torch.allclose(found.weights.sum(1), torch.ones(200, dtype=dtype)) and bool(
        (found.weights >= 0).all()
    )


def test_closest_on_triangles_is_a_minimum() -> None:
    corners, query = torch.randn(3, 200, 5).double(), torch.randn(200, 5).double()
    corners[1, :20] = corners[0, :20]  # no area
    corners[:, 20:30] = corners[:1, 20:30]  # a point
    least, weights = closest_on_triangles(corners, query)
    at = (weights.mT[:, :, None] * corners).sum(0)
    assert torch.allclose((at - query).square().sum(1), least, atol=1e-9)
    tried = torch.distributions.Dirichlet(torch.ones(3).double()).sample((500,))
    others = torch.einsum("tk,kpd->tpd", tried, corners)
    assert bool(((others - query).square().sum(2) >= least - 1e-9).all())


def test_matrix_vote_and_vertex() -> None:
    made = BarycentricMap(
        torch.tensor([[0, 1, 2], [2, 1, 3], [-1, -1, -1]]),
        torch.tensor([[0.2, 0.3, 0.5], [0.4, 0.35, 0.25], [0.0, 0.0, 0.0]]),
        torch.tensor([0, 1, -1]),
        4,
    )
    values = torch.randn(4, 2, requires_grad=True)
    out = made.apply(values)
    assert torch.allclose((made.to_matrix() @ values)[:2], out[:2]) and bool(out[2].isnan().all())
    out[:2].sum().backward()
    assert torch.allclose(values.grad[:, 0], torch.tensor([0.2, 0.65, 0.9, 0.25]))  # type: ignore[index]
    # Corners 0 and 1 agree and outweigh the nearest corner.
    assert made.vote(torch.tensor([7, 7, 8, 8])).tolist() == [7, 8, -1]
    assert made.vote(torch.tensor([7, 7, 8, 8], dtype=torch.uint8)).tolist() == [7, 8, -1]
    assert made.to_p2p().tolist() == [2, 2, -1]
    assert made.matched.tolist() == [True, True, False]
    with pytest.raises(ValueError, match="shape 1 has 4 vertices"):
        made.apply(torch.zeros(3))
    with pytest.raises(ValueError, match="floating point"):
        made.apply(torch.zeros(4, dtype=torch.int64))


def test_bad_input_is_named() -> None:
    face, eye, points = torch.tensor([[0], [1], [2]]), torch.eye(3), torch.randn(4, 3)
    with pytest.raises(ValueError, match="needs that many eigenvectors"):
        precise_map(torch.eye(4), points, points, face)
    with pytest.raises(IndexError, match="shape 1 has 4 vertices"):
        precise_map(eye, points, points, face + 2)
    with pytest.raises(ValueError, match="at least one face"):
        precise_map(eye, points, points, face[:, :0])
    with pytest.raises(ValueError, match="not finite"):
        precise_map(eye, points * torch.nan, points, face)
    assert precise_map(eye, points, points[:0], face).corners.shape == (0, 3)
