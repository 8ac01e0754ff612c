"""Functional maps are learned on a few small bodies, with correspondences and without, and the run resumes."""

from pathlib import Path
from typing import Literal

import pytest
import torch

from geodl.data import InvariantSignal
from geodl.datasets import Puppets
from geodl.matching import MatchedPair, evaluate
from geodl.models import FunctionalMapNet
from geodl.training import FunctionalMapData, FunctionalMapModule, make_trainer, resume_point


def data(tmp_path: Path, batch_size: int = 2) -> FunctionalMapData:
    train = [mesh.clone() for mesh in Puppets(2, 2, num_vertices=1500)]
    for mesh in train:
        mesh.corres = mesh.y.argsort()  # registrations: the vertex of each reference vertex
        del mesh.y
    return FunctionalMapData(train, train[:2], 40, batch_size, cache=tmp_path / "cache")


@pytest.mark.parametrize("supervision", ["points", None])
def test_learns_and_resumes(supervision: Literal["points"] | None, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = data(tmp_path)
    net = FunctionalMapNet(InvariantSignal.channels, 32, 16, 1, eigenfunctions=20)
    module = FunctionalMapModule(net, supervision, sample=200)
    run = tmp_path / "run"
    make_trainer(run, 2, "cpu", progress=False).fit(module, made)
    begun = (run / "logs" / "version_0" / "metrics.csv").read_text().splitlines()
    assert len(begun) > 4
    again = make_trainer(run, 8, "cpu", progress=False)
    again.fit(module, made, ckpt_path=resume_point(run), weights_only=True)
    assert again.global_step == 16
    one, two = made.ready["test"]
    with torch.inference_mode():
        features = [net(mesh.x, mesh.spectrum, mesh.gradient) for mesh in (one, two)]
    found = net.point_map(features[0].clone(), features[1].clone())
    error = evaluate([MatchedPair(one, found, torch.arange(one.pos.shape[0]))]).mean_error
    assert error < 12, error  # a random map: about 60


def test_single_shapes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least two shapes a batch, not 1"):
        data(tmp_path, 1)


def test_loss_without_points_reads_no_correspondence(tmp_path: Path) -> None:
    made = data(tmp_path)
    made.setup()
    made.trainer = None
    batch = next(iter(made.train_dataloader()))
    module = FunctionalMapModule(FunctionalMapNet(InvariantSignal.channels, 8, 8, 1, eigenfunctions=10), None)
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    before = module.training_step(batch, 0)
    del batch.corres
    torch.testing.assert_close(module.training_step(batch, 0), before)
    before.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in module.parameters())


def test_maps_grow_over_two_thirds_of_the_steps(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = FunctionalMapNet(InvariantSignal.channels, 8, 8, 1, eigenfunctions=20)
    sizes: list[int] = []

    class Watched(FunctionalMapModule):
        def map_size(self) -> int:
            sizes.append(super().map_size())
            return sizes[-1]

    make_trainer(tmp_path / "run", 3, "cpu", progress=False).fit(Watched(net, first=8), data(tmp_path))
    assert sizes == [8, 11, 14, 17, 20, 20]
    with pytest.raises(ValueError, match=r"first must lie in 1\.\.20, the size of the maps, got 21"):
        FunctionalMapModule(net, first=21)
