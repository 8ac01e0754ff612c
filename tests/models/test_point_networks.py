"""Networks on point clouds: the published networks, and what must not matter."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from geodl.models import DGCNN, KPCNN, DeLA, PointNet, PointNet2, PointNeXt, feature_transform_regularizer
from geodl.models.clouds import read_clouds
from tests.models import published_clouds as published

MODELS: dict[str, Callable[[int, int], nn.Module]] = {
    "PointNet": PointNet,
    "SSG": PointNet2,
    "MSG": lambda c, d: PointNet2(c, d, multi_scale=True),
    "DGCNN": DGCNN,
    "PointNeXt": PointNeXt,
    "PointNeXt-B": lambda c, d: PointNeXt(c, d, 16, (1, 2, 3, 2)),
    "DeLA": DeLA,
    "KPCNN": lambda c, d: KPCNN(c, d, 0.1, 32),
}
every_model = pytest.mark.parametrize("name", MODELS)


def made(name: str, channels: int = 0, classes: int = 4) -> Any:
    """A network whose signals keep their size, so that differences show."""
    model = MODELS[name](channels, classes)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=(2 / min(parameter.shape[0], parameter.shape[1])) ** 0.5)
    return model.eval()


def shaken(model: nn.Module) -> nn.Module:
    """With batch norms that do something."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            assert module.running_mean is not None and module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.2, 1)
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, std=0.1)
    return model


def packed(*sizes: int) -> tuple[Tensor, Tensor]:
    pos = torch.cat([torch.nn.functional.normalize(torch.randn(n, 3), dim=1) for n in sizes])
    return pos, torch.tensor([0, *sizes]).cumsum(0)


def close(found: Tensor, expected: Tensor) -> None:
    """To 1e-4 of what distinguishes one cloud from another, not of what they have in common."""
    spread = float((expected - expected.mean(0)).abs().max())
    assert spread > 0.01
    assert float((found - expected).abs().max()) < 1e-4 * max(spread, 1.0)


@pytest.mark.parametrize("channels", [0, 3])
def test_pointnet_is_the_published_one(channels: int) -> None:
    state = published.pointnet_weights(channels, 40)
    model = PointNet.from_published(state).eval()
    pos, x = torch.randn(3, 50, 3), torch.randn(3, 50, channels)
    found = model(pos.view(-1, 3), torch.arange(4) * 50, x.view(-1, channels) if channels else None)
    close(found, published.pointnet(state, pos, x))
    assert sum(p.numel() for p in model.parameters()) == {0: 3_471_473, 3: 3_471_857}[channels]


@pytest.mark.parametrize(("multi_scale", "channels", "parameters"), [
    (False, 0, 1_475_688), (False, 3, 1_475_880), (True, 0, 1_747_368), (True, 3, 1_747_848),
])  # fmt: skip
def test_pointnet2_is_the_published_one(multi_scale: bool, channels: int, parameters: int) -> None:
    state = published.pointnet2_weights(channels, 40, multi_scale)
    model = PointNet2.from_published(state).eval()
    pos, x = packed(560, 560)[0].view(2, 560, 3), torch.randn(2, 560, channels)
    pos[1] *= torch.tensor([1.0, 0.7, 0.3])
    found = model(pos.view(-1, 3), torch.arange(3) * 560, x.view(-1, channels) if channels else None)
    close(found, published.pointnet2(state, pos, x))
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_dgcnn_is_the_published_one() -> None:
    state = published.dgcnn_weights(40)
    model = DGCNN.from_published(state, k=9).eval()
    pos = torch.randn(3, 60, 3)
    close(model(pos.view(-1, 3), torch.arange(4) * 60), published.dgcnn(state, pos, 9))
    assert sum(p.numel() for p in model.parameters()) == 1_809_576


@pytest.mark.parametrize(("channels", "classes", "width", "blocks", "parameters"), [
    (0, 40, 32, (1, 1, 1, 1), 1_373_512),  # 1.374 million, say the authors
    (1, 15, 32, (1, 1, 1, 1), 1_367_119),  # 1.367
    (0, 40, 64, (1, 1, 1, 1), 4_523_112),  # 4.523
    (0, 5, 8, (2, 1, 3, 1), None),
])  # fmt: skip
def test_pointnext_is_the_published_one(
    channels: int, classes: int, width: int, blocks: tuple[int, ...], parameters: int | None
) -> None:
    state = published.pointnext_weights(3 + channels, classes, width, blocks)
    model = PointNeXt.from_published(state).eval()
    pos, x = packed(200, 200)[0].view(2, 200, 3), torch.randn(2, 200, channels)
    pos[1] *= torch.tensor([1.0, 0.7, 0.3])
    found = model(pos.view(-1, 3), torch.arange(3) * 200, x.view(-1, channels) if channels else None)
    close(found, published.pointnext(state, pos, torch.cat([pos, x], 2)))
    count = sum(p.numel() for p in model.parameters())
    assert parameters is None or count == parameters
    assert count == sum(
        t.numel() for name, t in state.items() if name.rpartition(".")[2] in ("weight", "bias")
    )


