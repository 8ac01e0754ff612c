"""Skeleton x time as a level: a chain is a grid, and chains collapse."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from geodl.nn import (
    GridConv,
    GridConvTranspose,
    JointLinear,
    Level,
    MaxPool,
    MeanPool,
    Upsample,
    collapse_chains,
    motion_levels,
)

CHAIN = SimpleNamespace(parents=torch.arange(-1, 5))
# A trunk of three, from the middle of which two arms go; the root has two legs as well.
BODY = torch.tensor([-1, 0, 1, 2, 2, 4, 5, 2, 7, 8, 0, 10, 0, 12])


@pytest.mark.parametrize(
    ("kernel", "dilation"), [((3, 9), 1), ((3, 1), 1), ((1, 9), 1), ((5, 3), 1), ((3, 3), 2), ((1, 1), 1)]
)
def test_a_chain_is_a_grid(kernel: tuple[int, int], dilation: int) -> None:
    level = motion_levels(CHAIN, 12, kernel_size=9)
    padding = tuple((taps - 1) // 2 * dilation for taps in kernel)
    conv = GridConv(3, 4, kernel, padding=padding, dilation=dilation).double()
    x = torch.randn(2, 3, 6, 12, dtype=torch.float64)
    torch.testing.assert_close(conv(x.flatten(2), level), conv(x).flatten(2), rtol=1e-12, atol=1e-12)


def test_pooling_time_is_that_of_grids() -> None:
    level = motion_levels(CHAIN, 12, ["time"], kernel_size=9)
    x, y = (torch.randn(2, 3, 6, frames, dtype=torch.float64) for frames in (12, 6))
    conv = GridConv(3, 4, (3, 9), (1, 2), padding=(1, 4)).double()
    back = GridConvTranspose(3, 4, (1, 3), (1, 2), padding=(0, 1), output_padding=(0, 1)).double()
    for layer, signal in ((conv, x), (MeanPool((1, 2)), x), (MaxPool((1, 2)), x), (back, y)):
        torch.testing.assert_close(layer(signal.flatten(2), level), layer(signal).flatten(2))
    linear = F.interpolate(y, size=(6, 12), mode="bilinear")
    torch.testing.assert_close(Upsample(mode="bilinear")(y.flatten(2), level), linear.flatten(2))
    repeated = F.interpolate(y, size=(6, 12), mode="nearest")
    torch.testing.assert_close(Upsample()(y.flatten(2), level), repeated.flatten(2))
    assert motion_levels(CHAIN, 7, ["time", "time"]).pyramid()[2].num_nodes == 6 * 2


def test_taps_read_parent_joint_and_the_mean_of_the_children() -> None:
    level = motion_levels(SimpleNamespace(parents=BODY), 1)
    x = torch.randn(len(BODY), 1, dtype=torch.float64)
    conv = GridConv(1, 3, (3, 1), bias=False).double()
    with torch.no_grad():
        conv.weight.copy_(torch.eye(3)[:, None, :, None])  # channel k is tap k
    read = conv(x, level)
    for joint, parent in enumerate(BODY.tolist()):
        children = x[joint == BODY]
        expected = [
            x[parent, 0] if parent >= 0 else 0.0,
            x[joint, 0],
            children.mean() if len(children) else 0.0,
        ]
        torch.testing.assert_close(read[joint], torch.tensor(expected, dtype=torch.float64))


def test_chains_collapse_to_the_branches() -> None:
    cluster, parents = collapse_chains(BODY)
    assert cluster.tolist() == [0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 7, 8, 8]
    assert parents.tolist() == [-1, 0, 1, 1, 3, 1, 5, 0, 0]
    longer = torch.tensor([-1, 0, 1, 1, 3, 1, 5, 6, 7, 8, 0, 10, 0])  # the same branches, other chains
    made = []
    for parents in (BODY, longer):
        while len(after := collapse_chains(parents)[1]) < len(parents):
            parents = after
        made.append(parents.tolist())
    assert made[0] == made[1] == [-1, 0, 1, 1, 1, 0, 0]
    lone = torch.tensor([-1, -1, 0])
    assert collapse_chains(lone)[1].tolist() == lone.tolist()  # roots are no bones


def test_pooled_chains_are_means_and_come_back() -> None:
    level = motion_levels(SimpleNamespace(parents=BODY), 5, ["chains", "both"])
    assert [one.num_nodes for one in level.pyramid()] == [14 * 5, 9 * 5, 7 * 3]
    x = torch.randn(2, 3, 14 * 5, dtype=torch.float64)
    pooled = MeanPool()(x, level)
    by_joint = x.unflatten(2, (14, 5))
    torch.testing.assert_close(pooled.unflatten(2, (9, 5))[:, :, 1], by_joint[:, :, 1:3].mean(2))
    torch.testing.assert_close(pooled.unflatten(2, (9, 5))[:, :, 0], by_joint[:, :, 0])
    constant = torch.ones(1, 1, 7 * 3, dtype=torch.float64)
    for finer in reversed(level.pyramid()[:-1]):
        constant = Upsample(mode="bilinear")(constant, finer)
    torch.testing.assert_close(constant, torch.ones(1, 1, 14 * 5, dtype=torch.float64))
    # What the last level stands for is all of the first.
    assert float(level.pyramid()[2].area.sum()) == 14 * 5


def test_levels_pack_as_others_do() -> None:
    parts = [
        motion_levels(skeleton, frames, ["both"]).as_batch() for skeleton, frames in ((CHAIN, 4), (CHAIN, 7))
    ]
    packed = Level.cat(parts)
    conv = GridConv(2, 3, (3, 3)).double()
    x = [torch.randn(part.num_nodes, 2, dtype=torch.float64) for part in parts]
    together = conv(torch.cat(x), packed)
    torch.testing.assert_close(together, torch.cat([conv(a, b) for a, b in zip(x, parts, strict=True)]))


def test_bad_skeletons_and_poolings_are_named() -> None:
    with pytest.raises(ValueError, match="joint 1 has parent 2"):
        motion_levels(SimpleNamespace(parents=torch.tensor([-1, 2, 0])), 3)
    with pytest.raises(ValueError, match="at least one frame"):
        motion_levels(CHAIN, 0)
    with pytest.raises(ValueError, match='not "space"'.replace('"', "'")):
        motion_levels(CHAIN, 3, ["space"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="whole numbers"):
        collapse_chains(torch.zeros(3))
    with pytest.raises(ValueError, match="larger kernel_size"):
        GridConv(1, 1, (1, 9))(torch.zeros(1, 1, 60), motion_levels(CHAIN, 10))


def test_one_frame_and_one_joint() -> None:
    level = motion_levels(SimpleNamespace(parents=torch.tensor([-1])), 1, ["both"])
    assert GridConv(2, 3, (3, 3))(torch.randn(1, 2, 1), level).shape == (1, 3, 1)
    assert MeanPool()(torch.ones(1, 2, 1), level).shape == (1, 2, 1)


def test_joints_have_their_own_linear_layers() -> None:
    layer = JointLinear(3, 2, 4)
    x = torch.randn(5, 3, 4, 6)
    one = F.linear(x[:, :, 2].transpose(1, 2), layer.weight[2], layer.bias[2, :, 0])
    torch.testing.assert_close(layer(x)[:, :, 2], one.transpose(1, 2))
    with pytest.raises(ValueError, match=r"\[B, 3, 4, T\]"):
        layer(x[:, :, :3])
