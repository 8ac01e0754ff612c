"""transfer: the content stays, the manner changes; reliefs."""

from __future__ import annotations

import pytest
import torch

from geodl.models import SqueezeNet
from geodl.synthesis import FilterBank, GramStatistics, NetworkFeatures, displace, surface_levels, transfer
from geodl.synthesis.stencil import halve
from tests.synthesis.shapes import blobs, sphere


def content(size: int = 48) -> torch.Tensor:
    """A dark disc on light ground."""
    row = torch.arange(size) - size / 2
    disc = (row[:, None] ** 2 + row**2 < (size / 3) ** 2).float()
    return (0.9 - 0.7 * disc).expand(3, -1, -1).contiguous()


def correlation(one: torch.Tensor, two: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), two.flatten()]))[0, 1])


def test_an_image_keeps_its_content_and_takes_the_style() -> None:
    style = blobs(64, seed=2)
    made = transfer(content(), style, steps=12)
    assert made.x.shape == (3, 48, 48)
    coarse = [halve(halve(image.mean(0)[None, None])) for image in (made.x, content())]
    assert correlation(*coarse) > 0.8
    bank = FilterBank(3, octaves=2).fit(style)
    target = GramStatistics.of(bank(style))
    before, after = (float(target.error(GramStatistics.of(bank(x)))) for x in (content(), made.x))
    assert after < 0.3 * before
    less = transfer(content(), style, steps=12, weight=0.01)
    assert less.errors[-1] < made.errors[-1]


def test_a_function_on_a_surface_becomes_a_relief() -> None:
    mesh = sphere(3)
    level = surface_levels(mesh, 2)
    made = transfer(mesh.pos[:, 1], blobs(48, channels=1), level, steps=6)
    assert made.x.shape == (642, 1) and correlation(made.x, mesh.pos[:, 1]) > 0.5
    relief = displace(mesh, made.x, 0.1)
    moved = relief.pos.norm(dim=1) - 1
    torch.testing.assert_close(moved, 0.1 * (made.x[:, 0] - made.x.mean()), rtol=1e-2, atol=1e-3)
    assert torch.equal(mesh.pos, sphere(3).pos)
    for bad in (made.x[1:], made.x * float("nan")):
        with pytest.raises(ValueError, match="height must be finite"):
            displace(mesh, bad, 1.0)


def test_colours_of_a_surface() -> None:
    mesh = sphere(3)
    made = transfer(mesh.pos.abs().clamp(max=1), blobs(48), mesh, steps=3)
    assert made.x.shape == (642, 3)


def test_with_the_features_of_a_network() -> None:
    network = SqueezeNet(version="1.1")
    style = NetworkFeatures(network, ["features.0", "features.3"], octaves=1)
    deep = NetworkFeatures(network, ["features.4"], octaves=1)
    made = transfer(content(64), blobs(64), None, style, deep, steps=5)
    assert made.x.shape == (3, 64, 64) and made.errors[-1] < made.errors[0]


def test_it_goes_on() -> None:
    whole = transfer(content(), blobs(), steps=3)
    part = transfer(content(), blobs(), steps=3, progress=lambda found: found.step == 4)
    assert torch.equal(transfer(content(), blobs(), steps=3, state=part.state).x, whole.x)


def test_contents_that_do_not_fit() -> None:
    mesh = sphere(3)
    with pytest.raises(ValueError, match="the content is constant"):
        transfer(torch.full((3, 48, 48), 0.3), blobs())
    with pytest.raises(ValueError, match=r"\[642\], or \[642, 3\], not \[641, 1\]"):
        transfer(mesh.pos[1:, 0], blobs(), mesh)
    with pytest.raises(ValueError, match="the content: 642 values are NaN"):
        transfer(mesh.pos[:, 0] * float("nan"), blobs(), mesh)
    with pytest.raises(ValueError, match="at its own size"):
        transfer(content(), blobs(), (20, 20))
    with pytest.raises(ValueError, match="the style is constant"):
        transfer(content(), torch.zeros(3, 48, 48))
