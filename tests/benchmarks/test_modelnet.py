"""The benchmark of point cloud classifiers from end to end on a few small clouds: it learns, goes on, and refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.modelnet import __main__ as modelnet
from benchmarks.modelnet import data, evaluation, networks, pictures, training
from benchmarks.tables import clouds_table, corruptions_table
from geodl import viz
from geodl.datasets import Solids
from geodl.viz import picture

pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install matplotlib")

TINY = [
    *("--points", "32", "--batch", "8", "--epochs", "3", "--corrupted", "6", "--threads", "1", "--device", "cpu"),
    "--out",
]  # fmt: skip


@pytest.fixture(autouse=True)
def few_clouds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def some(name: str, root: Path | None, split: str, points: int) -> Solids:
        return Solids(split, num_per_class=2, num_points=64 if split == "train" else points)  # type: ignore[arg-type]

    monkeypatch.setattr(data, "_open", some)
    monkeypatch.setattr(pictures, "PICTURES", 1)
    monkeypatch.setattr(picture, "SIZE", (3.0, 2.0))
    threads = torch.get_num_threads()
    with viz.use_renderer("matplotlib"):
        yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("model", sorted(set(networks.NETWORKS) - {"dgcnn"}))
def test_every_network_is_trained(model: str, tmp_path: Path) -> None:
    modelnet.main(["--model", model, *TINY, str(tmp_path), "--epochs", "1", "--corrupted", "0"])
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["model"] == networks.NETWORKS[model].title
    assert 0 <= result["metrics"]["overall_accuracy"] <= 1


def test_writes_down_what_it_finds(tmp_path: Path) -> None:
    modelnet.main(["--seeds", "2", *TINY, str(tmp_path), "--epochs", "1"])
    result = json.loads((tmp_path / "result.json").read_text())
    metrics = result["metrics"]
    assert result["seeds"] == [0, 1] and len(metrics["overall_accuracies"]) == 2
    assert str(tmp_path) not in json.dumps(result)
    # Classes are equally frequent here.
    assert metrics["mean_class_accuracy"] == pytest.approx(metrics["overall_accuracy"])
    assert {len(values) for values in metrics["corrupted_accuracy_at_severities"].values()} == {5}
    assert len(metrics["corrupted_accuracy_at_severities"]) == 7 and metrics["corrupted_clouds"] == 6
    assert (tmp_path / "confusion.png").stat().st_size > 10_000
    one = json.loads((tmp_path / "seed-0.json").read_text())
    if metrics["overall_accuracies"][0] < 1:
        assert (tmp_path / "misclassified-1.png").is_file()
    assert one["parameters"] == result["parameters"] and len(one["predicted"]) == 24
    assert clouds_table([result]).count("\n") == 2 and corruptions_table([result]).count("\n") == 2


def test_learns(tmp_path: Path) -> None:
    part, _ = data.read("solids", None, 48)
    losses: list[float] = []
    network = networks.NETWORKS["dgcnn"]
    training.train(
        network.make(12, 2), network, part, data.augmentation("solids", 48, part.up), 0, 12, 8, tmp_path / "a.pt", {},
        lambda epoch, loss: losses.append(loss),
    )  # fmt: skip
    assert losses[-1] < 0.8 * losses[0]


def test_goes_on_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modelnet.main([*TINY, str(tmp_path / "whole")])
    save = training.save

    def cut_short(*given: Any) -> None:
        save(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "save", cut_short)
    for _ in range(2):  # in the first epoch and in the second
        with pytest.raises(KeyboardInterrupt):
            modelnet.main([*TINY, str(tmp_path / "parts")])
    monkeypatch.setattr(training, "save", save)
    modelnet.main([*TINY, str(tmp_path / "parts")])
    whole, parts = (
        torch.load(tmp_path / name / "seed-0.pt", weights_only=True)["model"] for name in ("whole", "parts")
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    whole, parts = (json.loads((tmp_path / name / "seed-0.json").read_text()) for name in ("whole", "parts"))
    assert whole["predicted"] == parts["predicted"] and whole["corrupted"] == parts["corrupted"]


def test_a_finished_seed_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modelnet.main([*TINY, str(tmp_path)])
    before = json.loads((tmp_path / "result.json").read_text())["metrics"]
    monkeypatch.setattr(modelnet, "train", None)
    modelnet.main([*TINY, str(tmp_path)])
    after = json.loads((tmp_path / "result.json").read_text())["metrics"]
    before.pop("preparation_seconds"), after.pop("preparation_seconds")
    assert before == after


def test_another_run_in_the_same_folder_is_named(tmp_path: Path) -> None:
    modelnet.main([*TINY, str(tmp_path)])
    with pytest.raises(ValueError, match="of a run with epochs 3; choose another --out"):
        modelnet.main([*TINY, str(tmp_path), "--epochs", "4"])
    (tmp_path / "seed-0.json").unlink()
    with pytest.raises(ValueError, match=r"seed-0.pt is of a run with model dgcnn; choose another --out"):
        modelnet.main([*TINY, str(tmp_path), "--model", "pointnet"])


@pytest.mark.parametrize(
    ("given", "trouble"),
    [
        (["--data", "modelnet40"], "needs --root"),
        (["--root", "there"], "takes no --root"),
        (["--batch", "1"], "--batch must be at least 2, not 1"),
        (["--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["--epochs", "0"], "--epochs must be at least 1, not 0"),
        (["--model", "none"], "invalid choice"),
    ],
)
def test_wrong_arguments_are_named(
    given: list[str], trouble: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        modelnet.main(given)
    assert trouble in capsys.readouterr().err


def test_shapes_without_a_surface_are_not_trained_on_and_count_as_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    grids = np.zeros((6, 30, 30, 30), dtype=np.uint8)
    for number in (0, 1, 3, 4, 5):
        grids[number, 5 : 10 + number, 5:20, 5:25] = 1
    y = np.array([0, 1, 2, 3, 4, 5])
    np.savez(tmp_path / "occupancy_30.npz", X_train=grids, y_train=y, X_test=grids, y_test=y)
    train, test = data.read("occupancy10", tmp_path, 16)
    assert train.y.tolist() == [0, 1, 3, 4, 5] and train.pos.shape == (5, 2048, 3)
    assert test.y.tolist() == y.tolist() and test.pos.shape == (6, 16, 3) and test.up == "z"
    assert test.there.tolist() == [True, True, False, True, True, True]
    monkeypatch.setattr(evaluation, "predict", lambda model, clouds: torch.from_numpy(y))
    predicted, _ = evaluation.timed(torch.nn.Identity(), test)
    assert (predicted == test.y).tolist() == test.there.tolist()


def test_accuracies() -> None:
    y, predicted = torch.tensor([0, 0, 0, 0, 2, 2]), torch.tensor([0, 0, 0, 1, 2, 0])
    table = evaluation.confusion(predicted, y, 4)
    assert table.tolist() == [[3, 1, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert evaluation.accuracies(table) == pytest.approx((4 / 6, (3 / 4 + 1 / 2) / 2))


def test_predictions_of_ragged_clouds_are_those_of_each_alone() -> None:
    model = networks.NETWORKS["dgcnn"].make(5, 2)
    clouds = [torch.rand(points, 3) - 0.5 for points in (30, 21, 47)]
    together = evaluation.predict(model, clouds)
    assert together.tolist() == [int(evaluation.predict(model, [cloud])) for cloud in clouds]


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [training.learning_rate(k / 100) for k in range(101)]
    top = rates.index(max(rates))
    assert rates[0] == 0 and rates[top] == 1 and rates[-1] == pytest.approx(0)
    assert rates[: top + 1] == sorted(rates[: top + 1]) and rates[top:] == sorted(rates[top:], reverse=True)
