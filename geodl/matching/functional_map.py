"""Functional maps from descriptors: the layer, and the mask that regularises it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["functional_map", "resolvent_mask"]


def resolvent_mask(evals_1: Tensor, evals_2: Tensor, gamma: float = 0.5) -> Tensor:
    r"""How little a functional map should send eigenfunction j of shape 1 to eigenfunction i of shape 2.

    .. math:: D_{ij} = \Bigl|\frac{1}{\mu_i^\gamma - \mathrm{i}} - \frac{1}{\lambda_j^\gamma - \mathrm{i}}\Bigr|^2

    with the eigenvalues :math:`\lambda` of shape 1 and :math:`\mu` of shape 2, both divided by the largest of all.

    Args:
        evals_1: ``[..., K1]``, not negative.
        evals_2: ``[..., K2]``.
        gamma: exponent, positive.

    Returns:
        ``[..., K2, K1]``, between 0 and 1.

    Raises:
        ValueError: gamma is not positive.

    Ren, Panine, Wonka & Ovsjanikov, "Structured regularization of functional map computations", SGP 2019.
    """
    if not gamma > 0:
        raise ValueError(f"gamma must be positive, got {gamma}")
    scale = torch.maximum(evals_1.amax(-1), evals_2.amax(-1))[..., None].clamp(
        min=torch.finfo(evals_1.dtype).tiny
    )
    one = (evals_1.clamp(min=0) / scale).pow(gamma)[..., None, :]
    two = (evals_2.clamp(min=0) / scale).pow(gamma)[..., :, None]
    # 1 / (x - i) = (x + i) / (x^2 + 1)
    real = two / (two.square() + 1) - one / (one.square() + 1)
    imaginary = 1 / (two.square() + 1) - 1 / (one.square() + 1)
    return real.square() + imaginary.square()


def functional_map(
    a: Tensor, b: Tensor, evals_1: Tensor, evals_2: Tensor, weight: float = 100.0, gamma: float = 0.5
) -> Tensor:
    r"""The map :math:`C_{12}` that carries descriptors of shape 1 to those of shape 2, regularised.

    .. math:: C_{12} = \arg\min_C \|C A - B\|^2 + w \sum_{ij} D_{ij} C_{ij}^2

    with the :func:`resolvent_mask` D. Each row i of C solves a system of its own, :math:`(A A^\top + w \, \mathrm{diag}(D_i)) c_i
    = A b_i`, by Cholesky: row after row on the CPU, where a factor stays in the cache, all at once on a GPU.

    Args:
        a: ``[..., K1, D]`` floating point: spectral coefficients of D descriptors of shape 1.
        b: ``[..., K2, D]``: of the same descriptors of shape 2.
        evals_1: ``[..., K1]``.
        evals_2: ``[..., K2]``.
        weight: w, at least 0.
        gamma: of the mask.

    Returns:
        ``[..., K2, K1]``. Differentiable in ``a``, ``b`` and the eigenvalues.

    Raises:
        ValueError: shapes that do not fit, a negative weight, descriptors that are not finite, or that leave the map open (fewer
            independent ones than eigenfunctions, and no weight).

    Donati, Sharma & Ovsjanikov, "Deep geometric functional maps: robust feature learning for shape correspondence", CVPR 2020.
    """
    if a.shape[:-1] != evals_1.shape or b.shape[:-1] != evals_2.shape or a.shape[-1:] != b.shape[-1:]:
        raise ValueError(
            f"a {list(a.shape)} and b {list(b.shape)} must have a row for each of evals_1 {list(evals_1.shape)} "
            f"and evals_2 {list(evals_2.shape)}, and as many descriptors"
        )
    if not weight >= 0:
        raise ValueError(f"weight must not be negative, got {weight}")
    mask = resolvent_mask(evals_1, evals_2, gamma) * weight
    solved: Tensor = _RowSolve.apply(a @ a.mT, mask, b @ a.mT)
    return solved


class _RowSolve(torch.autograd.Function):
    """``x_i = (gram + diag(d_i))^-1 r_i`` for the rows of d and r, both ``[..., K2, K1]``.

    The gradient is again such a solve and one product, so that no factor is kept or differentiated.
    """

    @staticmethod
    def forward(ctx: Any, gram: Tensor, diagonal: Tensor, right: Tensor) -> Tensor:
        if gram.is_cuda:
            solution = _cholesky(gram[..., None, :, :], diagonal, right)
        else:
            solution = torch.empty_like(right)
            for i in range(right.shape[-2]):
                solution[..., i, :] = _cholesky(gram, diagonal[..., i, :], right[..., i, :])
        ctx.save_for_backward(gram, diagonal, solution)
        return solution

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gram, diagonal, solution = ctx.saved_tensors
        adjoint: Tensor = _RowSolve.apply(gram, diagonal, grads[0])
        return -(adjoint.mT @ solution), -adjoint * solution, adjoint


def _cholesky(gram: Tensor, diagonal: Tensor, right: Tensor) -> Tensor:
    factor, failed = torch.linalg.cholesky_ex(gram + torch.diag_embed(diagonal))
    if not gram.is_cuda and bool(failed.any()):
        if not bool(torch.isfinite(gram).all()):
            raise ValueError("descriptors are not finite")
        raise ValueError("descriptors leave the functional map open: give more of them, or a larger weight")
    return torch.cholesky_solve(right[..., None], factor)[..., 0]
