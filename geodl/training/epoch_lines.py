"""EpochLines: a line an epoch, for a run whose output is a file."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

__all__ = ["EpochLines"]

_EVERY = 2.0  # seconds


class EpochLines(Callback):
    """Says after an epoch how far the run is and what its loss was; epochs that are over within two seconds share a line."""

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        self._began = self._told = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, *_: Any) -> None:
        now, done, total = time.monotonic(), trainer.current_epoch + 1, trainer.max_epochs or 0
        if not trainer.is_global_zero or (now - self._told < _EVERY and done < total):
            return
        self._told = now
        numbers = ", ".join(
            f"{name} {float(value):.4g}"
            for name, value in trainer.progress_bar_metrics.items()
            if name != "v_num"
        )
        print(f"epoch {done} of {total}: {numbers}, {now - self._began:.0f} s", file=sys.stderr, flush=True)
