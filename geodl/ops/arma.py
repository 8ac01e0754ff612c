"""arma: rational filters of a graph Laplacian, by first-order recursions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from geodl.ops.core.fitting import Fitting
from geodl.ops.graph_filter import filter_step, matmul, matrix_for
from geodl.ops.neighbors import Neighbors, csr_for

__all__ = ["arma"]

_GIVEN = Fitting("x[S,C] laplacian[E] initial[M,C,D] recurrent[M,D,D] skip[M,C,D]; graph:csr[N,S,E]")


def arma(
    x: Tensor,
    neighbors: Neighbors,
    laplacian: Tensor,
    initial: Tensor,
    recurrent: Tensor,
    skip: Tensor,
    steps: int,
    activation: Callable[[Tensor], Tensor] | None = None,
    symmetric: bool = False,
) -> Tensor:
    r"""Filters a signal by S auto-regressive moving-average recursions side by side, and takes their mean,

    .. math:: X_s^{(1)} = \sigma(L \, x \, A_s + x \, V_s), \qquad
        X_s^{(t+1)} = \sigma(L \, X_s^{(t)} W_s + x \, V_s), \qquad \text{out} = \frac{1}{S} \sum_s X_s^{(T)}

    where row i of L has the numbers ``laplacian[e]`` in the columns ``col[e]``, scaled so that its spectrum lies in
    [-1, 1]. Without activation and with scalars a and b for W and V, it converges where ``abs(a) < 1`` to the rational filter
    b / (1 - a lambda), and S of them to a sum of such.

    Args:
        x: ``[N, C]`` floating point, the signal.
        neighbors: the places of the Laplacian, N by N.
        laplacian: ``[E]`` its entries in CSR order, of the dtype of ``x``.
        initial: ``[S, C, C']``, the weights A of the first step, S > 0.
        recurrent: ``[S, C', C']``, the weights W of those that follow.
        skip: ``[S, C, C']``, the weights V.
        steps: T > 0.
        activation: sigma, by element; the identity if not given.
        symmetric: the Laplacian is known to be symmetric, as for :func:`geodl.ops.chebyshev`.

    Returns:
        ``[N, C']``. Differentiable to any order in ``x``, ``laplacian`` and the weights.

    Raises:
        ValueError: a shape, dtype or device that does not fit, or no steps.

    Bianchi et al., "Graph neural networks with convolutional ARMA filters", 2021.
    """
    given = x, laplacian, initial, recurrent, skip, csr_for(neighbors)
    x, laplacian, initial, recurrent, skip, _ = _GIVEN(*given)
    stacks, _, out_channels = initial.shape
    if stacks == 0:
        raise ValueError("initial must have at least one matrix, not 0")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    matrix = matrix_for(x, neighbors, laplacian, symmetric)
    # The stacks stand side by side, so that one sparse product serves all.
    first = torch.cat([initial, skip]).transpose(0, 1).flatten(1)
    state, skipped = matmul(x, first).chunk(2, 1)
    for t in range(steps):
        if t > 0:
            parts = state.chunk(stacks, 1)
            state = torch.cat([matmul(part, w) for part, w in zip(parts, recurrent.unbind(), strict=True)], 1)
        state = filter_step(state, skipped, *matrix, 1.0)
        state = state if activation is None else activation(state)
    out: Tensor = state.view(-1, stacks, out_channels).mean(1)
    return out
