"""bernstein: polynomials of a graph Laplacian, in Bernstein's basis."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geodl.ops.chebyshev import apply_polynomial, check_powers
from geodl.ops.core.memory import require_memory
from geodl.ops.graph_filter import matmul, matrix_for
from geodl.ops.neighbors import Neighbors
from geodl.ops.remembered import Shelf, remembered

__all__ = ["bernstein"]

_CHANGES = Shelf(16)


def bernstein(
    x: Tensor, neighbors: Neighbors, laplacian: Tensor, filters: Tensor, symmetric: bool = False
) -> Tensor:
    r"""Filters a signal by a polynomial of the Laplacian whose coefficients are, nearly, its values,

    .. math:: \text{out} = \sum_{k=0}^{K} \binom{K}{k} \left(\frac{1 - L}{2}\right)^{K-k}
        \left(\frac{1 + L}{2}\right)^k x \, W_k

    where row i of L has the numbers ``laplacian[e]`` in the columns ``col[e]``, scaled so that its spectrum lies in
    [-1, 1]: for the normalised Laplacian of the paper, L is that minus 1. The basis is positive and sums to 1, so W_k is
    about the response at the eigenvalue 2 k / K - 1, and filters W_k >= 0 have no negative response anywhere.

    On [-1, 1] it is a well conditioned change of basis of the filters to Chebyshev's, and that is how it is computed: by K
    sparse products instead of K (K + 1) / 2.

    Args:
        x: ``[N, C]`` floating point, the signal.
        neighbors: the places of the Laplacian, N by N.
        laplacian: ``[E]`` its entries in CSR order, of the dtype of ``x``.
        filters: ``[K + 1, C, C']``.
        symmetric: the Laplacian is known to be symmetric, as for :func:`geodl.ops.chebyshev`.

    Returns:
        ``[N, C']``. Differentiable to any order in ``x``, ``laplacian`` and ``filters``.

    Raises:
        ValueError: a shape, dtype or device that does not fit.

    He et al., "BernNet: learning arbitrary graph spectral filters via Bernstein approximation", 2021.
    """
    check_powers(filters)
    require_memory(filters=filters)
    of = filters.shape[0] - 1, x.device, filters.dtype
    change = remembered(_CHANGES, of, lambda: _in_chebyshev(*of[:2]).to(of[2]))
    filters = matmul(change, filters.flatten(1)).view(filters.shape)
    return apply_polynomial(x, filters, matrix_for(x, neighbors, laplacian, symmetric))


def _in_chebyshev(degree: int, device: torch.device) -> Tensor:
    """``[j, k]``: coefficient j in Chebyshev's basis of Bernstein's polynomial k, by interpolation in Chebyshev's nodes."""
    k = torch.arange(degree + 1, device=device, dtype=torch.float64)
    angle = (k + 0.5) * (math.pi / (degree + 1))
    node = (angle.cos() / 2 + 0.5)[:, None]  # in [0, 1]
    binomial = torch.cat([torch.ones_like(k[:1]), ((degree + 1 - k[1:]) / k[1:]).cumprod(0)])
    bernstein = binomial * node**k * (1 - node) ** (degree - k)
    waves = (k[:, None] * angle).cos() * (2 / (degree + 1))
    return torch.cat([waves[:1] / 2, waves[1:]]) @ bernstein
