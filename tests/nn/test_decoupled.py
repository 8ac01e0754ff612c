"""DeLA's layers against their definitions: every neighbour of every point, in full."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from geodl.nn import DecoupledAggregation, SpatialEncoding
from geodl.ops import Neighbors, knn

PTR = torch.tensor([0, 1, 60, 100])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("channels", [0, 2])
def test_spatial_encoding_equals_its_definition(training: bool, channels: int) -> None:
    layer = SpatialEncoding(channels, [5, 6, 7]).double().train(training)
    pos = torch.randn(100, 3, dtype=torch.float64)
    x = torch.randn(100, channels, dtype=torch.float64) if channels else None
    neighbors = knn(pos, 6, PTR)
    found = layer(pos, x, neighbors)
    other = SpatialEncoding(channels, [5, 6, 7]).double().train(training)
    other.load_state_dict(layer.state_dict())
    for module in other.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.reset_running_stats()
    messages = pos[neighbors.col] - pos[neighbors.row]
    messages = messages if x is None else torch.cat([messages, x[neighbors.col]], dim=1)
    messages = other.layers(messages)
    expected = torch.stack([messages[neighbors.row == i].amax(0) for i in range(100)])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("training", [False, True])
def test_aggregation_equals_its_definition(training: bool) -> None:
    layer = DecoupledAggregation(4, 5, 0.7).double().train(training)
    x = torch.randn(100, 4, dtype=torch.float64)
    neighbors = knn(torch.randn(100, 3), 6, PTR)
    found = layer(x, neighbors)
    y = x @ layer.linear.weight.t()
    highest = torch.stack([y[neighbors.col[neighbors.row == i]].amax(0) for i in range(100)])
    offset = highest - y
    expected = (
        functional.batch_norm(offset, None, None, training=True) if training else offset / (1 + 1e-5) ** 0.5
    )
    torch.testing.assert_close(found, 0.7 * expected)


def test_gradients() -> None:
    pos, x = torch.randn(12, 3, dtype=torch.float64), torch.randn(12, 2, dtype=torch.float64)
    neighbors = knn(pos, 4, torch.tensor([0, 4, 12]))
    read, meet = SpatialEncoding(2, [3, 4]).double(), DecoupledAggregation(2, 3, 1.0).double()
    torch.autograd.gradcheck(lambda x: read(pos, x, neighbors), x.requires_grad_())
    torch.autograd.gradcheck(lambda x: meet(x, neighbors), x)


def test_wrong_arguments_are_named() -> None:
    pos, x = torch.randn(100, 3), torch.randn(100, 3)
    neighbors = knn(pos, 4)
    with pytest.raises(ValueError, match=r"x must have shape \[100, 2\], not \[100, 3\]"):
        SpatialEncoding(2, [3, 4])(pos, x, neighbors)
    with pytest.raises(ValueError, match=r"x must have shape None, not \[100, 3\]"):
        SpatialEncoding(0, [3, 4])(pos, x, neighbors)
    with pytest.raises(ValueError, match=r"widths must hold two layers at least, got \[3\]"):
        SpatialEncoding(0, [3])
    with pytest.raises(ValueError, match="neighbors have 1 rows and 3 sources"):
        DecoupledAggregation(3, 4)(x[:3], Neighbors(torch.tensor([0, 1]), torch.tensor([2]), 3))
