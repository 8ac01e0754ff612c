"""Measures over the epochs, which only tell how a training went."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback


class Curve(Callback):
    """After every epoch the measures on the test shapes, and the seconds of training so far, without those of the tests.

    Both are in the checkpoint, so that a run that goes on has all of them.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.seconds = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        self._began = time.perf_counter()

    def on_validation_epoch_start(self, *_: Any) -> None:
        self.seconds += time.perf_counter() - self._began

    def on_validation_epoch_end(self, trainer: L.Trainer, module: Any) -> None:
        row = {"seconds": round(self.seconds, 1), "accuracy": module.scores.accuracy}
        row |= {"accuracy_by_area": module.scores_by_area.accuracy, "mean_iou": module.scores.mean_iou}
        self.rows.append({name: round(value, 4) for name, value in row.items()})

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self.seconds = state_dict["rows"], state_dict["seconds"]
