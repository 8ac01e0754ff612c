"""Correspondence by descriptors: corresponding points of two shapes get near descriptors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from geodl.nn import contrastive_loss
from geodl.training.labelling import CorrespondenceModule


class DescriptorModule(CorrespondenceModule):
    """Siamese training: every shape of a batch is paired with the next one, on points that both have.

    The negative of a point is a random other point of the partner.

    Args:
        model: ``model(x, windows) -> [V, D]`` descriptors.
        num_labels: number of vertices of the reference shape; labels ``y`` are below it.
        learning_rate: at the cycle's peak.

    ``predict_step`` returns, for every shape of the batch, its descriptors ``[V, D]``.

    Raises:
        ValueError: a training batch of one shape has nothing to be paired with.
    """

    def __init__(self, model: nn.Module, num_labels: int, learning_rate: float = 3e-3) -> None:
        super().__init__(model, learning_rate)
        self.num_labels = num_labels

    def training_step(self, batch: Any, _: int) -> Tensor:
        shapes = batch.num_graphs
        if shapes < 2:
            raise ValueError(
                f"siamese training pairs the shapes of a batch, which has {shapes}: set batch_size to 2 or more"
            )
        descriptors = self(batch)
        sizes = batch.ptr.diff().tolist()
        features, labels = descriptors.split(sizes), batch.y.split(sizes)
        random = self.step_generator()
        losses = [
            self.pair_loss(features[s], labels[s], features[s - 1], labels[s - 1], random)
            for s in range(shapes)
        ]
        loss = torch.stack(losses).mean()
        self.log("loss", loss, prog_bar=True, batch_size=shapes)
        return loss

    def pair_loss(
        self,
        anchor: Tensor,
        anchor_label: Tensor,
        other: Tensor,
        other_label: Tensor,
        random: torch.Generator,
    ) -> Tensor:
        """The siamese loss of two shapes, over all points of the first that the second has too."""
        vertex_of = other_label.new_full((self.num_labels,), -1)
        vertex_of[other_label] = torch.arange(other_label.numel(), device=other_label.device)
        positive = vertex_of[anchor_label]
        shared = positive >= 0
        positive = positive[shared]
        # A shift by 1 .. V-1 never meets the point itself.
        shift = torch.randint(1, max(other_label.numel(), 2), positive.shape, generator=random).to(
            positive.device
        )
        negative = (positive + shift) % other_label.numel()
        return contrastive_loss(anchor[shared], other[positive], other[negative])

    def predict_step(self, batch: Any, _: int) -> list[Tensor]:
        return list(self(batch).split(batch.ptr.diff().tolist()))
