"""Nearest features both ways are those of each way; read through eigenfunctions they lose the errors of single vertices."""

import pytest
import torch

from geodl.geometry import Spectrum, spectrum
from geodl.matching import both_ways, match_both_ways, match_descriptors, smooth_both_ways
from tests.geometry.shapes import bumpy


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_ways_are_each_way(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(both_ways, "_BLOCK", 1000)  # several blocks, the last one smaller
    random = torch.Generator().manual_seed(0)
    one, two = (torch.randn(n, 7, generator=random, dtype=dtype) + 50 for n in (130, 90))
    p2p_21, p2p_12 = match_both_ways(one, two)
    assert torch.equal(p2p_21, match_descriptors(one, two))
    assert torch.equal(p2p_12, match_descriptors(two, one))


def test_bad_features_are_named() -> None:
    some = torch.randn(4, 3)
    with pytest.raises(ValueError, match=r"features_1 \[4, 3\] and features_2 \[4, 2\] must be"):
        match_both_ways(some, some[:, :2])
    with pytest.raises(ValueError, match=r"one floating dtype, not torch\.float32 and torch\.float64"):
        match_both_ways(some, some.double())
    with pytest.raises(ValueError, match="without vertices"):
        match_both_ways(some[:0], some)
    with pytest.raises(ValueError, match="not finite"):
        match_both_ways(some, some / 0)


def test_smoothed_maps_lose_the_errors_of_single_vertices() -> None:
    """Renumbered, and a tenth of the vertices sent anywhere."""
    shape = bumpy(3)
    made = spectrum(shape, 40)
    random = torch.Generator().manual_seed(0)
    order = torch.randperm(len(shape.pos), generator=random)
    other = Spectrum(made.evals, made.evecs[order], made.mass[order])
    p2p_21, p2p_12 = order.clone(), order.argsort()
    wrong = torch.randperm(len(order), generator=random)[: len(order) // 10]
    p2p_21[wrong] = order[wrong.roll(1)]
    found_21, found_12 = smooth_both_ways(p2p_21, p2p_12, made, other, 30)
    before, after = ((shape.pos[p] - shape.pos[order]).norm(dim=1)[wrong].mean() for p in (p2p_21, found_21))
    assert after < 0.2 * before, (before, after)
    assert float((found_12 == order.argsort()).double().mean()) > 0.9


def test_too_few_eigenfunctions_are_named() -> None:
    made = spectrum(bumpy(2), 20)
    same = torch.arange(162)
    with pytest.raises(ValueError, match=r"k must lie in 1\.\.20, got 30"):
        smooth_both_ways(same, same, made, made, 30)
