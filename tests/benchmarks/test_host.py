"""The benchmark of what a call costs before it computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from benchmarks import host


def test_writes_ratios_to_a_product_by_one(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        host.main(["--out", str(tmp_path)], calls=2)
    finally:
        torch.set_num_threads(threads)
    result = json.loads((tmp_path / "result.json").read_text())
    found = result["metrics"]
    assert result["hardware"]["threads"] == 1
    assert {"aggregate sum", "aggregate max", "attention", "edge_conv", "chebyshev", "patch_conv"} < set(
        found
    )
    control = found[host.CONTROL]
    assert [control[way]["ratio"] for way in host.WAYS] == [1, 1]
    assert set(found["knn"]) == {"forward"}
    for way in host.WAYS:
        taken = found["attention"][way]
        # Both times are rounded to a hundredth of a microsecond, and so is the ratio.
        least = (taken["us"] - 0.005) / (control[way]["us"] + 0.005) - 0.005
        most = (taken["us"] + 0.005) / (control[way]["us"] - 0.005) + 0.005
        assert least - 1e-9 <= taken["ratio"] <= most + 1e-9


@pytest.mark.slow
@pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton")
def test_launches_that_do_nothing_are_counted(tmp_path: Path) -> None:
    """In a process of its own, where no kernel is interpreted: operators take the way to a GPU, which no interpreter is on."""
    given = f"from benchmarks import host; host.main(['--launches', '--out', {str(tmp_path)!r}], calls=1)"
    without = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    subprocess.run([sys.executable, "-c", given], env=without, check=True)
    found = json.loads((tmp_path / "result.json").read_text())["metrics"]
    assert "knn" not in found and found["aggregate sum"]["forward"]["us"] > 0
    assert {"launches_us", "triton_us"} <= set(found["attention"]["forward + backward"])
    assert set(found[host.CONTROL]["forward"]) == {"us", "ratio"}


def test_a_call_takes_the_least_of_the_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    turns: list[str] = []

    def run(name: str, seconds: float) -> None:
        nonlocal clock
        turns.append(name)
        clock += seconds * (1 + (len(turns) <= 4))  # the first pass is disturbed

    monkeypatch.setattr(host.time, "perf_counter", lambda: clock)
    calls = [lambda: run("short", 0.001), lambda: run("long", 0.004)]
    found = host.microseconds(calls, torch.device("cpu"), calls=1)
    assert found == pytest.approx([1000, 4000])
    assert turns == [name for _ in range(host.PASSES) for name in ("short", "short", "long", "long")]


def test_a_gpu_that_is_not_there_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit):
        host.main(["--device", "cuda"])
    assert "no CUDA device" in capsys.readouterr().err
