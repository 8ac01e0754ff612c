"""The rows of the spectra, and the table of any input."""

from __future__ import annotations

import json

import torch
import trimesh

from benchmarks import any_input, geometry, tables
from geodl.data import Mesh
from geodl.datasets import broken_meshes


def test_spectra_agree_with_scipy() -> None:
    ball = trimesh.creation.icosphere(subdivisions=4)
    pos = torch.tensor(ball.vertices) * torch.tensor([1.0, 1.3, 0.8])
    mesh = Mesh(pos, torch.tensor(ball.faces.T.copy()))
    rows = geometry.time_spectra({"ball": mesh}, 1)
    rows.append(geometry.time_precomputation({"one": mesh, "two": mesh}))
    assert [row["work"].split(",")[0] for row in rows] == ["k = 128", "k = 200", "2 shapes"]
    assert all(row["largest_relative_difference"] < 1e-8 and row["residual"] < 1e-6 for row in rows[:2])
    assert "| spectrum | k = 128, ball, 2562 vertices | scipy eigsh |" in tables.speed_table(rows)


def test_any_input_tells_what_came_out(tmp_path, monkeypatch) -> None:
    few = {name: broken_meshes()[name] for name in ("one triangle", "no faces")}
    monkeypatch.setattr(any_input, "broken_meshes", lambda: few)
    any_input.main(["--out", str(tmp_path), "--threads", "1"])
    result = json.loads((tmp_path / "result.json").read_text())
    metrics = result["metrics"]
    assert metrics["failures"] == 0
    assert metrics["answers"] + metrics["diagnoses"] == 2 * len(any_input.FUNCTIONS)
    table = tables.any_input_table(result)
    assert "| one triangle | 3 vertices, 3 edges, 1 faces" in table
    assert "diagnosis: the mesh has no faces (but 162 vertices)" in table