def in_order(pos: Tensor) -> Tensor:
    """Clouds of points by their first coordinate, where networks begin to sample."""
    return torch.stack([cloud[cloud[:, 0].argsort()] for cloud in pos])


@pytest.mark.parametrize(("channels", "parameters"), [(0, 5_337_424), (3, 5_337_496)])  # 5.3 million
def test_dela_is_the_published_one(channels: int, parameters: int) -> None:
    state = published.dela_weights(channels, 40)
    model = DeLA.from_published(state, k=9).eval()
    pos, x = in_order(torch.randn(2, 300, 3) / 3), torch.randn(2, 300, channels)
    found = model(pos.view(-1, 3), torch.arange(3) * 300, x.view(-1, channels) if channels else None)
    close(found, published.dela(state, pos, x, 9))
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_dela_learns_to_tell_offsets_and_drops_branches() -> None:
    model = DeLA(0, 4, k=8)
    pos, ptr = packed(60, 1, 40)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(24):
        scores, loss = model.scores_and_offset_loss(pos, ptr)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert scores.shape == (3, 4) and losses[-1] < 0.9 * losses[0]
    torch.manual_seed(0)
    one, two = model.encoder(read_clouds(pos, ptr, None, 0, torch.float32)), model.eval()(pos, ptr)
    assert not torch.equal(one[-1].x, model.encoder(read_clouds(pos, ptr, None, 0, torch.float32))[-1].x)
    assert torch.equal(two, model(pos, ptr))


@pytest.mark.parametrize("channels", [0, 3])
def test_kpcnn_equals_its_definition(channels: int) -> None:
    """Every kernel point of every pair of points."""
    model: Any = shaken(KPCNN(channels, 5, 0.12, 32)).double().eval()
    pos, x = packed(250, 250)[0].view(2, 250, 3).double(), torch.randn(2, 250, channels).double()
    pos[1] *= torch.tensor([1.0, 0.7, 0.3])
    found = model(pos.view(-1, 3), torch.arange(3) * 250, x.view(-1, channels) if channels else None)
    close(found, published.kpcnn(model.state_dict(), pos, x, 0.12))


def test_kpcnn_is_as_large_as_the_published_one() -> None:
    """14.3 million in the paper; five grids, KPConv of 15 points, as in the authors' TensorFlow."""
    c, parameters = 64, 15 * 64 + 2 * 64
    for level in range(5):
        d = 128 * 2**level
        for read in (c, d) if level < 4 else (c,):
            parameters += read * d // 4 + 15 * (d // 4) ** 2 + d // 4 * d + (4 * (d // 4)) + 2 * d
            parameters += read * d + 2 * d if read != d else 0
        c = d
    parameters += 2048 * 1024 + 2 * 1024 + 1024 * 40 + 40
    assert sum(p.numel() for p in KPCNN(0, 40).parameters()) == parameters == 14_295_144


@pytest.mark.parametrize("network", [PointNet, PointNet2, DGCNN, PointNeXt, DeLA])
def test_other_weights_are_refused(network: Any) -> None:
    for state in ({}, {"fc1.weight": torch.zeros(2, 3)}):
        with pytest.raises(ValueError, match=f"no weights of a published {network.__name__}"):
            network.from_published(state)


def test_weights_as_people_have_them(tmp_path: Path) -> None:
    """A state dict, the path of one, or of what a training script wrote beside it; as pickle of tensors or as safetensors."""
    state = published.dgcnn_weights(5)
    torch.save(state, tmp_path / "state.t7")
    torch.save({"epoch": 3, "model_state_dict": state, "optimizer": {"lr": 0.1}}, tmp_path / "run.pth")
    safetensors.torch.save_file({k: t.clone() for k, t in state.items()}, tmp_path / "state.safetensors")
    expected = DGCNN.from_published(state)
    forms: list[Any] = [
        {"net": state},
        tmp_path / "state.t7",
        str(tmp_path / "run.pth"),
        tmp_path / "state.safetensors",
    ]
    for form in forms:
        found = DGCNN.from_published(form)
        assert all(torch.equal(a, b) for a, b in zip(found.parameters(), expected.parameters(), strict=True))
    with pytest.raises(FileNotFoundError, match="no weights at"):
        DGCNN.from_published(tmp_path / "none.pth")
    with pytest.raises(ValueError, match="what was given holds no state dict"):
        DGCNN.from_published({"epoch": 3})
    with pytest.raises(ValueError, match=r"published DGCNN: unknown layers decoder, decoder\.1$"):
        DGCNN.from_published(state | {"decoder.weight": torch.zeros(1), "decoder.1.bias": torch.zeros(1)})


