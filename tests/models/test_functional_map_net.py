"""FunctionalMapNet: features of unit length, maps of packed pairs as of each pair alone."""

import pytest
import torch

from geodl.geometry import Gradient, Spectrum, gradient, spectrum
from geodl.models import FunctionalMapNet
from tests.geometry.shapes import bumpy


def test_a_batch_gives_what_each_pair_gives() -> None:
    shapes = [bumpy(2, seed) for seed in (0, 1, 2)]
    spectra = [spectrum(shape, 20).to(torch.float32) for shape in shapes]
    slopes = [Gradient((g := gradient(shape)).neighbors, g.values.float()) for shape in shapes]
    signals = [torch.randn(shape.pos.shape[0], 5) for shape in shapes]
    net = FunctionalMapNet(5, 16, 8, 2, eigenfunctions=12).eval()
    together, slope = Spectrum.cat(spectra), Gradient.cat(slopes)
    features = net(torch.cat(signals), together, slope)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(features.shape[0]))
    maps = net.functional_maps(features, together, torch.tensor([[0, 1], [2, 0]]))
    for found, (a, b) in zip(maps, ((0, 1), (2, 0)), strict=True):
        pair = Spectrum.cat([spectra[a], spectra[b]])
        alone = torch.cat([net(signals[s], spectra[s], slopes[s]) for s in (a, b)])
        torch.testing.assert_close(
            net.functional_maps(alone, pair, torch.tensor([[0, 1]]))[0], found, atol=1e-4, rtol=1e-3
        )


def test_a_shape_is_mapped_to_itself_by_the_identity() -> None:
    """In float64: what is no more than random features determines high frequencies weakly."""
    shape = bumpy(2)
    made = spectrum(shape, 20)
    net = FunctionalMapNet(5, 32, 8, 1, eigenfunctions=12, weight=1e-3).double()
    slope = gradient(shape)
    features = net(torch.randn(162, 5, dtype=torch.float64), made, slope)
    (c,) = net.functional_maps(features, made, torch.tensor([[0, 0]]))
    torch.testing.assert_close(c, torch.eye(12, dtype=torch.float64), atol=1e-5, rtol=0)
    assert torch.equal(net.point_map(features.detach(), features.detach()), torch.arange(162))


def test_too_few_eigenpairs_are_named() -> None:
    net = FunctionalMapNet(5, 4, 4, 1, eigenfunctions=30)
    made = spectrum(bumpy(2), 20).to(torch.float32)
    with pytest.raises(ValueError, match=r"k must lie in 1\.\.20, got 30"):
        net.functional_maps(torch.randn(162, 4), made, torch.tensor([[0, 0]]))


def test_maps_of_another_size_than_the_networks() -> None:
    shape = bumpy(2)
    made = spectrum(shape, 20).to(torch.float32)
    net = FunctionalMapNet(5, 16, 8, 1, eigenfunctions=12)
    features = torch.nn.functional.normalize(torch.randn(162, 16), dim=1)
    assert net.functional_maps(features, made, torch.tensor([[0, 0]]), 7).shape == (1, 7, 7)
    small = FunctionalMapNet(5, 16, 8, 1, eigenfunctions=7)
    pairs = torch.tensor([[0, 0]])
    torch.testing.assert_close(
        net.functional_maps(features, made, pairs, 7), small.functional_maps(features, made, pairs)
    )
