"""The benchmark of operators on tiny sizes: the peers compute what ours compute, and the run leaves its rows."""

from __future__ import annotations

import json
import time

import pytest
import torch

from benchmarks.operators.__main__ import OPERATORS, main
from benchmarks.operators.measure import (
    Call,
    Work,
    captured,
    forward_backward,
    interleaved,
    measure,
    peak_megabytes,
    step,
)
from benchmarks.operators.sizes import TINY


@pytest.mark.parametrize("operator", OPERATORS)
def test_peers_do_the_same_work(operator):
    torch.manual_seed(0)
    for pair in OPERATORS[operator](torch.device("cpu"), TINY):
        ours = first(pair.ours())
        for name, peer in pair.peers.items():
            theirs = peer()
            if name not in pair.unlike:
                torch.testing.assert_close(ours, first(theirs), rtol=1e-3, atol=1e-3)


def first(result):
    """The output, or of the gradients that by the signal: parameters may be laid out differently."""
    return result if isinstance(result, torch.Tensor) else result[0]


@pytest.fixture
def quick_compiler(monkeypatch):
    """What is compiled is traced, but no code is made of it, which takes most of the time."""
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: compiler(function, backend="eager"))


def test_compiled_peers_do_the_same_work(quick_compiler):
    names = []
    for pair in OPERATORS["patch_gather"](torch.device("cpu"), TINY):
        names += pair.variants
        ours = first(pair.ours())
        for run in pair.variants.values():
            torch.testing.assert_close(ours, first(run()), rtol=1e-3, atol=1e-3)
    assert set(names) == {"torch.bmm, padded, torch.compile"}


def test_other_libraries_and_long_loops_are_not_compiled():
    x = torch.randn(3)
    peers = {"loop": Call(torch.exp, [x], compiles=False), "function": Call(torch.exp, [x])}
    (pair,) = [forward_backward("exp", "3", Call(torch.exp, [x]), peers, Work(1, 1))]
    assert set(pair.peers) == {"loop", "function"} and set(pair.variants) == {"function, torch.compile"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_recorded_step_does_the_same_work():
    x = torch.randn(30, device="cuda")
    run = step(Call(torch.exp, [x]), backward=True)
    replay = captured(run)
    for _ in range(2):
        torch.testing.assert_close(replay()[0], run()[0])


def test_writes_the_rows_of_the_chosen_operators(tmp_path, capsys, quick_compiler):
    threads = torch.get_num_threads()
    try:
        main(["--out", str(tmp_path), "--threads", "1", "--only", "aggregate", "polar_conv"], TINY)
    finally:
        torch.set_num_threads(threads)
    result = json.loads((tmp_path / "result.json").read_text())
    assert {row["op"].split()[0] for row in result["rows"]} == {"aggregate", "polar_conv"}
    assert {row["family"] for row in result["rows"]} == {"Aggregation", "Patches"}
    columns = {
        "family",
        "op",
        "work",
        "peer",
        "ours_ms",
        "peer_ms",
        "ratio",
        "roofline",
        "ours_mb",
        "peer_mb",
    }
    for row in result["rows"]:
        assert set(row) == columns and row["ours_ms"] > 0
        # Times are rounded to 0.001 ms and their ratio, of the times as they were measured, to 0.01.
        least = (row["peer_ms"] - 0.0005) / (row["ours_ms"] + 0.0005) - 0.005
        largest = (row["peer_ms"] + 0.0005) / (row["ours_ms"] - 0.0005) + 0.005
        assert row["ours_ms"] > 0.0005 and least - 1e-9 <= row["ratio"] <= largest + 1e-9
    assert "torch_geometric scatter" in capsys.readouterr().out


def test_an_unknown_operator_is_an_error(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--only", "nothing"], TINY)
    assert "aggregate" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_peer_that_fails_is_left_out(capsys, quick_compiler):
    def fails(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("out of memory\nand more")

    x = torch.randn(3)
    peers = {"broken": Call(fails, [x]), "sound": Call(torch.exp, [x])}

    def comparisons(*_):
        yield forward_backward("exp", "3", Call(torch.exp, [x]), peers, Work(1, 1))

    rows = measure({"exp": comparisons}, torch.device("cpu"), TINY, 0)
    assert [row["peer"] for row in rows] == ["sound", "sound, torch.compile"]
    assert "left out: broken: out of memory\n" in capsys.readouterr().out


def test_times_are_medians_and_a_slow_run_leaves_the_turn(monkeypatch):
    calls = {"fast": 0, "slow": 0}
    clock = 0.0

    def run(name: str, seconds: float) -> None:
        nonlocal clock
        calls[name] += 1
        clock += seconds * (1 + (calls[name] == 2))  # one round is disturbed

    monkeypatch.setattr(time, "perf_counter", lambda: clock)
    runs = [lambda: run("fast", 1e-6), lambda: run("slow", 4e-3)]
    assert interleaved(runs, torch.device("cpu"), seconds=0.01) == pytest.approx([1e-3, 4])
    assert calls == {"fast": 300, "slow": 3}


def test_memory_is_the_peak_of_one_call_even_if_such_blocks_were_freed_before():
    def run() -> float:
        return float(torch.ones(5_000_000).exp().sum())

    run()
    found = peak_megabytes(run, torch.device("cpu"))
    if found is None:
        pytest.skip("the system does not say how much memory was used")
    assert 38 < found < 60
