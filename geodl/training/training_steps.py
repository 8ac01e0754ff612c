"""How many steps a training will take."""

from __future__ import annotations

import lightning as L

__all__ = ["training_steps"]


def training_steps(module: L.LightningModule) -> int:
    """Steps of the optimiser in the whole training.

    Raises:
        ValueError: there are none.
    """
    steps = int(module.trainer.estimated_stepping_batches)
    if steps < 1:
        raise ValueError(
            "the training data has no batch: it is empty, or smaller than batch_size while drop_last drops what is left"
        )
    return steps
