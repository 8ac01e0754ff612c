"""ImageBatches: images that are all in memory, in random batches, which go on where a checkpoint left off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


class ImageBatches:
    """Batches of images in a random order, another one in every pass; which follows from the seed and the pass alone.

    A loader for ``trainer.fit``. Its state (the seed, and how many batches were given) is in Lightning's checkpoints, so that a resumed run
    sees what an uninterrupted one would have seen. Images at the end of a pass that fill no batch are left out.

    Args:
        images: ``[N, ...]``.
        batch_size: images in a batch.
        seed: of the order.
        batches: how many batches an epoch has; those of one pass if not given.

    Raises:
        ValueError: fewer images than a batch needs.
    """

    def __init__(self, images: Tensor, batch_size: int, seed: int = 0, batches: int | None = None) -> None:
        if not 1 <= batch_size <= len(images):
            raise ValueError(f"batch_size must be from 1 to {len(images)}, the images, not {batch_size}")
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.given = 0
        self.batches = len(images) // batch_size if batches is None else batches

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Tensor]:
        a_pass = len(self.images) // self.batch_size
        order, of_pass = torch.empty(0), -1
        while True:
            number, place = divmod(self.given, a_pass)
            if number != of_pass:
                random = torch.Generator().manual_seed(self.seed + number)
                order, of_pass = torch.randperm(len(self.images), generator=random), number
            self.given += 1
            chosen = order[place * self.batch_size : (place + 1) * self.batch_size]
            yield self.images[chosen.to(self.images.device)]
            if self.given % self.batches == 0:
                return

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self.seed, "given": self.given}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seed, self.given = state["seed"], state["given"]
