"""EdgeConv against its definition, edge by edge."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from geodl.nn import EdgeConv
from geodl.nn.edge_sum import edge_sum
from geodl.ops import Neighbors, knn


def by_definition(conv: EdgeConv, x: Tensor, neighbors: Neighbors) -> Tensor:
    """All messages, then batch norm, activation and layers on them, then the maximum."""
    own, other = x[neighbors.row], x[neighbors.col]
    h = torch.cat([own, other - own], dim=1) @ conv.weight
    h = functional.batch_norm(h, None, None, conv.norm.weight, conv.norm.bias, True)
    h = functional.leaky_relu(h, conv.negative_slope)
    for layer in conv.rest:
        h = layer(h)
    rows = h.split(neighbors.degree().tolist())
    return torch.stack([row.amax(0) for row in rows])


@pytest.mark.parametrize("hidden", [[], [7]])
def test_training_is_that_of_all_edges(hidden: list[int]) -> None:
    conv = EdgeConv(3, 5, hidden).double()
    nn.init.normal_(conv.norm.weight)
    x = torch.randn(40, 3, dtype=torch.float64, requires_grad=True)
    neighbors = knn(x.detach(), 6, torch.tensor([0, 4, 40]))
    out, expected = conv(x, neighbors), by_definition(conv, x, neighbors)
    torch.testing.assert_close(out, expected)
    seed = torch.randn_like(out)
    given = [x, *conv.parameters()]
    for a, b in zip(
        torch.autograd.grad(out, given, seed), torch.autograd.grad(expected, given, seed), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-6)


@pytest.mark.parametrize("hidden", [[], [7]])
def test_running_statistics_are_those_of_batch_norm(hidden: list[int]) -> None:
    conv, norm = EdgeConv(3, 5, hidden), nn.BatchNorm1d(hidden[0] if hidden else 5)
    x = torch.randn(40, 3)
    neighbors = knn(x, 6)
    own, other = x[neighbors.row], x[neighbors.col]
    norm(torch.cat([own, other - own], dim=1) @ conv.weight)
    conv(x, neighbors)
    for name, tensor in norm.state_dict().items():
        torch.testing.assert_close(conv.norm.state_dict()[name], tensor, msg=name)


def test_destinations_of_their_own_and_empty_rows() -> None:
    neighbors = Neighbors(torch.tensor([0, 2, 2]), torch.tensor([0, 3]), 4)
    for hidden in ([], [6]):
        conv = EdgeConv(3, 5, hidden).eval()
        out = conv(torch.randn(4, 3), neighbors, torch.randn(2, 3))
        assert out.shape == (2, 5) and not out[1].any() and out[0].any()


def test_edge_sum_and_its_gradient() -> None:
    neighbors = Neighbors(torch.tensor([0, 2, 2, 5]), torch.tensor([1, 1, 0, 3, 2]), 4)
    u, v = (torch.randn(n, 2, dtype=torch.float64, requires_grad=True) for n in (3, 4))
    assert torch.equal(edge_sum(u, v, neighbors), u[neighbors.row] + v[neighbors.col])
    torch.autograd.gradcheck(lambda u, v: edge_sum(u, v, neighbors), (u, v))


def test_wrong_channels_are_named() -> None:
    with pytest.raises(ValueError, match=r"x must have shape \[num_src, 3\], not \[4, 2\]"):
        EdgeConv(3, 5)(torch.randn(4, 2), knn(torch.randn(4, 2), 2))
