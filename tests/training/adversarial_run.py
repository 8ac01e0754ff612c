"""A short adversarial run in a folder that may end by kill -9: `python adversarial_run.py FOLDER [STEP]`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import lightning as L
import torch

from geodl.models import DCDiscriminator, StyleGenerator
from geodl.training import AdversarialModule, ImageData, make_trainer, resume_point


def run(folder: Path, killed_at: int | None = None) -> AdversarialModule:
    """Three epochs of seven steps, with every penalty."""
    L.seed_everything(3, verbose=False)
    module = AdversarialModule(
        StyleGenerator(4, (4, 3), 1, (3, 3), mapping_layers=2),
        DCDiscriminator(1, (3, 4), (3, 3)),
        r1_every=2,
        path_every=3,
    )
    images = torch.rand(30, 1, 6, 6)

    class PowerCut(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, module: Any, *_: Any) -> None:
            if int(module.steps) == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)

    trainer = make_trainer(folder, 3, progress=False)
    trainer.callbacks.append(PowerCut())
    data = ImageData(images, 8, seed=5, batches=7)
    trainer.fit(module, data, ckpt_path=resume_point(folder), weights_only=True)
    return module


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]), int(sys.argv[2]))
