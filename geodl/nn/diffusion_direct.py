"""Diffusion of heat by an implicit time step, which needs a Laplacian but no spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from geodl.geometry import Laplacian, SparseFactor
from geodl.ops import aggregate

__all__ = ["implicit_diffuse"]


def implicit_diffuse(x: Tensor, time: Tensor, laplacians: Sequence[Laplacian]) -> Tensor:
    r"""One step of backward Euler, in which every channel diffuses for a time of its own,

    .. math:: (M + t_c L) \, \text{out}_{\cdot,c} = M \, x_{\cdot,c}

    on shapes side by side. Factors and solves in float64 on the CPU, a factorisation for every shape and every value of the time;
    channels of one time share it, and the backward pass uses it again.

    Args:
        x: ``[V, C]`` floating point, the signal at the vertices of all shapes.
        time: ``[C]``, by channel, not negative, in the squared unit of length.
        laplacians: of the shapes, V points together.

    Returns:
        ``[V, C]`` in the dtype and on the device of ``x``; 0 at points without mass. Differentiable to any order in ``x`` and
        ``time``.

    Raises:
        ValueError: rows or channels that do not fit, or a time that is negative or not finite.

    Sharp et al., "DiffusionNet: discretization agnostic learning on surfaces", ACM TOG 2022, section 3.1.
    """
    points = [part.neighbors.num_dst for part in laplacians]
    if x.dim() != 2 or x.shape[0] != sum(points):
        raise ValueError(f"laplacians have {sum(points)} points but x has shape {list(x.shape)}")
    if time.shape != x.shape[1:]:
        raise ValueError(f"x has {x.shape[1]} channels but time has shape {list(time.shape)}")
    if not bool(((time >= 0) & time.isfinite()).all()):
        raise ValueError(f"time must be finite and not negative, but lies in {_range(time)}")
    home, time = x.device, time.cpu().double()
    parts = x.cpu().double().split(points)
    diffused = [
        _Solve.apply(part * laplacian.mass[:, None], time, _Steps(laplacian))
        for part, laplacian in zip(parts, laplacians, strict=True)
    ]
    return torch.cat(diffused).to(home, x.dtype)


def _range(time: Tensor) -> str:
    return f"{float(time.min()):.3g}..{float(time.max()):.3g}"


class _Steps:
    """The matrices M + t L of one Laplacian, factored when they are first asked for."""

    def __init__(self, laplacian: Laplacian) -> None:
        self.laplacian = laplacian
        self._weak = laplacian.matrix()
        diagonal = laplacian.mass.numpy().copy()
        # A point that is in no face has an equation 0 = 0; this makes it y = 0, as the spectrum has it.
        diagonal[(diagonal == 0) & (self._weak.diagonal() == 0)] = 1.0
        self._mass = scipy.sparse.diags_array(diagonal)
        self._factors: dict[float, SparseFactor] = {}

    def solve(self, right: Tensor, time: Tensor) -> Tensor:
        numbers = right.detach().numpy()
        out = np.empty_like(numbers)
        for value, channels in _alike(time):
            if value not in self._factors:
                self._factors[value] = SparseFactor(self._mass + value * self._weak)
            out[:, channels] = self._factors[value].solve(np.ascontiguousarray(numbers[:, channels]))
        return torch.from_numpy(out)


def _alike(time: Tensor) -> list[tuple[float, list[int]]]:
    channels: dict[float, list[int]] = {}
    for channel, value in enumerate(time.tolist()):
        channels.setdefault(value, []).append(channel)
    return list(channels.items())


class _Solve(torch.autograd.Function):
    """``(M + t_c L)^-1 right_c``. The matrix is symmetric, so the derivative is made of the same solves."""

    @staticmethod
    def forward(ctx: Any, right: Tensor, time: Tensor, steps: _Steps) -> Tensor:
        out = steps.solve(right, time)
        ctx.steps = steps
        ctx.save_for_backward(time, out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        time, out = ctx.saved_tensors
        by_right: Tensor = _Solve.apply(grads[0], time, ctx.steps)
        by_time = None
        if ctx.needs_input_grad[1]:
            laplacian = ctx.steps.laplacian
            by_time = -(by_right * aggregate(out, laplacian.neighbors, laplacian.values)).sum(0)
        return by_right, by_time, None
