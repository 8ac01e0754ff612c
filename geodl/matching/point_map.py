"""Between point maps and functional maps: nearest neighbours one way, pull-backs the other. Nothing of size V x V is stored."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from geodl.geometry.shapes import IndexLike, as_index
from geodl.ops import aggregate, knn
from geodl.ops.aggregate import edge_dot
from geodl.ops.neighbors import csr_for

__all__ = ["fmap_to_p2p", "p2p_to_fmap", "soft_p2p_to_fmap"]

# Entries of a block of the soft map that are held at once.
_BLOCK = 1 << 22


def fmap_to_p2p(c_12: Tensor, evecs_1: Tensor, evecs_2: Tensor) -> Tensor:
    r"""The point map that a functional map stands for.

    .. math:: p2p_{21}(j) = \arg\min_i \| \Phi_1(i) - C_{12}^\top \Phi_2(j) \|

    The adjoint of the map carries delta functions back from shape 2, whatever the areas of the two.

    Args:
        c_12: ``[K2, K1]`` float32 or float64.
        evecs_1: ``[V1, K1]`` or more columns, which are left out.
        evecs_2: ``[V2, K2]`` or more columns.

    Returns:
        p2p_21 ``[V2]`` int64: for each vertex of shape 2 a vertex of shape 1. Ties go to the lower index.

    Raises:
        ValueError: shapes that do not fit, or values that are not finite.
    """
    two, one = c_12.shape
    if evecs_1.shape[1] < one or evecs_2.shape[1] < two:
        raise ValueError(
            f"c_12 [{two}, {one}] needs that many eigenvectors of shape 2 and 1, "
            f"evecs_2 and evecs_1 have {evecs_2.shape[1]} and {evecs_1.shape[1]}"
        )
    return nearest(evecs_1[:, :one], evecs_2[:, :two] @ c_12)


def nearest(source: Tensor, target: Tensor) -> Tensor:
    """For every row of ``target [V2, D]`` the index of the nearest row of ``source [V1, D]``."""
    if source.shape[0] == 0:
        raise ValueError("shape 1 has no vertices to map to")
    return knn(source.contiguous(), 1, queries=target.contiguous()).col


def p2p_to_fmap(p2p_21: IndexLike, evecs_1: Tensor, evecs_2: Tensor, mass_2: Tensor) -> Tensor:
    r"""The functional map of a point map.

    .. math:: C_{12} = \Phi_2^\top M_2 \, \Pi_{21} \Phi_1

    Args:
        p2p_21: ``[V2]`` integers, vertices of shape 1; -1 where there is none, which counts as nothing.
        evecs_1: ``[V1, K1]``.
        evecs_2: ``[V2, K2]``.
        mass_2: ``[V2]``.

    Returns:
        ``[K2, K1]``.

    Raises:
        ValueError: shapes that do not fit.
        IndexError: a vertex that shape 1 does not have.
    """
    p2p_21 = as_index("p2p_21", p2p_21)
    if p2p_21.shape != mass_2.shape or evecs_2.shape[0] != mass_2.shape[0]:
        raise ValueError(
            f"p2p_21 {list(p2p_21.shape)}, evecs_2 {list(evecs_2.shape)} and mass_2 {list(mass_2.shape)} "
            "must have a row for each vertex of shape 2"
        )
    if p2p_21.numel() and not -1 <= int(p2p_21.min()) <= int(p2p_21.max()) < evecs_1.shape[0]:
        raise IndexError(
            f"p2p_21 holds {int(p2p_21.min())}..{int(p2p_21.max())}, but shape 1 has {evecs_1.shape[0]} vertices"
        )
    counted = mass_2.masked_fill(p2p_21 < 0, 0)
    return (evecs_2 * counted[:, None]).mT @ evecs_1[p2p_21.clamp(min=0)]


def fit(basis: Tensor, x: Tensor) -> Tensor:
    """Coefficients ``[K, C]``, by least squares, of a signal ``[P, C]`` at points where the basis ``[P, K]`` is known."""
    solved: Tensor = torch.linalg.solve(basis.mT @ basis, basis.mT @ x)
    return solved


def soft_p2p_to_fmap(
    features_1: Tensor, features_2: Tensor, x: Tensor, temperature: float = 0.07, top_k: int | None = None
) -> Tensor:
    r"""A signal on shape 1 as shape 2 sees it through the soft point map of two sets of features.

    .. math:: (\Pi_{21} x)_j = \sum_i \mathrm{softmax}_i \bigl( -\|f_2(j) - f_1(i)\|^2 / 2 \tau \bigr) \, x_i

    which for unit vectors is the softmax of :math:`f_2(j) \cdot f_1(i) / \tau`. The map is made block by block and made again for
    the gradient; with ``top_k`` only the nearest features of each vertex count.

    Args:
        features_1: ``[V1, D]`` floating point.
        features_2: ``[V2, D]``.
        x: ``[V1, C]``, such as eigenvectors.
        temperature: tau, positive.
        top_k: how many vertices of shape 1 a vertex of shape 2 is mapped to, at most; all if not given.

    Returns:
        ``[V2, C]``. Differentiable once in all three; with ``top_k`` to any order.

    Raises:
        ValueError: shapes that do not fit, temperature or top_k not positive.

    Cao, Roetzer & Bernard 2023; Magnet & Ovsjanikov, "Memory-scalable and simplified functional map learning", CVPR 2024.
    """
    if features_1.shape[1:] != features_2.shape[1:] or x.shape[0] != features_1.shape[0] or not x.shape[0]:
        raise ValueError(
            f"features_1 {list(features_1.shape)} and features_2 {list(features_2.shape)} must have as many columns, "
            f"and x {list(x.shape)} a row for each of shape 1's vertices, at least one"
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    # -|f - g|^2 / 2 = f g - |f|^2 / 2 - |g|^2 / 2, and the last is the same for all f.
    half = features_1.square().sum(1, keepdim=True) / 2
    if top_k is None:
        query = torch.cat([features_2, torch.ones_like(features_2[:, :1])], 1) / temperature
        soft: Tensor = _SoftMap.apply(torch.cat([features_1, -half], 1), query, x)
        return soft
    if top_k < 1:
        raise ValueError(f"top_k must be positive, got {top_k}")
    neighbors = knn(features_1.detach(), top_k, queries=features_2.detach())
    graph = csr_for(neighbors, features_1)
    score = (edge_dot(features_2, features_1, graph, None) - half[neighbors.col, 0]) / temperature
    weight = score.view(features_2.shape[0], -1).softmax(dim=1)
    return aggregate(x, neighbors, weight.reshape(-1))


class _SoftMap(torch.autograd.Function):
    """softmax(q k^T) x in blocks of rows: ``k [V1, D], q [V2, D], x [V1, C] -> [V2, C]``."""

    @staticmethod
    def forward(ctx: Any, key: Tensor, query: Tensor, x: Tensor) -> Tensor:
        out = torch.cat([(part @ key.mT).softmax(dim=1) @ x for part in query.split(_rows(key))])
        ctx.save_for_backward(key, query, x, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        key, query, x, out = ctx.saved_tensors
        grad = grads[0]
        rows = _rows(key)
        to_key, to_x, to_query = torch.zeros_like(key), torch.zeros_like(x), []
        mean = (grad * out).sum(dim=1, keepdim=True)
        for q, g, m in zip(query.split(rows), grad.split(rows), mean.split(rows), strict=True):
            soft = (q @ key.mT).softmax(dim=1)
            to_x.addmm_(soft.mT, g)
            slope = soft.mul_((g @ x.mT).sub_(m))
            to_query.append(slope @ key)
            to_key.addmm_(slope.mT, q)
        return to_key, torch.cat(to_query), to_x


def _rows(key: Tensor) -> int:
    return max(1, _BLOCK // key.shape[0])
