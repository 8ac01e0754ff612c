"""Locomotion: a network that makes the next frame of a walk of the last, along a path."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.data.locomotion import CharacterMotion
from geodl.geometry import matrix_to_rotation_6d, rotation_6d_to_matrix
from geodl.models import PhaseFunctionedNetwork
from geodl.training.one_cycle import one_cycle

__all__ = ["LocomotionModule"]

# Frames after the present one at which the path is read, and over how many about each it is the mean: a path tells of no steps.
_AHEAD = (5, 10, 15, 20, 30)
_ABOUT = 7

# Deviations from the mean, beyond which nothing is read or written, for nothing like it was ever seen.
_FAR = 5.0

# Part of the root mean square of all rotations' deviations that each has at least.
_LEAST = 0.2


class LocomotionModule(L.LightningModule):
    r"""An autoregressive network: from a pose, what it did a frame ago, the path ahead and what stays, to the next pose.

    .. math:: s_{t+1} = s_t + f(s_t, \; s_t - s_{t-1}, \; \text{path}_{t+5 \ldots t+30}, \; p_t, \; \text{traits})

    The path says where to be, facing where, and at which phase of the steps: without this beat, a walk soon is steps ahead or
    behind.

    All in the frame of the character at t, and normalised by mean and deviation over the training motions. The network says how the
    rotations (6-D form, made orthonormal after every step), the height and the phase p change, where the root moves and turns, and
    which feet stand. It is trained on its own predictions over ``rollout`` frames, from starts with noise, so it learns to come
    back.

    Args:
        model: ``model(x [B, in_channels]) -> [B, out_channels]``; a :class:`~geodl.models.PhaseFunctionedNetwork` also gets the
            phase. All read sine and cosine of the phase. :meth:`channels` says how many numbers there are.
        joints, contacts, traits: J, K and S.
        learning_rate: the highest of one cycle.
        rollout: frames a network goes on by itself in training; one at first, all from the middle of the run on.
        noise: deviation of the noise on the first pose, in that of the poses.

    What the network writes last should be small at first: far from a walk there is no way back.

    A batch is ``(motion, traits)``: a :class:`~geodl.data.CharacterMotion` of B windows of at least ``rollout + 40`` frames, and
    ``[B, S]`` numbers of who walks how, such as bone lengths and the gait.

    Holden, Komura, Saito, "Phase-functioned neural networks for character control", 2017; Zhang, Starke, Komura, Saito, "Mode-
    adaptive neural networks for quadruped motion control", 2018.
    """

    mean: Tensor
    deviation: Tensor
    step_mean: Tensor
    step_deviation: Tensor

    def __init__(
        self,
        model: nn.Module,
        joints: int,
        contacts: int,
        traits: int,
        learning_rate: float = 2e-3,
        rollout: int = 8,
        noise: float = 0.1,
    ) -> None:
        super().__init__()
        self.model, self.joints, self.contacts = model, joints, contacts
        self.learning_rate, self.rollout, self.noise = learning_rate, rollout, noise
        read, written, self.movement = self.channels(joints, contacts, traits)
        self.register_buffer("mean", torch.zeros(read))
        self.register_buffer("deviation", torch.ones(read))
        self.register_buffer("step_mean", torch.zeros(written - contacts))
        self.register_buffer("step_deviation", torch.ones(written - contacts))

    @staticmethod
    def channels(joints: int, contacts: int, traits: int) -> tuple[int, int, int]:
        """How many numbers the network reads and writes, and how many of the first it reads are of movement and path."""
        movement = 6 * joints + 5 + 6 * len(_AHEAD)
        return movement + 6 * joints + 1 + 2 + traits, 6 * joints + 5 + contacts, movement

    def normalize(self, motion: CharacterMotion, traits: Tensor) -> None:
        """Takes mean and deviation of what the network reads and writes from motions ``[B, F]`` and their traits ``[B, S]``."""
        read, written = [], []
        for now in range(1, motion.heading.shape[1] - max(_AHEAD) - _ABOUT, 3):
            read.append(self._read(motion[:, now - 1], motion[:, now], motion, now, traits))
            written.append(self._step(motion[:, now], motion[:, now + 1]))
        poses = slice(self.movement, self.movement + 6 * self.joints)
        steps = slice(6 * self.joints)
        for values, mean, deviation, blocks in (
            (torch.cat(read), self.mean, self.deviation, (steps, poses)),
            (torch.cat(written), self.step_mean, self.step_deviation, (steps,)),
        ):
            spread = values.std(0)
            for block in blocks:  # a joint that hardly ever turns shall not count as much as a knee
                spread[block] = spread[block].clamp(min=_LEAST * float(spread[block].square().mean().sqrt()))
            mean.copy_(values.mean(0))
            deviation.copy_(torch.where(spread > 1e-6, spread, 1.0))

    @torch.no_grad()
    def run(self, motion: CharacterMotion, traits: Tensor, start: int, frames: int) -> CharacterMotion:
        """Free run ``[B, frames]`` along the paths of the motions ``[B, F]``: frames ``start - 1`` and ``start`` are given."""
        before, now = motion[:, start - 1], motion[:, start]
        made = []
        for number in range(frames):
            before, (now, _) = now, self._next(before, now, motion, start + number, traits)
            made.append(now)
        names = CharacterMotion.__dataclass_fields__
        return CharacterMotion(*(torch.stack([getattr(one, name) for one in made], 1) for name in names))

    def training_step(self, batch: tuple[CharacterMotion, Tensor], _: int) -> Tensor:
        motion, traits = batch
        spread = self._pose_deviation.square().mean().sqrt()
        before, now = self._disturbed(motion[:, 0]), self._disturbed(motion[:, 1])
        losses = []
        total = self.trainer.estimated_stepping_batches
        frames = 1 + round((self.rollout - 1) * min(1.0, 2 * self.global_step / total))
        for number in range(frames):
            true, old = motion[:, number + 2], now
            before, (now, contact) = now, self._next(before, now, motion, number + 1, traits)
            pose = (now.rotation - true.rotation).flatten(1) / spread
            wanted = (self._step(old, true) - self.step_mean) / self.step_deviation
            found = (self._step(old, now) - self.step_mean) / self.step_deviation
            losses += [
                F.smooth_l1_loss(pose, torch.zeros_like(pose)),
                F.smooth_l1_loss(found, wanted),
                F.smooth_l1_loss(found[:, -5:], wanted[:, -5:]),
                0.1 * F.binary_cross_entropy_with_logits(contact, true.contact),
            ]
        loss: Tensor = torch.stack(losses).sum() / frames
        self.log("loss", loss.detach(), prog_bar=True, batch_size=len(traits))
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), self.learning_rate, weight_decay=1e-3)
        return one_cycle(self, optimizer, self.learning_rate)

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        self.clip_gradients(optimizer, 1.0, "norm")

    @property
    def _pose_deviation(self) -> Tensor:
        return self.deviation[self.movement : self.movement + 6 * self.joints]

    def _disturbed(self, frame: CharacterMotion) -> CharacterMotion:
        noise = torch.randn_like(frame.rotation) * self._pose_deviation.view(self.joints, 6)
        rotation = _orthonormal(frame.rotation + self.noise * noise)
        return CharacterMotion(rotation, frame.place, frame.heading, frame.phase, frame.contact)

    def _next(
        self, before: CharacterMotion, now: CharacterMotion, motion: CharacterMotion, at: int, traits: Tensor
    ) -> tuple[CharacterMotion, Tensor]:
        """The frame after ``now``, and the scores of its contacts."""
        x = ((self._read(before, now, motion, at, traits) - self.mean) / self.deviation).clamp(-_FAR, _FAR)
        y = self.model(x, now.phase) if isinstance(self.model, PhaseFunctionedNetwork) else self.model(x)
        step, contact = y[:, : -self.contacts], y[:, -self.contacts :]
        step = step.clamp(-_FAR, _FAR) * self.step_deviation + self.step_mean
        turned, (height, across, along, turn, phase) = step[:, :-5], step[:, -5:].unbind(1)
        rotation = _orthonormal(now.rotation + turned.unflatten(1, (self.joints, 6)))
        moved = _turned(torch.stack([across, along], 1), now.heading)
        place = now.place + torch.stack([moved[:, 0], height, moved[:, 1]], 1)
        new = CharacterMotion(rotation, place, now.heading + turn, now.phase + phase, contact.sigmoid())
        return new, contact

    def _read(
        self, before: CharacterMotion, now: CharacterMotion, motion: CharacterMotion, at: int, traits: Tensor
    ) -> Tensor:
        about = torch.arange(-_ABOUT, _ABOUT + 1) + torch.tensor(_AHEAD)[:, None] + at
        about = about.clamp(0, motion.heading.shape[1] - 1)
        path = motion.place[:, about].mean(2)[..., [0, 2]] - now.place[:, None, [0, 2]]
        turn = motion.heading[:, about].mean(2) - now.heading[:, None]
        path = _turned(path, -now.heading[:, None].expand_as(turn))
        beat = motion.phase[:, about].mean(2) - now.phase[:, None]
        angles = [turn.sin(), turn.cos(), beat.sin(), beat.cos()]
        wanted = torch.cat([path, torch.stack(angles, -1)], -1).flatten(1)
        phase = torch.stack([now.phase.sin(), now.phase.cos()], 1)
        return torch.cat(
            [self._step(before, now), wanted, now.rotation.flatten(1), now.place[:, 1:2], phase, traits], 1
        )

    @staticmethod
    def _step(old: CharacterMotion, new: CharacterMotion) -> Tensor:
        """How rotations, height, place and heading and phase change, in the old frame."""
        move = _turned((new.place - old.place)[:, [0, 2]], -old.heading)
        rest = [new.place[:, 1:2] - old.place[:, 1:2], move, (new.heading - old.heading)[:, None]]
        rest.append((new.phase - old.phase)[:, None])
        return torch.cat([(new.rotation - old.rotation).flatten(1), *rest], 1)


def _turned(v: Tensor, angle: Tensor) -> Tensor:
    """Vectors ``[..., 2]`` along x and z, turned about the y axis."""
    c, s, (x, z) = angle.cos(), angle.sin(), v.unbind(-1)
    return torch.stack([c * x + s * z, c * z - s * x], -1)


def _orthonormal(rotation: Tensor) -> Tensor:
    return matrix_to_rotation_6d(rotation_6d_to_matrix(rotation))
