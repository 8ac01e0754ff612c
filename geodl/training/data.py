"""The data module: shapes with their input signal and polar windows, in packed batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lightning as L
from torch.utils.data import DistributedSampler

from geodl.data import DataLoader, Mesh, OperatorCache, VertexSignal
from geodl.data.progress import progress
from geodl.geometry import surface_area


class CorrespondenceData(L.LightningDataModule):
    """Shapes for a correspondence network: ``x``, ``y`` and ``windows`` on every mesh.

    Args:
        train, test: shapes with ``y [V]``, the reference vertex of every vertex.
        reference: the shape that labels refer to; it sets the size of a patch.
        rings, rays: polar windows of the network.
        patch_size: number of vertices of a patch, on average. The radius is the same fraction of the square root of the
            area on every shape, so a shape's unit of length does not matter.
        batch_size: shapes a step.
        seed: of the order of the training shapes.
        cache: folder of the disk cache of computed windows; the user's cache folder if not given.
        signal: sets ``x``; ``VertexSignal()`` if not given.

    Training shapes come in a new order every epoch; the order follows from the seed and the epoch, so that a resumed run
    sees what an uninterrupted one would have seen. Several processes share the shapes of an epoch.
    """

    def __init__(
        self,
        train: Sequence[Mesh],
        test: Sequence[Mesh],
        reference: Mesh,
        rings: int = 5,
        rays: int = 8,
        patch_size: int = 60,
        batch_size: int = 1,
        seed: int = 0,
        cache: Path | None = None,
        signal: VertexSignal | None = None,
    ) -> None:
        super().__init__()
        self.shapes = {"train": train, "test": test}
        self.reference = reference
        self.signal = signal or VertexSignal()
        self.rings, self.rays = rings, rays
        self.patch_size = patch_size
        self.batch_size, self.seed = batch_size, seed
        self.cache = OperatorCache(cache)
        self.ready: dict[str, list[Mesh]] = {}

    def setup(self, stage: str | None = None) -> None:
        if self.ready:
            return
        radius = self.cache.chart_radius(self.reference, self.patch_size)
        fraction = radius / float(surface_area(self.reference).sqrt())
        for split, shapes in self.shapes.items():
            shown = progress(shapes, len(shapes), f"polar windows, {split}")
            self.ready[split] = [self.prepare(mesh, fraction) for mesh in shown]

    def prepare(self, mesh: Mesh, fraction: float) -> Mesh:
        """A copy of a shape with its input signal ``x`` and its ``windows``, of radius fraction * sqrt(area)."""
        mesh = self.signal(mesh.clone())
        radius = fraction * float(surface_area(mesh).sqrt())
        mesh.windows = self.cache.polar_template(mesh, radius, self.rings, self.rays)
        return mesh

    def train_dataloader(self) -> DataLoader:
        shapes = self.ready["train"]
        world, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        order: DistributedSampler[Mesh] = DistributedSampler(shapes, world, rank, seed=self.seed)  # type: ignore[arg-type]
        return DataLoader(shapes, batch_size=self.batch_size, sampler=order)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.ready["test"], batch_size=1)

    predict_dataloader = test_dataloader
