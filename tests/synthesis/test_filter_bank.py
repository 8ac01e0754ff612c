"""FilterBank and GramStatistics: the same numbers on a grid and on a surface."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from geodl.data import Mesh
from geodl.models import SqueezeNet
from geodl.nn import GridWindows
from geodl.synthesis import (
    Features,
    FilterBank,
    GramStatistics,
    NetworkFeatures,
    sliced_wasserstein,
    surface_levels,
)
from geodl.synthesis.stencil import halve, stencil
from geodl.synthesis.windows import seen_taps, surface_windows
from tests.synthesis.shapes import blobs, pixels, sheet


def test_features_are_rectified_convolutions_at_octaves() -> None:
    bank = FilterBank(3, filters=8, octaves=2).double()
    x = torch.rand(2, 3, 32, 30, dtype=torch.float64)
    first, second = bank(x)
    wanted = F.conv2d(x, bank.weight[0], bank.bias[0]).relu()
    torch.testing.assert_close(first.x, wanted.flatten(2).transpose(1, 2))
    row = torch.tensor([1, 4, 6, 4, 1.0], dtype=torch.float64) / 16
    blur = (row[:, None] * row).expand(3, 1, 5, 5)
    half = F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), blur, stride=2, groups=3)
    wanted = F.conv2d(half, bank.weight[1], bank.bias[1]).relu()
    torch.testing.assert_close(second.x[..., :8], wanted.flatten(2).transpose(1, 2))
    assert second.x.shape[-1] == 16 and first.mass is None


def test_circular_features_move_with_the_picture() -> None:
    bank = FilterBank(3, filters=8, octaves=3)
    x = torch.rand(1, 3, 32, 32)
    one, two = (GramStatistics.of(bank(y, circular=True)) for y in (x, x.roll((4, 8), (2, 3))))
    for a, b in zip(one.gram + one.mean, two.gram + two.mean, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_fit_scales_answers_and_spreads_thresholds() -> None:
    image = blobs()
    bank = FilterBank(3, filters=16, octaves=2).fit(image)
    answer = bank.respond(image[None], 0)[..., 2:-2, 2:-2]
    deviation, mean = torch.std_mean(answer, (0, 2, 3))
    torch.testing.assert_close(deviation, torch.ones(16), rtol=1e-3, atol=1e-3)
    spread = torch.special.ndtri((torch.arange(16) + 0.5) / 16)
    torch.testing.assert_close(mean.sort().values, spread, rtol=1e-3, atol=2e-3)


def test_a_sheet_of_pixels_gives_what_the_grid_gives() -> None:
    image, mesh = blobs(48), sheet(48)
    level = surface_levels(mesh, octaves=1, direction=torch.tensor([0.0, 1.0, 0.0]))
    bank = FilterBank(3, filters=12, octaves=1).fit(image)
    on_grid = F.conv2d(image[None], bank.weight[0], bank.bias[0]).relu()[0]
    found = bank(pixels(image, mesh), level)[0]
    inner = found.x[0].T.view(12, 48, 48)[:, 2:-2, 2:-2]
    # The area of a vertex at the border is less than a pixel, so that taps are a little less than a pixel apart.
    assert float((inner - on_grid).abs().mean()) < 0.05 * float(on_grid.std())
    grid, surface = GramStatistics.of(bank(image)), GramStatistics.of([found])
    other = GramStatistics.of(bank(blobs(48, seed=1)))
    assert float(grid.error(surface)) < 0.5 * float(grid.error(other))


def test_the_gap_of_an_irregular_sheet_is_less_than_that_of_another_crop() -> None:
    image, mesh = blobs(64), sheet(64, jitter=0.35)
    level = surface_levels(mesh, octaves=3, direction=torch.tensor([0.0, 1.0, 0.0]))
    bank = FilterBank(3, octaves=3).fit(image)
    target = GramStatistics.of(bank(image))
    gap = float(target.error(GramStatistics.of(bank(pixels(image, mesh), level))))
    crop = float(target.error(GramStatistics.of(bank(blobs(64, seed=1)))))
    assert gap < 0.5 * crop, (gap, crop)
    assert sliced_wasserstein(image, pixels(image, mesh), None, level) < sliced_wasserstein(
        image, blobs(64, seed=1)
    )


def test_windows_read_linear_functions_exactly_where_they_can() -> None:
    mesh = sheet(24, jitter=0.3)
    level = surface_levels(mesh, octaves=1, kernel_size=3, direction=torch.tensor([0.0, 1.0, 0.0]))
    below = torch.zeros(9, 1, 1)
    below[7] = 1  # one tap further down
    inner = ((mesh.pos[:, 0] - 11.5).abs() < 8) & ((mesh.pos[:, 1] + 11.5).abs() < 8)
    wanted = mesh.pos - torch.tensor([0.0, 23 / 24, 0.0])

    def error(windows: GridWindows) -> Tensor:
        return torch.linalg.vector_norm(windows.convolve(mesh.pos, below.expand(9, 1, 3), 3) - wanted, dim=1)[
            inner
        ]

    ours, hats = error(surface_windows(level, 3)), error(level.windows((3, 3)))
    assert float(ours.median()) < 1e-4  # a few taps have too few neighbours about them
    assert float(ours.mean()) < 0.5 * float(hats.mean())


def test_constants_stay_and_every_tap_answers() -> None:
    mesh = sheet(20)
    level = surface_levels(mesh, octaves=2)
    ones = torch.ones(400, 1)
    torch.testing.assert_close(halve(ones, level), torch.ones(100, 1))
    kernels = torch.rand(2, 3, 3)
    torch.testing.assert_close(stencil(ones, kernels, level), kernels.sum((1, 2)).expand(400, -1))
    share = seen_taps(level, 5)
    assert float(share.min()) < 0.6 and float(share.max()) == 1


def test_statistics_do_not_depend_on_numbering() -> None:
    mesh = sheet(24, jitter=0.3)
    order = torch.randperm(576)
    number = torch.empty_like(order)
    number[order] = torch.arange(576)
    other = Mesh(mesh.pos[order], number[mesh.face])
    bank, x = FilterBank(3, octaves=1), torch.rand(576, 3)
    up = torch.tensor([0.0, 1.0, 0.0])
    one = GramStatistics.of(bank(x, surface_levels(mesh, 1, direction=up)))
    two = GramStatistics.of(bank(x[order], surface_levels(other, 1, direction=up)))
    assert float(one.error(two)) < 1e-6


def test_gram_statistics_are_means_by_mass() -> None:
    x = torch.rand(1, 50, 4, dtype=torch.float64)
    twice = Features(
        torch.cat([x, x[:, :10]], 1), torch.cat([torch.ones(10) / 2, torch.ones(40), torch.ones(10) / 2])
    )
    one, two = GramStatistics.of([Features(x)]), GramStatistics.of([twice])
    torch.testing.assert_close(one.gram[0], two.gram[0])
    torch.testing.assert_close(one.gram[0][0], x[0].T @ x[0] / 50)
    assert float(one.error(two)) < 1e-12
    centred = x[0] - x[0].mean(0)
    target, scale = centred.T @ centred / 50, centred.std(0, correction=0)
    moved = GramStatistics.of([Features(x + scale)])
    difference = torch.ones(4, 4, dtype=torch.float64)
    # A floor of 5 % of the mean variance is added to variances.
    assert float(one.error(moved)) == pytest.approx(
        float(difference.square().sum() / (target / (scale[:, None] * scale)).square().sum()), rel=0.1
    )
    with pytest.raises(ValueError, match="none of the 50 points"):
        GramStatistics.of([Features(x, torch.zeros(50))])


def test_features_of_a_network_on_grid_and_level() -> None:
    network = SqueezeNet(version="1.1")
    seen = NetworkFeatures(network, ["features.0", "features.3"], octaves=1)
    picture = torch.rand(3, 64, 64)
    found = seen(picture)
    assert [layer.x.shape[-1] for layer in found] == [3, 64, 128]
    level = surface_levels(sheet(40), octaves=3, kernel_size=5)
    on_level = seen(torch.rand(1600, 3), level)
    assert [layer.x.shape for layer in on_level] == [(1, 1600, 3), (1, 400, 64), (1, 100, 128)]
    colors = (picture - seen.mean[:, None, None]) / seen.deviation[:, None, None]
    first = network.features[0]
    answer = F.conv2d(colors[None], first.weight, first.bias).relu()
    row = torch.tensor([1.0, 3, 3, 1]) / 8
    blur = (row[:, None] * row).expand(64, 1, 4, 4)
    wanted = F.conv2d(F.pad(answer, (1, 1, 1, 1), mode="replicate"), blur, stride=2, groups=64)
    torch.testing.assert_close(found[1].x, wanted.flatten(2).transpose(1, 2), rtol=1e-4, atol=1e-4)
    assert first.stride == (2, 2)  # the network itself stays as it was
    with pytest.raises(ValueError, match="names"):
        NetworkFeatures(network, [])


def test_a_network_of_caffe_reads_blue_first() -> None:
    network = SqueezeNet(version="1.1")
    mean, deviation = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    rgb = NetworkFeatures(network, ["features.1"], 1, mean, deviation)
    bgr = NetworkFeatures(network, ["features.1"], 1, mean, deviation, order="bgr")
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(rgb(x)[1].x, bgr(x.flip(1))[1].x)
    level, colors = surface_levels(sheet(24), octaves=2), torch.rand(576, 3)
    assert torch.equal(rgb(colors, level)[1].x, bgr(colors.flip(1), level)[1].x)
    with pytest.raises(ValueError, match='"rgb" or "bgr"'):
        NetworkFeatures(network, ["features.1"], order="grb")  # type: ignore[arg-type]


def test_bad_signals_and_sizes() -> None:
    with pytest.raises(ValueError, match="odd"):
        FilterBank(3, kernel_size=4)
    with pytest.raises(ValueError, match="positive"):
        FilterBank(3, filters=0)
    bank = FilterBank(3, octaves=2)
    with pytest.raises(ValueError, match=r"\[B, 3, H, W\]"):
        bank(torch.rand(1, 20, 20))
    with pytest.raises(ValueError, match="too small for 2 octaves"):
        bank(torch.rand(3, 8, 30))
    level = surface_levels(sheet(20), octaves=1)
    with pytest.raises(ValueError, match="2 octaves need as many levels, but there are 1"):
        bank(torch.rand(400, 3), level)
    with pytest.raises(ValueError, match=r"\[400, 3\]"):
        FilterBank(3, octaves=1)(torch.rand(399, 3), level)


def test_sliced_wasserstein_is_a_distance() -> None:
    image = blobs()
    assert sliced_wasserstein(image, image) == 0
    # A constant shift moves every quantile by the mean of the directions' sums.
    assert 0.005 < sliced_wasserstein(image * 0.5, image * 0.5 + 0.1) < 0.1
    noise = torch.rand(3, 64, 64)
    assert sliced_wasserstein(image, blobs(seed=1)) < 0.5 * sliced_wasserstein(image, noise)
    for bad, message in (
        (image[:1], "channels"),
        (image * float("nan"), "NaN"),
        (image[:, :20], "too small"),
    ):
        with pytest.raises(ValueError, match=message):
            sliced_wasserstein(image, bad)
    with pytest.raises(ValueError, match="shape"):
        sliced_wasserstein(image, image[0])
