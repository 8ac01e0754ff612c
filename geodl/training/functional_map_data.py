"""The data module of functional maps: shapes with their spectrum, gradient and input signal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lightning as L
from torch.utils.data import DistributedSampler

from geodl.data import DataLoader, InvariantSignal, Mesh, OperatorCache, SpectralOperators, UnitArea
from geodl.data.progress import progress


class FunctionalMapData(L.LightningDataModule):
    """Shapes of unit area with ``x``, ``spectrum`` and ``gradient``.

    Args:
        train, test: shapes; with supervision those of ``train`` carry ``corres``.
        k: eigenpairs, at least those of the network's functional maps.
        batch_size: shapes a step, at least 2.
        seed: of the order of the training shapes.
        cache: folder of the disk cache of spectra; the user's cache folder if not given.

    Training shapes come in a new order every epoch, which follows from the seed and the epoch. A batch that would hold fewer
    shapes than the others is left out.
    """

    def __init__(
        self,
        train: Sequence[Mesh],
        test: Sequence[Mesh],
        k: int = 128,
        batch_size: int = 4,
        seed: int = 0,
        cache: Path | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 2:
            raise ValueError(f"functional maps need at least two shapes a batch, not {batch_size}")
        self.shapes = {"train": train, "test": test}
        self.batch_size, self.seed = batch_size, seed
        self.operators = SpectralOperators(OperatorCache(cache), k)
        self.ready: dict[str, list[Mesh]] = {}

    def setup(self, stage: str | None = None) -> None:
        if self.ready:
            return
        for split, shapes in self.shapes.items():
            shown = progress(range(len(shapes)), len(shapes), f"spectra, {split}")
            self.ready[split] = [self.prepare(shapes[k]) for k in shown]

    def prepare(self, mesh: Mesh) -> Mesh:
        """A copy of a shape, of unit area, with its operators and its input signal."""
        prepared: Mesh = InvariantSignal()(self.operators(UnitArea()(mesh.clone())))
        return prepared

    def train_dataloader(self) -> DataLoader:
        shapes = self.ready["train"]
        world, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        order: DistributedSampler[Mesh] = DistributedSampler(shapes, world, rank, seed=self.seed)  # type: ignore[arg-type]
        return DataLoader(shapes, batch_size=self.batch_size, sampler=order, drop_last=True)

    def predict_dataloader(self) -> DataLoader:
        return DataLoader(self.ready["test"], batch_size=1)
