"""Correspondence as dense labelling: every vertex is classified by its vertex on the reference shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.data import VertexSignal
from geodl.training.augmentation import random_turns, turn_signal
from geodl.training.one_cycle import one_cycle


class CorrespondenceModule(L.LightningModule):
    """What the correspondence modules share: Adam with one cycle of the learning rate over the whole run.

    Args:
        model: ``model(x, windows)``.
        learning_rate: at the cycle's peak.
    """

    def __init__(self, model: nn.Module, learning_rate: float) -> None:
        super().__init__()
        self.model = model
        self.learning_rate = learning_rate

    def forward(self, batch: Any) -> Tensor:
        """What the model says of a packed batch."""
        output: Tensor = self.model(batch.x, batch.windows)
        return output

    def step_generator(self) -> torch.Generator:
        """Random numbers that follow from the run's seed and the step alone, so that a resumed run draws the same."""
        return torch.Generator().manual_seed((torch.initial_seed() + self.global_step) % 2**63)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), self.learning_rate)
        return one_cycle(self, optimizer, self.learning_rate)


class LabellingModule(CorrespondenceModule):
    r"""Cross entropy against the true reference vertex; the prediction is the reference vertex of the highest score.

    .. math:: L = -\frac{1}{|S|} \sum_{i \in S} \log \operatorname{softmax}(f(x)_i)_{y_i}

    S is a new random sample of the batch's vertices in every step. Scores of every vertex against every reference vertex
    are what a step costs most for; a sample has the same expected gradient.

    Args:
        model: ``model(x, windows, vertices)``, scores of the reference vertices, such as :class:`~geodl.models.GCNN`.
        learning_rate: at the cycle's peak.
        sample: number of vertices in S; all of them if not given.
        turn: standard deviation, in degrees about x, y and z, of the random rotation that a training shape's signal is
            turned by: its first columns, which are :attr:`~geodl.data.VertexSignal.vectors` vectors in space.

    ``predict_step`` returns, for every shape of the batch, its predicted reference vertices ``[V]`` int64.
    """

    def __init__(
        self,
        model: nn.Module,
        learning_rate: float = 1e-2,
        sample: int | None = None,
        turn: Sequence[float] = (0.0, 0.0, 0.0),
    ) -> None:
        super().__init__(model, learning_rate)
        self.sample = sample
        self.turn = turn

    def training_step(self, batch: Any, _: int) -> Tensor:
        random = self.step_generator()
        chosen = torch.randperm(batch.num_nodes, generator=random)[: self.sample].to(batch.y.device)
        x = batch.x
        if any(self.turn):
            turns = random_turns(batch.num_graphs, self.turn, random)
            x = turn_signal(x, turns, batch.batch, VertexSignal.vectors)
        scores, true = self.model(x, batch.windows, chosen), batch.y[chosen]
        loss = F.cross_entropy(scores, true)
        accuracy = (scores.detach().argmax(1) == true).float().mean()
        self.log_dict({"loss": loss, "accuracy": accuracy}, prog_bar=True, batch_size=batch.num_graphs)
        return loss

    def predict_step(self, batch: Any, _: int) -> list[Tensor]:
        predicted = self(batch).argmax(1)
        return list(predicted.split(batch.ptr.diff().tolist()))
