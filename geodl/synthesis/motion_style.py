"""Style transfer of motion: what somebody does, in the manner of another motion."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from geodl.data import Motion, forward_kinematics, motion_signal
from geodl.geometry import matrix_to_rotation_6d, rotation_6d_to_matrix
from geodl.models import STGCN

__all__ = ["transfer_motion"]


def transfer_motion(
    content: Motion,
    style: Motion,
    network: STGCN,
    hips: tuple[str, str],
    weight: float = 1.0,
    steps: int = 150,
    rate: float = 0.02,
    every: int = 1,
) -> Motion:
    r"""The motion of ``content`` whose features have the statistics of those of ``style``.

    .. math:: L = \sum_l \frac{\|\mu_l - \mu_l^s\|^2 + \|\sigma_l - \sigma_l^s\|^2}{\|\sigma_l^s\|^2}
              + w \, \frac{\|p - p^c\|^2}{\|p^c\|^2}

    Mean :math:`\mu_l` and deviation :math:`\sigma_l` over time are of every joint and channel after block l of a network that has
    learned to tell styles, p are the places of joints about the root. Adam changes rotations and the root's height, smoothly; bones
    keep their lengths, and the path of the root stays.

    Args:
        content, style: of one tree and as many frames a second; they may be of different lengths.
        network: of 6 channels, which reads :func:`~geodl.data.motion_signal`.
        hips: joints left and right of the root.
        weight: w, of the content.
        steps, rate: of Adam.
        every: one of how many frames the network reads.

    Raises:
        ValueError: skeletons of different trees, or fewer than two frames that are read.

    Holden, Saito, Komura, "A deep learning framework for character motion synthesis and editing", 2016; Gatys, Ecker, Bethge,
    "Image style transfer using convolutional neural networks", 2016.
    """
    skeleton = content.skeleton
    if not skeleton.same_tree(style.skeleton):
        raise ValueError("content and style must have skeletons of one tree")
    for name, motion in (("content", content), ("style", style)):
        if motion.num_frames < 2 * every:
            raise ValueError(
                f"{name} has {motion.num_frames} frames, of which the network reads one in {every}"
            )
    sides = skeleton.number(hips[0]), skeleton.number(hips[1])
    training, wanted = network.training, [weight.requires_grad for weight in network.parameters()]
    network.eval().requires_grad_(False)
    try:
        with torch.no_grad():
            target = _statistics(network, style.positions()[::every], sides)
        rotation, up = _descend(content, target, network, sides, weight, steps, rate, every)
    finally:
        network.train(training)
        for parameter, needed in zip(network.parameters(), wanted, strict=True):
            parameter.requires_grad_(needed)
    return Motion(skeleton, rotation, content.translation + up, content.frame_time)


def _descend(
    content: Motion, target: Any, network: STGCN, sides: tuple[int, int], weight: float, steps: int, rate: float, every: int
) -> tuple[Tensor, Tensor]:  # fmt: skip
    first = matrix_to_rotation_6d(content.rotation)
    change = torch.zeros_like(first).requires_grad_()
    up = torch.zeros_like(content.translation).requires_grad_()
    only = up.new_tensor([0.0, 1.0, 0.0])
    about = _about_root(content.positions())
    optimizer = torch.optim.Adam([change, up], rate)
    with torch.enable_grad():
        for _ in range(steps):
            rotation = rotation_6d_to_matrix(first + change)
            positions = forward_kinematics(rotation, content.translation + only * up, content.skeleton)
            loss = weight * (_about_root(positions) - about).square().sum() / about.square().sum()
            for (mean, spread), (mean_s, spread_s) in zip(
                _statistics(network, positions[::every], sides), target, strict=True
            ):
                off = (mean - mean_s).square().sum() + (spread - spread_s).square().sum()
                loss = loss + off / spread_s.square().sum().clamp(min=1e-12)
            jerk = torch.diff(change, n=2, dim=0).square().mean() + torch.diff(up, n=2, dim=0).square().mean()
            optimizer.zero_grad()
            (loss + 10 * jerk).backward()
            optimizer.step()
    return rotation_6d_to_matrix(first + change).detach(), (only * up).detach()


def _about_root(positions: Tensor) -> Tensor:
    return positions[:, 1:] - positions[:, :1]


def _statistics(network: STGCN, positions: Tensor, sides: tuple[int, int]) -> list[tuple[Tensor, Tensor]]:
    """Mean and deviation over time of every joint's channels after every block."""
    found = [x[0] for x in network.signals(motion_signal(positions, *sides)[None])]
    return [(x.mean(2), (x.var(2, unbiased=False) + 1e-8).sqrt()) for x in found]
