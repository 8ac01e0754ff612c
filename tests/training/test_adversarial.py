"""Adversarial training: losses and penalties by their definitions, the average, and a run that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.models import DCDiscriminator, DCGenerator, StyleGenerator
from geodl.nn import mesh_levels
from geodl.training import AdversarialModule, ImageData, make_trainer
from tests.geometry.shapes import bumpy

from .adversarial_run import run


class Shift(nn.Module):
    """Images that are z, moved by what is learned."""

    latent_channels = 3

    def __init__(self) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.zeros(3))

    def forward(self, z: Tensor, level: None = None) -> Tensor:
        return z + self.by


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.5, -1.0, 2.0]))

    def forward(self, x: Tensor, level: None = None) -> Tensor:
        return x @ self.weight


def toy(**options: Any) -> AdversarialModule:
    torch.manual_seed(0)
    return AdversarialModule(Shift(), Linear(), **options)


@pytest.mark.parametrize("loss", ["non-saturating", "hinge"])
def test_losses_and_r1_are_those_of_the_papers(loss: Any) -> None:
    module, real = toy(loss=loss, r1=0.3, r1_every=4), torch.randn(5, 3)
    torch.manual_seed(1)
    found = module._discriminator_losses(real, 8)
    torch.manual_seed(1)
    fake = torch.randn(5, 3)
    on_real, on_fake = module.discriminator(real), module.discriminator(fake)
    if loss == "hinge":
        expected = (F.relu(1 - on_real) + F.relu(1 + on_fake)).mean()
    else:  # cross entropy with the labels 1 and 0
        expected = F.binary_cross_entropy_with_logits(on_real, torch.ones(5))
        expected = expected + F.binary_cross_entropy_with_logits(on_fake, torch.zeros(5))
    torch.testing.assert_close(found["discriminator"], expected)
    # The slope of a linear function is its weight; every fourth step counts for four.
    torch.testing.assert_close(found["r1"], 4 * 0.3 / 2 * module.discriminator.weight.square().sum())
    assert set(module._discriminator_losses(real, 9)) == {"discriminator"}
    torch.manual_seed(1)
    [value] = module._generator_losses(real, 8).values()
    expected = F.softplus(-on_fake) if loss == "non-saturating" else -on_fake
    torch.testing.assert_close(value, expected.mean())


def test_path_length_of_images_that_are_linear_in_w() -> None:
    class Linear(StyleGenerator):
        def synthesis(self, styles: Tensor, level: Any = None, random: Any = None) -> Tensor:
            return (styles.mean(1) @ torch.diag(torch.tensor([3.0, 3.0, 3.0, 3.0]))).view(-1, 1, 2, 2)

    torch.manual_seed(0)
    module = AdversarialModule(
        Linear(4, (2,), 1, (2, 2)), DCDiscriminator(1, (2,), (2, 2)), path_length=1.0, path_every=1
    )
    for _ in range(800):
        penalty = float(module._path_penalty(torch.randn(64, 4)).detach())
    # |J^T y| = 3 |y| with y of 4 standard normal numbers over the root of the 4 points; the mean is that of a chi distribution.
    chi = 2**0.5 * float(torch.exp(torch.lgamma(torch.tensor(2.5)) - torch.lgamma(torch.tensor(2.0))))
    layers = 1  # w of the one layer
    assert float(module.mean_length) == pytest.approx(3 * chi / 2 / layers**0.5, rel=0.03)
    assert 0 < penalty < 5


def test_a_shift_is_learned_and_the_average_follows() -> None:
    module = toy(r1=1.0, r1_every=1, learning_rate=0.02, half_life=2000)
    real = torch.randn(2000, 3) + torch.tensor([1.0, -0.5, 0.25])
    make_short_trainer(300).fit(module, ImageData(real, 50, batches=300))
    assert float((module.average.by - torch.tensor([1.0, -0.5, 0.25])).abs().max()) < 0.25
    before, kept = module.average.by.clone(), 0.5 ** (50 / min(2000, 300 * 50 / 20))
    module._move_average(50)
    torch.testing.assert_close(module.average.by, kept * before + (1 - kept) * module.generator.by.detach())
    assert not module.average.by.requires_grad and not module.average.training


def make_short_trainer(steps: int) -> Any:
    import lightning as L

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return L.Trainer(
        accelerator="cpu", max_epochs=1, limit_train_batches=steps, enable_model_summary=False, **quiet
    )


@pytest.mark.parametrize("kind", [StyleGenerator, DCGenerator])
def test_training_on_a_surface_moves_every_weight(kind: Any) -> None:
    torch.manual_seed(0)
    level = mesh_levels(bumpy(1), (12,))
    module = AdversarialModule(
        kind(4, (4, 3), 1, 12), DCDiscriminator(1, (3, 4), 12), level=level, r1_every=1, path_every=1
    )
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    make_short_trainer(2).fit(module, ImageData(torch.randn(8, 1, 42), 4))
    still = [name for name, p in module.named_parameters() if torch.equal(p, before[name])]
    assert not still and int(module.steps) == 2


def test_augmentation_is_between_the_images_and_the_discriminator() -> None:
    module = toy(augment=lambda x: x + 10, r1=0.0)
    torch.manual_seed(1)
    value = module._generator_losses(torch.zeros(4, 3), 1)["generator"]
    torch.manual_seed(1)
    score = module.discriminator(torch.randn(4, 3) + 10)
    torch.testing.assert_close(value, F.softplus(-score).mean())


def test_bad_options_are_named() -> None:
    with pytest.raises(ValueError, match="not 'wasserstein'"):
        toy(loss="wasserstein")
    with pytest.raises(ValueError, match="every 1 or more steps, not 0 and 8"):
        toy(r1_every=0)
    with pytest.raises(ValueError, match="from 1 to 3, the images, not 4"):
        ImageData(torch.zeros(3, 1), 4)


def test_batches_go_on_where_they_stopped() -> None:
    images = torch.arange(10)
    whole, parts = ImageData(images, 3, seed=1, batches=4), ImageData(images, 3, seed=1, batches=4)
    expected = [batch for _ in range(3) for batch in whole.train_dataloader()]
    assert len(expected) == 12 and len(whole.train_dataloader()) == 4
    for number in range(0, 12, 3):  # of each pass
        assert len(torch.cat(expected[number : number + 3]).unique()) == 9
    found = []
    for batch in parts.train_dataloader():
        found.append(batch)
        if len(found) == 2:
            break
    state = parts.state_dict()
    resumed = ImageData(images, 3, seed=99, batches=4)
    resumed.load_state_dict(state)
    for _ in range(3):
        found += list(resumed.train_dataloader())
    assert all(torch.equal(one, two) for one, two in zip(found, expected, strict=True))


@pytest.mark.slow
def test_a_run_that_was_killed_ends_where_another_does(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = run(tmp_path / "whole")
        script = [sys.executable, "-m", "tests.training.adversarial_run", str(tmp_path / "parts"), "17"]
        root = Path(__file__).parents[2]
        environment = os.environ | {"PYTHONPATH": str(root)}
        done = subprocess.run(script, capture_output=True, text=True, timeout=240, cwd=root, env=environment)
        assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
        resumed = run(tmp_path / "parts")
    finally:
        torch.set_num_threads(threads)
    assert int(whole.steps) == int(resumed.steps) == 21
    one, two = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    ends = [
        torch.load(tmp_path / part / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"]
        for part in ("whole", "parts")
    ]
    for first, second in zip(*ends, strict=True):
        for number, state in first["state"].items():
            assert all(torch.equal(state[key], second["state"][number][key]) for key in state)


def test_the_trainer_writes_what_a_run_needs(tmp_path: Path) -> None:
    module = toy()
    make_trainer(tmp_path, 1, progress=False).fit(module, ImageData(torch.randn(20, 3), 4, batches=3))
    held = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert {"steps", "seed", "mean_length", "average.by", "generator.by"} <= set(held["state_dict"])
    assert len(held["optimizer_states"]) == 2
    assert held["ImageData"] == {"seed": 0, "given": 3}
