"""The benchmarks of texture and style from end to end, briefly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import exemplars, materials, style, texture
from benchmarks.tables import materials_table
from geodl.data import Mesh
from geodl.models import SqueezeNet, save_weights
from tests.synthesis.shapes import sphere

pytest.importorskip("rich")


@pytest.mark.slow
def test_a_texture_of_ones_own_picture_and_mesh(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    import PIL.Image
    import trimesh

    mesh = Mesh.from_trimesh(trimesh.creation.icosphere(4))
    mesh.save(tmp_path / "ball.ply")
    pixels = (exemplars.stones(64, 128).permute(1, 2, 0) * 255).byte().numpy()
    PIL.Image.fromarray(pixels).save(tmp_path / "stones.png")
    files = ["--exemplar", str(tmp_path / "stones.png"), "--mesh", str(tmp_path / "ball.ply")]
    brief = ["--size", "64", "--steps", "8", "--automaton", "2", "--threads", "1"]
    texture.main([*files, *brief, "--out", str(tmp_path / "run")])
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    metrics = result["metrics"]
    assert metrics["grid"] < 0.5 * metrics["noise"] and metrics["surface"] < 0.7 * metrics["noise"]
    assert metrics["gap_between_domains"] < metrics["gap_between_crops"]
    assert {"grid.png", "surface.png", "automaton.png"} <= {
        path.name for path in (tmp_path / "run").iterdir()
    }


@pytest.mark.slow
def test_materials_by_random_filters_and_by_a_network(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    network = SqueezeNet()
    save_weights(network, tmp_path / "squeezenet.safetensors")
    brief = ["--size", "64", "--steps", "2", "--threads", "1", "--out", str(tmp_path / "run")]
    materials.main([*brief, "--squeezenet", str(tmp_path / "squeezenet.safetensors")])
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert len(result["metrics"]["rows"]) == 12 and (tmp_path / "run" / "materials.png").stat().st_size > 0
    assert materials_table([result]).count("\n") == 13


def test_a_hole_a_seam_and_what_lies_around_it() -> None:
    mesh = sphere(4)
    holed = texture.opened(mesh)
    assert 0.93 < len(holed.pos) / len(mesh.pos) < 0.95
    edge = torch.cat([holed.face[[0, 1]], holed.face[[1, 2]], holed.face[[2, 0]]], 1).sort(0).values
    assert int((edge.unique(dim=1, return_counts=True)[1] == 1).sum()) > 20  # a boundary
    angle = texture.around(mesh)
    assert texture.seam(mesh, angle[:, None]) > 10  # jumps by a whole turn at the back
    assert texture.seam(mesh, mesh.pos) < 1.5
    row = torch.linspace(0, 1, 48)[:, None].expand(3, -1, 48)  # the same all around
    torch.testing.assert_close(texture.unrolled(row, mesh)[:, 0], (mesh.pos[:, 1] + 1) / 2, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_a_style(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    arguments = [
        "--size",
        "64",
        "--steps",
        "5",
        "--vertices",
        "1500",
        "--threads",
        "1",
        "--out",
        str(tmp_path),
    ]
    style.main(arguments)
    metrics = json.loads((tmp_path / "result.json").read_text())["metrics"]
    assert len(metrics["pairs"]) == 9 and metrics["style_distance"] < metrics["style_distance_before"]
    assert metrics["content_edges"] > metrics["content_edges_of_style_alone"]


def test_exemplars_are_pictures_and_crops_differ() -> None:
    for picture in exemplars.six(48, 0).values():
        assert picture.shape[0] == 3 and 0 <= float(picture.min()) < float(picture.max()) <= 1
    one, two = texture.crops(None, 40, 0)
    assert one.shape == two.shape == (3, 40, 40) and not torch.equal(one, two)
