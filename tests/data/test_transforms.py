"""VertexSignal: what it holds, and what it does not depend on. SpectralOperators: packed, each shape keeps its own."""

from pathlib import Path

import pytest
import torch
import trimesh
from torch_geometric.data import Data

from geodl.data import (
    DataLoader,
    GeodesicOperators,
    InvariantSignal,
    Mesh,
    OperatorCache,
    PointCloud,
    RandomRotate,
    SpectralOperators,
    UnitArea,
    VertexSignal,
    collate,
    precompute,
)
from geodl.geometry import (
    gradient,
    heat_kernel_signature,
    laplacian_coordinates,
    mean_edge_length,
    spectrum,
    surface_area,
    vertex_areas,
)
from geodl.models import GCNN, DiffusionNet


@pytest.fixture
def body() -> Mesh:
    made = trimesh.creation.icosphere(2)
    pos = torch.tensor(made.vertices) * torch.tensor([1.0, 1.5, 0.6])
    return Mesh(pos, torch.tensor(made.faces).long().t().contiguous())


def test_sphere_in_closed_form() -> None:
    made = trimesh.creation.icosphere(4)
    pos = torch.tensor(made.vertices)
    x = VertexSignal()(Mesh(3 * pos + 7, torch.tensor(made.faces).long().t().contiguous())).x
    assert x.shape == (pos.shape[0], VertexSignal().channels)
    torch.testing.assert_close(x[:, :3], pos / (4 * torch.pi) ** 0.5, atol=2e-3, rtol=0)
    torch.testing.assert_close(x[:, 3:6], pos, atol=8e-3, rtol=0)
    assert float((x[:, 6:] * pos).sum(1).max()) < 0  # neighbours on a sphere lie below the tangent plane


def test_differential_coordinates_are_in_edge_lengths(body: Mesh) -> None:
    x = VertexSignal()(body.clone()).x
    torch.testing.assert_close(x[:, 6:], laplacian_coordinates(body) / mean_edge_length(body))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_unit_and_place_do_not_matter(body: Mesh, scale: float) -> None:
    moved = Mesh(scale * (body.pos + torch.tensor([3.0, -2.0, 5.0])), body.face)
    torch.testing.assert_close(VertexSignal()(moved).x, VertexSignal()(body.clone()).x, atol=1e-7, rtol=1e-7)


def test_a_turned_shape_has_a_turned_signal(body: Mesh) -> None:
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    turn = turn * torch.linalg.det(turn)
    turned = VertexSignal()(Mesh(body.pos @ turn.T, body.face)).x
    for part in (slice(0, 3), slice(3, 6), slice(6, 9)):
        torch.testing.assert_close(turned[:, part], VertexSignal()(body.clone()).x[:, part] @ turn.T)


def test_how_a_shape_is_meshed(body: Mesh) -> None:
    """On an icosphere twelve vertices have five faces and all others six."""
    signal = VertexSignal(meshing=True)
    x = signal(body.clone()).x
    assert x.shape[1] == signal.channels
    torch.testing.assert_close(x[:, :9], VertexSignal()(body.clone()).x)
    assert x[:, 10].sort().values.tolist() == [-1.0] * 12 + [0.0] * (body.num_nodes - 12)
    relative = x[:, 9].exp()
    torch.testing.assert_close(relative.mean(), torch.tensor(1.0, dtype=torch.float64))
    torch.testing.assert_close(relative * float(surface_area(body)) / body.num_nodes, vertex_areas(body))


def ball(subdivisions: int) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions)
    pos = torch.tensor(made.vertices).float() * torch.tensor([1.0, 1.5, 0.6])
    return Mesh(pos, torch.tensor(made.faces).long().t().contiguous(), name=f"ball{subdivisions}")


