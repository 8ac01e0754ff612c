"""The benchmark of DGCNN's training step on a tiny batch: the same losses as both peers, step by step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import dgcnn_peers, dgcnn_step
from benchmarks.operators.measure import Work
from geodl.models import DGCNN


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("cluster", [True, False])
def test_losses_are_those_of_the_peers(
    cluster: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if cluster:
        pytest.importorskip("torch_cluster")
    else:
        monkeypatch.setattr(dgcnn_peers, "optional", lambda name: None)
    monkeypatch.setattr(dgcnn_step, "roof", lambda *_: Work(1.0, 1e9))
    sizes = ["--batch", "4", "--points", "64", "--k", "8", "--steps", "3", "--threads", "1", "--out"]
    dgcnn_step.main([*sizes, str(tmp_path)])
    result = json.loads((tmp_path / "result.json").read_text())
    assert len(result["rows"]) == 2 and str(tmp_path) not in json.dumps(result)
    for row in result["rows"]:
        assert row["relative_difference_of_the_first_loss"] < 1e-5
        assert max(row["ours_from_float64"], row["peer_from_float64"]) < 1e-5
        assert row["largest_relative_difference_of_losses"] < 1e-2
        assert row["ours_losses"][-1] < row["ours_losses"][0]
        # All three are rounded: the times to 0.01 ms, the ratio to 0.01.
        least, most = ((row["peer_ms"] + d) / (row["ours_ms"] - d) for d in (-0.005, 0.005))
        assert least - 0.006 <= row["ratio"] <= most + 0.006
    assert ("torch_cluster" if cluster else "our neighbours") in result["rows"][1]["peer"]


def test_in_float64_all_three_are_the_same() -> None:
    torch.manual_seed(0)
    clouds, labels = dgcnn_step.batch(3, 50, seed=1)
    published = dgcnn_peers.PublishedDGCNN(dgcnn_step.CLASSES, 8)
    state = dict(published.state_dict())
    geometric = dgcnn_peers.GeometricDGCNN(dgcnn_step.CLASSES, 8, clouds.device)
    geometric.load_published(state)
    exact = dgcnn_step.first_loss(DGCNN.from_published(state, 8, dropout=0.0), clouds, labels)
    for peer in (published, geometric):
        scores = peer.double()(clouds.double())
        loss = torch.nn.functional.cross_entropy(scores, labels, label_smoothing=dgcnn_step.SMOOTHING)
        assert float(loss) == pytest.approx(exact, rel=1e-12)


def test_a_batch_without_statistics_is_named() -> None:
    with pytest.raises(SystemExit):
        dgcnn_step.main(["--batch", "1"])
