"""The benchmarks of texture and style from end to end, briefly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import exemplars, style, texture
from geodl.data import Mesh

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
