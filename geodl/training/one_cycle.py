"""The learning rate that rises and falls once in a run."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch

from geodl.training.training_steps import training_steps

__all__ = ["one_cycle"]


def one_cycle(module: L.LightningModule, optimizer: torch.optim.Optimizer, learning_rate: float) -> Any:
    """What ``configure_optimizers`` returns: the optimiser, and a rate that reaches ``learning_rate`` (Smith & Topin 2019)."""
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=training_steps(module))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}
