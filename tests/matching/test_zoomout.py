"""ZoomOut and ICP find the renumbering of a shape again, from a disturbed map of few frequencies."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from geodl.geometry import Spectrum, spectrum
from geodl.matching import bijective_zoomout, farthest_vertices, fmap_to_p2p, icp, soft_zoomout, zoomout
from tests.geometry.shapes import Shape, bumpy

K = 40


@pytest.fixture(scope="module")
def pair() -> tuple[Shape, Spectrum, Spectrum, Tensor]:
    """A shape, its spectrum, the spectrum of the same shape with its vertices in another order, and that order."""
    shape = bumpy()
    made = spectrum(shape, K)
    order = torch.randperm(made.mass.shape[0], generator=torch.Generator().manual_seed(3))
    # Of another size, too, as two scans of one thing may be.
    other = Spectrum(made.evals / 4, made.evecs[order] / 2, made.mass[order] * 4)
    return shape, made, other, order


def disturbed(size: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    """The true map, 2 times the identity for a shape twice as large, with errors."""
    random = torch.Generator().manual_seed(seed)
    return scale * (
        torch.eye(size, dtype=torch.float64)
        + 0.08 * torch.randn(size, size, dtype=torch.float64, generator=random)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sampled", [False, True])
def test_zoomout(pair: tuple[Shape, Spectrum, Spectrum, Tensor], sampled: bool, dtype: torch.dtype) -> None:
    shape, one, two, order = pair
    c = disturbed(8).to(dtype)
    before = fmap_to_p2p(c, one.evecs.to(dtype), two.evecs.to(dtype))
    samples = (None, farthest_vertices(shape.pos[order], 200)) if sampled else None
    after = fmap_to_p2p(zoomout(c, one, two, K, 4, samples), one.evecs.to(dtype), two.evecs.to(dtype))
    assert float((before == order).double().mean()) < 0.7
    assert float((after == order).double().mean()) > 0.99


def test_bijective_zoomout(pair: tuple[Shape, Spectrum, Spectrum, Tensor]) -> None:
    _, one, two, order = pair
    forth, back = bijective_zoomout(disturbed(8), disturbed(8, 1, 0.5), one, two, step=4)
    assert torch.equal(fmap_to_p2p(forth, one.evecs, two.evecs), order)
    assert torch.equal(order[fmap_to_p2p(back, two.evecs, one.evecs)], torch.arange(order.numel()))
    torch.testing.assert_close(forth @ back, torch.eye(K, dtype=torch.float64), atol=1e-6, rtol=0)


def test_soft_zoomout_is_zoomout_when_cold(pair: tuple[Shape, Spectrum, Spectrum, Tensor]) -> None:
    _, one, two, _ = pair
    c = disturbed(8)
    hard = zoomout(c, one, two, 16, 4)
    torch.testing.assert_close(soft_zoomout(c, one, two, 16, 4, 1e-7), hard, atol=1e-6, rtol=0)
    torch.testing.assert_close(soft_zoomout(c, one, two, 16, 4, 1e-7, top_k=5), hard, atol=1e-6, rtol=0)


def test_soft_zoomout_has_a_gradient(pair: tuple[Shape, Spectrum, Spectrum, Tensor]) -> None:
    shape, one, two, order = pair
    chosen = farthest_vertices(shape.pos, 30)
    samples = (order[chosen], chosen)
    c = disturbed(4).requires_grad_()
    assert torch.autograd.gradcheck(lambda c: soft_zoomout(c, one, two, 8, 2, 0.1, samples=samples), (c,))


def test_icp(pair: tuple[Shape, Spectrum, Spectrum, Tensor]) -> None:
    _, one, two, order = pair
    c = icp(disturbed(20), one, two, 30)
    torch.testing.assert_close(c, 2 * torch.eye(20, dtype=torch.float64), atol=1e-6, rtol=0)
    assert torch.equal(fmap_to_p2p(c, one.evecs, two.evecs), order)


def test_what_does_not_fit_is_named(pair: tuple[Shape, Spectrum, Spectrum, Tensor]) -> None:
    _, one, two, _ = pair
    with pytest.raises(ValueError, match=r"k must lie between 8.*and 40.*got 50"):
        zoomout(disturbed(8), one, two, 50)
    with pytest.raises(ValueError, match="step must be positive"):
        zoomout(disturbed(8), one, two, 20, 0)
    with pytest.raises(ValueError, match="square and of one size"):
        bijective_zoomout(disturbed(8), disturbed(6), one, two)
    with pytest.raises(ValueError, match="spectrum_1 holds 2 shapes"):
        zoomout(disturbed(8), Spectrum.cat([one, one]), two)
    with pytest.raises(ValueError, match="iterations must be positive"):
        icp(disturbed(8), one, two, 0)
    with pytest.raises(ValueError, match="needs that many eigenpairs"):
        icp(disturbed(8), replace(one.truncate(5)), two)
