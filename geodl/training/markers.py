"""Motion capture: lost markers filled and noise taken away by a network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from geodl.data.locomotion import about_y, heading
from geodl.data.markers import fill_markers, lose_markers
from geodl.training.one_cycle import one_cycle

__all__ = ["MarkerModule"]

_INTERPOLATED = partial(fill_markers, smoothing=1.0)
_UNIT = 0.1  # of the root's height: what the network's output counts in


class MarkerModule(L.LightningModule):
    r"""A network that corrects what is filled in without learning: :math:`p = \text{filled} + f(\text{filled}, \text{seen})`.

    It reads, in the frame of the character in the middle of the clip, each marker's place from the root, where the root is, how
    both move, and what was seen: 10 numbers a marker and frame; it writes 3.

    Args:
        model: ``[B, 10, J, T] -> [B, 3, J, T]``, such as :class:`~geodl.models.SkeletonUNet`.
        hips: numbers of two markers left and right of the root, which is marker 0.
        height: of the root over the ground, in the unit of the positions: what they are divided by.
        noise: deviation of the noise of seen markers in training, in that unit.
        share, gap: what is lost in training, see :func:`~geodl.data.lose_markers`.
        fill: what lost markers are filled in with at first, ``fill(positions, seen)``: interpolation, smoothed over a frame, if not
            given.
        learning_rate: the highest of one cycle.

    A batch is ``[B, T, J, 3]`` positions, y up.
    """

    def __init__(
        self,
        model: nn.Module,
        hips: tuple[int, int],
        height: float,
        noise: float,
        share: float = 0.3,
        gap: int = 20,
        fill: Callable[[Tensor, Tensor], Tensor] = _INTERPOLATED,
        learning_rate: float = 3e-3,
    ) -> None:
        super().__init__()
        self.model, self.hips, self.height, self.noise = model, hips, height, noise
        self.share, self.gap, self.fill, self.learning_rate = share, gap, fill, learning_rate

    def forward(self, positions: Tensor, seen: Tensor) -> Tensor:
        """Positions ``[B, T, J, 3]`` of all markers, of those that are ``seen [B, T, J]``."""
        filled = self.fill(positions, seen)
        middle = filled.shape[1] // 2
        turn = about_y(-heading(filled, *self.hips)[:, middle])[:, None, None]
        ground = filled[:, middle, 0] * filled.new_tensor([1.0, 0.0, 1.0])
        x = (turn @ (filled - ground[:, None, None])[..., None])[..., 0] / self.height
        root = x[:, :, :1].expand_as(x)
        moved = torch.diff(x, dim=1, prepend=x[:, :1]) / _UNIT
        read = torch.cat([x - root, root, moved, seen[..., None].to(x)], -1)
        step = self.model(read.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)
        made: Tensor = filled + self.height * _UNIT * (turn.mT @ step[..., None])[..., 0]
        return made

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        clips, frames, markers, _axes = batch.shape
        seen = lose_markers(clips, frames, markers, self.share, self.gap).to(batch.device)
        made = self(batch + self.noise * torch.randn_like(batch), seen)
        error = (made - batch).norm(dim=-1) / self.height
        lost = error[~seen].mean()
        self.log_dict(
            {"lost": lost.detach() * self.height, "loss": error.mean().detach()}, batch_size=len(batch)
        )
        loss: Tensor = error.mean() + lost
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), self.learning_rate)
        return one_cycle(self, optimizer, self.learning_rate)
