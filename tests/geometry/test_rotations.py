"""Rotations against scipy: every form, half turns, gimbal lock, gradients."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from geodl.geometry import (
    axis_angle_to_matrix,
    euler_angles_to_matrix,
    matrix_to_axis_angle,
    matrix_to_euler_angles,
    matrix_to_quaternion,
    matrix_to_rotation_6d,
    quaternion_to_matrix,
    rotation_6d_to_matrix,
)

ORDERS = [a + b + c for a, b, c in product("XYZ", repeat=3) if a != b != c]


def turns() -> tuple[Rotation, Tensor]:
    """Random rotations, none, tiny ones, half turns, and turns of nearly a half."""
    axes = np.random.default_rng(0).standard_normal((60, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = np.concatenate(
        [
            np.linspace(0.1, 3, 40),
            np.full(8, np.pi),
            np.full(4, np.pi - 1e-6),
            [1e-3, 1e-5, 1e-9, 0, 0, 0, 0, 0],
        ]
    )
    made = Rotation.from_rotvec(angles[:, None] * axes)
    return made, torch.tensor(made.as_matrix())


def test_quaternions_are_those_of_scipy() -> None:
    made, matrix = turns()
    quaternion = matrix_to_quaternion(matrix)
    xyzw = made.as_quat()
    told = torch.tensor(np.concatenate([xyzw[:, 3:], xyzw[:, :3]], 1))
    same = (quaternion * told).sum(1).abs()  # q and -q are one rotation
    torch.testing.assert_close(same, torch.ones_like(same), atol=1e-12, rtol=0)
    assert float(quaternion[:, 0].min()) >= 0
    torch.testing.assert_close(quaternion_to_matrix(-3 * quaternion), matrix, atol=1e-12, rtol=0)


def test_axis_angles_are_those_of_scipy() -> None:
    made, matrix = turns()
    vector = torch.tensor(made.as_rotvec())
    torch.testing.assert_close(axis_angle_to_matrix(vector), matrix, atol=1e-12, rtol=0)
    found = matrix_to_axis_angle(matrix)
    torch.testing.assert_close(axis_angle_to_matrix(found), matrix, atol=1e-12, rtol=0)
    plain = vector.norm(dim=1) < 3.1  # half turns about an axis and its opposite are one
    torch.testing.assert_close(found[plain], vector[plain], atol=1e-9, rtol=0)
    assert float(found.norm(dim=1).max()) <= np.pi + 1e-12


def test_six_numbers_are_the_first_two_columns_and_any_two_vectors_make_a_rotation() -> None:
    _, matrix = turns()
    six = matrix_to_rotation_6d(matrix)
    torch.testing.assert_close(six[:, :3], matrix[:, :, 0])
    torch.testing.assert_close(six[:, 3:], matrix[:, :, 1])
    skewed = torch.cat([2 * six[:, :3], six[:, 3:] + 0.7 * six[:, :3]], 1)
    torch.testing.assert_close(rotation_6d_to_matrix(skewed), matrix, atol=1e-12, rtol=0)
    made = rotation_6d_to_matrix(torch.randn(4, 5, 6, dtype=torch.float64))
    torch.testing.assert_close(made.mT @ made, torch.eye(3).double().expand(4, 5, 3, 3))
    torch.testing.assert_close(made.det(), torch.ones(4, 5).double())


@pytest.mark.parametrize("order", ORDERS)
def test_euler_angles_are_those_of_scipy(order: str) -> None:
    made, matrix = turns()
    angles = torch.randn(20, 3, dtype=torch.float64)
    told = Rotation.from_euler(order, angles.numpy()).as_matrix()
    torch.testing.assert_close(euler_angles_to_matrix(angles, order), torch.tensor(told))
    found = matrix_to_euler_angles(matrix, order)
    torch.testing.assert_close(found[:40], torch.tensor(made[:40].as_euler(order)), atol=1e-9, rtol=0)
    torch.testing.assert_close(euler_angles_to_matrix(found, order), matrix, atol=1e-12, rtol=0)


@pytest.mark.parametrize("order", ORDERS)
def test_gimbal_lock_gives_angles_of_the_same_matrix(order: str) -> None:
    angles = 6 * torch.rand(40, 3, dtype=torch.float64)
    locks = (0.0, np.pi) if order[0] == order[2] else (np.pi / 2, -np.pi / 2)
    angles[:20, 1], angles[20:, 1] = locks
    angles[::2, 1] += 1e-8 * torch.randn(20, dtype=torch.float64)
    matrix = euler_angles_to_matrix(angles, order)
    torch.testing.assert_close(
        euler_angles_to_matrix(matrix_to_euler_angles(matrix, order), order), matrix, atol=1e-12, rtol=0
    )


def test_orders_of_one_two_and_more_axes() -> None:
    angles = torch.randn(5, 4, dtype=torch.float64)
    for order in ("Y", "ZZ", "XYXZ"):
        told = np.eye(3)
        for letter, angle in zip(order, angles[:, : len(order)].numpy().T, strict=True):
            told = told @ Rotation.from_euler(letter, angle[:, None]).as_matrix()
        made = euler_angles_to_matrix(angles[:, : len(order)], order)
        torch.testing.assert_close(made, torch.tensor(told))


def test_gradients_are_right_and_finite_at_rest() -> None:
    start = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: euler_angles_to_matrix(a, "ZX"), start)
    for size, function in ((3, axis_angle_to_matrix), (4, quaternion_to_matrix), (6, rotation_6d_to_matrix)):
        x = torch.randn(4, size, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(function, x)
        assert torch.autograd.gradgradcheck(function, x)
    zero = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(axis_angle_to_matrix, zero)
    for back in (matrix_to_quaternion, matrix_to_axis_angle, matrix_to_rotation_6d):
        rest = torch.eye(3, dtype=torch.float64).expand(2, 3, 3).clone().requires_grad_()
        back(rest).square().sum().backward()
        assert bool(rest.grad.isfinite().all())


def test_wrong_shapes_and_orders_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"quaternion must be floating point \[..., 4\], not torch.float32 \[3\]"
    ):
        quaternion_to_matrix(torch.zeros(3))
    with pytest.raises(ValueError, match=r"matrix must be floating point \[..., 3, 3\]"):
        matrix_to_quaternion(torch.zeros(2, 4, 4))
    with pytest.raises(ValueError, match="letters X, Y and Z"):
        euler_angles_to_matrix(torch.zeros(3), "zxy")
    with pytest.raises(ValueError, match="none twice in a row"):
        matrix_to_euler_angles(torch.eye(3), "XXY")
