"""Laplacians against their definitions, closed forms, libraries, and shapes that are broken."""

from __future__ import annotations

import numpy as np
import potpourri3d
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import get_laplacian, to_dense_adj

from geodl.data import collate
from geodl.geometry import gradient, grid_laplacian, laplacian, point_normals, surface_area, tangent_frames

from .shapes import Shape, bumpy, flat_random, icosphere, moebius, shape


def dense(operator):
    return operator.matrix().toarray()


@pytest.mark.parametrize("kind", ["tufted", "cotangent"])
@pytest.mark.parametrize("make", [bumpy, flat_random, moebius])
def test_properties(make, kind) -> None:
    mesh = make()
    operator = laplacian(mesh, kind)
    matrix = dense(operator)
    assert np.array_equal(matrix, matrix.T)
    size = np.abs(matrix).max()
    np.testing.assert_allclose(matrix.sum(1), 0, atol=1e-11 * size)
    assert np.linalg.eigvalsh(matrix).min() > -1e-9 * size
    assert float(operator.mass.sum()) == pytest.approx(float(surface_area(mesh)), rel=1e-6)
    assert (operator.mass > 0).all()
    if kind == "tufted":
        assert (
            matrix - np.diag(matrix.diagonal())
        ).max() < 1e-9 * size  # intrinsic Delaunay: no negative weights


def test_cotangents_agree_with_potpourri3d() -> None:
    mesh = bumpy()
    vertices, faces = mesh.pos.numpy(), mesh.face.T.numpy()
    theirs = potpourri3d.cotan_laplacian(vertices, faces).toarray()
    np.testing.assert_allclose(dense(laplacian(mesh, "cotangent")), theirs, atol=1e-6 * np.abs(theirs).max())
    np.testing.assert_allclose(
        laplacian(mesh, "cotangent").mass, potpourri3d.vertex_areas(vertices, faces), rtol=1e-9
    )


def test_linear_functions_on_a_flat_mesh_are_harmonic() -> None:
    mesh = flat_random()
    interior = (mesh.pos[:, :2] > 0.01).all(1) & (mesh.pos[:, :2] < 0.99).all(1)
    image = laplacian(mesh, "cotangent").matrix() @ mesh.pos[:, 0].numpy()
    assert np.abs(image[interior.numpy()]).max() < 1e-12


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_scale(scale) -> None:
    mesh = bumpy()
    scaled = laplacian(mesh.with_pos(mesh.pos * scale))
    np.testing.assert_allclose(dense(scaled), dense(laplacian(mesh)), atol=1e-6)
    np.testing.assert_allclose(scaled.mass / scale**2, laplacian(mesh).mass, rtol=1e-6)


def test_point_cloud_of_a_sphere() -> None:
    """Coordinates are eigenfunctions of eigenvalue 2; the mass is the area."""
    cloud = Data(pos=icosphere(4).pos)
    operator = laplacian(cloud)
    assert operator.report.kind == "points"
    assert float(operator.mass.sum()) == pytest.approx(4 * np.pi, rel=0.02)
    z = cloud.pos[:, 2].numpy()
    energy, size = z @ (operator.matrix() @ z), z @ (operator.mass.numpy() * z)
    assert energy / size == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(("kind", "theirs"), [("combinatorial", None), ("normalized", "sym")])
def test_graphs_agree_with_pyg(kind, theirs) -> None:
    one_way = torch.randint(20, (2, 60))
    one_way = one_way[:, one_way[0] != one_way[1]].unique(dim=1)
    edge_index = torch.cat([one_way, one_way.flip(0)], 1).unique(dim=1)
    index, weight = get_laplacian(edge_index, normalization=theirs, num_nodes=20, dtype=torch.float64)
    expected = to_dense_adj(index, edge_attr=weight, max_num_nodes=20)[0].numpy()
    graph = Data(edge_index=edge_index, num_nodes=20)
    np.testing.assert_allclose(dense(laplacian(graph, kind)), expected, atol=1e-12)


def test_periodic_grid_has_the_frequencies_of_fourier() -> None:
    matrix = dense(grid_laplacian([6, 5], periodic=True))
    wave = [2 - 2 * np.cos(2 * np.pi * np.arange(n) / n) for n in (6, 5)]
    expected = np.sort((wave[0][:, None] + wave[1][None, :]).ravel())
    np.testing.assert_allclose(np.linalg.eigvalsh(matrix), expected, atol=1e-12)
    image = np.random.default_rng(0).standard_normal((6, 5))
    convolved = 4 * image - sum(np.roll(image, step, axis) for axis in (0, 1) for step in (-1, 1))
    np.testing.assert_allclose((matrix @ image.ravel()).reshape(6, 5), convolved, atol=1e-12)


