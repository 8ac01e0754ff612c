"""Regression of a signal: one number or several at every vertex, point or pixel."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

__all__ = ["RegressionModule"]


class RegressionModule(L.LightningModule):
    r"""Mean squared error, by AdamW with one cycle of the learning rate over the whole run,

    .. math:: L = \frac{1}{|S|} \sum_{i \in S} \|f(\text{batch})_i - t_i\|^2

    The log has the loss and :math:`R^2 = 1 - \sum \|f_i - t_i\|^2 / \sum \|t_i - \bar t\|^2` of the batch.

    Args:
        model: ``model(batch)``, of the shape of ``batch.target``.
        learning_rate: at the cycle's peak.

    A batch has ``target`` and may have ``valid``, bool of its first axes, which says what counts (S; all if there is none).
    ``predict_step`` returns what the model does.
    """

    def __init__(self, model: nn.Module, learning_rate: float = 3e-3) -> None:
        super().__init__()
        self.model = model
        self.learning_rate = learning_rate

    def forward(self, batch: Any) -> Tensor:
        prediction: Tensor = self.model(batch)
        return prediction

    def training_step(self, batch: Any, _: int) -> Tensor:
        prediction, target = self(batch), batch.target
        if prediction.shape != target.shape:
            raise ValueError(f"the model gives {list(prediction.shape)} but target is {list(target.shape)}")
        if "valid" in batch:
            prediction, target = prediction[batch.valid], target[batch.valid]
        loss = (prediction - target).square().mean()
        spread = (target - target.mean(dim=0)).square().mean()
        explained = 1 - loss.detach() / spread.clamp(min=1e-12)
        self.log_dict({"loss": loss, "r2": explained}, prog_bar=True, batch_size=batch.num_graphs)
        return loss

    def predict_step(self, batch: Any, _: int) -> Tensor:
        return self(batch)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), self.learning_rate)
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}
