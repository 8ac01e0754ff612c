"""The benchmark of shading: what a view shows is what the vertices have, and a brief run from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from geodl.data import Mesh
from geodl.datasets import ShadedShapes
from geodl.geometry import ambient_occlusion, vertex_normals
from tests.geometry.shapes import icosphere

pytest.importorskip("rich")
pytest.importorskip("lightning")
from benchmarks import tables
from benchmarks.baseline import ridge
from benchmarks.shading import __main__ as shading
from benchmarks.shading import methods
from benchmarks.shading.data import (
    CHANNELS,
    SIDE,
    STEPS,
    Clouds,
    Screens,
    View,
    buried,
    hidden,
    surroundings,
    view_from,
    view_of,
)
from benchmarks.shading.networks import OnCloud, OnTaps
from benchmarks.shading.taps import AROUND, AWAY, KNOWN, TURNS, Taps, tapped
from benchmarks.shading.traced import occluders, places, traced
from geodl.data import collate
from geodl.training.arguments import apply


def test_a_view_and_what_other_domains_say_of_its_pixels() -> None:
    mesh = ShadedShapes(["puppets"], "train", 1, rays=16)[0]
    view = view_of(mesh, torch.Generator().manual_seed(0))
    assert view.x.shape == (CHANNELS, SIDE, SIDE) and 0.02 < float(view.valid.float().mean()) < 0.9
    torch.testing.assert_close(view.of_vertices(mesh.occlusion), view.occlusion[view.valid])
    assert float(view.x[2][view.valid].min()) > -0.6  # outer sides face the camera, up to interpolation
    corners = view.fine[:, 1::3, 1::3]
    torch.testing.assert_close(corners[:3, view.valid], view.x[:3, view.valid])
    assert bool(corners[3, view.valid].isfinite().all()) and 0.2 < float(view.shown.float().mean()) < 0.8


def test_a_wall_hides_half_of_the_sky_from_what_lies_at_its_foot() -> None:
    depth = torch.full((SIDE, SIDE), 40.0)
    depth[:, :20] = 10.0
    normal, shown = torch.zeros(3, SIDE, SIDE), torch.ones(SIDE, SIDE)
    normal[2] = 1
    columns = torch.tensor([10, 20, 24, 32, 60])
    found = hidden(depth, normal, shown, SIDE * (SIDE // 2) + columns).view(5, len(STEPS), -1)
    far = columns - 19.5
    expected = (1 - far / (far.square() + 30**2).sqrt()) / 2
    assert found[0].max() == 0 and found[4].max() == 0  # on the wall; too far away for rays of 28 pixels
    assert (found[1:4, -1, -1] - expected[1:4]).abs().max() < 0.12
    assert bool((found.diff(dim=1) >= 0).all()) and bool((found.diff(dim=2) >= 0).all())


def ball_over_a_floor() -> tuple[Mesh, View]:
    floor = torch.tensor([[-2.0, -2, 0], [2, -2, 0], [2, 2, 0], [-2, 2, 0]])
    ball = icosphere(2)
    mesh = Mesh(
        torch.cat([floor, 0.5 * ball.pos.float() + torch.tensor([0.0, 0, 0.6])]),
        torch.cat([torch.tensor([[0, 0], [1, 2], [2, 3]]), ball.face + 4], dim=1),
    )
    mesh.normal = vertex_normals(mesh)
    mesh.occlusion = torch.zeros(mesh.num_nodes)
    return mesh, view_from(mesh, torch.eye(3))


def test_what_a_view_does_not_show_hides_no_light() -> None:
    mesh, view = ball_over_a_floor()
    above = mesh.pos[mesh.face].mean(dim=0)[:, 2]
    assert bool(view.shown[:2].all()) and not bool(view.shown[2:][above[2:] < 0.55].any())
    assert bool(view.shown[2:][above[2:] > 0.75].all())
    found, whole = traced(mesh, view), ambient_occlusion(mesh, *places(mesh, view), rays=64)
    height = places(mesh, view)[0][:, 2]
    assert (
        bool((found <= whole + 0.01).all()) and float(found[height > 0.9].max()) < 0.05
    )  # the top of the ball is free
    below, half = whole[height < 0.01].max(), found[height < 0.01].max()
    assert (
        0.02 < float(half) < float(below) - 0.05
    )  # the lower half of the ball, which is not seen, shades the floor, too
    shown, away, hidden_ = occluders(mesh, view, torch.Generator().manual_seed(0)).tolist()
    assert away > 0 and hidden_ + shown < away  # rays from the floor mostly meet the ball from below


def test_taps_turn_with_the_picture() -> None:
    _, view = ball_over_a_floor()
    pixel = view.valid.view(-1).nonzero()[::7, 0]
    turned = view.fine.rot90(1, (1, 2)).clone()  # what was right is up now
    turned[:2] = torch.stack([-turned[1], turned[0]])
    moved = (SIDE - 1 - pixel % SIDE) * SIDE + pixel // SIDE
    straight = tapped(view.fine, pixel, torch.zeros(len(pixel)))
    assert straight.shape == (len(pixel), AROUND, len(AWAY), KNOWN) and bool(straight.isfinite().all())
    quarter = torch.full((len(pixel),), torch.pi / 2)
    same = (tapped(turned, moved, quarter) - straight).abs().amax(dim=3) < 1e-3
    assert float(same.float().mean()) > 0.9  # taps halfway between pixels may be rounded to the other
    depth = view.fine[3, 1::3, 1::3].reshape(-1)[pixel]
    rise = straight[depth > depth.max() - 1e-3][..., 1]
    assert (
        float(rise.max()) > 0.5 and float(rise.min()) > -1e-3
    )  # from the floor the ball rises, and nothing falls


def test_vertices_inside_of_another_ball_are_buried() -> None:
    ball = icosphere(3)
    pos = torch.cat([ball.pos, 0.5 * ball.pos + torch.tensor([0.8, 0.0, 0.0])])
    mesh = Mesh(pos.float(), torch.cat([ball.face, ball.face + ball.size], dim=1))
    mesh.normal = vertex_normals(mesh)
    away = torch.cat([pos[: ball.size] - torch.tensor([0.8, 0.0, 0.0]), pos[ball.size :]]).norm(dim=1)
    depth = torch.tensor([0.5, 1.0]).repeat_interleave(ball.size) - away  # below the other ball's surface
    sure = depth.abs() > 0.01  # facets lie inside of their balls
    assert torch.equal(buried(mesh)[sure], depth[sure] > 0)
    assert 20 < int(buried(mesh).sum()) < ball.size and float(sure.double().mean()) > 0.97


def test_signals_do_not_turn_with_the_shape() -> None:
    mesh = ShadedShapes(["solids"], "train", 2, rays=16)[1]
    turned = mesh.clone()
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0))).Q
    turn = turn * torch.linalg.det(turn)
    turned.pos, turned.normal = mesh.pos @ turn.T, mesh.normal @ turn.T
    torch.testing.assert_close(surroundings(turned), surroundings(mesh), atol=1e-4, rtol=1e-3)


def test_ridge_is_least_squares_where_columns_differ_in_size() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(200, 3, generator=draw) * torch.tensor([1.0, 1e3, 1e-3]) + 5
    y = x @ torch.tensor([1.0, -2e-3, 3e3]) + 0.1 * torch.randn(200, generator=draw)
    found = ridge(x, y, penalty=0.0)
    columns = torch.cat([x, torch.ones(200, 1)], 1).double()
    expected = torch.linalg.lstsq(columns, y.double()[:, None]).solution[:, 0].float()
    torch.testing.assert_close(found.weight[0], expected[:3], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found(x)[:, 0], (columns.float() @ expected), rtol=1e-3, atol=1e-2)


def test_a_cloud_is_read_the_same_in_a_batch_as_alone() -> None:
    meshes = [ShadedShapes(["solids"], "train", 2, rays=16)[k] for k in range(2)]
    torch.manual_seed(0)
    network = OnCloud().eval()
    clouds = Clouds(meshes, 0, training=True)
    items = [clouds[0], clouds[1]]
    torch.testing.assert_close(
        apply(network, collate(items)),
        torch.cat([apply(network, collate([item])) for item in items]),
        atol=1e-5,
        rtol=1e-4,
    )


def test_pixels_are_answered_the_same_however_many_views_are_read_at_once() -> None:
    screens = Screens([ShadedShapes(["solids"], "train", 1, rays=16)[0]], 2, 0)
    torch.manual_seed(0)
    network, taps = OnTaps().eval(), Taps(screens, 0, training=False)
    items = [taps[0], taps[1]]
    torch.testing.assert_close(
        apply(network, collate(items)), torch.cat([apply(network, collate([item])) for item in items])
    )
    turns = items[0].target.view(TURNS, -1)
    assert turns.shape[1] == int(screens.views[0].valid.sum()) and torch.equal(turns[0], turns[-1])


@pytest.mark.slow
def test_a_brief_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    brief = ["--seeds", "2", "--shapes", "1", "--tested", "1", "--epochs", "0.05", "--threads", "1"]
    brief += ["--out", str(tmp_path)]
    for module in (shading, methods):
        monkeypatch.setattr(module, "VIEWS", 3)
    meshes = shading.shapes(shading.arguments(brief))
    prepared = methods.Methods(*meshes, 0, 0.05)
    monkeypatch.setattr(shading, "shapes", lambda _: meshes)
    monkeypatch.setattr(shading, "Methods", lambda *_: prepared)
    shading.main(brief)
    rows = json.loads((tmp_path / "result.json").read_text())["metrics"]["rows"]
    assert set(rows) >= {"balls, ridge", "surface, DiffusionNet of balls", "cloud, gathered", "screen, U-Net"}
    assert rows["screen, gathered"]["r2_pixels_deviation"] >= 0 and "r2_pixels" in rows[methods.SHOWN]
    assert "| - |" in tables.shading_table([json.loads((tmp_path / "result.json").read_text())])
    before = (tmp_path / "views.png").stat().st_mtime_ns
    shading.main(brief)  # what is finished is not learned again
    assert (tmp_path / "views.png").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="choose another --out"):
        shading.main([*brief, "--epochs", "0.06"])
    assert {"views.png", "truth.png", "surface.png", "cloud.png"} <= {
        path.name for path in tmp_path.iterdir()
    }
