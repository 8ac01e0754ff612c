"""Set abstraction and feature propagation against their definitions, point by point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree
from torch import Tensor

from geodl.nn import FeaturePropagation, SetAbstraction, interpolate
from geodl.ops import farthest_points

PTR = torch.tensor([0, 1, 60, 100])


def by_definition(layer: SetAbstraction, pos: Tensor, x: Tensor | None, ptr: Tensor) -> Tensor:
    """The network on every edge, for every sample alone (evaluation mode)."""
    index, sample_ptr = farthest_points(pos, layer.count, ptr)
    found = []
    for cloud in range(len(ptr) - 1):
        members = torch.arange(int(ptr[cloud]), int(ptr[cloud + 1]))
        for i in index[int(sample_ptr[cloud]) : int(sample_ptr[cloud + 1])]:
            scales = []
            for network, r, most in zip(layer.scales, layer.radii, layer.max_neighbors, strict=True):
                distance = (pos[members] - pos[i]).norm(dim=1)
                inside = members if r is None else members[distance <= r]
                if layer.grouping == "nearest":
                    inside = inside[(pos[inside] - pos[i]).norm(dim=1).argsort(stable=True)]
                inside = inside[:most]
                offset = pos[inside] - pos[i]
                scales.append(network(offset if x is None else torch.cat([offset, x[inside]], 1)).amax(0))
            found.append(torch.cat(scales))
    return torch.stack(found)


@pytest.mark.parametrize("grouping", ["nearest", "first"])
@pytest.mark.parametrize("channels", [0, 4])
def test_equals_its_definition(grouping: Any, channels: int) -> None:
    layer = SetAbstraction(channels, 20, [0.5, 1.2], [6, 9], [[8, 10], [5, 6, 7]], grouping).double().eval()
    pos = torch.randn(100, 3, dtype=torch.float64)
    x = torch.randn(100, channels, dtype=torch.float64) if channels else None
    centers, out, ptr = layer(pos, x, PTR)
    assert ptr.tolist() == [0, 1, 21, 41] and out.shape == (41, 17)
    assert torch.equal(centers, pos[farthest_points(pos, 20, PTR)[0]])
    torch.testing.assert_close(out, by_definition(layer, pos, x, PTR))


def test_nearest_however_far() -> None:
    layer = SetAbstraction(2, 30, [None], [8], [[8, 4]]).double().eval()
    pos, x = torch.randn(100, 3, dtype=torch.float64), torch.randn(100, 2, dtype=torch.float64)
    torch.testing.assert_close(layer(pos, x, PTR)[1], by_definition(layer, pos, x, PTR))


def test_where_a_cloud_stands_does_not_matter() -> None:
    """Not even to float32, thousands of radii away."""
    layer = SetAbstraction(0, 20, [0.5], [16], [[16, 16]]).eval()
    pos = (torch.randn(100, 3) * 256).round() / 256  # moves without rounding
    far = pos + torch.tensor([4096.0, -2048.0, 1024.0])
    torch.testing.assert_close(layer(far, None, PTR)[1], layer(pos, None, PTR)[1], atol=1e-4, rtol=1e-4)


def test_gradients() -> None:
    layer = SetAbstraction(2, 5, [0.8], [4], [[3, 3]]).double().eval()
    pos, x = torch.randn(12, 3, dtype=torch.float64), torch.randn(12, 2, dtype=torch.float64)
    ptr = torch.tensor([0, 4, 12])
    torch.autograd.gradcheck(lambda x: layer(pos, x, ptr)[1], x.requires_grad_())


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="2 radii, 1 max_neighbors and 1 widths"):
        SetAbstraction(0, 5, [0.1, 0.2], [4], [[8]])
    with pytest.raises(ValueError, match="grouping must be"):
        SetAbstraction(0, 5, [0.1], [4], [[8]], "last")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs radii"):
        SetAbstraction(0, 5, [None], [4], [[8]], "first")
    with pytest.raises(ValueError, match=r"x must have shape \[100, 2\], not None"):
        SetAbstraction(2, 5, [0.1], [4], [[8]])(torch.randn(100, 3), None, PTR)
    with pytest.raises(ValueError, match="must be finite, but row 3"):
        pos = torch.randn(100, 3)
        pos[3, 1] = torch.nan
        SetAbstraction(0, 5, [0.1], [4], [[8]])(pos, None, PTR)


def test_interpolation_is_that_of_the_paper() -> None:
    pos, queries = torch.randn(30, 3, dtype=torch.float64), torch.randn(50, 3, dtype=torch.float64)
    x = torch.randn(30, 4, dtype=torch.float64)
    one = torch.tensor([0, 30]), torch.tensor([0, 50])
    distance, index = KDTree(pos.numpy()).query(queries.numpy(), 3)
    weight = 1 / (distance**2 + 1e-8)
    weight /= weight.sum(1, keepdims=True)
    expected = np.einsum("pk,pkc->pc", weight, x.numpy()[index])
    torch.testing.assert_close(interpolate(x, pos, one[0], queries, one[1]), torch.from_numpy(expected))


def test_interpolation_keeps_constants_and_values_at_the_samples() -> None:
    pos = torch.randn(100, 3)
    index, ptr = farthest_points(pos, 2, PTR)  # fewer than the three neighbours; in the first cloud one
    assert torch.allclose(interpolate(torch.ones(5, 2), pos[index], ptr, pos, PTR), torch.ones(100, 2))
    x = torch.randn(5, 2)
    torch.testing.assert_close(interpolate(x, pos[index], ptr, pos, PTR)[index], x, atol=1e-5, rtol=0)


def test_propagation_of_a_ragged_batch_equals_one_by_one() -> None:
    layer = FeaturePropagation(2 + 4, [8, 5]).eval()
    pos, x = torch.randn(100, 3), torch.randn(100, 2)
    index, ptr = farthest_points(pos, 10, PTR)
    sample_x = torch.randn(len(index), 4)
    together = layer(pos, x, PTR, pos[index], sample_x, ptr)
    for b in range(3):
        own, samples = slice(int(PTR[b]), int(PTR[b + 1])), slice(int(ptr[b]), int(ptr[b + 1]))
        sizes = (torch.tensor([0, part.stop - part.start]) for part in (own, samples))
        one, few = sizes
        alone = layer(pos[own], x[own], one, pos[index][samples], sample_x[samples], few)
        torch.testing.assert_close(together[own], alone)
    with pytest.raises(ValueError, match="4 channels together, not 6"):
        layer(pos, None, PTR, pos[index], sample_x, ptr)
