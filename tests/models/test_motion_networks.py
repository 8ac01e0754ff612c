"""Networks on motions: ST-GCN against its equations, blended weights against blending them, retargeting."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from geodl.models import (
    STGCN,
    BlendedLinear,
    ModeAdaptiveNetwork,
    PhaseFunctionedNetwork,
    RetargetingNetwork,
    SkeletonUNet,
)
from geodl.models.stgcn import Block
from geodl.nn import motion_levels

PARENTS = torch.tensor([-1, 0, 1, 2, 0, 4, 0, 6])
BODY = SimpleNamespace(parents=PARENTS, offsets=torch.randn(8, 3, generator=torch.Generator().manual_seed(0)))


def _blocks(network: STGCN) -> list[Any]:
    assert all(isinstance(block, Block) for block in network.blocks)
    return list(network.blocks)


def test_a_block_of_stgcn_is_the_published_equation() -> None:
    torch.manual_seed(0)
    network = STGCN(3, 5, BODY, widths=(4,), kernel_size=3).double().eval()
    block = _blocks(network)[0]
    with torch.no_grad():
        block.importance.normal_()
    x = torch.randn(2, 3, 8, 7, dtype=torch.float64)
    up = F.one_hot(PARENTS.clamp(min=0), 8).double() * (PARENTS >= 0)[:, None]
    adjacent = torch.stack([up, torch.eye(8, dtype=torch.float64), F.normalize(up.T, p=1, dim=1)])
    y = network.norm(x.flatten(1, 2)).view_as(x)
    weight = block.over_joints.weight[..., 0]
    mixed = torch.einsum("kij,ij,ock,bcjt->boit", adjacent, block.importance, weight, y)
    mixed = F.relu(block.norm(mixed + block.over_joints.bias[:, None, None]))
    timed = F.conv2d(mixed, block.over_frames.weight, block.over_frames.bias, padding=(0, 1))
    past = block.past[1](F.conv2d(y, block.past[0].weight, block.past[0].bias))
    features = F.relu(block.norm_after(timed) + past).mean((2, 3))
    torch.testing.assert_close(network.features(x), features)
    torch.testing.assert_close(network(x), network.output(features))


@pytest.mark.parametrize("frames", [7, 8])
def test_stgcn_is_a_grid_convolution_on_skeleton_x_time(frames: int) -> None:
    torch.manual_seed(0)
    network = STGCN(3, 5, BODY, widths=(4, 6), kernel_size=3).double().eval()
    x = torch.randn(2, 3, 8, frames, dtype=torch.float64)
    level = motion_levels(BODY, frames, ["time"])
    y = network.norm(x.flatten(1, 2)).view_as(x).flatten(2)
    for block, given in zip(_blocks(network), network.signals(x), strict=True):
        mixed = block.norm(block.over_joints(y, level)).relu()
        past = y if not len(block.past) else block.past[1](block.past[0](y, level))
        y = (block.norm_after(block.over_frames(mixed, level)) + past).relu()
        torch.testing.assert_close(given.flatten(2), y)
        level = level.after(block.stride)


def test_hooks_of_the_convolution_over_joints_fire() -> None:
    torch.manual_seed(0)
    network = STGCN(3, 5, BODY, widths=(4, 6), adaptive=True).double().eval()
    x = torch.randn(2, 3, 8, 7, dtype=torch.float64)
    expected = network(x)
    fired = []
    for block in _blocks(network):
        block.over_joints.register_forward_hook(lambda *_: fired.append(1))
    torch.testing.assert_close(network(x), expected)
    assert len(fired) == 2


def test_a_stgcn_made_on_meta_is_that_of_its_weights() -> None:
    network = STGCN(3, 5, BODY, widths=(4,)).eval()
    with torch.device("meta"):
        other = STGCN(3, 5, BODY, widths=(4,)).eval()
    other.to_empty(device="cpu").windows.fill_(7)
    other.load_state_dict(network.state_dict())
    x = torch.randn(2, 3, 8, 7)
    assert torch.equal(other(x), network(x))


def test_adaptive_stgcn_reads_all_joints_and_tells_moments() -> None:
    torch.manual_seed(0)
    plain = STGCN(3, 5, BODY, widths=(4,), kernel_size=3).double().eval()
    network = STGCN(3, 5, BODY, widths=(4,), kernel_size=3, adaptive=True, moments=True).double().eval()
    weights = {name: value for name, value in plain.state_dict().items() if not name.startswith("output")}
    assert network.load_state_dict(weights, strict=False).missing_keys == [
        "blocks.0.beyond", "output.weight", "output.bias",
    ]  # fmt: skip
    x = torch.randn(2, 3, 8, 7, dtype=torch.float64)
    block = _blocks(network)[0]
    with torch.no_grad():
        block.beyond.zero_()
    torch.testing.assert_close(network.signals(x)[0], plain.signals(x)[0])
    with torch.no_grad():
        block.beyond[1, 3, 7] = 0.5
    y = network.norm(x.flatten(1, 2)).view_as(x)
    more = 0.5 * torch.einsum("oc,bct->bot", block.over_joints.weight[:, :, 1, 0], y[:, :, 7])
    before, after = (_blocks(net)[0]._mixed(y, net.windows) for net in (plain, network))
    torch.testing.assert_close(after[:, :, 3], before[:, :, 3] + more)
    others = [0, 1, 2, 4, 5, 6, 7]
    torch.testing.assert_close(after[:, :, others], before[:, :, others])
    last = network.signals(x)[-1]
    spread = (last.var(3, correction=0) + 1e-4).sqrt()
    torch.testing.assert_close(network.features(x), torch.cat([last.mean((2, 3)), spread.mean(2)], 1))
    # A motion that stands still has gradients.
    network.features(torch.zeros_like(x)).sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in network.parameters() if p.grad is not None)


def test_stgcn_of_renumbered_joints() -> None:
    torch.manual_seed(0)
    network = STGCN(3, 5, BODY, widths=(4, 6)).eval()
    order = torch.tensor([0, 6, 7, 4, 5, 1, 2, 3])  # new joint k is the old one order[k]
    place = order.argsort()
    parents = PARENTS[order]
    other = STGCN(
        3, 5, SimpleNamespace(parents=torch.where(parents < 0, -1, place[parents])), widths=(4, 6)
    ).eval()
    weights = network.state_dict()
    rows = torch.arange(24).view(3, 8)[:, order].flatten()
    for name, value in weights.items():
        if name.startswith("norm.") and value.dim():
            weights[name] = value[rows]
        elif name.endswith("importance"):
            weights[name] = value[order][:, order]
    other.load_state_dict(weights)
    x = torch.randn(2, 3, 8, 9)
    torch.testing.assert_close(other(x[:, :, order]), network(x), rtol=1e-4, atol=1e-5)


def test_stgcn_learns_through_the_importance_and_refuses_what_does_not_fit() -> None:
    network = STGCN(3, 5, BODY, widths=(4, 6))
    network(torch.randn(2, 3, 8, 9)).sum().backward()
    assert all(block.importance.grad.abs().sum() > 0 for block in _blocks(network))
    with pytest.raises(ValueError, match=r"\[B, C, 8, T\]"):
        network(torch.randn(2, 3, 7, 9))
    with pytest.raises(ValueError, match="x has 4 channels, not 3"):
        network(torch.randn(2, 4, 8, 9))
    with pytest.raises(ValueError, match="odd number of taps"):
        STGCN(3, 5, BODY, kernel_size=4)


def test_a_blended_layer_blends_weights() -> None:
    layer = BlendedLinear(3, 4, 2).double()
    x, blend = torch.randn(5, 3, dtype=torch.float64), torch.rand(5, 2, dtype=torch.float64)
    weight = torch.einsum("bk,kio->bio", blend, layer.weight)
    expected = torch.einsum("bi,bio->bo", x, weight) + blend @ layer.bias
    torch.testing.assert_close(layer(x, blend), expected)


def test_the_phase_runs_along_a_closed_catmull_rom_curve() -> None:
    network = PhaseFunctionedNetwork(3, 2, width=4).double()
    quarter = math.pi / 2
    at_points = network.blend(torch.arange(8, dtype=torch.float64) * quarter)
    torch.testing.assert_close(at_points, torch.eye(4, dtype=torch.float64).repeat(2, 1), rtol=0, atol=1e-9)
    phase = torch.linspace(-7, 14, 500, dtype=torch.float64)
    blend = network.blend(phase)
    torch.testing.assert_close(blend.sum(1), torch.ones(500, dtype=torch.float64))
    # Halfway the curve through p1 and p2 is (-p0 + 9 p1 + 9 p2 - p3) / 16, its slope at p1 is (p2 - p0) / 2.
    half = network.blend(torch.tensor([1.5 * quarter], dtype=torch.float64))
    torch.testing.assert_close(half[0] * 16, torch.tensor([-1.0, 9, 9, -1], dtype=torch.float64))
    for side in (-1, 1):
        near = network.blend(torch.tensor([quarter * (1 + side * 1e-6)], dtype=torch.float64))
        slope = (near - at_points[1]) / (side * 1e-6)
        torch.testing.assert_close(
            slope[0], torch.tensor([-0.5, 0, 0.5, 0], dtype=torch.float64), rtol=0, atol=1e-5
        )
    x = torch.randn(2, 3, dtype=torch.float64)
    turned = torch.tensor([0.3, 0.3 + 4 * math.pi], dtype=torch.float64)
    torch.testing.assert_close(*network(x[:1].expand(2, -1), turned))
    with pytest.raises(ValueError, match=r"phase must be \[2\]"):
        network(x, turned[:1])
    with pytest.raises(ValueError, match="at least 3"):
        PhaseFunctionedNetwork(3, 2, experts=2)


def test_the_gate_of_the_mode_adaptive_network_reads_the_first_numbers() -> None:
    network = ModeAdaptiveNetwork(5, 2, gate_channels=2, width=4, experts=3).double()
    x = torch.randn(4, 5, dtype=torch.float64)
    blend = network.blend(x)
    torch.testing.assert_close(blend.sum(1), torch.ones(4, dtype=torch.float64))
    other = torch.cat([x[:, :2], torch.randn(4, 3, dtype=torch.float64)], 1)
    torch.testing.assert_close(network.blend(other), blend)
    one = torch.eye(3, dtype=torch.float64)[1].expand(4, -1)
    h = F.elu(x @ network.first.weight[1] + network.first.bias[1])
    h = F.elu(h @ network.second.weight[1] + network.second.bias[1])
    torch.testing.assert_close(network.blended(x, one), h @ network.third.weight[1] + network.third.bias[1])
    assert network(x).shape == (4, 2)


def test_a_unet_gives_a_motion_of_any_length() -> None:
    network = SkeletonUNet(3, 2, BODY, widths=(4, 6, 8), kernel_size=3)
    for frames in (1, 7, 16):
        made = network(torch.randn(2, 3, 8, frames))
        assert made.shape == (2, 2, 8, frames) and bool(made.isfinite().all())
    made.sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())
    with pytest.raises(ValueError, match="2 poolings, not 1"):
        SkeletonUNet(3, 2, BODY, pooling=("both",))
    with pytest.raises(ValueError, match="odd number of taps"):
        SkeletonUNet(3, 2, BODY, kernel_size=2)


def test_retargeting_between_skeletons_that_branch_alike() -> None:
    longer = torch.tensor([-1, 0, 1, 2, 3, 0, 0, 6, 7])
    other = SimpleNamespace(parents=longer, offsets=torch.randn(9, 3))
    network = RetargetingNetwork([BODY, other], width=6, channels=5)
    x = torch.randn(2, 6, 8, 11)
    latent = network.encode(x, 0)
    assert latent.shape == (2, 5, 4 * 11)
    assert network.decode(latent, 1).shape == (2, 6, 9, 11)
    assert network(network(x, 0, 1), 1, 0).shape == x.shape
    network(x, 0, 1).sum().backward()
    with pytest.raises(ValueError, match=r"skeleton 1 collapses to parents \[-1, 0\]"):
        RetargetingNetwork(
            [BODY, SimpleNamespace(parents=torch.tensor([-1, 0, 1]), offsets=torch.ones(3, 3))]
        )
    with pytest.raises(ValueError, match="odd number of taps"):
        RetargetingNetwork([BODY], kernel_size=4)
