"""Regression of a signal: one number or several at every vertex, point or pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from geodl.training.supervised import SupervisedModule

__all__ = ["RegressionModule"]


class RegressionModule(SupervisedModule):
    r"""Mean squared error over a batch.

    .. math:: L = \frac{1}{C \, |S|} \sum_{i \in S} \|f(\text{batch})_i - t_i\|^2, \qquad t_i \in \mathbb{R}^C

    The log has the loss and :math:`R^2 = 1 - \sum \|f_i - t_i\|^2 / \sum \|t_i - \bar t\|^2` of the batch.

    Args:
        model: see :class:`~geodl.training.SupervisedModule`; its answer has the shape of ``batch.target``.
        learning_rate, weight_decay, transform: see :class:`~geodl.training.SupervisedModule`.

    A batch has ``target`` and may have ``valid``, bool of its first axes, which says what counts (S; all if there is none).
    ``predict_step`` returns what the model does.

    Raises:
        ValueError: on use, an answer and a target that differ in shape.
    """

    def __init__(
        self,
        model: nn.Module,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(model, learning_rate, weight_decay, 0.0, transform)

    def training_step(self, batch: Any, _: int) -> Tensor:
        batch, prediction, penalty = self.training_scores(batch)
        target = batch.target
        if prediction.shape != target.shape:
            raise ValueError(f"the model gives {list(prediction.shape)} but target is {list(target.shape)}")
        if "valid" in batch:
            prediction, target = prediction[batch.valid], target[batch.valid]
        loss = (prediction - target).square().mean()
        spread = (target - target.mean(dim=0)).square().mean()
        explained = 1 - loss.detach() / spread.clamp(min=1e-12)
        self.log_dict({"loss": loss, "r2": explained}, prog_bar=True, batch_size=len(batch.ptr) - 1)
        whole: Tensor = loss + penalty
        return whole

    def predict_step(self, batch: Any, _: int) -> Tensor:
        prediction: Tensor = self(batch)
        return prediction
