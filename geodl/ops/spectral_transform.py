"""spectral_transform: to the eigenbasis of a Laplacian and back, and diffusion of heat in it, for shapes side by side.

Two products by segments, each the derivative of the other, are the operators: ``evecs_b^T x_b`` and ``evecs_b coefficients_b``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor

from geodl.ops.core import Operator
from geodl.ops.core.fitting import Fitting

__all__ = ["from_basis", "heat_diffuse", "to_basis"]


def to_basis(x: Tensor, evecs: Tensor, mass: Tensor, ptr: Tensor) -> Tensor:
    r"""Spectral coefficients of a signal on shapes side by side,

    .. math:: \text{out}_{b,k,c} = \sum_{v \,\in\, \text{shape } b} \varphi_k(v) \, m_v \, x_{v,c}

    Nothing is padded. Results are bitwise equal from run to run.

    Args:
        x: ``[V, C]`` floating point, the signal at the vertices of all shapes.
        evecs: ``[V, K]`` of the dtype of ``x``, the eigenvectors of each shape at its vertices.
        mass: ``[V]`` of the dtype of ``x``.
        ptr: ``[B + 1]`` int64, ascending from 0 to V: shape b has the vertices ``ptr[b] .. ptr[b + 1] - 1``.

    Returns:
        ``[B, K, C]``, 0 for a shape without vertices; half precision is summed in float32. Differentiable to any order in
        ``x``, ``evecs`` and ``mass``.

    Raises:
        ValueError: a shape, dtype or device that does not fit; on the CPU, a ``ptr`` that is no segmentation.
    """
    evecs, x, mass, ptr = _BASIS(evecs, x, mass, ptr)
    return cast(Tensor, project(x * mass[:, None], evecs, ptr))


def from_basis(coefficients: Tensor, evecs: Tensor, ptr: Tensor) -> Tensor:
    r"""The signal that has given spectral coefficients, on shapes side by side,

    .. math:: \text{out}_{v,c} = \sum_k \varphi_k(v) \, \text{coefficients}_{b(v),k,c}

    Args:
        coefficients: ``[B, K, C]`` floating point.
        evecs: ``[V, K]`` of the dtype of the coefficients.
        ptr: ``[B + 1]`` int64, as for :func:`to_basis`.

    Returns:
        ``[V, C]``. Differentiable to any order in ``coefficients`` and ``evecs``.

    Raises:
        ValueError: a shape, dtype or device that does not fit; on the CPU, a ``ptr`` that is no segmentation.
    """
    return cast(Tensor, expand(coefficients, evecs, ptr))


def heat_diffuse(x: Tensor, evals: Tensor, evecs: Tensor, mass: Tensor, time: Tensor, ptr: Tensor) -> Tensor:
    r"""Lets every channel diffuse as heat for a time of its own, on shapes side by side,

    .. math:: \text{out}_{\cdot,c} = \sum_k \varphi_k \, e^{-\lambda_k t_c} \, \langle \varphi_k, m \, x_{\cdot,c} \rangle

    Args:
        x: ``[V, C]`` floating point, the signal at the vertices of all shapes.
        evals: ``[B, K]``, or ``[K]`` if there is one shape.
        evecs: ``[V, K]``.
        mass: ``[V]``.
        time: ``[C]``, by channel. Whoever learns it keeps it from becoming negative: values are not read here, which would
            wait for the device, and heat that runs backwards grows without bound.
        ptr: ``[B + 1]`` int64, as for :func:`to_basis`.

    Returns:
        ``[V, C]``. Differentiable to any order in all floating arguments.

    Raises:
        ValueError: a shape, dtype or device that does not fit; on the CPU, a ``ptr`` that is no segmentation.

    Sharp et al., "DiffusionNet: discretization agnostic learning on surfaces", 2022, eq. 7.
    """
    if evals.dim() == 1 and ptr.shape == (2,):
        evals = evals[None]
    evecs, x, evals, mass, time, ptr = _HEAT(evecs, x, evals, mass, time, ptr)
    decay = (-evals[:, :, None] * time).exp()
    return cast(Tensor, expand(decay * project(x * mass[:, None], evecs, ptr), evecs, ptr))


_BASIS = Fitting("evecs[V,K] x[V,C] mass[V]; ptr[B+1]")
_HEAT = Fitting("evecs[V,K] x[V,C] evals[B,K] mass[V] time[C]; ptr[B+1]")


# --- operators ------------------------------------------------------------------------------------------------

project = Operator("spectral_project", "x[V,C] evecs[V,K]; ptr[B+1] -> [B,K,C]")
expand = Operator("spectral_expand", "coefficients[B,K,C] evecs[V,K]; ptr[B+1] -> [V,C]")

project.adjoint(
    lambda g, x, evecs, ptr: expand(g, evecs, ptr),
    lambda g, x, evecs, ptr: expand(g.transpose(1, 2), x, ptr),
)
expand.adjoint(
    lambda g, coefficients, evecs, ptr: project(g, evecs, ptr),
    lambda g, coefficients, evecs, ptr: expand(coefficients.transpose(1, 2), g, ptr),
)


def _bounds(ptr: Tensor, vertices: int) -> list[tuple[int, int]]:
    """Where every shape begins and ends."""
    bounds: list[int] = ptr.tolist()
    if bounds[0] != 0 or bounds[-1] != vertices or bounds != sorted(bounds):
        raise ValueError(f"ptr must ascend from 0 to the {vertices} vertices of evecs, not as {bounds}")
    return list(pairwise(bounds))


# --- reference: products of matrices, one a shape, whose BLAS is not to be bettered ----------------------------------


@project.reference
def _(x: Tensor, evecs: Tensor, ptr: Tensor) -> Tensor:
    out = x.new_empty(ptr.shape[0] - 1, evecs.shape[1], x.shape[1])
    for part, (begin, end) in zip(out, _bounds(ptr, len(x)), strict=True):
        torch.mm(evecs[begin:end].t(), x[begin:end], out=part)
    return out


@expand.reference
def _(coefficients: Tensor, evecs: Tensor, ptr: Tensor) -> Tensor:
    out = evecs.new_empty(evecs.shape[0], coefficients.shape[2])
    for part, (begin, end) in zip(coefficients, _bounds(ptr, len(evecs)), strict=True):
        torch.mm(evecs[begin:end], part, out=out[begin:end])
    return out
