"""What the modules of shapes with labels share: the optimiser, its learning rate, random numbers that a resumed run repeats."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from geodl.training.arguments import apply, apply_with_penalty
from geodl.training.training_steps import training_steps

__all__ = ["SupervisedModule", "warm_up_and_cosine"]

_WARM_UP = 0.1  # of all steps, the part in which the learning rate rises
_CLIP = 10.0  # largest norm of a gradient


def warm_up_and_cosine(progress: float) -> float:
    """Up to 1 along a line, down to 0 along a cosine; ``progress`` goes from 0 to 1."""
    if progress < _WARM_UP:
        return progress / _WARM_UP
    return (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP))) / 2


class SupervisedModule(L.LightningModule):
    """A network and its training by AdamW, gradients cut at norm 10, a learning rate that rises for a tenth of the run and falls
    along a cosine to 0.

    Whatever is random in a step follows from the seed and the step, and both are in the checkpoint: a run that was killed goes on
    to the same weights, bit for bit.

    Args:
        model: is called with what its ``forward`` names: ``x``, ``pos``, ``ptr``, ``face``, ``spectrum``, ``gradient``,
            ``charts`` (of the batch ``charts`` or ``windows``), ``category``, whatever the batch has.
        learning_rate: the highest.
        weight_decay: of AdamW.
        smoothing: of the labels, in the loss.
        transform: random changes of a packed training batch.
    """

    seed: Tensor

    def __init__(
        self,
        model: nn.Module,
        learning_rate: float,
        weight_decay: float,
        smoothing: float,
        transform: Callable[[Any], Any] | None,
    ) -> None:
        super().__init__()
        if not learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, not {learning_rate}")
        self.model, self.learning_rate, self.weight_decay = model, learning_rate, weight_decay
        self.smoothing, self.transform = smoothing, transform
        self.register_buffer("seed", torch.tensor(torch.initial_seed() % 2**62))

    def forward(self, batch: Any) -> Tensor:
        """What the model says of a packed batch."""
        return apply(self.model, batch)

    def training_scores(self, batch: Any) -> tuple[Any, Tensor, Tensor | float]:
        """A batch after its random changes, which may drop and reorder points; its scores; what the network adds to the loss."""
        with self._drawn_at_step():
            if self.transform is not None:
                batch = self.transform(batch.clone())
            return batch, *apply_with_penalty(self.model, batch)

    def over_processes(self, table: Tensor) -> Tensor:
        """The sum of what all processes have counted."""
        if self.trainer.world_size == 1:
            return table
        gathered: Any = self.all_gather(table)
        summed: Tensor = gathered.sum(0)
        return summed

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        steps = training_steps(self)
        rate = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warm_up_and_cosine(min((step + 0.5) / steps, 1.0))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        self.clip_gradients(optimizer, _CLIP, "norm")

    @contextmanager
    def _drawn_at_step(self) -> Iterator[None]:
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(int(self.seed) + self.global_step)
            yield
