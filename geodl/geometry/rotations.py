"""Rotations in the forms that motions are stored and learned in; all functions take any leading dimensions and are
differentiable, Euler angles but for gimbal lock.

A rotation matrix turns column vectors, ``R v``; the product ``A B`` turns by B first. Angles are in radians.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "axis_angle_to_matrix",
    "euler_angles_to_matrix",
    "matrix_to_axis_angle",
    "matrix_to_euler_angles",
    "matrix_to_quaternion",
    "matrix_to_rotation_6d",
    "quaternion_to_matrix",
    "rotation_6d_to_matrix",
]


def quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """Matrices ``[..., 3, 3]`` of quaternions ``[..., 4]`` (real part first) of any length but 0.

    Raises:
        ValueError: another shape or dtype.
    """
    _check("quaternion", quaternion, (4,))
    w, x, y, z = quaternion.unbind(-1)
    s = 2 / quaternion.square().sum(-1)
    rows = [
        1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w),
        s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w),
        s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y),
    ]  # fmt: skip
    return _square(rows)


def matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """Unit quaternions ``[..., 4]`` (real part first, and not negative) of rotation matrices ``[..., 3, 3]``.

    Of q and -q, which are the same rotation, the one with the positive real part is given. Exact at half turns.

    Raises:
        ValueError: another shape or dtype.
    """
    _check("matrix", matrix, (3, 3))
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(-1) for row in matrix.unbind(-2))
    # Row k is 4 q_k q. The row of the largest component is far from 0, so that no digits are lost.
    rows = torch.stack(
        [
            torch.stack([1 + a + e + i, h - f, c - g, d - b], -1),
            torch.stack([h - f, 1 + a - e - i, b + d, c + g], -1),
            torch.stack([c - g, b + d, 1 - a + e - i, f + h], -1),
            torch.stack([d - b, c + g, f + h, 1 - a - e + i], -1),
        ],
        -2,
    )
    largest = rows.diagonal(dim1=-2, dim2=-1).argmax(-1)
    row = rows.take_along_dim(largest[..., None, None], -2)[..., 0, :]
    quaternion = F.normalize(row, dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def rotation_6d_to_matrix(rotation: Tensor) -> Tensor:
    r"""Matrices ``[..., 3, 3]`` of two vectors ``[..., 6]``: their Gram-Schmidt basis is the first two columns.

    .. math:: b_1 = a_1 / |a_1|, \quad b_2 \propto a_2 - (b_1 \cdot a_2) b_1, \quad b_3 = b_1 \times b_2

    The form is continuous, so networks learn it more easily than angles or quaternions. Any two vectors will do that are not
    parallel.

    Raises:
        ValueError: another shape or dtype.

    Zhou et al., "On the continuity of rotation representations in neural networks", CVPR 2019.
    """
    _check("rotation", rotation, (6,))
    first, second = rotation[..., :3], rotation[..., 3:]
    x = F.normalize(first, dim=-1)
    y = F.normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


def matrix_to_rotation_6d(matrix: Tensor) -> Tensor:
    """The first two columns, one after the other, ``[..., 6]``, of matrices ``[..., 3, 3]``; see :func:`rotation_6d_to_matrix`.

    Raises:
        ValueError: another shape or dtype.
    """
    _check("matrix", matrix, (3, 3))
    return matrix[..., :2].mT.flatten(-2)


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Matrices ``[..., 3, 3]`` of rotation vectors ``[..., 3]``: the axis, as long as the angle; smooth at 0.

    Raises:
        ValueError: another shape or dtype.
    """
    _check("axis_angle", axis_angle, (3,))
    square = axis_angle.square().sum(-1)[..., None, None]
    small = square < 1e-4
    angle = torch.where(small, 1.0, square).sqrt()
    sine = torch.where(small, 1 - square / 6 + square.square() / 120, angle.sin() / angle)
    half = (angle / 2).sin() / (angle / 2)
    cosine = torch.where(small, 0.5 - square / 24 + square.square() / 720, half.square() / 2)
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = _square([zero, -z, y, z, zero, -x, -y, x, zero])
    return (
        torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
        + sine * cross
        + cosine * (cross @ cross)
    )


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """Rotation vectors ``[..., 3]``, at most pi long, of rotation matrices ``[..., 3, 3]``.

    Raises:
        ValueError: another shape or dtype.
    """
    quaternion = matrix_to_quaternion(matrix)
    real, imaginary = quaternion[..., :1], quaternion[..., 1:]
    square = imaginary.square().sum(-1, keepdim=True)
    small = square < 1e-8
    length = torch.where(small, 1.0, square).sqrt()
    scale = torch.where(small, (2 - square / 3) / real.clamp(min=0.5), 2 * torch.atan2(length, real) / length)
    return scale * imaginary


