"""A motion as a character sees it: poses that turn with its heading, the path before it, and the phase of its steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from geodl.data.motion import Motion, forward_kinematics
from geodl.data.skeleton import Skeleton
from geodl.geometry import matrix_to_rotation_6d, rotation_6d_to_matrix

__all__ = ["CharacterMotion", "character_motion", "contact_phase", "heading", "motion_signal"]


@dataclass(frozen=True)
class CharacterMotion:
    """A motion whose pose does not depend on where the character stands and where it faces.

    Args:
        rotation: ``[..., F, J, 6]``, 6-D form; that of the root relative to the heading.
        place: ``[..., F, 3]``, of the root.
        heading: ``[..., F]`` radians about the y axis, 0 along z; continuous in time.
        phase: ``[..., F]`` radians, growing in time, see :func:`contact_phase`.
        contact: ``[..., F, K]``, 1 where a joint stands on the ground.
    """

    rotation: Tensor
    place: Tensor
    heading: Tensor
    phase: Tensor
    contact: Tensor

    def __getitem__(self, key: Any) -> CharacterMotion:
        return CharacterMotion(*(getattr(self, name)[key] for name in self.__dataclass_fields__))

    def to(self, *args: Any, **kwargs: Any) -> CharacterMotion:
        """As of a tensor."""
        names = self.__dataclass_fields__
        return CharacterMotion(*(getattr(self, name).to(*args, **kwargs) for name in names))

    @staticmethod
    def stack(parts: list[CharacterMotion]) -> CharacterMotion:
        """Motions of as many frames, one upon the other."""
        names = CharacterMotion.__dataclass_fields__
        return CharacterMotion(*(torch.stack([getattr(part, name) for part in parts]) for name in names))

    def positions(self, skeleton: Skeleton) -> Tensor:
        """``[..., F, J, 3]``, by forward kinematics: bones keep their lengths whatever the rotations are."""
        return forward_kinematics(*self._turned(), skeleton)

    def motion(self, skeleton: Skeleton, frame_time: float = 1 / 30) -> Motion:
        """The motion of one character."""
        return Motion(skeleton, *self._turned(), frame_time)

    def on_spot(self) -> CharacterMotion:
        """The same poses at the origin, facing z; heights stay."""
        still = torch.stack(
            [torch.zeros_like(self.heading), self.place[..., 1], torch.zeros_like(self.heading)], -1
        )
        return replace(self, place=still, heading=torch.zeros_like(self.heading))

    def _turned(self) -> tuple[Tensor, Tensor]:
        rotation = rotation_6d_to_matrix(self.rotation)
        root = about_y(self.heading) @ rotation[..., 0, :, :]
        return torch.cat([root[..., None, :, :], rotation[..., 1:, :, :]], -3), self.place[..., None, :]


def character_motion(motion: Motion, hips: tuple[str, str], contact: Tensor) -> CharacterMotion:
    """A motion in the frame of its character.

    Args:
        motion: of one root, y up.
        hips: joints left and right of the root, such as the upper legs: the character faces across them.
        contact: ``[F, K]``, whether joints stand on the ground: the first half of the K on the left, the others on the right.

    Raises:
        ValueError: several roots, or contacts that do not fit.
    """
    if len(motion.skeleton.roots) != 1:
        raise ValueError(f"a character has one root, not {len(motion.skeleton.roots)}")
    sides = contact.shape[-1] // 2
    if contact.shape != (motion.num_frames, 2 * sides) or not sides:
        raise ValueError(
            f"contact must be [{motion.num_frames}, K], left and right, not {list(contact.shape)}"
        )
    left, right = (motion.skeleton.number(name) for name in hips)
    facing = heading(motion.positions(), left, right)
    root = about_y(-facing) @ motion.rotation[:, 0]
    rotation = torch.cat([root[:, None], motion.rotation[:, 1:]], 1)
    feet = torch.stack([contact[:, :sides].amax(1), contact[:, sides:].amax(1)], 1)
    return CharacterMotion(
        matrix_to_rotation_6d(rotation),
        motion.translation[:, 0],
        facing,
        contact_phase(feet),
        contact.to(facing),
    )


def heading(positions: Tensor, left: int, right: int) -> Tensor:
    """Where a character faces: the angle ``[..., F]`` about the y axis, 0 along z and pi / 2 along x, continuous in time.

    Args:
        positions: ``[..., F, J, 3]``, y up.
        left, right: joints across which it faces.
    """
    across = positions[..., left, :] - positions[..., right, :]
    angle = torch.atan2(-across[..., 2], across[..., 0])
    jump = F.pad(torch.round(angle.diff() / (2 * math.pi)).cumsum(-1), (1, 0))
    return angle - 2 * math.pi * jump


def motion_signal(positions: Tensor, left: int, right: int) -> Tensor:
    """What networks on skeleton x time read of a clip: where joints are, and how they move.

    Channels 0 to 2 are the place of each joint from the root, and of the root from where it stood first on the ground; channels 3
    to 5 are ten times the step to the next frame. Both are in the frame of the character in the first frame.

    Args:
        positions: ``[T, J, 3]``, y up; the root is joint 0.
        left, right: joints across which the character faces.

    Returns:
        ``[6, J, T]``.
    """
    turn = about_y(-heading(positions, left, right)[0])
    x = (positions - positions[0, 0] * positions.new_tensor([1.0, 0.0, 1.0])) @ turn.T
    step = 10 * torch.diff(x, dim=0, append=x[-1:])
    x = torch.cat([x[:, :1], x[:, 1:] - x[:, :1]], 1)
    return torch.cat([x, step], 2).permute(2, 1, 0)


def contact_phase(contact: Tensor) -> Tensor:
    """The phase ``[F]`` of steps, in radians: a multiple of 2 pi where the left foot touches down, half a turn more where the right
    does, linear in between and beyond; it never falls.

    Args:
        contact: ``[F, 2]``, above 1/2 where the left and the right foot stand.

    Raises:
        ValueError: another shape, or no two touchdowns, which leave the phase open.

    Holden, Komura, Saito, "Phase-functioned neural networks for character control", 2017, section 4.
    """
    if contact.dim() != 2 or contact.shape[1] != 2:
        raise ValueError(f"contact must be [F, 2], not {list(contact.shape)}")
    down = (contact[1:] > 0.5) & (contact[:-1] <= 0.5)
    frame, foot = down.nonzero(as_tuple=True)
    if len(frame) < 2:
        raise ValueError(f"a phase needs two touchdowns, but there are {len(frame)} in {len(contact)} frames")
    half = [int(foot[0])]  # half turns
    for side in foot[1:].tolist():
        half.append(half[-1] + (1 if (half[-1] + side) % 2 else 2))
    at, value = (frame + 1).double(), math.pi * torch.tensor(half, dtype=torch.float64, device=frame.device)
    time = torch.arange(len(contact), device=frame.device).double()
    # Two feet that come down at once are one touchdown.
    apart = F.pad(at.diff() > 0, (1, 0), value=True)
    at, value = at[apart], value[apart]
    if len(at) < 2:
        raise ValueError("a phase needs two touchdowns, but there is one")
    after = torch.searchsorted(at, time).clamp(1, len(at) - 1)
    slope = (value[after] - value[after - 1]) / (at[after] - at[after - 1])
    # Beyond the outer touchdowns it goes on as fast as on the whole.
    mean = (value[-1] - value[0]) / (at[-1] - at[0])
    slope = torch.where((time < at[0]) | (time > at[-1]), mean, slope)
    begin = torch.where(time > at[-1], len(at) - 1, torch.where(time < at[0], 0, after - 1))
    return (value[begin] + slope * (time - at[begin])).float()


def about_y(angle: Tensor) -> Tensor:
    """Rotations ``[..., 3, 3]`` about the y axis."""
    c, s, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    rows = torch.stack([c, zero, s, zero, one, zero, -s, zero, c], -1)
    return rows.view(*rows.shape[:-1], 3, 3)
