"""A Lightning trainer whose run folder holds everything of a run, and from which the run resumes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint, Timer, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from geodl.training.epoch_lines import EpochLines
from geodl.training.quiet import quiet


def resume_point(folder: Path) -> Path | None:
    """The checkpoint from which the run in ``folder`` resumes; None if it has not begun."""
    last = folder / "checkpoints" / "last.ckpt"
    return last if last.exists() else None


def make_trainer(
    folder: Path,
    epochs: int,
    device: str = "cpu",
    devices: int = 1,
    precision: Any = None,
    progress: bool = True,
) -> L.Trainer:
    """A trainer that logs (CSV and TensorBoard) and checkpoints every epoch into ``folder``.

    Args:
        folder: run folder; ``trainer.fit(module, data, ckpt_path=resume_point(folder))`` resumes what it holds.
        epochs: passes over the training shapes, those of interrupted runs included.
        device: "cpu" or "cuda".
        devices: how many of them; several train data-parallel (DDP), by Lightning's own launcher or under torchrun.
        precision: as Lightning names it; 16-bit mixed (bfloat16) on CUDA and 32-bit on the CPU if not given.
        progress: whether to say how far it is: by a bar on a terminal, else by a line an epoch.

    Raises:
        ValueError: epochs or devices is not positive.
    """
    if epochs < 1 or devices < 1:
        raise ValueError(f"epochs and devices must be positive, got {epochs} and {devices}")
    quiet()
    bar = progress and sys.stderr.isatty()
    callbacks: list[Callback] = [
        # The file of the last epoch is written beside the previous one and then takes its name.
        ModelCheckpoint(
            folder / "checkpoints", "last", save_on_train_epoch_end=True, enable_version_counter=False
        ),
        LearningRateMonitor("epoch"),
        Timer(),  # its clock is kept in the checkpoint
    ]
    if bar:
        callbacks.append(TQDMProgressBar(refresh_rate=10))
    elif progress:
        callbacks.append(EpochLines())
    return L.Trainer(
        accelerator="gpu" if device == "cuda" else device,
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        precision=precision or ("bf16-mixed" if device == "cuda" else "32-true"),
        max_epochs=epochs,
        logger=[CSVLogger(folder, "logs"), TensorBoardLogger(folder, "tensorboard", "")],
        callbacks=callbacks,
        enable_progress_bar=bar,
        enable_model_summary=False,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        deterministic="warn",
    )


def training_seconds(trainer: L.Trainer) -> float:
    """Seconds spent in training, those of the interrupted runs that it resumed included."""
    [timer] = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]
    return float(timer.time_elapsed("train"))
