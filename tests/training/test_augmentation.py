"""Random turns are rotations, of the size asked for, and turn every vector of a signal alike."""

import math

import torch

from geodl.training.augmentation import random_turns, turn_signal


def test_turns_are_rotations_of_the_size_asked_for() -> None:
    turns = random_turns(20_000, [5.0, 5.0, 5.0], torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(
        turns @ turns.transpose(1, 2), torch.eye(3).double().expand(20_000, 3, 3), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(20_000).double(), atol=1e-6, rtol=0)
    angle = torch.acos(((turns.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1))
    # |omega| of a normal vector in space has mean 2 sigma sqrt(2 / pi).
    assert abs(float(angle.mean()) / (2 * math.radians(5) * math.sqrt(2 / math.pi)) - 1) < 0.02


def test_every_vector_of_a_shape_turns_alike() -> None:
    turns = random_turns(2, [40.0, 40.0, 40.0], torch.Generator().manual_seed(1))
    x, batch = torch.randn(5, 8), torch.tensor([0, 0, 1, 1, 1])
    turned = turn_signal(x, turns, batch, 2)
    for i in range(5):
        for part in (slice(0, 3), slice(3, 6)):
            torch.testing.assert_close(turned[i, part], turns[batch[i]] @ x[i, part])
    assert torch.equal(turned[:, 6:], x[:, 6:])


def test_an_axis_is_turned_by_its_own_angle() -> None:
    turns = random_turns(100, [0.0, 30.0, 0.0], torch.Generator().manual_seed(2))
    up = torch.tensor([0.0, 1.0, 0.0])
    torch.testing.assert_close(turns @ up, up.expand(100, 3))
    assert float((turns - torch.eye(3)).abs().amax()) > 0.5