def test_open_grid_is_a_path_along_every_axis() -> None:
    path = dense(grid_laplacian([4]))
    assert path.diagonal().tolist() == [1, 2, 2, 1]
    np.testing.assert_allclose(dense(grid_laplacian([4, 1])), path)


# --- shapes as they are found -------------------------------------------------


def with_faces(mesh: Shape, extra: list[list[int]], points: int = 0) -> Shape:
    pos = torch.cat([mesh.pos, torch.full((points, 3), 7.0, dtype=torch.float64)])
    return Shape(pos, torch.cat([mesh.face, torch.tensor(extra, dtype=torch.int64).T], 1))


@pytest.mark.parametrize("kind", ["tufted", "cotangent"])
def test_what_a_mesh_has_too_much_is_reported(kind) -> None:
    whole = icosphere(2)
    broken = with_faces(whole, [[0, 0, 1], [3, 4, 4]], points=2)
    operator = laplacian(broken, kind)
    report = operator.report
    assert (report.skipped_faces, report.without_mass) == (2, 2)
    assert "2 points have no mass" in str(report)
    np.testing.assert_allclose(dense(operator)[:-2, :-2], dense(laplacian(whole, kind)), atol=1e-9)
    assert (operator.mass[-2:] == 0).all() and not dense(operator)[-2:].any()


def test_flat_faces_and_edges_of_three_faces() -> None:
    whole = icosphere(2)
    a, b = (int(v) for v in whole.face[:2, 0])
    pos = torch.cat([whole.pos, (whole.pos[a] + whole.pos[b])[None] / 2, 2 * whole.pos[a][None]])
    broken = Shape(pos, torch.cat([whole.face, torch.tensor([[a, b, 162], [a, b, 163]]).T], 1))
    for kind in ("tufted", "cotangent"):
        operator = laplacian(broken, kind)
        assert operator.report.flat_faces == 1
        assert torch.isfinite(operator.values).all()


def test_points_at_one_place_count_once() -> None:
    pos = icosphere(2).pos
    twice = laplacian(Data(pos=torch.cat([pos, pos[:5]])))
    assert twice.report.duplicate_points == 5 and (twice.mass[-5:] == 0).all()
    np.testing.assert_allclose(float(twice.mass.sum()), float(laplacian(Data(pos=pos)).mass.sum()), rtol=1e-9)


def test_errors_say_what_is_wrong() -> None:
    mesh = icosphere(1)
    with pytest.raises(ValueError, match="kind must be one of"):
        laplacian(mesh, "robust")
    with pytest.raises(ValueError, match="a combinatorial Laplacian needs edge_index"):
        laplacian(mesh, "combinatorial")
    flat = shape(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), np.array([[0, 1, 2]]))
    with pytest.raises(ValueError, match="none of the 1 faces has an area"):
        laplacian(flat)
    with pytest.raises(ValueError, match="at least 4 points at different places, it has 1"):
        laplacian(Data(pos=torch.zeros(9, 3)))
    with pytest.raises(ValueError, match="point 1 is not finite"):
        laplacian(Data(pos=torch.tensor([[0.0, 0, 0], [1, torch.nan, 0]])))
    with pytest.raises(IndexError, match=r"edge_index holds 0\.\.9, but there are 3 nodes"):
        laplacian(Data(edge_index=torch.tensor([[0, 9], [1, 1]]), num_nodes=3))
    with pytest.raises(ValueError, match="at least one point along each axis"):
        grid_laplacian([3, 0])


@pytest.mark.parametrize("normals", [False, True])
def test_a_packed_batch_of_clouds_has_the_blocks_of_each_alone(normals: bool) -> None:
    clouds = []
    for seed, size in enumerate((60, 7, 90)):  # in one place, so that neighbours lie in other clouds too
        torch.manual_seed(seed)
        pos = torch.nn.functional.normalize(torch.randn(size, 3, dtype=torch.float64), dim=1)
        clouds.append(Data(pos=pos, normal=pos) if normals else Data(pos=pos))
    batch = collate(clouds)
    for operator in (laplacian, gradient):
        whole, alone = operator(batch), type(operator(clouds[0])).cat([operator(cloud) for cloud in clouds])
        assert torch.equal(whole.neighbors.rowptr, alone.neighbors.rowptr)
        assert torch.equal(whole.neighbors.col, alone.neighbors.col)
        assert torch.equal(whole.values, alone.values)
    for field in (tangent_frames, point_normals):
        assert torch.equal(field(batch), torch.cat([field(cloud) for cloud in clouds]))
    with pytest.raises(ValueError, match="ptr must ascend from 0 to the 60 points, not from 0 to 3"):
        laplacian(Data(pos=clouds[0].pos, ptr=torch.tensor([0, 1, 3])))
