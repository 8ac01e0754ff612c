"""The data module of labelled shapes: what a network reads is computed once, then shapes come in packed batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning as L
from torch.utils.data import DistributedSampler

from geodl.data import DataLoader
from geodl.data.progress import progress

__all__ = ["ShapeData"]


class ShapeData(L.LightningDataModule):
    """Shapes with labels ``y``, for :class:`~geodl.training.SegmentationModule` and :class:`~geodl.training.ClassificationModule`.

    Args:
        train, test: shapes.
        prepare: what every shape goes through once, such as ``Compose([UnitArea(), SpectralOperators(cache)])``.
        batch_size: shapes a step.
        seed: of the order of the training shapes.
        validation: shapes that are tested after every epoch; none if not given.

    Training shapes come in a new order every epoch, which follows from the seed and the epoch, so that a resumed run sees what an
    uninterrupted one would have seen. Several processes share the shapes of an epoch. What fills no batch is left out of it, as
    batch norm wants whole batches. Test shapes come one by one, in their order; several processes get
    shares of equal size, for which Lightning repeats shapes: measure with one.

    Raises:
        ValueError: a batch size below 1, or, in training, fewer shapes than a batch has.
    """

    def __init__(
        self,
        train: Sequence[Any],
        test: Sequence[Any],
        prepare: Callable[[Any], Any] | None = None,
        batch_size: int = 8,
        seed: int = 0,
        validation: Sequence[Any] | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.shapes = {"train": train, "test": test, "validation": [] if validation is None else validation}
        self.prepare, self.batch_size, self.seed = prepare, batch_size, seed
        self.ready: dict[str, list[Any]] = {}

    def setup(self, stage: str | None = None) -> None:
        if self.ready:
            return
        for split, shapes in self.shapes.items():
            shown = progress(range(len(shapes)), len(shapes), f"shapes, {split}")
            self.ready[split] = [self._prepared(shapes[k]) for k in shown]

    def train_dataloader(self) -> DataLoader:
        shapes = self.ready["train"]
        if len(shapes) < self.batch_size:
            raise ValueError(f"a batch has {self.batch_size} shapes, but there are {len(shapes)} to train on")
        world, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        order: DistributedSampler[Any] = DistributedSampler(shapes, world, rank, seed=self.seed)  # type: ignore[arg-type]
        return DataLoader(shapes, batch_size=self.batch_size, sampler=order, drop_last=True)

    def val_dataloader(self) -> DataLoader | list[Any]:
        shapes = self.ready["validation"]
        return DataLoader(shapes, batch_size=1) if shapes else []

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.ready["test"], batch_size=1)

    predict_dataloader = test_dataloader

    def _prepared(self, shape: Any) -> Any:
        return shape if self.prepare is None else self.prepare(shape.clone())
