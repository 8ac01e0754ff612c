"""The growth benchmark on tiny sizes, memory in processes of their own included."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks import growth


@pytest.mark.slow
def test_writes_times_memory_and_a_plot(tmp_path, monkeypatch):
    chosen = {name: growth.OPERATORS[name] for name in ("aggregate max", "patch_conv")}
    monkeypatch.setattr(growth, "OPERATORS", chosen)
    threads = torch.get_num_threads()
    try:
        growth.main(
            ["--out", str(tmp_path), "--threads", "1"], growth.Sizes((320, 640), peak_edges=3200, seconds=0)
        )
    finally:
        torch.set_num_threads(threads)
    found = json.loads((tmp_path / "result.json").read_text())["metrics"]
    for graph in growth.GRAPHS:
        assert set(found["patch_conv"][graph]["forward"]["ns_per_edge"]) == {"320", "640"}
        assert set(found["PyTorch: x * 1.0"][graph]) == {"ns_per_edge", "max_over_min"}
        times = found["aggregate max"][graph]["ns_per_edge"].values()
        assert min(times) > 0
        # Times are rounded to 0.001 ns and the quotient to 0.01.
        least = (max(times) - 0.0005) / (min(times) + 0.0005) - 0.005
        most = (max(times) + 0.0005) / (min(times) - 0.0005) + 0.005
        assert least - 1e-9 <= found["aggregate max"][graph]["max_over_min"] <= most + 1e-9
    assert found["aggregate max"]["peak_mb"] >= found["aggregate max"]["inputs_mb"] > 1
    assert (
        set(found["patch_conv"]["near"]["ns_per_edge"]) == {"320", "640"}
        and "peak_mb" not in found["patch_conv"]
    )
    assert (tmp_path / "growth.png").stat().st_size > 1000


@pytest.mark.slow
def test_a_process_that_fails_says_why(monkeypatch):
    class Chosen:
        device, threads, seed = "cpu", 0, 0  # no thread

    with pytest.raises(RuntimeError, match="--threads must be at least 1"):
        growth.peak_in_a_process("aggregate sum", 320, Chosen())
