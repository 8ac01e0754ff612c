"""Part segmentation of point clouds: the published networks, and what must not matter."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from geodl.models import KPFCNN, DeLAParts, DGCNNParts, PointNet2Parts, PointNetParts, PointNeXtParts
from tests.models import published_clouds as published
from tests.models.test_point_networks import in_order, packed, shaken

CATEGORY = torch.tensor([3, 15])
MODELS: dict[str, Callable[[], nn.Module]] = {
    "PointNet": lambda: PointNetParts(0, 6),
    "SSG": lambda: PointNet2Parts(0, 6),
    "MSG": lambda: PointNet2Parts(0, 6, multi_scale=True),
    "DGCNN": lambda: DGCNNParts(0, 6, k=8),
    "PointNeXt": lambda: PointNeXtParts(0, 6, 16),
    "DeLA": lambda: DeLAParts(0, 6, k=8),
    "KPFCNN": lambda: KPFCNN(0, 6, 0.1, 32),
}
every_model = pytest.mark.parametrize("name", MODELS)


def made(name: str) -> Any:
    model = MODELS[name]()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=(2 / min(parameter.shape)) ** 0.5 / 2)
    return model.eval()


def close(found: Tensor, expected: Tensor) -> None:
    """To 1e-4 of what distinguishes one point from another."""
    spread = float((expected - expected.mean((0, 1))).abs().max())
    assert spread > 0.1
    assert float((found - expected.flatten(0, 1)).abs().max()) < 1e-4 * max(spread, 1.0)


@pytest.mark.parametrize("channels", [0, 3])
def test_pointnet_is_the_published_one(channels: int) -> None:
    state = published.pointnet_parts_weights(channels, 50)
    model = PointNetParts.from_published(state).eval()
    pos, x = torch.randn(2, 40, 3), torch.randn(2, 40, channels)
    found = model(pos.view(-1, 3), CATEGORY, torch.arange(3) * 40, x.view(-1, channels) if channels else None)
    close(found, published.pointnet_parts(state, pos, x, nn.functional.one_hot(CATEGORY, 16).float()))


@pytest.mark.parametrize(("multi_scale", "channels"), [(False, 0), (True, 0), (True, 3)])
def test_pointnet2_is_the_published_one(multi_scale: bool, channels: int) -> None:
    state = published.pointnet2_parts_weights(channels, 50, multi_scale)
    model = PointNet2Parts.from_published(state).eval()
    pos, x = packed(540, 540)[0].view(2, 540, 3), torch.randn(2, 540, channels)
    found = model(
        pos.view(-1, 3), CATEGORY, torch.arange(3) * 540, x.view(-1, channels) if channels else None
    )
    close(found, published.pointnet2_parts(state, pos, x, nn.functional.one_hot(CATEGORY, 16).float()))


@pytest.mark.parametrize("channels", [0, 3])
def test_dgcnn_is_the_published_one(channels: int) -> None:
    state = published.dgcnn_parts_weights(channels, 50)
    model = DGCNNParts.from_published(state, k=9).eval()
    pos, x = torch.randn(2, 60, 3), torch.randn(2, 60, channels)
    found = model(pos.view(-1, 3), CATEGORY, torch.arange(3) * 60, x.view(-1, channels) if channels else None)
    close(found, published.dgcnn_parts(state, pos, x, nn.functional.one_hot(CATEGORY, 16).float(), 9))


@pytest.mark.parametrize(("channels", "width", "parameters"), [
    (4, 32, 981_842), (0, 32, 981_714), (0, 64, 3_722_418),  # 0.9817 and 3.722 million, say the authors
])  # fmt: skip
def test_pointnext_is_the_published_one(channels: int, width: int, parameters: int) -> None:
    state = published.pointnext_parts_weights(3 + channels, 50, width)
    model = PointNeXtParts.from_published(state).eval()
    pos, x = packed(160, 160)[0].view(2, 160, 3), torch.randn(2, 160, channels)
    found = model(
        pos.view(-1, 3), CATEGORY, torch.arange(3) * 160, x.view(-1, channels) if channels else None
    )
    known = nn.functional.one_hot(CATEGORY, 16).float()
    close(found, published.pointnext_parts(state, pos, torch.cat([pos, x], 2), known))
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_dela_is_the_published_one() -> None:
    state = published.dela_parts_weights(3, 50)
    model = DeLAParts.from_published(state, k=9).eval()
    pos, x = in_order(torch.randn(2, 600, 3) / 3), torch.randn(2, 600, 3)
    found = model(pos.view(-1, 3), CATEGORY, torch.arange(3) * 600, x.view(-1, 3))
    close(found, published.dela_parts(state, pos, x, nn.functional.one_hot(CATEGORY, 16).float(), 9))
    assert sum(p.numel() for p in model.parameters()) == sum(
        t.numel() for name, t in state.items() if name.rpartition(".")[2] in ("weight", "bias")
    )


def test_kpfcnn_equals_its_definition() -> None:
    model: Any = shaken(KPFCNN(2, 9, 0.12, 32)).double().eval()
    nn.init.normal_(model.head[-1].weight)
    pos, x = packed(250, 250)[0].view(2, 250, 3).double(), torch.randn(2, 250, 2).double()
    found = model(pos.view(-1, 3), CATEGORY, torch.arange(3) * 250, x.view(-1, 2))
    known = nn.functional.one_hot(CATEGORY, 16).double()
    close(found, published.kpfcnn(model.state_dict(), pos, x, known, 0.12))


@pytest.mark.parametrize("network", [PointNetParts, PointNet2Parts, DGCNNParts, PointNeXtParts, DeLAParts])
def test_other_weights_are_refused(network: Any) -> None:
    with pytest.raises(ValueError, match=f"no weights of a published {network.__name__}"):
        network.from_published({"conv1.weight": torch.zeros(2, 3)})


@every_model
def test_order_of_points_changes_nothing_but_the_order(name: str) -> None:
    model = made(name)
    pos, ptr = packed(120, 37)
    order = torch.cat([torch.randperm(b - a) + a for a, b in pairwise(ptr.tolist())])
    assert torch.equal(model(pos[order], CATEGORY, ptr), model(pos, CATEGORY, ptr)[order])


@every_model
def test_a_ragged_batch_equals_one_by_one(name: str) -> None:
    model = made(name)
    pos, ptr = packed(1, 150, 7)
    category = torch.tensor([0, 5, 15])
    together = model(pos, category, ptr)
    alone = torch.cat(
        [model(pos[a:b], category[k : k + 1]) for k, (a, b) in enumerate(pairwise(ptr.tolist()))]
    )
    torch.testing.assert_close(together, alone, atol=1e-4 * float(together.abs().max()), rtol=1e-4)


@every_model
def test_odd_clouds_are_answered_or_named(name: str) -> None:
    model = made(name)
    pos, ptr = packed(20, 30)
    for cloud in (pos[:1], pos[:1].repeat(40, 1), pos[:5], pos.double()):
        out = model(cloud, CATEGORY[:1])
        assert out.shape == (len(cloud), 6) and bool(out.isfinite().all())
    nan = pos.clone()
    nan[33, 1] = torch.nan
    with pytest.raises(ValueError, match="pos must be finite, but row 33"):
        model(nan, CATEGORY, ptr)
    with pytest.raises(ValueError, match=r"category holds 3\.\.16, but there are 16 categories"):
        model(pos, CATEGORY + torch.tensor([0, 1]), ptr)
    with pytest.raises(ValueError, match=r"category must be int64 of shape \[2\]"):
        model(pos, CATEGORY[:1], ptr)


@every_model
def test_training_reaches_every_filter(name: str) -> None:
    told = name == "DeLA"
    # A branch that is dropped of both clouds learns nothing.
    model = (DeLAParts(0, 6, k=8, drop_path=0.0) if told else MODELS[name]()).train()
    pos, ptr = packed(40, 30)
    for _ in range(
        2
    ):  # alignments are the identity at first, so their first layers learn from the second step on
        model.zero_grad()
        scores, more = (
            model.scores_and_offset_loss(pos, CATEGORY, ptr) if told else (model(pos, CATEGORY, ptr), 0)
        )
        (nn.functional.cross_entropy(scores, torch.arange(70) % 6) + more).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.01 * parameter.grad
    assert all(bool(parameter.grad.any()) for parameter in model.parameters() if parameter.dim() > 1)


@every_model
def test_mixed_precision(name: str) -> None:
    """As the trainer asks for on a GPU."""
    model, (pos, ptr) = made(name), packed(90, 60)
    expected = model(pos, CATEGORY, ptr)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(pos, CATEGORY, ptr)
        loss = found.float().square().mean()
    loss.backward()
    assert float((found.float() - expected).abs().mean()) < 0.3 * float(expected.abs().mean())
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())
