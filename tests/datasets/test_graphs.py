"""Communities against the model that it draws from; Planetoid in its layout."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from geodl.datasets import Communities, Planetoid


@pytest.mark.parametrize("mixing", [0.0, 0.3, 1.0])
def test_communities_follow_their_model(mixing: float) -> None:
    data = Communities(20000, 5, mean_degree=10, mixing=mixing, num_features=50, exponent=float("inf"))
    [graph] = data
    src, dst = graph.edge_index
    assert torch.equal(graph.edge_index.flip(0).unique(dim=1), graph.edge_index.unique(dim=1))
    assert not bool((src == dst).any()) and graph.edge_index.unique(dim=1).shape == graph.edge_index.shape
    leaving = float((graph.y[src] != graph.y[dst]).float().mean())
    assert abs(leaving - mixing) < 0.01
    degree = torch.bincount(dst, minlength=20000).float()
    assert abs(float(degree.mean()) - 10) < 0.1
    assert abs(float(degree.var()) / 10 - 1) < 0.1  # Poisson
    if mixing == 1.0:  # an edge that leaves goes to every other community alike
        counts = torch.bincount(graph.y[src] * 5 + graph.y[dst], minlength=25).view(5, 5).float()
        others = counts[~torch.eye(5, dtype=torch.bool)]
        assert float(others.std() / others.mean()) < 0.06


def test_degrees_follow_a_power_law() -> None:
    graph = Communities(100000, 5, mean_degree=10, num_features=5, exponent=3.0)[0]
    degree = torch.bincount(graph.edge_index[1], minlength=100000).double().sort(descending=True).values
    # Of a law with exponent 3, the k-th largest goes as k^(-1/2): a hundredfold rank is a tenth.
    assert 7 < float(degree[30] / degree[3000]) < 13


def test_communities_words_and_split() -> None:
    data = Communities()
    graph = data[0]
    assert len(data) == 1 and graph.x.shape == (2500, 1000) and graph.x.dtype == torch.float32
    total = graph.x.sum(1)
    assert bool((((total - 1).abs() < 1e-5) | (total == 0)).all())
    masks = torch.stack([graph.train_mask, graph.val_mask, graph.test_mask])
    assert int(masks.sum(0).max()) == 1
    assert torch.bincount(graph.y[graph.train_mask]).tolist() == [20] * 7
    again = Communities()[0]
    assert torch.equal(again.x, graph.x) and torch.equal(again.edge_index, graph.edge_index)
    other_words = Communities(words=5)[0]
    assert torch.equal(other_words.edge_index, graph.edge_index) and not torch.equal(other_words.x, graph.x)
    assert int(Communities(train_fraction=0.5)[0].train_mask.sum()) == 1250
    with pytest.raises(IndexError, match="one graph"):
        data[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_nodes": 100}, "num_nodes"),
        ({"mixing": 1.5}, "mixing"),
        ({"exponent": 2.0}, "exponent"),
        ({"num_features": 3}, "num_features"),
    ],
)
def test_communities_refuse(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Communities(**options)


@pytest.mark.parametrize(
    ("name", "nodes", "edges", "features", "classes"),
    [("cora", 2708, 10556, 1433, 7), ("citeseer", 3327, 9104, 3703, 6)],
)
def test_planetoid_is_what_the_papers_count(
    shared_data: Path, name: str, nodes: int, edges: int, features: int, classes: int
) -> None:
    data = Planetoid(shared_data / "Planetoid", name)
    graph = data[0]
    assert graph.x.shape == (nodes, features) and graph.edge_index.shape == (2, edges)
    assert data.num_classes == classes == int(graph.y.max()) + 1
    assert [int(graph[f"{part}_mask"].sum()) for part in ("train", "val", "test")] == [
        20 * classes,
        500,
        1000,
    ]
    total = graph.x.sum(1)
    assert bool((((total - 1).abs() < 1e-5) | (total == 0)).all())
    words = Planetoid(shared_data / "Planetoid", name, normalize=False)[0].x
    assert words.unique().tolist() == [0, 1]


def test_planetoid_refuses_pickles_that_run_something(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)

    raw = tmp_path / "Cora" / "raw"
    raw.mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"ind\.cora\.x is missing"):
        Planetoid(tmp_path)
    for part in ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index"):
        (raw / f"ind.cora.{part}").write_bytes(pickle.dumps(np.zeros(3), protocol=2))
    for protocol in (0, 2, 4):
        (raw / "ind.cora.x").write_bytes(pickle.dumps(Harmful(), protocol=protocol))
        with pytest.raises(ValueError, match="not read"):
            Planetoid(tmp_path)
    assert not (tmp_path / "ran").exists()
    (raw / "ind.cora.x").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no pickle"):
        Planetoid(tmp_path)
    with pytest.raises(ValueError, match="cora"):
        Planetoid(tmp_path, "citation")
