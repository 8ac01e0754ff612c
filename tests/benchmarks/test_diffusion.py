"""The DiffusionNet benchmark on tiny sizes: the losses of the published formulas and ours, step by step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import diffusion, diffusion_training
from benchmarks.operators.measure import Work
from tests.datasets.layouts import write_rna


@pytest.mark.parametrize("data", ["puppets", "rna"])
def test_losses_are_those_of_the_published_formulas(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diffusion, "roof", lambda *_: Work(1.0, 1e9))
    if data == "rna":  # another process takes seconds to begin
        monkeypatch.setattr(diffusion, "apart", lambda function, *given: function(*given))
    threads = torch.get_num_threads()
    sizes = {"shapes": 2, "k": 10, "width": 8, "blocks": 2, "steps": 4, "threads": 1}
    given = [text for name, size in sizes.items() for text in (f"--{name}", str(size))]
    if data == "rna":
        write_rna(tmp_path / "RNA")
        given += ["--root", str(tmp_path)]
    try:
        diffusion.main(["--out", str(tmp_path), *given])
    finally:
        torch.set_num_threads(threads)
    rows = json.loads((tmp_path / "result.json").read_text())["rows"]
    assert [row["op"] for row in rows] == [
        "DiffusionNet, shape by shape",
        "DiffusionNet, packed",
        "DiffusionNet, packed",
    ]
    for row in rows:
        assert len(row["ours_losses"]) == len(row["peer_losses"]) == 4
        assert row["ours_losses"][-1] < row["ours_losses"][0]
        assert row["ours_mb"] is None or row["ours_mb"] >= 0
        assert row["largest_relative_difference_of_losses"] < 1e-4
        # All three are rounded: the times to 0.1 ms, the ratio to 0.01.
        least, most = ((row["peer_ms"] + d) / (row["ours_ms"] - d) for d in (-0.05, 0.05))
        assert least - 0.006 <= row["ratio"] <= most + 0.006


def test_a_folder_without_meshes_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds 0 meshes, not 8"):
        diffusion.main(["--root", str(tmp_path), "--threads", str(torch.get_num_threads())])


@pytest.mark.parametrize("signal", ["hks", "xyz"])
def test_both_learn_for_the_same_time(signal: str, tmp_path: Path) -> None:
    write_rna(tmp_path / "RNA")
    sizes = {"signal": signal, "seconds": 0.2, "k": 17, "width": 8, "threads": 1, "root": tmp_path}
    folders = {"cache": tmp_path / "cache", "out": tmp_path / "out"}
    threads = torch.get_num_threads()
    try:
        given = [text for name, value in {**sizes, **folders}.items() for text in (f"--{name}", str(value))]
        diffusion_training.main(given)
    finally:
        torch.set_num_threads(threads)
    metrics = json.loads((tmp_path / "out" / "result.json").read_text())["metrics"]
    assert metrics.pop("linear_accuracy") == 1.0
    for found in metrics.values():
        first, *_, last = found["curve"]
        assert last["loss"] < first["loss"] and found["accuracy"] == last["accuracy"]
        assert found["epochs"] == len(found["curve"]) and last["seconds"] >= 0.2
    assert len(metrics) == 2