def test_weights_of_data_parallel() -> None:
    state = published.dgcnn_weights(5)
    parallel = {f"module.{name}": tensor for name, tensor in state.items()}
    one, other = DGCNN.from_published(state), DGCNN.from_published(parallel)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@every_model
@pytest.mark.parametrize("channels", [0, 2])
def test_order_of_points_does_not_matter_to_the_last_bit(name: str, channels: int) -> None:
    model = made(name, channels)
    pos, ptr = packed(150, 37, 90)
    pos[5], pos[60:70] = pos[4], pos[3].clone()  # ties
    x = torch.randn(277, channels) if channels else None
    orders = [torch.randperm(b - a) + a for a, b in pairwise(ptr.tolist())]
    order = torch.cat(orders)
    features = model.features(pos, ptr, x)
    turned = model.features(pos[order], ptr, None if x is None else x[order])
    if name == "PointNet":
        features, turned = features[0], turned[0]
    assert torch.equal(features, turned)
    assert torch.equal(model(pos, ptr, x), model(pos[order], ptr, None if x is None else x[order]))


@every_model
def test_a_ragged_batch_equals_one_by_one(name: str) -> None:
    model = made(name)
    pos, ptr = packed(1, 200, 7, 64)
    together = model(pos, ptr)
    alone = torch.cat([model(pos[a:b]) for a, b in pairwise(ptr.tolist())])
    torch.testing.assert_close(together, alone, atol=1e-4 * float(together.abs().max()), rtol=1e-4)


@every_model
def test_odd_clouds_are_answered(name: str) -> None:
    """One point; all points in one place; fewer points than neighbours are asked for; far away; tiny."""
    model = made(name)
    pos, _ = packed(30)
    for cloud in (pos[:1], pos[:1].repeat(40, 1), pos[:5], pos + 1000, pos * 1e-12, pos.double()):
        out = model(cloud)
        assert out.shape == (1, 4) and out.dtype == torch.float32 and bool(out.isfinite().all())


@every_model
def test_bad_clouds_are_named(name: str) -> None:
    model = made(name, 2)
    pos, ptr = packed(20, 30)
    x = torch.randn(50, 2)
    nan = pos.clone()
    nan[33, 1] = torch.nan
    infinite = x.clone()
    infinite[4, 0] = torch.inf
    for arguments, trouble in (
        ((nan, ptr, x), "pos must be finite, but row 33"),
        ((pos, ptr, infinite), "x must be finite, but row 4"),
        ((pos, torch.tensor([0, 20, 20, 50]), x), "cloud 1 has no points"),
        ((pos, torch.tensor([0, 20, 49]), x), "ptr must ascend from 0 to the 50 points, not from 0 to 49"),
        ((pos, torch.tensor([0, 30, 20, 50]), x), "ptr must not descend, but cloud 1"),
        ((pos, ptr.int(), x), "ptr must be int64"),
        ((pos, ptr), "x is None"),
        ((pos, ptr, x[:, :1]), r"x must have shape \[50, 2\], not \[50, 1\]"),
        ((pos[:, :2], ptr, x), r"pos must have shape \[P, 3\], not \[50, 2\]"),
        ((pos.long(), ptr, x), "pos must be floating point"),
        ((pos[:0], None, x[:0]), "cloud 0 has no points"),
    ):
        with pytest.raises(ValueError, match=trouble):
            model(*arguments)


@every_model
def test_training_reaches_every_parameter(name: str) -> None:
    model = MODELS[name](0, 4).train()
    pos, ptr = packed(60, 1, 40, 30)
    for _ in range(
        2
    ):  # T-nets are the identity at first, so their first layers learn from the second step on
        model.zero_grad()
        scores, more = model.scores_and_offset_loss(pos, ptr) if name == "DeLA" else (model(pos, ptr), 0)
        (torch.nn.functional.cross_entropy(scores, torch.tensor([0, 1, 2, 3])) + more).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None and bool(parameter.grad.isfinite().all())
                parameter -= 0.01 * parameter.grad
    touched = [bool(parameter.grad.any()) for parameter in model.parameters() if parameter.dim() > 1]
    assert all(touched)


@every_model
def test_mixed_precision(name: str) -> None:
    """As the trainer asks for on a GPU: the same to the digits that are left, and gradients in full precision."""
    model, (pos, ptr) = made(name), packed(90, 60, 70)
    expected = model(pos, ptr)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(pos, ptr)
        loss = found.float().square().mean()
    loss.backward()
    spread = float((expected - expected.mean(0)).abs().max())
    assert float((found.float() - expected).abs().max()) < 0.5 * spread
    used = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(used) > 5 and all(grad.dtype == torch.float32 and bool(grad.isfinite().all()) for grad in used)


def test_transform_penalty() -> None:
    turn, _ = torch.linalg.qr(torch.randn(3, 6, 6, dtype=torch.float64))
    assert float(feature_transform_regularizer(turn)) < 1e-20
    assert float(feature_transform_regularizer(2 * turn)) == pytest.approx(9 * 6)
