"""Training: it learns, it resumes as if it had not stopped, several processes agree."""

import subprocess
import sys
from pathlib import Path

import lightning as L
import pytest
import torch

from geodl.data import DataLoader, Graph
from geodl.models import GCN, GCNN
from geodl.training import (
    ClassificationModule,
    CorrespondenceData,
    DescriptorModule,
    LabellingModule,
    make_trainer,
    resume_point,
    training_seconds,
)

from .shapes import spheres


def labelling(cache: Path) -> tuple[LabellingModule, CorrespondenceData]:
    L.seed_everything(0, verbose=False)
    shapes = spheres(6)
    data = CorrespondenceData(shapes[:5], shapes[5:], shapes[0], 2, 4, patch_size=12, cache=cache)
    return LabellingModule(
        GCNN(9, 42, 2, 4, widths=(16, 16), hidden=32), 1e-2, sample=30, turn=(3.0, 3.0, 3.0)
    ), data


def weights(module: L.LightningModule) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def test_labelling_learns(tmp_path: Path) -> None:
    module, data = labelling(tmp_path / "cache")
    trainer = make_trainer(tmp_path / "run", 15, progress=False)
    trainer.fit(module, data)
    assert training_seconds(trainer) > 0
    [predicted] = [shape for batch in trainer.predict(module, data) for shape in batch]
    assert float((predicted == torch.arange(42)).float().mean()) > 0.9
    assert list((tmp_path / "run" / "logs").glob("*/metrics.csv"))
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_a_training_without_a_batch_is_named(tmp_path: Path) -> None:
    graph = Graph(torch.tensor([[0, 1], [1, 0]]), torch.eye(2), y=torch.tensor([0]))
    module = ClassificationModule(GCN(2, 2), 2)
    loader = DataLoader([graph] * 3, batch_size=4, drop_last=True)
    with pytest.raises(ValueError, match=r"no batch.* drop_last"):
        make_trainer(tmp_path, 1, progress=False).fit(module, loader)


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    module, data = labelling(tmp_path / "cache")
    make_trainer(tmp_path / "whole", 4, progress=False).fit(module, data)
    whole = weights(module)

    class Interrupt(L.Callback):
        def on_train_epoch_start(self, trainer: L.Trainer, _: L.LightningModule) -> None:
            if trainer.current_epoch == 2:
                raise RuntimeError("power cut")

    module, data = labelling(tmp_path / "cache")
    trainer = make_trainer(tmp_path / "parts", 4, progress=False)
    trainer.callbacks.append(Interrupt())
    with pytest.raises(RuntimeError, match="power cut"):
        trainer.fit(module, data)
    module, data = labelling(tmp_path / "cache")
    torch.nn.init.zeros_(module.model.head.weight)  # whatever the new process starts from is replaced
    checkpoint = resume_point(tmp_path / "parts")
    assert checkpoint is not None
    make_trainer(tmp_path / "parts", 4, progress=False).fit(
        module, data, ckpt_path=checkpoint, weights_only=True
    )
    torch.testing.assert_close(weights(module), whole, rtol=0, atol=0)
    assert (
        len(list((tmp_path / "parts" / "logs").glob("*/metrics.csv"))) == 2
    )  # the interrupted run's are kept


def test_descriptors_learn(tmp_path: Path) -> None:
    L.seed_everything(0, verbose=False)
    shapes = spheres(6)
    data = CorrespondenceData(
        shapes[:4], shapes[4:], shapes[0], 2, 4, 12, batch_size=2, cache=tmp_path / "cache"
    )
    module = DescriptorModule(GCNN(9, 8, 2, 4, widths=(16, 16), hidden=32), 42, 1e-2)
    trainer = make_trainer(tmp_path / "run", 40, progress=False)
    trainer.fit(module, data)
    first, second = (shape for batch in trainer.predict(module, data) for shape in batch)
    matched = torch.cdist(first, second).argmin(1)
    assert float((matched == torch.arange(42)).float().mean()) > 0.8


def test_a_descriptor_batch_of_one_shape_is_refused(tmp_path: Path) -> None:
    shapes = spheres(2)
    data = CorrespondenceData(shapes, shapes[:1], shapes[0], 2, 4, 12, batch_size=1, cache=tmp_path)
    module = DescriptorModule(GCNN(9, 8, 2, 4, widths=(16,), hidden=32), 42)
    with pytest.raises(ValueError, match="set batch_size to 2 or more"):
        make_trainer(tmp_path / "run", 1, progress=False).fit(module, data)


def test_trainer_refuses_no_epochs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be positive, got 0 and 1"):
        make_trainer(tmp_path, 0)


@pytest.mark.slow
def test_two_processes_share_the_work_and_end_with_the_same_weights(tmp_path: Path) -> None:
    script = Path(__file__).with_name("two_processes.py")
    run = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        str(script),
        str(tmp_path),
    ]
    done = subprocess.run(run, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert torch.equal(first["weights"], second["weights"])
    assert not torch.equal(first["weights"], first["start"])
    assert first["shapes"] + second["shapes"] == 6 and first["shapes"] == second["shapes"]
