"""The benchmark of segmentation from end to end on a few small shapes: every kind of network, goes on, and refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.segmentation import __main__ as segmentation
from benchmarks.segmentation import data
from benchmarks.segmentation.baseline import Ridge
from benchmarks.segmentation.data import Task
from benchmarks.segmentation.networks import NETWORKS
from benchmarks.tables import parts_table
from geodl import viz
from geodl.viz import picture
from tests.training.shapes import spheres

pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install 'geodl[viz]'")


@pytest.fixture(autouse=True)
def few_shapes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def some(name: str, root: Path | None) -> Task:
        shapes = spheres(7, 2)
        for mesh in shapes:
            mesh.y = (mesh.pos[:, 0] > 0).long() + (mesh.pos[:, 1] > 0)
        shapes[-1].y[:3] = -1
        return Task(shapes[:4], {"test": shapes[4:6], "other": shapes[6:]}, ["a", "b", "c"])

    monkeypatch.setattr(segmentation, "read", some)
    monkeypatch.setattr(picture, "SIZE", (3.0, 2.0))
    threads = torch.get_num_threads()
    with viz.use_renderer("matplotlib"):
        yield
    torch.set_num_threads(threads)


def command(folder: Path, *more: str) -> list[str]:
    return [
        *("--threads", "1", "--device", "cpu", "--epochs", "1", "--cache", str(folder / "cache")),
        *("--out", str(folder / "run")),
        *more,
    ]


@pytest.mark.parametrize(
    ("model", "signal"),
    [
        ("diffusionnet", "xyz"),
        ("gcnn", "hks"),
        pytest.param("pointnet2", "hks", marks=pytest.mark.slow),
        *(
            pytest.param(model, "xyz", marks=pytest.mark.slow)
            for model in NETWORKS
            if NETWORKS[model].kind == "cloud"
        ),
    ],
)
def test_every_network_is_trained(model: str, signal: str, tmp_path: Path) -> None:
    segmentation.main(command(tmp_path, "--model", model, "--signal", signal))
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["model"] == f"{NETWORKS[model].title}, {signal}" and result["parameters"] > 1000
    assert {*result["metrics"]["tests"]} == {"test", "other"}
    for of_set in result["metrics"]["tests"].values():
        assert 0 <= of_set["mean_iou"]["mean"] <= 1 and 0 < of_set["accuracy_by_area"]["ridge"] <= 1


def test_writes_down_what_it_finds_and_does_not_train_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmentation.main(command(tmp_path, "--seeds", "2"))
    folder = tmp_path / "run"
    result = json.loads((folder / "result.json").read_text())
    assert result["seeds"] == [0, 1] and str(tmp_path) not in json.dumps(result)
    assert len(result["metrics"]["tests"]["test"]["accuracy"]["seeds"]) == 2
    for name in ("truth", "predicted", "errors"):
        assert (folder / f"{name}.png").stat().st_size > 5_000
    assert parts_table([result]).count("\n") == 3
    monkeypatch.setattr(segmentation, "one_seed", None)
    segmentation.main(command(tmp_path, "--seeds", "2"))
    again = json.loads((folder / "result.json").read_text())
    assert again["metrics"]["tests"] == result["metrics"]["tests"]
    with pytest.raises(ValueError, match="of a run with signal hks; choose another --out"):
        segmentation.main(command(tmp_path, "--signal", "xyz"))


@pytest.mark.parametrize(
    ("given", "trouble"),
    [
        (["--data", "faust"], "needs --root"),
        (["--root", "there"], "takes no --root"),
        (["--epochs", "0"], "--epochs must be at least 1, not 0"),
        (["--model", "none"], "invalid choice"),
    ],
)
def test_wrong_arguments_are_named(
    given: list[str], trouble: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        segmentation.main(given)
    assert trouble in capsys.readouterr().err


def test_ridge_is_that_of_least_squares() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(200, 4, generator=random)
    y = (x[:, 0] + 0.3 * torch.randn(200, generator=random) > 0).long()
    shape = data.Data(x=x, y=y, pos=x[:, :3], area=torch.ones(200), spectrum=torch.zeros(1))
    ridge = Ridge([shape], 2)
    z = torch.cat([(x - x.mean(0)) / x.std(0), torch.ones(200, 1)], 1).double()
    root = torch.eye(5, dtype=torch.float64) * (200 * 1e-3) ** 0.5
    root[-1] = 0  # constants are free
    target = torch.cat([torch.nn.functional.one_hot(y, 2).double(), torch.zeros(5, 2)])
    expected = torch.linalg.lstsq(torch.cat([z, root]), target).solution
    columns = torch.cat([x.double(), x.new_ones(200, 1)], 1)
    torch.testing.assert_close(ridge.linear(columns[:, :4]), z @ expected, rtol=1e-5, atol=1e-6)
    scores, by_area = ridge.scores([shape])
    assert scores.accuracy > 0.85 and by_area.accuracy == pytest.approx(scores.accuracy)