@pytest.mark.parametrize("workers", [0, 1])
def test_operators_of_a_ragged_batch_are_those_of_its_shapes(tmp_path: Path, workers: int) -> None:
    carry = SpectralOperators(OperatorCache(tmp_path), k=7)
    shapes = [carry(ball(subdivisions)) for subdivisions in (1, 2, 1)]
    (batch,) = DataLoader(shapes, batch_size=3, num_workers=workers)
    assert batch.spectrum.ptr.tolist() == batch.ptr.tolist()
    assert batch.spectrum.evecs.dtype == batch.gradient.values.dtype == torch.float32
    slopes = batch.gradient(batch.pos)
    for number, subdivisions in enumerate((1, 2, 1)):
        alone = ball(subdivisions)
        rows = batch.batch == number
        expected = spectrum(alone, 7).to(torch.float32)
        assert torch.equal(batch.spectrum.evals[number], expected.evals)
        assert torch.equal(batch.spectrum.evecs[rows], expected.evecs)
        assert torch.equal(batch.spectrum.mass[rows], expected.mass)
        torch.testing.assert_close(slopes[rows], gradient(alone)(alone.pos), rtol=0, atol=0)


def test_an_invariant_signal_asks_for_operators() -> None:
    with pytest.raises(ValueError, match=r"the mesh has no spectrum: SpectralOperators\(cache\) sets it"):
        InvariantSignal()(ball(1))


def test_operators_move_with_their_shape(tmp_path: Path) -> None:
    mesh = SpectralOperators(OperatorCache(tmp_path), k=7)(ball(1))
    (batch,) = DataLoader([mesh], batch_size=1)
    for moved in (mesh.clone().to("meta"), batch.to("meta")):
        assert moved.spectrum.device.type == moved.gradient.device.type == "meta"


def scan(points: int, normals: bool) -> Data:
    """Points on an ellipsoid, with normals or without."""
    axes = torch.tensor([1.0, 1.5, 0.6])
    direction = torch.nn.functional.normalize(torch.randn(points, 3), dim=1)
    shape = Data(pos=direction * axes, name=f"scan{points}", y=torch.tensor([1]))
    if normals:
        shape.normal = torch.nn.functional.normalize(direction / axes, dim=1)
    return shape


@pytest.mark.parametrize("normals", [False, True])
def test_clouds_have_spectral_operators_too(tmp_path: Path, normals: bool) -> None:
    cache = OperatorCache(tmp_path)
    carry = SpectralOperators(cache, k=9)
    shapes = [scan(points, normals) for points in (300, 180)]
    batch = collate([carry(shape.clone()) for shape in shapes])
    assert batch.spectrum.ptr.tolist() == batch.ptr.tolist() == [0, 300, 480]
    for k, shape in enumerate(shapes):
        rows = slice(int(batch.ptr[k]), int(batch.ptr[k + 1]))
        torch.testing.assert_close(batch.spectrum.evals[k], spectrum(shape, 9).evals.float())
        f = torch.randn(480, 4)
        torch.testing.assert_close(batch.gradient(f)[rows], gradient(shape)(f[rows]))
    computed = cache.computed
    carry(shapes[0].clone())
    assert cache.computed == computed
    # Frames stand on the normals, so other normals are another gradient.
    shapes[0].normal = -shapes[0].normal if normals else torch.nn.functional.normalize(shapes[0].pos, dim=1)
    carry(shapes[0])
    assert cache.computed == computed + 1


def test_diffusionnet_classifies_ragged_clouds(tmp_path: Path) -> None:
    """A network over the robust Laplacian of clouds: a batch gives what each gives alone, turned or not."""
    carry = SpectralOperators(OperatorCache(tmp_path), k=12)
    shapes = [carry(scan(points, normals=True)) for points in (200, 150, 260)]
    net = DiffusionNet(3, 5, width=8, blocks=2, outputs="global").eval()
    batch = collate(shapes)
    together = net(batch.pos, batch.spectrum, batch.gradient)
    alone = torch.cat([net(shape.pos, shape.spectrum, shape.gradient) for shape in shapes])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    # On an intrinsic signal it does not matter how the cloud lies in space.
    shape = scan(200, normals=True)
    net = DiffusionNet(4, 5, width=8, blocks=2, outputs="global").eval()
    scores = []
    for pose in (shape, RandomRotate("any")(shape)):
        cloud = carry(pose)
        scores.append(net(heat_kernel_signature(cloud.spectrum, 4), cloud.spectrum, cloud.gradient))
    torch.testing.assert_close(scores[0], scores[1], atol=1e-3, rtol=1e-3)


