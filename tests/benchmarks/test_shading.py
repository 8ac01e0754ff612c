"""The benchmark of shading: what a view shows is what the vertices have, and a brief run from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from geodl.datasets import ShadedShapes

pytest.importorskip("rich")
pytest.importorskip("lightning")
from benchmarks.shading import __main__ as shading
from benchmarks.shading.data import CHANNELS, SIDE, Clouds, Surfaces, view_of
from benchmarks.shading.networks import OnCloud
from geodl.data import collate


def test_a_view_and_what_other_domains_say_of_its_pixels() -> None:
    mesh = ShadedShapes(["puppets"], "train", 1, rays=16)[0]
    view = view_of(mesh, torch.Generator().manual_seed(0))
    assert view.x.shape == (CHANNELS, SIDE, SIDE) and 0.02 < float(view.valid.float().mean()) < 0.9
    torch.testing.assert_close(view.of_vertices(mesh.occlusion), view.occlusion[view.valid])
    assert float(view.x[2][view.valid].min()) > -0.6  # outer sides face the camera, up to interpolation


def test_signals_do_not_turn_with_the_shape() -> None:
    mesh = ShadedShapes(["solids"], "train", 2, rays=16)[1]
    turned = mesh.clone()
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0))).Q
    turn = turn * torch.linalg.det(turn)
    turned.pos, turned.normal = mesh.pos @ turn.T, mesh.normal @ turn.T
    one = Surfaces([mesh])
    torch.testing.assert_close(Surfaces([turned], one.scale).items[0].x, one.items[0].x, atol=2e-2, rtol=1e-2)


def test_a_cloud_is_read_the_same_in_a_batch_as_alone() -> None:
    meshes = [ShadedShapes(["solids"], "train", 2, rays=16)[k] for k in range(2)]
    torch.manual_seed(0)
    network = OnCloud().eval()
    clouds = Clouds(meshes, 0, training=True)
    items = [clouds[0], clouds[1]]
    torch.testing.assert_close(
        network(collate(items)), torch.cat([network(collate([item])) for item in items]), atol=1e-5, rtol=1e-4
    )


@pytest.mark.slow
def test_a_brief_run(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    brief = ["--shapes", "1", "--tested", "1", "--epochs", "0.05", "--threads", "1", "--out", str(tmp_path)]
    shading.main(brief)
    rows = json.loads((tmp_path / "result.json").read_text())["metrics"]["rows"]
    assert set(rows) >= {"surface, ridge", "surface, DiffusionNet", "screen, ridge", "screen, U-Net"}
    assert {"views.png", "truth.png", "surface.png", "cloud.png"} <= {
        path.name for path in tmp_path.iterdir()
    }
