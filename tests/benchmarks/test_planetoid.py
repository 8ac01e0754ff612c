"""The benchmarks of graphs on tiny ones, and their tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import large_graph, planetoid, tables


@pytest.fixture(autouse=True)
def same_threads() -> object:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("data", ["cora", "citeseer"])
def test_recipes_and_their_twins_have_as_many_parameters(data: str) -> None:
    for name, recipe in planetoid.recipes(data).items():
        if recipe.peer is not None:
            ours, theirs = (
                sum(parameter.numel() for parameter in make(50, 7).parameters())
                for make in (recipe.ours, recipe.peer)
            )
            if name == "arma":  # PyG keeps weights for a second step that it does not take
                unused = dict(recipe.peer(50, 7).named_parameters())
                theirs -= sum(unused[f"layers.{layer}.weight"].numel() for layer in (0, 1))
            assert ours == theirs, f"{name}: {ours} parameters, PyG has {theirs}"


def test_trains_beside_pyg_and_writes_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = {
        name: planetoid.Recipe(r.ours, r.peer, epochs=4) for name, r in planetoid.recipes("cora").items()
    }
    monkeypatch.setattr(planetoid, "recipes", lambda data: short)
    planetoid.main(
        ["--model", "gcn", "monet", "--seeds", "2", "--rounds", "1", "--threads", "1", "--out", str(tmp_path)]
    )
    result = json.loads((tmp_path / "result.json").read_text())
    networks = result["metrics"]["networks"]
    assert networks["gcn"]["ratio"] > 0 and "ratio" not in networks["monet"]
    assert 0 < networks["gcn"]["test_accuracy"] < 100 and 3 <= networks["gcn"]["epochs"] <= 4
    table = tables.nodes_table([result])
    assert len(table.splitlines()) == 6 and "communities | gcn" in table and "communities | sgc" in table


class Scripted(torch.nn.Module):
    """Ten nodes of class 0: their scores of it by epoch, in evaluation, against 0 for class 1."""

    def __init__(self, script: list[list[float]]) -> None:
        super().__init__()
        self.script, self.weight = iter(script), torch.nn.Parameter(torch.zeros(1))

    def forward(self, graph: object) -> torch.Tensor:
        if self.training:
            return self.weight * torch.ones(10, 2)
        scores = torch.tensor(next(self.script))
        return torch.stack([scores.expand(10), torch.zeros(10)], 1)


def fit(script: list[list[float]], epochs: int, accuracy_too: bool = False) -> tuple[float, int]:
    """The first nine nodes validate, the last is tested."""
    graph = planetoid.Graph(torch.empty(2, 0).long(), torch.ones(10, 1), y=torch.zeros(10).long())
    graph.train_mask, graph.test_mask = torch.ones(10, dtype=torch.bool), torch.arange(10) == 9
    graph.val_mask = ~graph.test_mask
    recipe = planetoid.Recipe(
        lambda c, k: torch.nn.Identity(), None, epochs=epochs, patience=2, accuracy_too=accuracy_too
    )
    return planetoid.Trainer(Scripted(script), graph, recipe).fit()


def test_stops_when_the_validation_loss_rises_and_tests_its_best_epoch() -> None:
    confident = [-1.0, 2.0, 1.0, 1.1, 0.5, -1.0, 0.0, 0.0]
    assert fit([[score] for score in confident], epochs=8) == (1.0, 5)
    improving = [-8.0, -7, -6, -5, -4, -3, -2, -1]
    assert fit([[score] for score in improving], epochs=8) == (0.0, 8)


def test_tests_the_epoch_that_is_best_by_loss_and_accuracy_and_stops_when_neither_gets_better() -> None:
    right, wrong = [1.0], [-1.0]
    worst = 9 * wrong + right  # right of the tested node alone
    start = 6 * right + 4 * wrong
    less_loss = 5 * [3.0] + 4 * wrong + right  # but fewer are right
    as_many = 6 * right + 3 * wrong + right  # but more loss than that
    both = 7 * [3.0] + 2 * wrong + right
    script = [worst, start, less_loss, as_many, worst, both, worst, less_loss, both]
    assert fit(script, epochs=9, accuracy_too=True) == (1.0, 8)
    assert fit([*script[:5], worst], epochs=9, accuracy_too=True) == (0.0, 6)


def test_needs_a_root() -> None:
    with pytest.raises(SystemExit):
        planetoid.main(["--data", "cora"])


@pytest.mark.slow
def test_large_graph_reports_both_ways(tmp_path: Path) -> None:
    sizes = ["--nodes", "3000", "--edges", "20000", "--channels", "16", "--epochs", "2", "--threads", "1"]
    large_graph.main([*sizes, "--out", str(tmp_path)])
    result = json.loads((tmp_path / "result.json").read_text())
    for way in ("full batch", "sampled"):
        found = result["metrics"]["ways"][way]
        assert found["epoch_seconds"] > 0 and found["peak_mb"] > 50 and 15000 < found["edges"] < 21000
    assert len(tables.large_graph_table(result).splitlines()) == 4


def test_a_process_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_graph.sys, "executable", "false")
    chosen = type("Chosen", (), dict.fromkeys(("nodes", "edges", "channels", "epochs", "threads", "seed"), 1))
    with pytest.raises(RuntimeError, match="sampled failed"):
        large_graph.in_a_process("sampled", chosen)