def test_geodesic_operators_of_a_ragged_batch(tmp_path: Path) -> None:
    carry = GeodesicOperators(OperatorCache(tmp_path), rings=2, rays=6, size=20)
    shapes = [carry(ball(subdivisions)) for subdivisions in (1, 2, 1)]
    batch = collate(shapes)
    assert batch.windows.neighbors.num_src == batch.num_nodes == len(batch.area)
    torch.testing.assert_close(batch.area[: shapes[0].num_nodes], vertex_areas(ball(1)))
    x = torch.randn(batch.num_nodes, 3)
    net = GCNN(3, 4, 2, 6, widths=(8,), hidden=8, outputs="global").eval()
    together = net(x, batch.windows, area=batch.area, ptr=batch.ptr)
    alone = [
        net(part, shape.windows, area=shape.area)
        for part, shape in zip(x.split(batch.ptr.diff().tolist()), shapes, strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(alone))


def points_of_a_sphere(count: int) -> torch.Tensor:
    """Spread evenly by the golden angle."""
    k = torch.arange(count, dtype=torch.float64)
    z, angle = 1 - (2 * k + 1) / count, k * torch.pi * (3 - 5**0.5)
    return torch.stack([(1 - z**2).sqrt() * angle.cos(), (1 - z**2).sqrt() * angle.sin(), z], 1)


@pytest.mark.parametrize("normals", [False, True])
def test_signal_of_a_cloud(normals: bool) -> None:
    pos = points_of_a_sphere(800)
    cloud = PointCloud(3 * pos + 7, **({"normal": 2 * pos} if normals else {}))
    x = VertexSignal()(cloud).x
    assert x.shape == (800, 9)
    torch.testing.assert_close(x[:, :3], pos / (4 * torch.pi) ** 0.5, atol=5e-3, rtol=0)
    torch.testing.assert_close(x[:, 3:6], pos, atol=1e-9 if normals else 0.05, rtol=0)
    assert float((x[:, 6:] * pos).sum(1).max()) < 0
    with pytest.raises(ValueError, match="a point cloud has no faces"):
        VertexSignal(meshing=True)(cloud)


def test_a_cloud_of_unit_area() -> None:
    made = UnitArea()(PointCloud(3 * points_of_a_sphere(500) + 7))
    assert float(surface_area(made)) == pytest.approx(1, rel=1e-6)
    torch.testing.assert_close(vertex_areas(made) @ made.pos, torch.zeros(3).double(), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="needs at least 4 points"):
        UnitArea()(PointCloud(torch.ones(5, 3)))


def test_transforms_and_cache_take_every_shape(tmp_path: Path, body: Mesh) -> None:
    """One entry serves every form of a shape."""
    cache = OperatorCache(tmp_path / "cache")
    body.save(tmp_path / "body.ply")
    made = trimesh.Trimesh(body.pos.numpy(), body.face.t().numpy(), process=False)
    carry = SpectralOperators(cache, k=7)
    right = carry(body.clone()).spectrum
    computed = cache.computed
    for form in (
        tmp_path / "body.ply",
        made,
        (body.pos, body.face),
        (body.pos.numpy(), body.face.t().numpy()),
    ):
        assert torch.equal(carry(form).spectrum.evecs, right.evecs)
        assert torch.equal(UnitArea()(form).pos, UnitArea()(body.clone()).pos)
        assert torch.equal(VertexSignal()(form).x, VertexSignal()(body.clone()).x)
        assert cache.gradient(form).values.shape == cache.gradient(body).values.shape
    assert cache.computed == computed
    cloud = PointCloud(points_of_a_sphere(200))
    first = cache.charts(cloud, 0.4)
    cache.charts(cloud.pos, 0.4)
    assert cache.computed == computed + 1
    turned = cache.charts(PointCloud(cloud.pos, normal=-cloud.pos), 0.4)
    assert cache.computed == computed + 2 and not torch.equal(first.coords, turned.coords)


def test_precompute_takes_every_shape(tmp_path: Path, body: Mesh) -> None:
    cache = OperatorCache(tmp_path / "cache")
    body.save(tmp_path / "body.ply")
    shapes = [tmp_path / "body.ply", body, (body.pos, body.face), points_of_a_sphere(200), "absent.off"]
    report = precompute(shapes, cache, k=7, workers=0, progress=False)
    assert report.computed == 6 and list(report.failed) == ["shape 4"]
    SpectralOperators(cache, k=7)(PointCloud(points_of_a_sphere(200)))
    assert cache.computed == 6
