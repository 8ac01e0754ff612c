"""Rays beside linear equations and the definition in PyTorch; ambient occlusion and direct light beside closed forms."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import geodl.geometry.native as native
from geodl.datasets import broken_meshes
from geodl.geometry import RayHits, ambient_occlusion, cast_rays, direct_light, vertex_normals
from geodl.ops.core import dispatch

from .shapes import Shape, book, bumpy, flat_grid, icosphere, join


def random_rays(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    origins = torch.randn(count, 3, generator=draw, dtype=torch.float64)
    return origins, torch.randn(count, 3, generator=draw, dtype=torch.float64) - origins


def without_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_native", None)
    monkeypatch.setattr(dispatch, "_warned", False)


def upright(points: Tensor) -> Tensor:
    return torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(len(points), 3)


def test_rays_meet_what_linear_equations_say() -> None:
    mesh = bumpy(2)
    origins, directions = random_rays(300)
    found = cast_rays(mesh, origins, directions)
    # o + t d = a + v (b - a) + w (c - a), for every ray and face.
    a, b, c = mesh.pos[mesh.face]
    columns = [
        directions[:, None].expand(-1, len(a), -1),
        (a - b).expand(300, -1, -1),
        (a - c).expand(300, -1, -1),
    ]
    t, v, w = torch.linalg.solve(torch.stack(columns, 3), a - origins[:, None]).unbind(2)
    t = torch.where((v >= 0) & (w >= 0) & (v + w <= 1) & (t > 0), t, math.inf)
    nearest, face = t.min(dim=1)
    met = nearest < math.inf
    assert torch.equal(found.hit, met) and 50 < int(met.sum()) < 290
    assert torch.equal(found.face[met], face[met]) and bool((found.face[~met] == -1).all())
    assert torch.allclose(found.distance, nearest * directions.norm(dim=1))
    rows = torch.arange(300)
    assert torch.allclose(found.weights[met, 1:], torch.stack([v, w], 2)[rows, face][met], atol=1e-9)
    assert torch.allclose(found.weights.sum(1), met.double()) and bool((found.weights[~met] == 0).all())


@pytest.mark.parametrize("make", [lambda: bumpy(1), lambda: book(3, 4), lambda: join(icosphere(1), bumpy(1))])
def test_the_tree_gives_what_every_face_tried_gives(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = make()
    origins, directions = random_rays(400, seed=1)
    tree = cast_rays(mesh, origins, directions)
    shade = ambient_occlusion(mesh, rays=32)
    without_extension(monkeypatch)
    with pytest.warns(RuntimeWarning, match="slow reference operators"):
        tried = cast_rays(mesh, origins, directions)
    assert torch.equal(tree.face, tried.face)
    assert torch.allclose(tree.distance, tried.distance, rtol=1e-12)
    assert torch.allclose(tree.weights, tried.weights, atol=1e-9)
    assert torch.allclose(ambient_occlusion(mesh, rays=32), shade, atol=1e-12)


def test_no_ray_slips_through_an_edge_or_a_corner() -> None:
    mesh = icosphere(3)
    start, end = mesh.pos[mesh.face[0]], mesh.pos[mesh.face[1]]
    share = torch.rand(start.shape[0], 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.cat([mesh.pos, (start + end) / 2, start + share * (end - start)])
    for centre in (torch.zeros(3, dtype=torch.float64), torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)):
        origins = centre.expand(len(targets), 3)
        assert bool(cast_rays(mesh, origins, targets - centre).hit.all())
        far = mesh.with_pos(mesh.pos + 1e6)
        assert bool(cast_rays(far, origins + 1e6, targets - centre).hit.all())


def test_rays_along_axes_and_in_planes() -> None:
    mesh = flat_grid(5)
    origins = torch.tensor(
        [[0.5, 0.5, 1.0], [0.25, 0.5, 1.0], [-1, 0.5, 0], [1.5, 0.5, 1.0], [0, 0, 1.0]]
    ).double()
    directions = torch.tensor([[0, -0.0, -1], [-0.0, 0, -2.0], [1, 0, 0], [0, 0, -1], [0, 0, -1]]).double()
    found: RayHits = cast_rays(mesh, origins, directions)
    assert found.hit.tolist() == [True, True, False, False, True]  # within its plane a sheet has no thickness
    assert found.distance[[0, 1, 4]].tolist() == [1, 1, 1]


# Rays, and the errors that may be left: the mean of all points, and that of the worst.
BOUNDS = [(256, 0.003, 0.01), (1024, 0.001, 0.004), (4096, 0.0005, 0.002)]


@pytest.mark.parametrize(("rays", "mean", "worst"), BOUNDS)
def test_a_sphere_above_a_plane(rays: int, mean: float, worst: float) -> None:
    ball = icosphere(5)
    ball = ball.with_pos(ball.pos + torch.tensor([0.0, 0.0, 1.0]))
    reach = torch.linspace(0, 5, 200, dtype=torch.float64)
    points = torch.stack([reach * math.cos(0.3), reach * math.sin(0.3), 0 * reach], 1)
    error = ambient_occlusion(ball, points, upright(points), rays) - (1 + reach.square()).pow(-1.5)
    assert error.abs().mean() < mean and error.abs().max() < worst


def corner_factor(width: float, depth: float, height: float) -> float:
    """How much of the cosine-weighted sky a rectangle covers that has a corner above the point (Howell, A catalog of radiation
    heat transfer configuration factors, B-3)."""
    x, y = width / height, depth / height
    one, two = math.hypot(1, x), math.hypot(1, y)
    return (x / one * math.atan(y / one) + y / two * math.atan(x / two)) / (2 * math.pi)


@pytest.mark.parametrize(("rays", "mean", "worst"), BOUNDS)
def test_two_parallel_planes(rays: int, mean: float, worst: float) -> None:
    height = 0.3
    plane = flat_grid(9)
    roof = plane.with_pos(plane.pos + torch.tensor([0.0, 0.0, height]))
    expected = torch.tensor(
        [
            sum(corner_factor(a, b, height) for a in (x, 1 - x) for b in (y, 1 - y))
            for x, y, _ in plane.pos.tolist()
        ],
        dtype=torch.float64,
    )
    found = ambient_occlusion(join(plane, roof), rays=rays)
    error = found[: plane.size] - expected
    assert error.abs().mean() < mean and error.abs().max() < worst
    assert found[plane.size :].abs().max() == 0  # the upper side of the roof is open


@pytest.mark.parametrize(("rays", "mean", "worst"), BOUNDS)
def test_a_hemisphere_is_half_dark_everywhere(rays: int, mean: float, worst: float) -> None:
    bowl = hemisphere(60, 240)
    points = bowl.pos[bowl.pos[:, 2] < -0.05][::53]
    error = ambient_occlusion(bowl, points, -points, rays) - 0.5
    assert error.abs().mean() < mean and error.abs().max() < worst
    assert ambient_occlusion(bowl, points[:0], points[:0]).shape == (0,)


@pytest.mark.parametrize("leaves", [300, 3000])
def test_small_leaves_all_over_the_sky(leaves: int) -> None:
    draw = torch.Generator().manual_seed(0)
    angle = 2 * math.pi * torch.rand(leaves, generator=draw, dtype=torch.float64)
    z = torch.rand(leaves, generator=draw, dtype=torch.float64).sqrt()  # as dense as the sky is bright
    middle = torch.stack([(1 - z * z).sqrt() * angle.cos(), (1 - z * z).sqrt() * angle.sin(), z], 1)
    across = F.normalize(torch.linalg.cross(middle, torch.randn(leaves, 3, generator=draw).double()), dim=1)
    along = torch.linalg.cross(middle, across)
    turn = torch.arange(3, dtype=torch.float64)[:, None] * 2 * math.pi / 3
    corner = middle[:, None] + 0.015 * (
        turn.cos() * across[:, None] + turn.sin() * along[:, None]
    )  # [N, 3, 3]
    foliage = Shape(corner.view(-1, 3), torch.arange(3 * leaves).view(-1, 3).t().contiguous())
    # From beside the middle the rays meet other leaves: the mean has little of the noise of one point.
    up = upright(torch.empty(20, 3))
    found = ambient_occlusion(foliage, 0.02 * torch.randn(20, 3, generator=draw).double(), up).mean()
    truth = ambient_occlusion(foliage, up[:1] * 0, up[:1], 1 << 18)
    assert abs(found - truth) < 0.15 * truth


def hemisphere(rings: int, sectors: int) -> Shape:
    """The lower half of the unit sphere, its rim in the plane z = 0."""
    down, around = torch.meshgrid(
        torch.linspace(0, math.pi / 2, rings + 1, dtype=torch.float64)[:-1],
        2 * math.pi * torch.arange(sectors, dtype=torch.float64) / sectors,
        indexing="ij",
    )
    pos = torch.stack([down.cos() * around.cos(), down.cos() * around.sin(), -down.sin()], 2).view(-1, 3)
    number = torch.arange(len(pos)).view(rings, sectors)
    a, b = number[:-1], number[1:]
    c, d = a.roll(-1, dims=1), b.roll(-1, dims=1)
    last, pole = number[-1], torch.full((sectors,), len(pos))
    corners = [torch.stack(corner).view(3, -1) for corner in ((a, b, c), (c, b, d))]
    face = torch.cat([*corners, torch.stack([last, pole, last.roll(-1)])], dim=1)
    return Shape(torch.cat([pos, pos.new_tensor([[0.0, 0.0, -1.0]])]), face)


def test_a_convex_shape_is_open_and_its_inside_dark() -> None:
    ball = icosphere(2)
    assert ambient_occlusion(ball).abs().max() == 0
    assert ambient_occlusion(Shape(ball.pos, ball.face.flip(0))).min() == 1


def test_light_and_shadow() -> None:
    ground = flat_grid(21)
    ball = icosphere(4)
    ball = ball.with_pos(0.1 * ball.pos + torch.tensor([0.5, 0.5, 0.3], dtype=torch.float64))
    light = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    found = direct_light(join(ground, ball), 5 * light)
    flat = ground.pos - ball.pos.mean(0)
    apart = torch.linalg.cross(flat, light.expand_as(flat)).norm(dim=1)
    clear = (apart - 0.1).abs() > 0.002
    assert torch.allclose(
        found[: ground.size][clear], torch.where(apart > 0.1, 0.8, 0.0).double()[clear], atol=1e-12
    )
    outward = 10 * (ball.pos - ball.pos.mean(0))
    assert torch.allclose(found[ground.size :], (outward @ light).clamp(min=0), atol=0.01)
    several = direct_light(join(ground, ball), torch.stack([light, -light]))
    assert several.shape == (ground.size + ball.size, 2) and torch.allclose(several[:, 0], found)


def test_threads_numbering_place_and_unit_change_nothing() -> None:
    mesh = bumpy(3)
    mesh = join(mesh, mesh.with_pos(0.5 * mesh.pos + 1.2))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = ambient_occlusion(mesh, rays=64)
        torch.set_num_threads(3)
        assert torch.equal(ambient_occlusion(mesh, rays=64), one)
    finally:
        torch.set_num_threads(threads)
    order = torch.randperm(mesh.size, generator=torch.Generator().manual_seed(0))
    number = torch.empty_like(order)
    number[order] = torch.arange(mesh.size)
    faces = torch.randperm(mesh.face.shape[1], generator=torch.Generator().manual_seed(1))
    renumbered = Shape(mesh.pos[order], number[mesh.face[:, faces]])
    assert (ambient_occlusion(renumbered, rays=64) - one[order]).abs().max() <= 1 / 64
    for scale, shift in ((1e-12, 0.0), (1e9, 0.0), (1.0, 1e5)):
        moved = mesh.with_pos(scale * mesh.pos + shift)
        assert (ambient_occlusion(moved, rays=64) - one).abs().max() <= 2 / 64
    single = SimpleNamespace(pos=mesh.pos.float(), face=mesh.face)
    found = ambient_occlusion(single, rays=64)
    assert found.dtype == torch.float32 and (found - one).abs().max() <= 2 / 64


def test_vertices_without_a_normal_look_all_around() -> None:
    ball = icosphere(3)
    lonely = ball.with_pos(torch.cat([ball.pos, torch.tensor([[0.0, 0, 0], [0, 0, 3.0]]).double()]))
    found = ambient_occlusion(lonely)
    covered = (1 - math.sqrt(1 - 1 / 9)) / 2  # the share of all directions that the ball takes at distance 3
    assert found[-2] == 1 and abs(float(found[-1]) - covered) < 0.005
    assert bool((vertex_normals(lonely)[-2:] == 0).all())
    assert direct_light(lonely, torch.tensor([0.0, 0, 1]))[-1] == 0


@pytest.mark.parametrize("name", sorted(broken_meshes()))
def test_broken_meshes_give_an_answer_or_a_named_error(name: str) -> None:
    mesh = broken_meshes()[name]
    try:
        found = ambient_occlusion(mesh, rays=16)
        lit = direct_light(mesh, torch.tensor([0.0, 0.0, 1.0]))
    except (ValueError, IndexError) as error:
        assert len(str(error)) > 10
        return
    for values in (found, lit):
        assert values.shape == (mesh.pos.shape[0],) and bool(((values >= 0) & (values <= 1)).all())


def test_open_flat_and_degenerate_meshes() -> None:
    sheet = flat_grid(5)
    line = sheet.with_pos(
        sheet.pos * torch.tensor([1.0, 0.0, 0.0])
    )  # faces without area, vertices without normal
    for mesh in (sheet, line):
        assert bool((ambient_occlusion(mesh, rays=16) == 0).all())
    assert bool((direct_light(sheet, torch.tensor([0.0, 0.0, 2.0])) == 1).all())
    assert bool((direct_light(line, torch.tensor([0.0, 0.0, 2.0])) == 0).all())
    # A part inside a closed other one is in the dark.
    inner = icosphere(1)
    parts = join(inner.with_pos(4 * inner.pos), inner)
    assert bool((ambient_occlusion(parts, rays=16)[inner.size :] == 1).all())
    spoiled = sheet.with_pos(sheet.pos.clone())
    spoiled.pos[3, 1] = math.nan
    with pytest.raises(ValueError, match="3"):
        ambient_occlusion(spoiled)
    with pytest.raises(ValueError, match="3"):
        direct_light(spoiled, torch.tensor([0.0, 0.0, 1.0]))


def test_errors_name_the_trouble() -> None:
    mesh = icosphere(1)
    one = torch.zeros(1, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="rays must be at least 1, got 0"):
        ambient_occlusion(mesh, rays=0)
    with pytest.raises(ValueError, match="points are given without normals"):
        ambient_occlusion(mesh, one)
    with pytest.raises(ValueError, match="there are 1 points but 2 normals"):
        ambient_occlusion(mesh, one, one.expand(2, 3))
    with pytest.raises(ValueError, match="row 0 of points is not finite"):
        ambient_occlusion(mesh, one / 0, one)
    with pytest.raises(ValueError, match=r"normals must be floating point \[N, 3\], not \[3\]"):
        ambient_occlusion(mesh, one, one[0])
    with pytest.raises(ValueError, match="row 0 of lights has length zero"):
        direct_light(mesh, torch.zeros(3))
    with pytest.raises(ValueError, match="row 0 of directions has length zero"):
        cast_rays(mesh, one, one)
    with pytest.raises(ValueError, match="there are 1 origins but 2 directions"):
        cast_rays(mesh, one, one.expand(2, 3) + 1)


def test_a_vertex_of_no_face_far_away_changes_nothing() -> None:
    mesh = bumpy(1)
    far = Shape(torch.cat([mesh.pos, mesh.pos.new_full((1, 3), 1e7)]), mesh.face)
    assert torch.equal(ambient_occlusion(far, rays=16)[:-1], ambient_occlusion(mesh, rays=16))
