"""UNet: images keep their size, what is far away is seen, and the same weights run on a mesh."""

from __future__ import annotations

import pytest
import torch

from geodl.models import UNet
from geodl.nn import mesh_levels
from tests.geometry.shapes import icosphere


def test_images_keep_their_size_and_the_coarsest_octave_is_read() -> None:
    torch.manual_seed(0)
    network = UNet(3, 2, (4, 8, 8)).eval()
    x = torch.randn(2, 3, 16, 24)
    y = network(x)
    assert y.shape == (2, 2, 16, 24)
    torch.testing.assert_close(network(x[1:]), y[1:])
    x[0, :, 0, 0] += 10
    moved = (network(x)[0] - y[0]).abs().amax(0) > 1e-7
    assert bool(moved[8:, :10].any())  # two convolutions an octave alone reach four pixels


def test_the_same_weights_on_a_mesh() -> None:
    torch.manual_seed(0)
    network = UNet(3, 1, (4, 8)).eval()
    mesh = icosphere(2)
    level = mesh_levels(mesh, (40,))
    assert network(mesh.pos.float(), level.to(torch.float32)).shape == (162, 1)


def test_errors_name_the_trouble() -> None:
    with pytest.raises(ValueError, match=r"an image of \[10, 16\] cannot be halved 2 times"):
        UNet(1, 1, (2, 2, 2))(torch.zeros(1, 1, 10, 16))
    with pytest.raises(ValueError, match="at least one octave"):
        UNet(1, 1, ())
    with pytest.raises(ValueError, match="3 octaves need as many levels, but there are 1"):
        UNet(3, 1, (2, 2, 2))(icosphere(2).pos.float(), mesh_levels(icosphere(2)))
