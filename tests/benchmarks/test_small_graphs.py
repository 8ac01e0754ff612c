"""The benchmark of small graphs in batches: both sides compute the same, and the run leaves its rows."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch_geometric.data import Batch, Data

from benchmarks import small_graphs
from geodl.data import Graph, collate


def test_both_networks_give_the_same_scores() -> None:
    ours, theirs = small_graphs.Ours(), small_graphs.Theirs()
    named = list(theirs.parameters())
    assert [p.shape for p in ours.parameters()] == [p.shape for p in named]
    for mine, parameter in zip(ours.parameters(), named, strict=True):
        mine.data.copy_(parameter)
    batch = collate(small_graphs.molecules(Graph, seed=0)[:20])
    peer = Batch.from_data_list(small_graphs.molecules(Data, seed=0)[:20])
    torch.testing.assert_close(ours(batch), theirs(peer), rtol=1e-4, atol=1e-4)


def test_writes_a_row_for_all_that_is_timed(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        small_graphs.main(["--out", str(tmp_path)], count=1)
    finally:
        torch.set_num_threads(threads)
    result = json.loads((tmp_path / "result.json").read_text())
    works = [row["work"].split(", ")[1] for row in result["rows"]]
    assert works[0] == "forward" and works[-1] == "loader + forward + backward + Adam" and len(works) == 7
    assert all(row["ours_ms"] > 0 and row["peer_ms"] > 0 for row in result["rows"])
    sizes = [graph.num_nodes for graph in small_graphs.molecules(Graph, seed=0)]
    assert len(sizes) == 180 and min(sizes) >= 10 and max(sizes) <= 30
