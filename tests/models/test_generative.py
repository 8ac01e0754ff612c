"""Generators and discriminators on images and on surfaces."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

from geodl.models import DCDiscriminator, DCGenerator, StyleGenerator
from geodl.nn import Level, mesh_levels
from tests.geometry.shapes import bumpy

NETWORKS = (StyleGenerator, DCGenerator)


@cache
def level() -> Level:
    return mesh_levels(bumpy(2), (40, 12))


def generator(kind: Any, on_level: bool = False) -> Any:
    torch.manual_seed(0)
    return kind(latent_channels=5, widths=(6, 4, 3), out_channels=2, size=12 if on_level else (3, 2)).double()


def discriminator(on_level: bool = False, **options: Any) -> DCDiscriminator:
    torch.manual_seed(0)
    return DCDiscriminator(2, (3, 4, 6), 12 if on_level else (3, 2), **options).double()


def latent(count: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(count, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("normalization", ["equalized", "spectral"])
def test_images_and_surfaces_are_made_and_judged(kind: Any, normalization: Any) -> None:
    image = generator(kind)(latent())
    assert image.shape == (4, 2, 12, 8)
    assert discriminator(normalization=normalization)(image).shape == (4,)
    signal = generator(kind, on_level=True)(latent(), level())
    assert signal.shape == (4, 2, 162)
    assert discriminator(on_level=True, normalization=normalization)(signal, level()).shape == (4,)
    assert not torch.equal(image[0], image[1])  # another z, another image


@pytest.mark.parametrize("kind", NETWORKS)
def test_other_dimensions(kind: Any) -> None:
    made = kind(4, (4, 3), 1, (3,), dim=1)(torch.randn(2, 4))
    assert made.shape == (2, 1, 6)
    assert DCDiscriminator(1, (3, 4), (3,), group=2, dim=1)(made).shape == (2,)
    made = kind(4, (4, 3), 1, (2, 2, 3), dim=3)(torch.randn(2, 4))
    assert made.shape == (2, 1, 4, 4, 6)
    assert DCDiscriminator(1, (3, 4), (2, 2, 3), group=2, dim=3)(made).shape == (2,)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_grid_needs_a_size_for_each_axis(kind: Any) -> None:
    network = kind(latent_channels=5, widths=(6, 4), size=4)
    with pytest.raises(ValueError, match=r"such as \(4, 4\), not \(4,\)"):
        network(torch.randn(2, 5))


def test_truncation_moves_styles_to_their_mean() -> None:
    network = generator(StyleGenerator)
    for seed in range(300):
        network.track(network.mapping(latent(50, seed)), decay=0.98)
    w = network.mapping(latent(20000, 1000))
    torch.testing.assert_close(network.mean_style, w.mean(0), rtol=0, atol=0.02)
    torch.testing.assert_close(network.truncated(w, 0.0), network.mean_style.expand_as(w))
    torch.testing.assert_close(network.truncated(w, 0.3), network.mean_style + 0.3 * (w - network.mean_style))
    average = network(latent(2), truncation=0.0)
    torch.testing.assert_close(average[0], average[1])  # before it has learned, there is no noise
    torch.testing.assert_close(network(latent(2), truncation=1.0), network(latent(2)))


def test_styles_are_mixed_from_a_layer_on() -> None:
    network = generator(StyleGenerator)
    w, other = network.mapping(latent()), network.mapping(latent(seed=1))
    mixed = network.styles(w, other, torch.tensor([0, 2, 5, 4]))
    assert mixed.shape == (4, network.layers, 5) and network.layers == 5
    for row, crossover in enumerate((0, 2, 5, 4)):
        torch.testing.assert_close(mixed[row, :crossover], w[row].expand(crossover, -1))
        torch.testing.assert_close(mixed[row, crossover:], other[row].expand(5 - crossover, -1))
    torch.testing.assert_close(network.synthesis(network.styles(w, other, 5)), network(latent()))
    assert network.styles(w).shape == mixed.shape


def test_a_seed_draws_the_noise() -> None:
    network = generator(StyleGenerator)
    for name, parameter in network.named_parameters():
        if "strength" in name:
            nn.init.ones_(parameter)
    styles = network.styles(network.mapping(latent()))
    one, again = (network.synthesis(styles, random=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one, again) and not torch.equal(one, network.synthesis(styles))


@pytest.mark.parametrize("kind", NETWORKS)
def test_copies_and_state_dicts(kind: Any) -> None:
    network = generator(kind).eval()
    for other in (copy.deepcopy(network), generator(kind).eval()):
        other.load_state_dict(network.state_dict())
        torch.testing.assert_close(other(latent()), network(latent()))


@pytest.mark.parametrize("on_level", [False, True])
def test_the_penalties_of_whole_networks_have_gradients(on_level: bool) -> None:
    on = level() if on_level else None
    judge, maker = discriminator(on_level), generator(StyleGenerator, on_level)
    styles = maker.styles(maker.mapping(latent(2))).detach().contiguous().requires_grad_()
    image = maker.synthesis(styles, on).detach().requires_grad_()

    fast = {"fast_mode": True, "atol": 1e-5, "rtol": 1e-4}
    for call, x in (
        (lambda x: judge(x, on), image),
        (lambda w: maker.synthesis(w, on, torch.Generator().manual_seed(0)), styles),
    ):
        assert gradcheck(call, (x,), **fast) and gradgradcheck(call, (x,), **fast)
        for network in (judge, maker):
            network.zero_grad()
        [slope] = torch.autograd.grad(call(x).square().sum(), x, create_graph=True)
        slope.square().sum().backward()
        network = judge if x is image else maker.convs
        weights = [p for name, p in network.named_parameters() if "original" in name and "conv." in name]
        assert all(p.grad is not None and bool(p.grad.abs().max() > 0) for p in weights)


@pytest.mark.parametrize("kind", [*NETWORKS, DCDiscriminator])
def test_what_does_not_fit_is_named(kind: Any) -> None:
    with pytest.raises(ValueError, match="at least one resolution"):
        kind(4, ())
    if kind is DCDiscriminator:
        with pytest.raises(ValueError, match=r"\[6, 2\] points are left"):
            discriminator()(torch.zeros(4, 2, 24, 8).double())
    else:
        with pytest.raises(ValueError, match="coarsest level has 12 points"):
            generator(kind)(latent(), level())


def test_a_normalization_that_is_none_is_named() -> None:
    options: Any = {"normalization": "batch"}
    with pytest.raises(ValueError, match="not 'batch'"):
        discriminator(**options)
