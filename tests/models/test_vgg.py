"""VGG: the convolutions that the paper lists, and the functions that choose among them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from geodl.models import VGG, VGG11, VGG13, VGG16, VGG19
from geodl.nn import MaxPool, SignalBatchNorm

# Table 1 of the paper: widths of the convolutions of every block, configurations A, B, D and E.
TABLE = {
    11: ([64], [128], [256] * 2, [512] * 2, [512] * 2),
    13: ([64] * 2, [128] * 2, [256] * 2, [512] * 2, [512] * 2),
    16: ([64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3),
    19: ([64] * 2, [128] * 2, [256] * 4, [512] * 4, [512] * 4),
}


def on_meta(make: Callable[[], VGG]) -> VGG:
    """Without memory for the hundred million weights."""
    with torch.device("meta"):
        return make()


@pytest.mark.parametrize("depth", TABLE)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_layers_are_those_of_the_paper(depth: int, batch_norm: bool) -> None:
    model = on_meta(lambda: VGG(depth, 1, 10, batch_norm=batch_norm))
    found: list[list[int]] = [[]]
    for layer in model.features:
        if isinstance(layer, MaxPool):
            found.append([])
        elif isinstance(layer, SignalBatchNorm):
            assert layer.num_features == found[-1][-1]
        elif not isinstance(layer, nn.ReLU):
            assert layer.weight.shape[2:] == (3, 3)
            found[-1].append(layer.weight.shape[0])
    assert found == [*TABLE[depth], []]
    assert sum(isinstance(layer, SignalBatchNorm) for layer in model.features) == batch_norm * (depth - 3)
    assert [layer.out_features for layer in model.classifier if isinstance(layer, nn.Linear)] == [
        4096,
        4096,
        10,
    ]


@pytest.mark.parametrize(("make", "depth"), [(VGG11, 11), (VGG13, 13), (VGG16, 16), (VGG19, 19)])
def test_names_are_depths(make: Callable[..., VGG], depth: int) -> None:
    named, general = on_meta(lambda: make(out_channels=7)), on_meta(lambda: VGG(depth, out_channels=7))
    assert isinstance(named, VGG)
    shapes = [{name: tuple(t.shape) for name, t in model.state_dict().items()} for model in (named, general)]
    assert shapes[0] == shapes[1]


def test_another_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="depth must be one of 11, 13, 16, 19, not 12"):
        VGG(12)
