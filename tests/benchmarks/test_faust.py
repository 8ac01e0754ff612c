"""The matching benchmark from end to end, on a few small bodies that each have a mesh of their own."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import faust
from geodl.datasets import Puppets
from geodl.viz import use_renderer


@pytest.mark.slow
@pytest.mark.parametrize("method", ["labelling", "descriptor"])
def test_trains_evaluates_draws_and_does_not_start_again(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def few(*_: Any) -> tuple[Puppets, Puppets]:
        return tuple(  # type: ignore[return-value]
            Puppets(3, 1, variant="remeshed", split=split, num_vertices=1500) for split in ("train", "test")
        )

    monkeypatch.setattr(faust, "shapes", few)
    run = tmp_path / "run"
    arguments = ["--data", "remeshed-puppets", "--method", method, "--epochs", "2", "--threads", "1"]
    arguments += ["--out", str(run), "--cache", str(tmp_path / "cache")]
    with use_renderer("matplotlib"):
        faust.main(arguments)
    result = json.loads((run / "result.json").read_text())
    test = few()[1]
    assert result["metrics"]["points"] == sum(mesh.pos.shape[0] for mesh in test)
    assert str(tmp_path) not in json.dumps(result)
    pictures = [
        "curve",
        *(f"{rank}{kind}" for rank in ("best", "worst") for kind in ("", "-error", "-lines")),
    ]
    assert all((run / f"{name}.png").stat().st_size > 1000 for name in pictures)
    assert (run / "weights.safetensors").exists()

    capsys.readouterr()
    faust.main(arguments)
    assert "This run is finished" in " ".join(capsys.readouterr().out.split())
