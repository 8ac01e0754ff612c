"""Classification: a class for every shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.training.confusion import LabelScores, confusion, label_scores
from geodl.training.supervised import SupervisedModule

__all__ = ["ClassificationModule"]


class ClassificationModule(SupervisedModule):
    r"""Cross entropy of the class of every shape, with smoothed labels, and its measures.

    .. math:: L = -\frac{1}{B} \sum_b \sum_c q_{bc} \log \operatorname{softmax}(f_b)_c, \qquad
              q_{bc} = (1 - s) \, [c = y_b] + s / C

    Args:
        model: see :class:`~geodl.training.SupervisedModule`; ``[B, C]`` scores.
        num_classes: C, of labels ``y [B]`` in ``[0, C)``.
        learning_rate, weight_decay, smoothing, transform: see :class:`~geodl.training.SupervisedModule`.

    After a validation or a test, :attr:`scores` holds the measures (:class:`~geodl.training.LabelScores`) of all its shapes, and
    ``accuracy`` and ``mean_class_accuracy`` are logged. ``predict_step`` returns the classes ``[B]`` int64.

    Raises:
        ValueError: on use, scores and labels that differ in number.
    """

    table: Tensor

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        smoothing: float = 0.2,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(model, learning_rate, weight_decay, smoothing, transform)
        self.num_classes = num_classes
        empty = torch.zeros(num_classes, num_classes, dtype=torch.float64)
        self.register_buffer("table", empty, persistent=False)

    @property
    def scores(self) -> LabelScores:
        """Measures of the last validation or test."""
        return label_scores(self.table)

    def training_step(self, batch: Any, _: int) -> Tensor:
        batch, scores, penalty = self.training_scores(batch)
        if batch.y.shape != scores.shape[:1] or scores.shape[1] != self.num_classes:
            raise ValueError(
                f"scores have shape {list(scores.shape)}, but there are {len(batch.y)} labels and {self.num_classes} classes"
            )
        loss = F.cross_entropy(scores, batch.y, label_smoothing=self.smoothing)
        right = (scores.detach().argmax(1) == batch.y).double().mean()
        self.log_dict({"loss": loss, "training_accuracy": right}, prog_bar=True, batch_size=len(batch.y))
        return loss + penalty

    def on_validation_epoch_start(self) -> None:
        self.table.zero_()

    def validation_step(self, batch: Any, _: int) -> None:
        self.table += confusion(self(batch).argmax(1), batch.y, self.num_classes)

    def on_validation_epoch_end(self) -> None:
        self.table = self.over_processes(self.table)
        if not bool(self.table.any()):
            return
        found = self.scores
        self.log_dict({"accuracy": found.accuracy, "mean_class_accuracy": found.mean_class_accuracy})

    on_test_epoch_start = on_validation_epoch_start
    test_step = validation_step
    on_test_epoch_end = on_validation_epoch_end

    def predict_step(self, batch: Any, _: int) -> Tensor:
        classes: Tensor = self(batch).argmax(1)
        return classes
