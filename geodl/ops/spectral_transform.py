"""spectral_transform: to the eigenbasis of a Laplacian and back, and diffusion of heat in it, for shapes side by side.

Two products by segments, each the derivative of the other:

- ``project(x, evecs, ptr) -> [B, K, C]``: ``evecs_b^T x_b``;
- ``expand(coefficients, evecs, ptr) -> [V, C]``: ``evecs_b coefficients_b``.

They are also the primitives; ``geodl.ops.triton.spectral_transform`` holds functions of these names.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from geodl.ops.backend import implementation
from geodl.ops.custom_op import custom_op

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
        ``[B, K, C]``, 0 for a shape without vertices. Differentiable to any order in ``x``, ``evecs`` and ``mass``.

    Raises:
        ValueError: a shape, dtype or device that does not fit; on the CPU, a ``ptr`` that is no segmentation.
    """
    _check(x, "x", evecs, mass, ptr)
    out: Tensor = project(x * mass[:, None], evecs, ptr)
    return out


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
    _check(None, "coefficients", evecs, None, ptr)
    if coefficients.dim() != 3 or coefficients.shape[:2] != (ptr.shape[0] - 1, evecs.shape[1]):
        raise ValueError(
            f"coefficients must have shape [{ptr.shape[0] - 1}, {evecs.shape[1]}, C] for these evecs and ptr, "
            f"not {list(coefficients.shape)}"
        )
    _check_alike("coefficients", coefficients, evecs)
    out: Tensor = expand(coefficients, evecs, ptr)
    return out


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
    _check(x, "x", evecs, mass, ptr)
    shapes, size = ptr.shape[0] - 1, evecs.shape[1]
    if evals.shape != (shapes, size) and not (shapes == 1 and evals.shape == (size,)):
        raise ValueError(
            f"evals must have shape [{shapes}, {size}] for these evecs and ptr, not {list(evals.shape)}"
        )
    if time.shape != x.shape[1:]:
        raise ValueError(f"x has {x.shape[1]} channels but time has shape {list(time.shape)}")
    _check_alike("evals", evals, x)
    _check_alike("time", time, x)
    coefficients: Tensor = project(x * mass[:, None], evecs, ptr)
    decay = (-evals.view(shapes, size, 1) * time).exp()
    out: Tensor = expand(decay * coefficients, evecs, ptr)
    return out


def _check(x: Tensor | None, name: str, evecs: Tensor, mass: Tensor | None, ptr: Tensor) -> None:
    if evecs.dim() != 2:
        raise ValueError(f"evecs must have shape [V, K], not {list(evecs.shape)}")
    if not evecs.is_floating_point():
        raise ValueError(f"evecs must be floating point, not {evecs.dtype}")
    vertices = evecs.shape[0]
    if x is not None:
        if x.dim() != 2 or x.shape[0] != vertices:
            raise ValueError(f"evecs have {vertices} vertices but {name} has shape {list(x.shape)}")
        _check_alike(name, x, evecs)
    if mass is not None:
        if mass.shape != (vertices,):
            raise ValueError(f"evecs have {vertices} vertices but mass has shape {list(mass.shape)}")
        _check_alike("mass", mass, evecs)
    if ptr.dtype != torch.int64 or ptr.dim() != 1 or ptr.shape[0] == 0:
        raise ValueError(f"ptr must be int64 of shape [B + 1], not {ptr.dtype} of shape {list(ptr.shape)}")
    if ptr.device != evecs.device:
        raise ValueError(f"evecs are on {evecs.device} but ptr is on {ptr.device}")
    if ptr.device.type == "cpu" and not torch.compiler.is_compiling():
        bounds = ptr.tolist()
        if bounds[0] != 0 or bounds[-1] != vertices or bounds != sorted(bounds):
            raise ValueError(f"ptr must ascend from 0 to the {vertices} vertices of evecs, not as {bounds}")


