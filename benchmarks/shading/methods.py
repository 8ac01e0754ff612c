"""The methods that are compared: each learns from the training shapes and answers at the vertices or the pixels of the test's."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from benchmarks.baseline import ridge
from benchmarks.shading.data import (
    DIRECTED,
    Clouds,
    Screens,
    Surfaces,
    operators_of,
    positions,
    surroundings,
)
from benchmarks.shading.networks import OnCloud, OnScreen, OnSurface, OnTaps
from benchmarks.shading.taps import TURNS, Taps
from benchmarks.shading.traced import traced
from geodl.data import DataLoader, Mesh
from geodl.training import RegressionModule

VIEWS = 8  # of a shape
FARTHEST = 3.0  # how much smaller than the picture shapes are in training at most, so that thin limbs are no surprise
PENALTY = 0.1  # of the linear map of what pixels know
NOISE = 0.2  # of the signals on surfaces, in their deviations
SHOWN = "screen, what the view shows, traced"

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Answer:
    """Of a method: values at the vertices of every test mesh, or at the valid pixels of every view."""

    name: str
    values: list[Tensor]
    parameters: int
    at_vertices: bool
    training_seconds: float | None = None


class Methods:
    """What all seeds share: shapes, operators, views.

    Args:
        train, test: meshes of :class:`~geodl.datasets.ShadedShapes`.
        seed: of the views.
        longer: factor of the epochs.
    """

    def __init__(self, train: list[Mesh], test: list[Mesh], seed: int, longer: float) -> None:
        self.train, self.test, self.longer = train, test, longer
        self.operators = operators_of(train), operators_of(test)
        self.screens = Screens(train, VIEWS, seed, FARTHEST), Screens(test, VIEWS, seed + 1)

    @property
    def views(self) -> list[Any]:
        return self.screens[1].views

    def linear(self) -> Iterator[Answer]:
        """Those that have no seed: ridge regressions, and what the views show."""
        for name, signal in (("positions", positions), ("balls", surroundings)):
            _, unseen, linear = self._signals(signal)
            values = [linear(item.x)[:, 0].detach() for item in unseen.items]
            yield Answer(f"{name}, ridge", values, size(linear), True)
        linear = self._of_pixels()
        values = [linear(known(view))[:, 0].detach() for view in self.views]
        yield Answer("screen, ridge", values, size(linear), False)
        seen = [traced(self.test[k // VIEWS], view) for k, view in enumerate(self.views)]
        yield Answer(SHOWN, seen, 0, False)
        first = self.screens[0].views[::VIEWS]
        x = torch.cat([traced(mesh, view) for mesh, view in zip(self.train, first, strict=True)])
        linear = ridge(x[:, None], torch.cat([view.occlusion[view.valid] for view in first]))
        values = [linear(one[:, None])[:, 0].detach() for one in seen]
        yield Answer(f"{SHOWN}, ridge", values, size(linear), False)

    def learned(self, seed: int) -> Iterator[Answer]:
        """The networks."""
        for name, signal, noise in (("positions", positions, 0.0), ("balls", surroundings, NOISE)):
            surfaces, unseen, linear = self._signals(signal)
            trained, seconds = self._fit(lambda: OnSurface(linear, noise), surfaces, 15, 2, 2e-3, seed)  # noqa: B023
            name = f"surface, DiffusionNet of {name}"
            yield Answer(name, predict(trained, unseen), size(trained), True, seconds)
        trained, seconds = self._fit(OnCloud, Clouds(self.train, seed, True), 50, 4, 5e-3, seed)
        values = predict(trained, Clouds(self.test, 0, False))
        yield Answer("cloud, gathered", values, size(trained), True, seconds)
        linear = self._of_pixels()
        trained, seconds = self._fit(lambda: OnScreen(linear), self.screens[0], 8, 8, 2e-3, seed)
        pictures = predict(trained, self.screens[1])
        values = [one[0][view.valid] for one, view in zip(pictures, self.views, strict=True)]
        yield Answer("screen, U-Net", values, size(trained), False, seconds)
        trained, seconds = self._fit(OnTaps, Taps(self.screens[0], seed, True), 60, 8, 3e-3, seed)
        turned = predict(trained, Taps(self.screens[1], 0, False))
        values = [answers.view(TURNS, -1).mean(dim=0) for answers in turned]
        yield Answer("screen, gathered", values, size(trained), False, seconds)

    def _signals(self, signal: Callable[[Mesh], Tensor]) -> tuple[Surfaces, Surfaces, nn.Linear]:
        """Training and test surfaces with a signal, and the linear map of it that is nearest to the truth."""
        surfaces = Surfaces(self.train, self.operators[0], signal)
        unseen = Surfaces(self.test, self.operators[1], signal, surfaces.scale)
        truth = torch.cat([mesh.occlusion for mesh in self.train])
        return surfaces, unseen, ridge(torch.cat([item.x for item in surfaces.items]), truth)

    def _of_pixels(self) -> nn.Linear:
        views = self.screens[0].views
        truth = torch.cat([view.occlusion[view.valid] for view in views])
        return ridge(torch.cat([known(view) for view in views]), truth, PENALTY)

    def _fit(
        self, make: Callable[[], nn.Module], data: Any, epochs: int, batch: int, rate: float, seed: int
    ) -> tuple[RegressionModule, float]:
        """The model after the last epoch, and the processor's seconds that it took."""
        L.seed_everything(seed, verbose=False)
        module = RegressionModule(make(), rate)
        trainer = L.Trainer(
            max_epochs=max(1, round(epochs * self.longer)), accelerator="cpu", logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        began = time.process_time()
        order = torch.Generator().manual_seed(seed)
        trainer.fit(module, DataLoader(data, batch, shuffle=True, generator=order, drop_last=True))
        return module.eval(), round(time.process_time() - began, 1)


def predict(module: RegressionModule, data: Any) -> list[Tensor]:
    with torch.no_grad():
        return [module(batch) for batch in DataLoader(data)]


def known(view: Any) -> Tensor:
    """What valid pixels know that does not turn with the view, ``[P, C]``."""
    x: Tensor = view.x[DIRECTED:, view.valid].T
    return x


def size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
