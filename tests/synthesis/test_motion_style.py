"""Style transfer of motion: statistics come nearer, bones stay."""

from __future__ import annotations

import pytest
import torch

from geodl.data import Motion, Skeleton, bone_length_error, motion_signal
from geodl.datasets import Gaits
from geodl.models import STGCN
from geodl.synthesis import transfer_motion
from geodl.synthesis.motion_style import _statistics

HIPS = ("left thigh", "right thigh")


def test_statistics_come_nearer_and_bones_and_the_path_stay() -> None:
    torch.manual_seed(0)
    content, style = Gaits(2, 1, 24)[0], Gaits(2, 1, 30)[8]
    network = STGCN(6, 3, content.skeleton, widths=(6, 8), kernel_size=3).train()
    for _ in range(3):  # statistics of its norms
        network(torch.randn(4, 6, 22, 12))
    made = transfer_motion(content, style, network, HIPS, weight=0.1, steps=30)
    assert network.training and all(weight.requires_grad for weight in network.parameters())
    network.eval()
    with torch.no_grad():
        wanted, before, after = (
            _statistics(network, m.positions(), (11, 14)) for m in (style, content, made)
        )
    off = [
        sum(
            float((a - b).square().sum())
            for one, two in zip(found, wanted, strict=True)
            for a, b in zip(one, two, strict=True)
        )
        for found in (before, after)
    ]
    assert off[1] < 0.7 * off[0]
    assert float(bone_length_error(made.positions(), made.skeleton).max()) < 1e-5
    torch.testing.assert_close(made.translation[..., [0, 2]], content.translation[..., [0, 2]])
    same = transfer_motion(content, content, network, HIPS, steps=5)
    assert float((same.positions() - content.positions()).norm(dim=-1).mean()) < 0.03


def test_the_signal_does_not_depend_on_where_somebody_stands() -> None:
    positions = Gaits(1, 1, 12)[0].positions()
    turn = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    moved = positions @ turn.T + torch.tensor([2.0, 0, -3])
    torch.testing.assert_close(
        motion_signal(moved, 11, 14), motion_signal(positions, 11, 14), rtol=0, atol=1e-5
    )


def test_what_does_not_fit_is_named() -> None:
    motion = Gaits(1, 1, 12)[0]
    network = STGCN(6, 3, motion.skeleton, widths=(4,))
    stick = Skeleton(("root",), torch.tensor([-1]), torch.zeros(1, 3))
    other = Motion(stick, torch.eye(3).expand(9, 1, 3, 3).clone(), torch.zeros(9, 1, 3))
    with pytest.raises(ValueError, match="one tree"):
        transfer_motion(motion, other, network, HIPS)
    with pytest.raises(ValueError, match="style has 1 frames"):
        transfer_motion(motion, motion.clip(0, 1), network, HIPS)
