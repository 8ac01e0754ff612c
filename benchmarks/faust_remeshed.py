"""Functional maps on the remeshed FAUST: `python -m benchmarks.faust --data remeshed --method zoomout|fmaps-...`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from torch import Tensor

from geodl.data import InvariantSignal
from geodl.datasets import FAUST
from geodl.matching import MatchedPair, evaluate
from geodl.models import FunctionalMapNet
from geodl.training import (
    FunctionalMapData,
    FunctionalMapModule,
    make_trainer,
    resume_point,
    training_seconds,
)

# Passes over the training shapes, shapes a step, learning rate.
EPOCHS = {"fmaps-supervised": 60, "fmaps-unsupervised": 60}
BATCH_SIZE = 4
EIGENFUNCTIONS = 128
# The curve over time: so many epochs apart, so many pairs and points of them.
CURVE_EVERY, CURVE_POINTS = 2, 200


class TestCurve(Callback):
    """Mean geodesic error on a ring of the test shapes while training goes on, in ``curve.json``. Nothing is chosen by it."""

    def __init__(self, folder: Path, data: FunctionalMapData) -> None:
        self.path, self.data = folder / "curve.json", data
        self.points: list[dict[str, float]] = []
        self.spent = 0.0

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if (trainer.current_epoch + 1) % CURVE_EVERY or not trainer.is_global_zero:
            return
        began = time.perf_counter()
        features = all_features(pl_module, self.data)
        shapes = self.data.ready["test"]
        random = torch.Generator().manual_seed(0)
        pairs = []
        for k, target in enumerate(shapes):
            source = (k + 1) % len(shapes)
            chosen = torch.randperm(target.corres.shape[0], generator=random)[:CURVE_POINTS]
            at = shapes[source].corres[chosen]
            found = FunctionalMapNet.point_map(features[k], features[source][at])
            pairs.append(MatchedPair(target, found, target.corres[chosen]))
        error = evaluate(pairs).mean_error
        self.spent += time.perf_counter() - began
        seconds = training_seconds(trainer) - self.spent
        self.points.append(
            {"epoch": trainer.current_epoch + 1, "seconds": round(seconds, 1), "mean_error_x100": error}
        )
        self.path.write_text(json.dumps(self.points, indent=2) + "\n")
        pl_module.train()

    def state_dict(self) -> dict[str, Any]:
        return {"points": self.points, "spent": self.spent}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.points, self.spent = state_dict["points"], state_dict["spent"]


def all_features(module: L.LightningModule, data: FunctionalMapData) -> list[Tensor]:
    """Of every test shape, on the CPU."""
    module.eval()
    with torch.inference_mode():
        return [
            features.cpu().clone()
            for number, batch in enumerate(data.predict_dataloader())
            for features in module.predict_step(batch.to(module.device), number)
        ]


def train(
    chosen: argparse.Namespace, console: Console
) -> tuple[FunctionalMapModule, FunctionalMapData, dict[str, float]]:
    began = time.perf_counter()
    shapes = [list(FAUST(chosen.root, "remeshed", split)) for split in ("train", "test")]
    data = FunctionalMapData(*shapes, EIGENFUNCTIONS, BATCH_SIZE, chosen.seed, chosen.cache)
    data.setup()
    supervision: Literal["points"] | None = "points" if chosen.method == "fmaps-supervised" else None
    module = FunctionalMapModule(FunctionalMapNet(InvariantSignal.channels), supervision)
    seconds = {"preparation": time.perf_counter() - began}
    trainer = make_trainer(
        chosen.out,
        chosen.epochs or EPOCHS[chosen.method],
        chosen.device,
        chosen.devices,
        progress=sys.stdout.isatty(),
    )
    curve = TestCurve(chosen.out, data)
    trainer.callbacks.append(curve)  # type: ignore[attr-defined]
    resumed = resume_point(chosen.out)
    console.print(f"Resuming from {resumed}." if resumed else f"Run folder: {chosen.out}")
    trainer.fit(module, data, ckpt_path=resumed, weights_only=True if resumed else None)
    seconds["training"] = training_seconds(trainer) - curve.spent
    return module, data, seconds
