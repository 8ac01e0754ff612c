"""ImageData: images that are all in memory, in random batches, which go on where a checkpoint left off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning as L
import torch
from torch import Tensor

__all__ = ["ImageData"]


class ImageData(L.LightningDataModule):
    """Batches of images, or of signals on one domain, in a random order, another one in every pass over them.

    The order follows from the seed and the number of the pass. How many batches were given is in the checkpoint, so that a
    resumed run sees what an uninterrupted one would have seen, from the middle of an epoch too. Images at the end of a pass that
    fill no batch are left out of it.

    Args:
        images: ``[N, ...]``.
        batch_size: images in a batch.
        seed: of the order.
        batches: how many batches an epoch has; those of one pass if not given.

    Raises:
        ValueError: fewer images than a batch needs, or no batches.
    """

    def __init__(self, images: Tensor, batch_size: int, seed: int = 0, batches: int | None = None) -> None:
        super().__init__()
        if not 1 <= batch_size <= len(images):
            raise ValueError(f"batch_size must be from 1 to {len(images)}, the images, not {batch_size}")
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.batches = len(images) // batch_size if batches is None else batches
        if self.batches < 1:
            raise ValueError(f"an epoch must have at least one batch, not {batches}")
        self.given = 0

    def train_dataloader(self) -> _Epoch:
        return _Epoch(self)

    def next_batch(self) -> Tensor:
        number, place = divmod(self.given, len(self.images) // self.batch_size)
        random = torch.Generator().manual_seed(self.seed + number)
        order = torch.randperm(len(self.images), generator=random)
        self.given += 1
        chosen = order[place * self.batch_size : (place + 1) * self.batch_size]
        return self.images[chosen.to(self.images.device)]

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self.seed, "given": self.given}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seed, self.given = state_dict["seed"], state_dict["given"]


class _Epoch:
    def __init__(self, data: ImageData) -> None:
        self.data = data

    def __len__(self) -> int:
        return self.data.batches

    def __iter__(self) -> Iterator[Tensor]:
        # Not more than are asked for: what was given is counted.
        return (
            self.data.next_batch() for _ in range(self.data.batches - self.data.given % self.data.batches)
        )
