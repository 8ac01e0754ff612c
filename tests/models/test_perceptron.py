"""The perceptron's theorems, and what takes a second layer."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from geodl.models import MultilayerPerceptron, Perceptron
from geodl.nn import GridConv
from geodl.ops import Neighbors, patch_conv

CORNERS = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2)))


def test_fourteen_of_the_sixteen_boolean_functions() -> None:
    learned = []
    for values in itertools.product([-1.0, 1.0], repeat=4):
        perceptron = Perceptron(2)
        _, separated = perceptron.learn(CORNERS, torch.tensor(values))
        assert separated == bool((perceptron(CORNERS).sign() == torch.tensor(values)).all())
        learned.append((values, separated))
    assert sum(separated for _, separated in learned) == 14
    unlearned = {values for values, separated in learned if not separated}
    assert unlearned == {(-1, 1, 1, -1), (1, -1, -1, 1)}  # exclusive or, and its opposite


def test_two_layers_compute_exclusive_or() -> None:
    network = MultilayerPerceptron([2, 2, 1])
    with torch.no_grad():
        network[0].weight.copy_(torch.ones(2, 2))
        network[0].bias.copy_(torch.tensor([0.0, -1.0]))
        network[2].weight.copy_(torch.tensor([[1.0, -2.0]]))
        network[2].bias.zero_()
    assert network(CORNERS).flatten().tolist() == [0, 1, 1, 0]


def test_two_layers_learn_exclusive_or() -> None:
    torch.manual_seed(0)
    network, wanted = MultilayerPerceptron([2, 4, 1], nn.Tanh), torch.tensor([0.0, 1.0, 1.0, 0.0])
    optimizer = torch.optim.Adam(network.parameters(), 0.05)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(network(CORNERS).flatten(), wanted).backward()
        optimizer.step()
    assert torch.equal((network(CORNERS).flatten() > 0).float(), wanted)


@pytest.mark.parametrize("margin", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("features", [2, 20])
def test_mistakes_stay_below_novikoffs_bound(margin: float, features: int) -> None:
    separator = nn.functional.normalize(torch.randn(features + 1, dtype=torch.float64), dim=0)
    x = torch.randn(2000, features, dtype=torch.float64)
    extended = torch.cat([x, torch.ones(2000, 1, dtype=torch.float64)], 1)
    x = x[(extended @ separator).abs() >= margin][:300]
    extended = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], 1)
    y = (extended @ separator).sign()
    found = float((y * (extended @ separator)).min())
    perceptron = Perceptron(features).double()
    mistakes, separated = perceptron.learn(x, y, epochs=1000)
    assert separated and found >= margin
    assert 0 < mistakes <= float(extended.square().sum(1).max()) / found**2
    assert bool((y * perceptron(x) > 0).all())


def test_a_network_is_a_convolution_on_one_point() -> None:
    network = MultilayerPerceptron([3, 5, 2], nn.Tanh).double()
    x = torch.randn(7, 3, dtype=torch.float64)
    point = Neighbors(torch.tensor([0, 1]), torch.tensor([0]), 1)
    one = torch.ones(1, 1, dtype=torch.float64)
    for example, expected in zip(x, network(x), strict=True):
        hidden = patch_conv(example[None], point, one, network[0].weight.t()[None]) + network[0].bias
        y = patch_conv(hidden.tanh(), point, one, network[2].weight.t()[None]) + network[2].bias
        torch.testing.assert_close(y[0], expected)
    conv = GridConv(3, 5, 1, dim=1).double()
    conv.load_state_dict({"weight": network[0].weight[:, :, None], "bias": network[0].bias})
    torch.testing.assert_close(conv(x[:, :, None])[:, :, 0], network[0](x))


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"y must be \+1 or -1"):
        Perceptron(2).learn(CORNERS, torch.zeros(4))
    with pytest.raises(ValueError, match=r"x must have shape \[N, 3\]"):
        Perceptron(3).learn(CORNERS, torch.ones(4))
    with pytest.raises(ValueError, match="widths must hold"):
        MultilayerPerceptron([3])


def test_a_part_of_a_network_is_the_layers_one_after_the_other():
    network, x = MultilayerPerceptron([3, 5, 4, 2], nn.Tanh), torch.randn(7, 3)
    assert torch.equal(network[2:](network[:2](x)), network(x))
    assert network[-1] is list(network)[-1]
