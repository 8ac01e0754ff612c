"""The SHREC11 benchmark from end to end, briefly, on three classes of bent balls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import trimesh

from benchmarks import shrec11
from benchmarks.tables import digits_table
from geodl.data import Mesh, RandomRotate
from geodl.datasets import SHREC11

STRETCH = {"disc": (1.0, 1.0, 0.3), "rod": (0.3, 0.3, 1.0), "star": (1.0, 1.0, 1.0)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six shapes of each class, four of them to train on, each turned and a little different."""
    made = trimesh.creation.icosphere(2)
    ball, face = torch.tensor(made.vertices).float(), torch.tensor(made.faces).long().t().contiguous()
    for name, stretch in STRETCH.items():
        for k in range(6):
            radius = 1 + (0.5 * torch.sin(6 * ball[:, :1]) if name == "star" else 0)
            pos = ball * radius * torch.tensor(stretch) * (1 + 0.1 * torch.rand(3))
            folder = tmp_path / "SHREC11" / name / ("train" if k < 4 else "test")
            folder.mkdir(parents=True, exist_ok=True)
            RandomRotate("any")(Mesh(pos, face)).save(folder / f"T{k}.obj")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("model", shrec11.NAMES)
def test_learns_something_and_writes_it_down(
    model: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shrec11, "TRAIN_PER_CLASS", 4)
    monkeypatch.setattr(shrec11, "EIGENVALUES", 20)
    monkeypatch.setattr(shrec11, "BATCH", 4)
    # Dozens of steps are too few for the batch norms of point networks: only that they run.
    resampled = model in shrec11.POINT_NETWORKS
    epochs = "2" if resampled else "30"
    shrec11.main([
        "--root", str(root), "--model", model, "--epochs", epochs, "--seeds", "2", "--points", "96", "--threads", "1",
        "--device", "cpu", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out"),
    ])  # fmt: skip
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (
        result["metrics"]["test_accuracy"] >= (0 if resampled else 0.6)
        and len(result["metrics"]["accuracies"]) == 2
    )
    assert result["seeds"] == [0, 1] and str(tmp_path) not in json.dumps(result)
    assert result["metrics"]["points"] == (96 if "points" in shrec11.NAMES[model] else 162)
    assert f"| {shrec11.NAMES[model]} | " in digits_table([result])


def test_splits(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrec11, "TRAIN_PER_CLASS", 4)
    meshes = SHREC11(root)
    assert shrec11.split(meshes, "folders", 3) == (list(range(12)), list(range(12, 18)))
    drawn = [shrec11.split(meshes, "random", seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    for train, test in drawn:
        assert sorted(train + test) == list(range(18))
        assert meshes.labels[train].bincount().tolist() == [4, 4, 4]


def test_clouds_are_drawn_anew(root: Path) -> None:
    import numpy as np

    meshes = SHREC11(root)
    clouds = shrec11.Clouds([meshes[0]], 50, np.random.default_rng(0))
    one, two = clouds[0], clouds[0]
    assert one.pos.shape == (50, 3) and not torch.equal(one.pos, two.pos) and one.y.tolist() == [0]
    assert float(one.pos.norm(dim=1).max()) == pytest.approx(1, abs=1e-5)
