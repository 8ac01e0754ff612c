"""PolarWindows: packing, and its errors."""

from __future__ import annotations

import pytest
import torch

from geodl.ops import PolarWindows, polar_conv

from .patches import FORMS, random_neighbors, random_polar


@pytest.mark.parametrize("form", FORMS)
def test_packed_shapes_give_the_numbers_of_each_alone(form):
    parts = [
        random_polar(random_neighbors(n, n, 9 * n, seed=n), 2, 4, form, torch.float32, seed=n)
        for n in (40, 1, 17, 90)
    ]
    signals = [torch.randn(part.neighbors.num_src, 5) for part in parts]
    filters = torch.randn(2, 4, 5, 6)
    packed = polar_conv(torch.cat(signals), PolarWindows.cat(parts), filters)
    alone = torch.cat([polar_conv(x, part, filters) for x, part in zip(signals, parts, strict=True)])
    torch.testing.assert_close(packed, alone)


def test_to_keeps_everything():
    windows = random_polar(random_neighbors(6, 5, 20), 2, 4, "sparse")
    moved = windows.to("cpu")
    assert torch.equal(moved.index, windows.index) and torch.equal(moved.weight, windows.weight)
    assert (moved.rings, moved.rays) == (2, 4)


def test_errors_name_the_argument():
    neighbors = random_neighbors(6, 5, 20)
    weight, index = torch.rand(20, 1), torch.zeros(20, 1, dtype=torch.int64)
    with pytest.raises(ValueError, match="at least one ring and one ray, not 0 rings and 4 rays"):
        PolarWindows(neighbors, weight, index, 0, 4)
    with pytest.raises(ValueError, match="weight has 1 windows but 8 are expected"):
        PolarWindows(neighbors, weight, None, 2, 4)
    with pytest.raises(IndexError, match=r"index holds 8\.\.8, but there are 8 windows"):
        PolarWindows(neighbors, weight, index + 8, 2, 4)
    with pytest.raises(ValueError, match=r"neighbors have 20 edges but weight has shape \[19, 1\]"):
        PolarWindows(neighbors, weight[1:], index[1:], 2, 4)
    with pytest.raises(ValueError, match="needs at least one part"):
        PolarWindows.cat([])
    with pytest.raises(ValueError, match="parts of one rings, not 2 and 4"):
        PolarWindows.cat(
            [PolarWindows(neighbors, weight, index, 2, 4), PolarWindows(neighbors, weight, index, 4, 2)]
        )
