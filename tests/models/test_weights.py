"""Weights on disk: what was saved comes back, all of it or nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from geodl.models import load_weights, save_weights


def network(width: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


class Tied(nn.Module):
    """One matrix under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Linear(4, 4, bias=False)
        self.write = nn.Linear(4, 4, bias=False)
        self.write.weight = self.read.weight


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    one, other = Tied(), Tied()
    load_weights(other, save_weights(one, tmp_path / "tied.safetensors"))
    assert torch.equal(other.read.weight, one.read.weight) and other.write.weight is other.read.weight


def test_a_compiled_model_is_what_it_compiles(tmp_path: Path) -> None:
    plain, other = network(), network()
    path = save_weights(torch.compile(plain, backend="eager"), tmp_path / "net.safetensors")  # type: ignore[arg-type]
    load_weights(other, path)
    assert all(
        torch.equal(a, b)
        for a, b in zip(plain.state_dict().values(), other.state_dict().values(), strict=True)
    )
    third = network()
    load_weights(torch.compile(third, backend="eager"), path)  # type: ignore[arg-type]
    assert torch.equal(third[0].weight, plain[0].weight)


@pytest.mark.parametrize(
    ("other", "trouble"),
    [
        (network(5), r"0\.bias has shape \[5\], not \[3\], 0\.weight has shape .* and 2 more"),
        (nn.Sequential(nn.Linear(2, 3)), r"it lacks 1\.bias, 1\.num_batches_tracked, .* and 2 more"),
        (nn.Sequential(*network(), nn.PReLU()), r"the model has no 3\.weight"),
        (network().double(), r"0\.bias is torch\.float64, not torch\.float32, .* and 3 more"),
    ],
    ids=["shapes", "missing", "unknown", "dtypes"],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(
    tmp_path: Path, other: nn.Module, trouble: str
) -> None:
    path = save_weights(other, tmp_path / "other.safetensors")
    net = network()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(ValueError, match=f"does not hold weights of Sequential: {trouble}"):
        load_weights(net, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_readable_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        path = save_weights(network(), tmp_path / "net.safetensors")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
