"""PointNeXt's blocks against their definitions: every edge in full, batch norm over all of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from geodl.nn import InvResMLP, ResidualAbstraction
from geodl.ops import Neighbors, farthest_points, radius

PTR = torch.tensor([0, 1, 60, 100])


def normed(x: Tensor, norm: Any, training: bool) -> Tensor:
    variance, mean = torch.var_mean(x, 0, correction=0) if training else (norm.running_var, norm.running_mean)
    return (x - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias


def surroundings(layers: Any, edges: Tensor, neighbors: Neighbors, training: bool, last: bool) -> Tensor:
    """Linear layers and batch norms on every edge, a ReLU after each (but the last, if not asked for), the maximum of a row."""
    modules = [module for module in layers if not isinstance(module, torch.nn.ReLU)]
    for k, (linear, norm) in enumerate(zip(modules[::2], modules[1::2], strict=True)):
        edges = normed(edges @ linear.weight.t(), norm, training)
        if last or k + 1 < len(modules) // 2:
            edges = edges.relu()
    return torch.stack([edges[neighbors.row == i].amax(0) for i in range(neighbors.num_dst)])


def randomised(layer: Any) -> Any:
    for module in layer.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.weight)  # of both signs
            torch.nn.init.normal_(module.bias)
            torch.nn.init.normal_(module.running_mean)
    return layer.double()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("widths", [[7], [5, 7], [5, 6, 4]])
@pytest.mark.parametrize("stride", [1, 2, 50])
def test_abstraction_equals_its_definition(training: bool, widths: list[int], stride: int) -> None:
    layer = randomised(ResidualAbstraction(4, widths, 0.8, stride, 6)).train(training)
    pos, x = torch.randn(100, 3, dtype=torch.float64), torch.randn(100, 4, dtype=torch.float64)
    centers, found, ptr = layer(pos, x, PTR)
    counts = [1, max(59 // stride, 1), max(40 // stride, 1)]
    assert ptr.diff().tolist() == counts
    index, _ = farthest_points(pos, torch.tensor(counts), PTR)
    assert torch.equal(centers, pos[index])
    neighbors = radius(pos, 0.8, PTR, centers, ptr, 6)
    row, col = neighbors.row, neighbors.col
    edges = torch.cat([(pos[col] - centers[row]) / 0.8, x[col]], dim=1)
    read = surroundings(layer.layers, edges, neighbors, training, last=False)
    torch.testing.assert_close(found, (read + layer.skip(x[index])).relu())


@pytest.mark.parametrize("training", [False, True])
def test_block_equals_its_definition(training: bool) -> None:
    layer = randomised(InvResMLP(4, 0.5)).train(training)
    pos, x = torch.randn(100, 3, dtype=torch.float64), torch.randn(100, 4, dtype=torch.float64)
    neighbors = radius(pos, 0.5, PTR, max_neighbors=6)
    found = layer(pos, x, PTR, neighbors)
    row, col = neighbors.row, neighbors.col
    edges = torch.cat([(pos[col] - pos[row]) / 0.5, x[col]], dim=1)
    y = surroundings(layer.surroundings, edges, neighbors, training, last=True)
    wide, norm, _, narrow, last = layer.points
    y = normed(y @ wide.weight.t(), norm, training).relu()
    torch.testing.assert_close(found, (x + normed(y @ narrow.weight.t(), last, training)).relu())


@pytest.mark.parametrize("training", [False, True])
def test_running_statistics_are_those_of_torch(training: bool) -> None:
    """As batch norm of all edges, in full, would keep them."""
    layer = ResidualAbstraction(2, [5, 7], 0.8).double().train(training)
    pos, x = torch.randn(100, 3, dtype=torch.float64), torch.randn(100, 2, dtype=torch.float64)
    centers, _, ptr = layer(pos, x, PTR)
    neighbors = radius(pos, 0.8, PTR, centers, ptr, 32)
    edges = torch.cat([(pos[neighbors.col] - centers[neighbors.row]) / 0.8, x[neighbors.col]], dim=1)
    for linear, norm in ((layer.layers[0], layer.layers[1]), (layer.layers[3], layer.layers[4])):
        other = torch.nn.BatchNorm1d(norm.num_features).double().train(training)
        edges = functional.relu(other(edges @ linear.weight.t()))
        torch.testing.assert_close(norm.running_mean, other.running_mean)
        torch.testing.assert_close(norm.running_var, other.running_var)
        assert int(norm.num_batches_tracked) == int(training)


@pytest.mark.parametrize("widths", [[3], [3, 4]])
def test_gradients(widths: list[int]) -> None:
    layer = randomised(ResidualAbstraction(2, widths, 0.8, 2, 4))
    block = randomised(InvResMLP(2, 0.8))
    pos, x = torch.randn(12, 3, dtype=torch.float64), torch.randn(12, 2, dtype=torch.float64)
    ptr = torch.tensor([0, 4, 12])
    neighbors = radius(pos, 0.8, ptr)
    torch.autograd.gradcheck(lambda x: layer(pos, x, ptr)[1], x.requires_grad_())
    torch.autograd.gradcheck(lambda x: block(pos, x, ptr, neighbors), x)


def test_where_a_cloud_stands_does_not_matter() -> None:
    """Not even to float32, thousands of radii away."""
    layer, block = ResidualAbstraction(3, [8, 8], 0.5).eval(), InvResMLP(3, 0.5).eval()
    pos, x = (torch.randn(100, 3) * 256).round() / 256, torch.randn(100, 3)
    far = pos + torch.tensor([4096.0, -2048.0, 1024.0])
    torch.testing.assert_close(layer(far, x, PTR)[1], layer(pos, x, PTR)[1], atol=1e-3, rtol=1e-3)
    neighbors = radius(pos, 0.5, PTR)
    torch.testing.assert_close(
        block(far, x, PTR, neighbors), block(pos, x, PTR, neighbors), atol=1e-3, rtol=1e-3
    )


def test_wrong_arguments_are_named() -> None:
    layer, block = ResidualAbstraction(4, [5], 0.5), InvResMLP(4, 0.5)
    pos, x = torch.randn(100, 3), torch.randn(100, 3)
    with pytest.raises(ValueError, match=r"x must have shape \[100, 4\], not \[100, 3\]"):
        layer(pos, x, PTR)
    with pytest.raises(ValueError, match=r"x must have shape \[100, 4\], not \[100, 3\]"):
        block(pos, x, PTR, radius(pos, 0.5, PTR))
    with pytest.raises(ValueError, match=r"radius must be positive and stride at least 1, got 0\.0 and 2"):
        ResidualAbstraction(4, [5], 0.0)
    with pytest.raises(ValueError, match=r"radius must be positive, got -1\.0"):
        InvResMLP(4, -1.0)