def _check_alike(name: str, tensor: Tensor, evecs: Tensor) -> None:
    if tensor.dtype != evecs.dtype:
        raise ValueError(f"{name} is {tensor.dtype} but evecs are {evecs.dtype}")
    if tensor.device != evecs.device:
        raise ValueError(f"{name} is on {tensor.device} but evecs are on {evecs.device}")


# --- custom ops ---------------------------------------------------------------------------------------------


@custom_op("spectral_project")
def project(x: Tensor, evecs: Tensor, ptr: Tensor) -> Tensor:
    """``evecs_b^T x_b`` of every shape b, ``[B, K, C]``."""
    out: Tensor = implementation(x, "spectral_transform", "project")(x, evecs, ptr)
    return out


@custom_op("spectral_expand")
def expand(coefficients: Tensor, evecs: Tensor, ptr: Tensor) -> Tensor:
    """``evecs_b coefficients_b`` of every shape b, ``[V, C]``."""
    out: Tensor = implementation(evecs, "spectral_transform", "expand")(coefficients, evecs, ptr)
    return out


@project.register_fake
def _(x: Tensor, evecs: Tensor, ptr: Tensor) -> Tensor:
    return x.new_empty(ptr.shape[0] - 1, evecs.shape[1], x.shape[1])


@expand.register_fake
def _(coefficients: Tensor, evecs: Tensor, ptr: Tensor) -> Tensor:
    return evecs.new_empty(evecs.shape[0], coefficients.shape[2])


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    left, right, ptr = inputs
    needs_left, needs_right = ctx.needs_input_grad[:2]
    ctx.save_for_backward(left if needs_right else None, right if needs_left else None, ptr)


def _differentiate_project(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    x, evecs, ptr = ctx.saved_tensors
    by_x = expand(g, evecs, ptr) if ctx.needs_input_grad[0] else None
    by_evecs = expand(g.transpose(1, 2), x, ptr) if ctx.needs_input_grad[1] else None
    return by_x, by_evecs, None


def _differentiate_expand(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    coefficients, evecs, ptr = ctx.saved_tensors
    by_coefficients = project(g, evecs, ptr) if ctx.needs_input_grad[0] else None
    by_evecs = expand(coefficients.transpose(1, 2), g, ptr) if ctx.needs_input_grad[1] else None
    return by_coefficients, by_evecs, None


project.register_autograd(_differentiate_project, setup_context=_save)
expand.register_autograd(_differentiate_expand, setup_context=_save)


# --- reference: the definition in PyTorch -------------------------------------------------------------------


def reference_project(x: Tensor, evecs: Tensor, ptr: Tensor) -> Tensor:
    products = (evecs[:, :, None] * x[:, None, :]).flatten(1)
    sums = torch.segment_reduce(products, "sum", offsets=ptr, axis=0, initial=0)
    return sums.view(ptr.shape[0] - 1, evecs.shape[1], x.shape[1])


def reference_expand(coefficients: Tensor, evecs: Tensor, ptr: Tensor) -> Tensor:
    shape = torch.arange(ptr.shape[0] - 1, device=ptr.device).repeat_interleave(ptr.diff())
    return (evecs[:, :, None] * coefficients[shape]).sum(1)


# --- native: products of matrices, one a shape --------------------------------------------------------------


def native_project(x: Tensor, evecs: Tensor, ptr: Tensor) -> Tensor:
    bounds = ptr.tolist()
    out = x.new_empty(len(bounds) - 1, evecs.shape[1], x.shape[1])
    for b, (begin, end) in enumerate(pairwise(bounds)):
        torch.mm(evecs[begin:end].t(), x[begin:end], out=out[b])
    return out


def native_expand(coefficients: Tensor, evecs: Tensor, ptr: Tensor) -> Tensor:
    bounds = ptr.tolist()
    out = evecs.new_empty(evecs.shape[0], coefficients.shape[2])
    for b, (begin, end) in enumerate(pairwise(bounds)):
        torch.mm(evecs[begin:end], coefficients[b], out=out[begin:end])
    return out
