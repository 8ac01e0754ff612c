"""Layers of generators and discriminators: against their definitions, on grids and levels, with second derivatives."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from geodl.nn import (
    AdaIN,
    BlurPool,
    GridConv,
    GridConvTranspose,
    Level,
    MinibatchDeviation,
    ModulatedConv,
    NoiseInjection,
    Upsample,
    equalize,
    mesh_levels,
)
from tests.geometry.shapes import bumpy, flat_grid


@cache
def level(sizes: tuple[int, ...] = (12,)) -> Level:
    return mesh_levels(bumpy(1), sizes)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def modulated(demodulate: bool = True) -> ModulatedConv:
    torch.manual_seed(0)
    return ModulatedConv(3, 4, 3, 5, demodulate).double()


@pytest.mark.parametrize("demodulate", [False, True])
def test_modulation_is_a_convolution_with_weights_of_its_own_for_every_image(demodulate: bool) -> None:
    conv, x, w = modulated(demodulate), random(2, 3, 6, 5), random(2, 5, seed=1)
    nn.init.normal_(conv.bias)
    expected = []
    for image, scale in zip(x, conv.style(w), strict=True):
        weight = conv.conv.weight * scale[:, None, None]
        if demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected.append(F.conv2d(image[None], weight, conv.bias[0], padding=1))
    torch.testing.assert_close(conv(x, w), torch.cat(expected))


def test_demodulation_keeps_the_deviation() -> None:
    conv, x = modulated(), random(1, 3, 200, 200)
    y = conv(x, random(1, 5, seed=1))[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(y.std((0, 2, 3)), torch.ones(4).double(), rtol=0.02, atol=0)


def test_styles_of_packed_shapes_are_those_of_each_alone() -> None:
    levels = [level(), mesh_levels(bumpy(2), (40,))]
    conv, norm, w = modulated(), AdaIN(3, 5).double(), random(2, 5)
    signals = [random(one.num_nodes, 3, seed=one.num_nodes) for one in levels]
    both = Level.cat(levels)
    for layer in (conv, norm):
        alone = [layer(x, w[k : k + 1], levels[k]) for k, x in enumerate(signals)]
        torch.testing.assert_close(layer(torch.cat(signals), w, both), torch.cat(alone))
        again = layer(signals[0].t()[None], w[:1], levels[0])  # [1, C, V]
        torch.testing.assert_close(again[0].t(), alone[0])
        with pytest.raises(ValueError, match="3 rows for 2 shapes"):
            layer(torch.cat(signals), random(3, 5), both)


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="must be odd"):
        ModulatedConv(1, 1, 4, 2)


@pytest.mark.parametrize("domain", ["grid", "level"])
def test_adain_sets_mean_and_deviation(domain: str) -> None:
    norm, w, on = AdaIN(3, 5).double(), random(2, 5), level() if domain == "level" else None
    x = 3 + 2 * (random(2, 3, 42) if on else random(2, 3, 6, 5))
    area = torch.ones(30).double() if on is None else on.area
    y = norm(x, w, on).flatten(2)
    scale, shift = norm.style(w).chunk(2, 1)
    mean = (y * area).sum(2) / area.sum()
    deviation = (((y - mean[..., None]).square() * area).sum(2) / area.sum()).sqrt()
    torch.testing.assert_close(mean, shift)
    torch.testing.assert_close(deviation, scale.abs(), rtol=1e-5, atol=0)
    assert bool(norm(torch.ones_like(x), w, on).isfinite().all())  # a constant image has no deviation


def test_noise_is_the_same_for_every_channel_and_of_the_generator_that_is_given() -> None:
    layer, x = NoiseInjection(3), torch.zeros(2, 3, 40, 40)
    torch.testing.assert_close(layer(x), x)  # at first there is none
    with torch.no_grad():
        layer.strength.copy_(torch.tensor([[1.0, 2.0, 0.0]]))
    y = layer(x, torch.Generator().manual_seed(3))
    torch.testing.assert_close(y[:, 1], 2 * y[:, 0])
    assert not bool(y[:, 2].any()) and abs(float(y[:, 0].detach().std()) - 1) < 0.05
    assert torch.equal(y, layer(x, torch.Generator().manual_seed(3))) and not torch.equal(y, layer(x))
    assert layer(torch.zeros(7, 3)).shape == (7, 3)


@pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
def test_equalized_layers_compute_as_others_and_learn_equally_fast(lr_multiplier: float) -> None:
    torch.manual_seed(0)
    for layer, fan_in in ((nn.Linear(400, 300), 400), (GridConv(50, 80, 3), 450)):
        weight = equalize(layer, math.sqrt(2), lr_multiplier).weight
        torch.testing.assert_close(float(weight.std()), math.sqrt(2 / fan_in), rtol=0.02, atol=0)
        learned = layer.parametrizations.weight.original
        torch.testing.assert_close(float(learned.std()), 1 / lr_multiplier, rtol=0.02, atol=0)
        before = weight.detach()
        optimizer = torch.optim.Adam(layer.parameters(), 0.1)
        (layer.weight.sum() + layer.bias.sum()).backward()
        optimizer.step()
        moved = (before - layer.weight.detach()) / math.sqrt(2 / fan_in)
        torch.testing.assert_close(moved, torch.full_like(moved, 0.1 * lr_multiplier), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(layer.bias.detach(), torch.full_like(layer.bias, -0.1 * lr_multiplier))


def test_what_cannot_be_equalized_is_named() -> None:
    with pytest.raises(ValueError, match="not BatchNorm1d"):
        equalize(nn.BatchNorm1d(3))
    with pytest.raises(ValueError, match="not GridConvTranspose"):
        equalize(GridConvTranspose(3, 3, 3))
    with pytest.raises(ValueError, match="must be positive"):
        equalize(nn.Linear(3, 3), gain=0)


def test_minibatch_deviation_is_that_of_each_group() -> None:
    layer, x = MinibatchDeviation(3), random(6, 4, 5, 2)
    y = layer(x)
    torch.testing.assert_close(y[:, :4], x)
    for number in range(2):
        members = x[number::2]
        expected = (members.var(0, unbiased=False) + 1e-8).sqrt().mean()
        torch.testing.assert_close(y[number::2, 4], expected.expand(3, 5, 2))
    same = MinibatchDeviation()(x[:1].expand(4, -1, -1, -1))
    assert float(same[:, 4].max()) < 1e-3
    on = level()
    x = random(4, 2, on.num_nodes)
    pointwise = (x.var(0, unbiased=False) + 1e-8).sqrt().mean(0)
    expected = (pointwise * on.area).sum() / on.area.sum()
    torch.testing.assert_close(MinibatchDeviation()(x, on)[:, 2], expected.expand(4, on.num_nodes))


def test_batches_without_groups_are_named() -> None:
    with pytest.raises(ValueError, match="batch of 6 does not divide into groups of 4"):
        MinibatchDeviation(4)(random(6, 1, 2, 2))
    with pytest.raises(ValueError, match=r"must have shape .* not \[6, 2\]"):
        MinibatchDeviation()(random(6, 2))
    with pytest.raises(ValueError, match="at least 2 samples"):
        MinibatchDeviation(1)


@pytest.mark.parametrize("size", [(9,), (8, 7), (4, 5, 6)])
def test_blur_pool_is_a_binomial_filter_at_every_second_point(size: tuple[int, ...]) -> None:
    x, axes = random(2, 3, *size), len(size)
    line = kernel = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
    for _ in range(axes - 1):
        kernel = kernel[..., None] * line
    convolve = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    weight = kernel[None, None].expand(3, 1, *kernel.shape)
    expected = convolve(F.pad(x, (1,) * (2 * axes), mode="replicate"), weight, stride=2, groups=3)
    torch.testing.assert_close(BlurPool()(x), expected)


def test_blur_pool_halves_what_bilinear_upsampling_doubles() -> None:
    # They are adjoint, but for the number of points.
    x, y = random(1, 1, 8, 6), random(1, 1, 4, 3, seed=1)
    up = Upsample(mode="bilinear")
    torch.testing.assert_close((up(y) * x).sum(), 4 * (y * BlurPool()(x)).sum())


def test_blur_pool_on_a_surface() -> None:
    on, pool = level(), BlurPool()
    ones = torch.ones(2, 3, on.num_nodes, dtype=torch.float64)
    torch.testing.assert_close(pool(ones, on), torch.ones(2, 3, 12, dtype=torch.float64))
    x = random(2, 3, on.num_nodes)
    torch.testing.assert_close(pool(x[0].t(), on), pool(x, on)[0].t())
    # On a flat mesh of squares, away from the border, it is the filter (1, 2, 1) / 4 along both axes.
    mesh = flat_grid(11)
    flat = mesh_levels(mesh, (30,), direction=torch.tensor([1.0, 0.0, 0.0]))
    wave = torch.cos(2 * math.pi * 5 * mesh.pos[:, :1].double())  # two points a period: an alias
    assert flat.coarsening is not None
    inner = ((mesh.pos[:, :2] - 0.5).abs().amax(1) < 0.3)[flat.coarsening.centers]
    assert float(wave.abs().min()) > 0.99
    assert float(pool(wave, flat)[inner].abs().max()) < 0.25


def test_what_cannot_be_halved_is_named() -> None:
    with pytest.raises(ValueError, match="at least 2 points"):
        BlurPool()(torch.zeros(1, 1, 1, 4))
    with pytest.raises(ValueError, match="is the coarsest"):
        BlurPool()(torch.zeros(1, 1, 12), level().after())


def layers() -> dict[str, tuple[nn.Module, int]]:
    """Each with the channels that it reads."""
    torch.manual_seed(0)
    return {
        "modulated": (ModulatedConv(2, 2, 3, 3), 2),
        "adain": (AdaIN(2, 3), 2),
        "noise": (NoiseInjection(2), 2),
        "equalized": (equalize(GridConv(2, 2, 3, padding=1)), 2),
        "deviation": (MinibatchDeviation(2), 2),
        "blur": (BlurPool(), 2),
        "up": (Upsample(mode="bilinear"), 2),
        "activation": (nn.Sequential(equalize(nn.Linear(4, 3)), nn.LeakyReLU(0.2)), 0),
    }


@pytest.mark.parametrize("name", list(layers()))
@pytest.mark.parametrize("domain", ["grid", "level"])
def test_second_derivatives(name: str, domain: str) -> None:
    layer, channels = layers()[name]
    layer = layer.double()
    on = level((5,)) if domain == "level" else None
    x = random(2, 4) if not channels else random(2, channels, *((42,) if on else (4, 4)))
    if on and name == "up":
        x = x[..., : on.after().num_nodes]
    w = random(2, 3, seed=1).requires_grad_()
    parameters = [p.detach().clone().requires_grad_() for p in layer.parameters()]
    names = [key for key, _ in layer.named_parameters()]

    def call(x: Tensor, w: Tensor, *values: Tensor) -> Tensor:
        rest: tuple[object, ...] = (w, on) if name in ("modulated", "adain") else (on,)
        if name == "noise":
            rest = (torch.Generator().manual_seed(0),)
        if name == "activation":
            rest = ()
        out = torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x, *rest))
        assert isinstance(out, Tensor)
        return out.square()

    given = (x.requires_grad_(), w, *parameters)
    fast = {"fast_mode": True, "atol": 1e-5, "rtol": 1e-4}
    assert gradcheck(call, given, **fast) and gradgradcheck(call, given, **fast)
