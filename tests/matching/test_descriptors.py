"""Nearest neighbours in descriptor space against torch.cdist and scipy's k-d tree."""

import pytest
import torch
from scipy.spatial import cKDTree

from geodl.matching import descriptors, match_descriptors

DTYPES = [torch.float32, torch.float64]


def direct(source, target):
    """Differences in float64, argmin takes the first of equals."""
    return torch.cdist(target.double(), source.double(), compute_mode="donot_use_mm_for_euclid_dist").argmin(
        1
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (7, 300, 1), (300, 7, 3), (211, 190, 16), (64, 64, 130), (5, 0, 4)]
)
def test_equals_cdist_and_kdtree(shape, dtype):
    v1, v2, width = shape
    generator = torch.Generator().manual_seed(v1)
    source = torch.randn(v1, width, generator=generator, dtype=dtype)
    target = torch.randn(v2, width, generator=generator, dtype=dtype)
    p2p = match_descriptors(source, target)
    assert p2p.dtype == torch.int64 and p2p.shape == (v2,)
    assert torch.equal(p2p, direct(source, target))
    if v2:
        assert torch.equal(p2p, torch.from_numpy(cKDTree(source.numpy()).query(target.numpy())[1]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("block", [1, 64, 1000])
def test_ties_go_to_the_lowest_index_whatever_the_block(dtype, block, monkeypatch):
    monkeypatch.setattr(descriptors, "_BLOCK", block)
    base = torch.randint(-2, 3, (20, 3), generator=torch.Generator().manual_seed(0)).to(dtype)
    source = base.repeat(4, 1)  # every descriptor at least four times
    p2p = match_descriptors(source, base)
    first = torch.tensor([next(i for i in range(20) if torch.equal(base[i], row)) for row in base])
    assert torch.equal(p2p, first)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1e-18, 1e-3, 1.0, 1e6, 1e30])
def test_scale_and_offset(scale, dtype):
    """Far from the origin |a|^2 - 2 a.b + |b|^2 alone mixes up neighbours; plain squares overflow."""
    generator = torch.Generator().manual_seed(3)
    source = (torch.randn(120, 8, generator=generator, dtype=torch.float64) * 1e-2 + 10).mul(scale).to(dtype)
    order = torch.randperm(120, generator=generator)
    assert torch.equal(match_descriptors(source, source[order]), order)


def test_all_equal_descriptors():
    assert torch.equal(
        match_descriptors(torch.zeros(500, 4), torch.zeros(300, 4)), torch.zeros(300, dtype=torch.int64)
    )


def test_no_descriptor_at_all_maps_to_the_first():
    assert torch.equal(
        match_descriptors(torch.zeros(5, 0), torch.zeros(3, 0)), torch.zeros(3, dtype=torch.int64)
    )


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (torch.zeros(3), torch.zeros(3, 1), r"source must have shape \[V, D\], not \[3\]"),
        (torch.zeros(3, 2), torch.zeros(3, 1), "source has 2 numbers a descriptor but target has 1"),
        (
            torch.zeros(3, 2),
            torch.zeros(3, 2).double(),
            "source is torch.float32 but target is torch.float64",
        ),
        (torch.zeros(3, 2).half(), torch.zeros(3, 2), "source must be float32 or float64, not torch.float16"),
        (torch.zeros(0, 2), torch.zeros(3, 2), "source must hold at least one vertex"),
        (
            torch.zeros(3, 2),
            torch.tensor([[0.0, 0], [0, float("nan")]]),
            "target has 1 descriptors with NaN.*row 1",
        ),
        (
            torch.full((2, 1), float("inf")),
            torch.zeros(3, 1),
            "source has 2 descriptors with NaN or infinity.*row 0",
        ),
    ],
)
def test_errors_name_the_argument(source, target, message):
    with pytest.raises(ValueError, match=message):
        match_descriptors(source, target)