def euler_angles_to_matrix(angles: Tensor, order: str) -> Tensor:
    """Matrices ``[..., 3, 3]`` of angles about the axes of the turning body, one after the other.

    Args:
        angles: ``[..., n]``.
        order: n letters of "XYZ", such as "ZXY": the matrix is the product ``R_Z R_X R_Y``, as BVH files mean it.

    Raises:
        ValueError: another shape or dtype, or letters that are no axes.
    """
    _check_order(order)
    _check("angles", angles, (len(order),))
    sines, cosines = angles.sin(), angles.cos()
    product: Tensor | None = None
    for number, letter in enumerate(order):
        turn = _about(letter, sines[..., number], cosines[..., number])
        product = turn if product is None else product @ turn
    assert product is not None
    return product


def matrix_to_euler_angles(matrix: Tensor, order: str) -> Tensor:
    """Angles ``[..., 3]`` about the axes of the turning body of rotation matrices ``[..., 3, 3]``.

    The middle angle lies in [-pi/2, pi/2] where the first and last axis differ, else in [0, pi]. Where it is at the end of that
    (gimbal lock) only a combination of the other two is determined, and the first is the one that rounding leaves; their matrix
    is always that of the argument, up to rounding.

    Args:
        matrix: ``[..., 3, 3]``.
        order: three letters of "XYZ", no two beside each other the same; see :func:`euler_angles_to_matrix`.

    Raises:
        ValueError: another shape or dtype, or such an order.
    """
    _check("matrix", matrix, (3, 3))
    _check_order(order)
    if len(order) != 3 or order[0] == order[1] or order[1] == order[2]:
        raise ValueError(f"order must name three axes, none twice in a row, not {order!r}")
    i, j, k = ("XYZ".index(letter) for letter in order)
    proper = i == k
    if proper:
        k = 3 - i - j
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    # The first axis, seen from the body, and the last one, seen from outside, give the middle and the first angle.
    if proper:
        first = torch.atan2(matrix[..., j, i], -sign * matrix[..., k, i])
        middle = torch.atan2(torch.hypot(matrix[..., j, i], matrix[..., k, i]), matrix[..., i, i])
    else:
        first = torch.atan2(-sign * matrix[..., j, k], matrix[..., k, k])
        middle = torch.atan2(sign * matrix[..., i, k], torch.hypot(matrix[..., j, k], matrix[..., k, k]))
    # The last angle is that of what is left when the first is turned back: right in gimbal lock too.
    back = _about(order[0], -first.sin(), first.cos()) @ matrix
    last = torch.atan2(-sign * back[..., j, k] if proper else sign * back[..., j, i], back[..., j, j])
    return torch.stack([first, middle, last], -1)


def _about(letter: str, sine: Tensor, cosine: Tensor) -> Tensor:
    zero, one = torch.zeros_like(sine), torch.ones_like(sine)
    entries = {
        "X": [one, zero, zero, zero, cosine, -sine, zero, sine, cosine],
        "Y": [cosine, zero, sine, zero, one, zero, -sine, zero, cosine],
        "Z": [cosine, -sine, zero, sine, cosine, zero, zero, zero, one],
    }
    return _square(entries[letter])


def _square(entries: list[Tensor]) -> Tensor:
    """``[..., 3, 3]``, row by row."""
    stacked = torch.stack(entries, -1)
    return stacked.view(*stacked.shape[:-1], 3, 3)


def _check(name: str, value: Tensor, form: tuple[int, ...]) -> None:
    if tuple(value.shape[-len(form) :]) != form or not value.is_floating_point():
        told = ", ".join(map(str, form))
        raise ValueError(
            f"{name} must be floating point [..., {told}], not {value.dtype} {list(value.shape)}"
        )


def _check_order(order: str) -> None:
    if not order or set(order) - set("XYZ"):
        raise ValueError(f"order must consist of the letters X, Y and Z, it is {order!r}")
