"""B-spline windows: a lattice of control points in the space of the local coordinates."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["spline_windows"]


def spline_windows(
    u: Tensor, kernel_size: Sequence[int], degree: int = 1, closed: Sequence[bool] | None = None
) -> tuple[Tensor, Tensor]:
    r"""Products of uniform B-splines of one degree, the windows of SplineCNN, as sparse windows.

    Along an axis, control point m has the B-spline that begins at :math:`u = m - \text{degree}` and ends at :math:`u = m + 1`;
    of degree 1 it is the hat around m. Where they all overlap (:math:`0 \le u \le M - \text{degree}`) windows sum to one; beyond,
    an open axis fades to zero, and a closed one goes round with period M.

    Args:
        u: ``[E, d]``, in units of the control points' distance.
        kernel_size: control points along each axis.
        degree: 1, 2 or 3.
        closed: whether each axis is closed; none is if not given.

    Returns:
        ``(weight [E, S], index [E, S])`` with :math:`S = (\text{degree} + 1)^d`; the last axis counts fastest.

    Raises:
        ValueError: a degree that is not 1, 2 or 3, or sizes that do not fit.

    Fey, Lenssen, Weichert, Müller, "SplineCNN: fast geometric deep learning with continuous B-spline kernels", CVPR 2018.
    """
    if degree not in (1, 2, 3):
        raise ValueError(f"degree must be 1, 2 or 3, got {degree}")
    dim = len(kernel_size)
    closed = [False] * dim if closed is None else list(closed)
    if u.dim() != 2 or u.shape[1] != dim or len(closed) != dim or min(kernel_size) < 1:
        raise ValueError(f"u has shape {list(u.shape)}, which does not fit kernel_size {list(kernel_size)}")
    # A tap off the lattice sees nothing; it is clamped, so that its weight of zero has a window to go to.
    low = torch.stack([u.new_zeros(dim) - degree - 1, u.new_tensor(list(kernel_size)) + 1])
    ends = [u[:, a] if closed[a] else u[:, a].clamp(low[0, a], low[1, a]) for a in range(dim)]
    weights, indices = [], []
    for along, size, ring in zip(ends, kernel_size, closed, strict=True):
        first = along.floor()
        values = _basis(along - first, degree)  # [E, degree + 1]
        control = first.long()[:, None] + torch.arange(degree + 1, device=u.device)
        if ring:
            control = control % size
        else:
            values = torch.where((control >= 0) & (control < size), values, 0)
            control = control.clamp(0, size - 1)
        weights.append(values)
        indices.append(control)
    weight, index = [], []
    for choice in itertools.product(range(degree + 1), repeat=dim):
        product, flat = u.new_ones(u.shape[0]), torch.zeros_like(indices[0][:, 0])
        for a, s in enumerate(choice):
            product = product * weights[a][:, s]
            flat = flat * kernel_size[a] + indices[a][:, s]
        weight.append(product)
        index.append(flat)
    return torch.stack(weight, dim=1), torch.stack(index, dim=1)


def _basis(t: Tensor, degree: int) -> Tensor:
    """The B-splines that are not zero at a fraction t of a cell, ``[E, degree + 1]``, in the order of their control points."""
    if degree == 1:
        parts = [1 - t, t]
    elif degree == 2:
        parts = [0.5 * (1 - t) ** 2, 0.5 + t * (1 - t), 0.5 * t**2]
    else:
        parts = [
            (1 - t) ** 3 / 6,
            (4 - 6 * t**2 + 3 * t**3) / 6,
            (1 + 3 * t + 3 * t**2 - 3 * t**3) / 6,
            t**3 / 6,
        ]
    return torch.stack(parts, dim=1)
