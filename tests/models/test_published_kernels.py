"""KPCNN and KPFCNN with the weights of KPConv-PyTorch, against the formulas of that code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from geodl.models import KPCNN, KPFCNN
from tests.models import published_kernels as published
from tests.models.published_kernels import Plan

RIGID = ["simple", "resnetb", "resnetb_strided", "resnetb", "unary", "resnetb_strided", "resnetb"]
MIXED = [
    *("simple", "resnetb", "resnetb_deformable_strided", "resnetb_deformable", "resnetb", "simple_strided"),
    *("simple_deformable", "resnetb"),
]
PLANS = {
    "rigid": Plan(RIGID),
    "biases": Plan(RIGID, norm=False),
    "deformable": Plan(MIXED),
    "modulated": Plan(MIXED, norm=False, modulated=True),
}


def with_end(plan: Plan, end: list[str]) -> Plan:
    strides = sum("strided" in name for name in plan.blocks)
    return Plan(
        plan.blocks + end * (strides if len(end) > 1 else 1), norm=plan.norm, modulated=plan.modulated
    )


def clouds(channels: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    pos = torch.randn(2, 150, 3, dtype=torch.float64)
    return pos / pos.norm(dim=2, keepdim=True), torch.randn(2, 150, channels, dtype=torch.float64)


def compared(network: Any, formula: Any, plan: Plan, channels: int) -> None:
    pos, x = clouds(channels)
    state = published.weights(plan, 1 + channels, 5)
    model = network.from_published({"epoch": 3, "model_state_dict": state}, plan.parameters).double().eval()
    found = model(pos.flatten(0, 1), ptr=torch.arange(3) * 150, x=x.flatten(0, 1) if channels else None)
    right = formula({name: tensor.double() for name, tensor in state.items()}, plan, pos, x)
    assert float((right - right.mean((0, 1))).abs().max()) > 0.02
    torch.testing.assert_close(
        found, right.reshape(found.shape), rtol=0, atol=1e-5 * float(right.abs().max())
    )


@pytest.mark.parametrize("kind", PLANS)
@pytest.mark.parametrize("channels", [0, 3])
def test_classification_is_the_published_one(kind: str, channels: int) -> None:
    compared(KPCNN, published.classify, with_end(PLANS[kind], ["global_average"]), channels)


@pytest.mark.parametrize("kind", PLANS)
def test_segmentation_is_the_published_one(kind: str) -> None:
    compared(KPFCNN, published.segment, with_end(PLANS[kind], ["nearest_upsample", "unary"]), 2)


def written(plan: Plan, folder: Path) -> Path:
    """As their training leaves it: the weights in a folder of the one that holds the parameters."""
    lines = ["# Parameters", "# **********", ""]
    for name, value in plan.parameters.items():
        words = value if isinstance(value, list) else [int(value) if isinstance(value, bool) else value]
        lines.append(f"{name} = {' '.join(map(str, words))}")
    (folder / "parameters.txt").write_text("\n".join(lines) + "\nclass_w =\nepoch_steps = None\n")
    (folder / "checkpoints").mkdir()
    state = published.weights(plan, 1, 5) | {"criterion.weight": torch.ones(5)}
    path = folder / "checkpoints" / "chkp_0500.tar"
    torch.save({"epoch": 500, "model_state_dict": state, "optimizer_state_dict": {}}, path)
    return path


def test_parameters_are_read_from_beside_the_weights(tmp_path: Path) -> None:
    plan = with_end(PLANS["modulated"], ["nearest_upsample", "unary"])
    path = written(plan, tmp_path)
    one = KPFCNN.from_published(path).eval()
    other = KPFCNN.from_published(str(path), tmp_path / "parameters.txt").eval()
    pos = clouds(0)[0][0].float()
    assert torch.equal(one(pos), other(pos))
    assert one(pos).shape == (150, 5) and one.categories == 1
    (tmp_path / "parameters.txt").unlink()
    with pytest.raises(ValueError, match=r"KPFCNN: config must be given: the parameters\.txt"):
        KPFCNN.from_published(path)
    with pytest.raises(FileNotFoundError, match="there are no parameters at"):
        KPFCNN.from_published(path, tmp_path / "parameters.txt")


def test_what_is_read_trains() -> None:
    plan = with_end(PLANS["modulated"], ["global_average"])
    model = KPCNN.from_published(published.weights(plan, 1, 5), plan.parameters)
    pos = clouds(0)[0].float().flatten(0, 1)
    model(pos, torch.arange(3) * 150).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


def test_what_does_not_fit_is_named() -> None:
    plan = with_end(PLANS["rigid"], ["global_average"])
    state = published.weights(plan, 1, 5)

    def refused(message: str, state: dict[str, Tensor] = state, network: Any = KPCNN, **changed: Any) -> None:
        with pytest.raises(ValueError, match=f"no weights of a published {network.__name__}: {message}"):
            network.from_published(state, plan.parameters | changed)

    blocks = plan.blocks
    refused("block 3 of the architecture is 'max_pool'", architecture=[*blocks[:3], "max_pool", *blocks[3:]])
    refused(r"block 0 .* is 'simple_equivariant'", architecture=["simple_equivariant", *blocks[1:]])
    refused("KP_influence is gaussian, but only linear is built", KP_influence="gaussian")
    refused("aggregation_mode is closest", aggregation_mode="closest")
    refused("its last block is missing, not global_average", architecture=blocks[:-1])
    refused(r"kernel points of encoder\.blocks\.0\.conv lie 0\.1\d extents", first_subsampling_dl=1.2)
    refused(r"[\s\S]*size mismatch for encoder\.blocks\.1\.unary1", first_features_dim=32)
    refused(r"[\s\S]*Unexpected key.*encoder\.blocks\.0\.norm\.0\.running_mean", use_batch_norm=False)
    refused(r"[\s\S]*Unexpected key.*head_more\.weight", state | {"head_more.weight": torch.zeros(2)})
    refused("there is no 'encoder_blocks", network=KPFCNN)
    refused("there is no 'block_ops", {"conv1.weight": torch.zeros(2, 3)})
    unknown = {name: value for name, value in plan.parameters.items() if name != "first_subsampling_dl"}
    with pytest.raises(ValueError, match="the parameters do not say what first_subsampling_dl is"):
        KPCNN.from_published(state, unknown)
    parts = with_end(PLANS["rigid"], ["nearest_upsample", "unary"])
    with pytest.raises(
        ValueError, match="KPFCNN: behind 2 coarser grids its blocks are nearest_upsample, unary, not as many"
    ):
        KPFCNN.from_published(
            published.weights(parts, 1, 5), parts.parameters | {"architecture": parts.blocks[:-2]}
        )
