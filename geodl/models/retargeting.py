"""Motion retargeting: one motion, known on the branches that all skeletons have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from geodl.models.motion_stack import level_of, parents_of
from geodl.nn import GridConv, JointLinear, Level, MeanPool, Upsample, collapse_chains

__all__ = ["RetargetingNetwork"]


class RetargetingNetwork(nn.Module):
    """An encoder and a decoder for each of several skeletons; between them the skeleton to which all chains collapse.

    Skeletons may have chains of any number of bones, and bones of any lengths, as long as they branch alike. What is learned of a
    skeleton reads and writes its rotations, and knows its bones; the motion between, on the common skeleton, belongs to none.

    Args:
        skeletons: with ``parents [J]`` and ``offsets [J, 3]``.
        width: of all convolutions.
        channels: numbers a joint of the common skeleton and frame.
        kernel_size: frames that a convolution reads, odd.

    Raises:
        ValueError: skeletons that branch differently; an even kernel.

    Aberman, Li, Lischinski, Sorkine-Hornung, Cohen-Or, Chen, "Skeleton-aware networks for deep motion retargeting", 2020.
    """

    def __init__(
        self, skeletons: Sequence[Any], width: int = 48, channels: int = 32, kernel_size: int = 5
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"a convolution over time has an odd number of taps, not {kernel_size}")
        chains = [_collapsed(skeleton) for skeleton in skeletons]
        for number, (_, common) in enumerate(chains):
            if common != chains[0][1]:
                raise ValueError(
                    f"skeletons must branch alike: skeleton {number} collapses to parents {list(common)}, "
                    f"skeleton 0 to {list(chains[0][1])}"
                )
        self.coders = nn.ModuleList(
            Coder(skeleton, steps, width, channels, kernel_size)
            for skeleton, (steps, _) in zip(skeletons, chains, strict=True)
        )

    def forward(self, rotation: Tensor, source: int, target: int) -> Tensor:
        """Rotations ``[B, 6, J, T]`` of skeleton ``source``, in the 6-D form, as such ``[B, 6, J', T]`` of ``target``."""
        return self.decode(self.encode(rotation, source), target)

    def encode(self, rotation: Tensor, source: int) -> Tensor:
        """The motion on the common skeleton, ``[B, channels, J0 T]``."""
        coder = self.coders[source]
        assert isinstance(coder, Coder)
        return coder.encode(rotation)

    def decode(self, latent: Tensor, target: int) -> Tensor:
        """The 6-D rotations ``[B, 6, J, T]`` of a skeleton."""
        coder = self.coders[target]
        assert isinstance(coder, Coder)
        return coder.decode(latent)


class Coder(nn.Module):
    """What is learned of one skeleton."""

    offsets: Tensor

    def __init__(self, skeleton: Any, steps: int, width: int, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.parents, self.steps, self.kernel_size = parents_of(skeleton), steps, kernel_size
        offsets = torch.as_tensor(skeleton.offsets).float()
        own = torch.tensor(self.parents) >= 0
        self.register_buffer("offsets", (offsets * own[:, None] / offsets[own].norm(dim=1).mean()).t())
        joints = len(self.parents)
        self.read = JointLinear(9, width, joints)
        self.down = nn.ModuleList(Pair(width, kernel_size) for _ in range(steps + 1))
        self.latent = GridConv(width, channels, (1, 1))
        self.lift = GridConv(channels, width, (1, 1))
        self.up = nn.ModuleList(Pair(width, kernel_size) for _ in range(steps + 1))
        self.bones = JointLinear(3, width, joints)
        self.write = JointLinear(width, 6, joints)
        self.pool, self.upsample = MeanPool(), Upsample(mode="bilinear")

    def encode(self, rotation: Tensor) -> Tensor:
        levels = self._levels(rotation)
        bones = self.offsets[:, :, None].expand(len(rotation), -1, -1, rotation.shape[3])
        x = self.read(torch.cat([rotation, bones], 1)).flatten(2)
        for number, layer in enumerate(self.down):
            x = layer(x if number == 0 else self.pool(x, levels[number - 1]), levels[number])
        coded: Tensor = self.latent(x, levels[-1])
        return coded

    def decode(self, latent: Tensor) -> Tensor:
        joints = len(self.parents)
        frames = latent.shape[2] // len(self._common())
        levels = self._levels(latent.new_empty(1, 1, joints, frames))
        x = self.lift(latent, levels[-1])
        for number, layer in reversed(list(enumerate(self.up))):
            x = layer(x, levels[number])
            x = x if number == 0 else self.upsample(x, levels[number - 1])
        bones = self.offsets[None, :, :, None].expand(len(x), -1, -1, frames)
        rotation: Tensor = self.write(x.unflatten(2, (joints, frames)) + self.bones(bones))
        return rotation

    def _levels(self, x: Tensor) -> list[Level]:
        return level_of(self.parents, x, ["chains"] * self.steps, self.kernel_size).pyramid()

    def _common(self) -> Tensor:
        parents = torch.tensor(self.parents)
        for _ in range(self.steps):
            parents = collapse_chains(parents)[1]
        return parents


class Pair(nn.Module):
    """Two convolutions over joints and frames, beside which the signal goes through."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.first, self.second = GridConv(width, width, (3, frames)), GridConv(width, width, (3, frames))

    def forward(self, x: Tensor, level: Level) -> Tensor:
        y: Tensor = self.second(self.first(x.relu(), level).relu(), level)
        return x + y


def _collapsed(skeleton: Any) -> tuple[int, tuple[int, ...]]:
    """How often chains must be halved until none is left, and the parents of what is left."""
    parents, steps = torch.as_tensor(skeleton.parents).cpu(), 0
    while True:
        _, above = collapse_chains(parents)
        if len(above) == len(parents):
            return steps, tuple(parents.tolist())
        parents, steps = above, steps + 1
