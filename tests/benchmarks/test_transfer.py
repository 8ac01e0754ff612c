"""A network that was trained on one set is evaluated on another."""

import json
from pathlib import Path

import pytest

from benchmarks import transfer
from geodl.data import InvariantSignal, Mesh
from geodl.datasets import Puppets
from geodl.models import FunctionalMapNet, save_weights


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The remeshed FAUST with two bodies; the other files are there, but empty."""
    folder = tmp_path / "FAUST_r"
    for name in ("off", "corres"):
        (folder / name).mkdir(parents=True)
    meshes = [Puppets(2, 2, num_vertices=1500)[k] for k in (0, 1)]
    for number in range(100):
        mesh = meshes[number % 2]
        if number in (80, 81):
            Mesh(mesh.pos, mesh.face).save(folder / "off" / f"tr_reg_{number:03d}.off")
            lines = "".join(f"{vertex + 1}\n" for vertex in mesh.y.argsort().tolist())
            (folder / "corres" / f"tr_reg_{number:03d}.vts").write_text(lines)
        else:
            for name, ending in (("off", "off"), ("corres", "vts")):
                (folder / name / f"tr_reg_{number:03d}.{ending}").touch()
    return folder


@pytest.mark.parametrize("trained", [False, True])
def test_evaluates(trained: bool, root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--data", "FAUST", "--root", str(root), "--pairs", "1", "--out", str(out)]
    arguments += ["--cache", str(tmp_path / "cache"), "--threads", "1"]
    if trained:
        weights = save_weights(FunctionalMapNet(InvariantSignal.channels), tmp_path / "net.safetensors")
        arguments += ["--weights", str(weights)]
    transfer.main(arguments)
    text = (out / "result.json").read_text()
    found = json.loads(text)
    assert str(tmp_path) not in text
    assert [row["refinement"] for row in found["metrics"]["errors"]] == (
        ["none", "ZoomOut"] if trained else ["ZoomOut"]
    )
    if not trained:
        assert found["metrics"]["mean_error_x100"] < 10
