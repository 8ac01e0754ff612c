"""The benchmarks of functional maps from end to end, on a few small bodies in the layout of the remeshed FAUST."""

import json
from pathlib import Path

import pytest

from benchmarks import faust, faust_remeshed
from geodl.data import Mesh
from geodl.datasets import FAUST, Puppets
from geodl.viz import use_renderer


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six bodies, of which the last two are for tests."""
    folder = tmp_path / "FAUST_r"
    for name in ("off", "corres"):
        (folder / name).mkdir(parents=True)
    for number, mesh in enumerate(Puppets(2, 3, num_vertices=1500)):
        Mesh(mesh.pos, mesh.face).save(folder / "off" / f"tr_reg_{number:03d}.off")
        lines = "".join(f"{vertex + 1}\n" for vertex in mesh.y.argsort().tolist())
        (folder / "corres" / f"tr_reg_{number:03d}.vts").write_text(lines)
    (folder / "test_pairs.txt").write_text("tr_reg_000 tr_reg_001\ntr_reg_004 tr_reg_002\n")
    monkeypatch.setattr(
        "geodl.datasets.faust._SPLITS", {"train": range(4), "test": range(4, 6), None: range(6)}
    )
    monkeypatch.setattr(faust_remeshed, "EIGENFUNCTIONS", 80)
    monkeypatch.setattr(faust_remeshed, "CURVE_EVERY", 2)
    return folder


def run(root: Path, out: Path, *more: str) -> dict[str, object]:
    arguments = [
        "--data",
        "remeshed",
        "--root",
        str(root),
        "--cache",
        str(out.parent / "cache"),
        "--out",
        str(out),
    ]
    with use_renderer("matplotlib"):
        faust.main([*arguments, "--threads", "1", *more])
    text = (out / "result.json").read_text()
    assert str(root) not in text
    metrics: dict[str, object] = json.loads(text)["metrics"]
    return metrics


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fmaps-supervised", "fmaps-unsupervised"])
def test_trains_matches_and_evaluates(method: str, root: Path, tmp_path: Path) -> None:
    found = run(root, tmp_path / "run", "--method", method, "--epochs", "2")
    assert found["pairs"] == len(FAUST(root, "remeshed", "test").pairs()) == 2
    plain, smooth = found["errors"]  # type: ignore[misc]
    assert (plain["refinement"], smooth["refinement"]) == ("none", "none, as a map")
    assert 0 < plain["exact"] < 50 and 0 < smooth["exact"] < 50
    assert plain["dijkstra"] >= plain["exact"]
    (point,) = found["curve"]  # type: ignore[misc]
    assert point["epoch"] == 2 and point["mean_error_x100"] > 0
    assert (tmp_path / "run" / "weights.safetensors").exists()


def test_zoomout_needs_no_training(root: Path, tmp_path: Path) -> None:
    found = run(root, tmp_path / "run", "--method", "zoomout")
    assert found["pairs"] == 2
    (row,) = found["errors"]  # type: ignore[misc]
    assert row["exact"] < 10
    assert sum(found["verdicts"].values()) == 2  # type: ignore[attr-defined]


def test_methods_that_do_not_go_with_the_data_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        faust.main(["--data", "puppets", "--method", "zoomout"])
    assert "goes with other methods than zoomout" in capsys.readouterr().err
