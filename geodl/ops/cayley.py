"""cayley: rational filters of a graph Laplacian, in powers of its Cayley transform."""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.ops.aggregate import aggregate
from geodl.ops.core.fitting import Fitting
from geodl.ops.graph_filter import Matrix, filter_step, matmul, matrix_for
from geodl.ops.neighbors import Neighbors, csr_for

__all__ = ["cayley"]

_GIVEN = Fitting("x[S,C] laplacian[E] filters[R,C,D] zoom[]; graph:csr[N,S,E]")


def cayley(
    x: Tensor,
    neighbors: Neighbors,
    laplacian: Tensor,
    filters: Tensor,
    zoom: Tensor,
    iterations: int = 5,
    symmetric: bool = False,
) -> Tensor:
    r"""Filters a signal by a Cayley polynomial of the Laplacian,

    .. math:: \text{out} = x \, W_0 + 2 \, \mathrm{Re} \sum_{j=1}^{r} Q^j x \, W_j,
        \qquad Q = (h \Delta + \mathrm{i})^{-1} (h \Delta - \mathrm{i})

    with complex W_j, where row i of the Laplacian has the numbers ``laplacian[e]`` in the columns ``col[e]`` and is not
    scaled: the spectral zoom h says which part of the spectrum the filter resolves.

    As in the paper, the inverse is a fixed number of Jacobi's iterations, begun at the right-hand side divided by the
    diagonal. They converge where the diagonal outweighs the rest of each row, as ``|J|^iterations`` with J the matrix
    ``h (Delta - diagonal) / (h diagonal + i)``. Everything stays sparse, and derivatives are those of what is computed.

    Args:
        x: ``[N, C]`` floating point, the signal.
        neighbors: the places of the Laplacian, N by N; its diagonal is edges of a vertex with itself.
        laplacian: ``[E]`` its entries in CSR order, of the dtype of ``x``.
        filters: ``[2 r + 1, C, C']``: W_0 (which is real), then the real and the imaginary part of W_1, and so on.
        zoom: h, a positive scalar tensor.
        iterations: how many of Jacobi's iterations solve one system.
        symmetric: the Laplacian is known to be symmetric, as for :func:`geodl.ops.chebyshev`.

    Returns:
        ``[N, C']``. Differentiable to any order in ``x``, ``laplacian``, ``filters`` and ``zoom``.

    Raises:
        ValueError: a shape, dtype or device that does not fit, or negative iterations.

    Levie et al., "CayleyNets: graph convolutional neural networks with complex rational spectral filters", 2018.
    """
    x, laplacian, filters, zoom, _ = _GIVEN(x, laplacian, filters, zoom, csr_for(neighbors))
    if filters.shape[0] % 2 == 0:
        raise ValueError(f"filters must have 2 r + 1 matrices, an odd number, not {filters.shape[0]}")
    if iterations < 0:
        raise ValueError(f"iterations must not be negative, got {iterations}")
    matrix = matrix_for(x, neighbors, laplacian, symmetric)
    order, (channels, out_channels) = filters.shape[0] // 2, filters.shape[1:]
    # Of a complex signal, the real part stands before the imaginary one: [N, 2, C].
    filters = torch.cat([filters[:1], 2 * filters[1:]])
    transform = _Transform(matrix, neighbors, zoom, iterations)
    if out_channels <= channels:
        weighted: Tensor = matmul(x, filters.transpose(0, 1).flatten(1)).view(-1, 2 * order + 1, out_channels)
        first, *powers = weighted.split([1] + [2] * order, 1)
        state = torch.zeros_like(weighted[:, :1]).expand(-1, 2, -1)
        for power in reversed(powers):
            state = transform(state + power)
        filtered: Tensor = (first + state[:, :1]).squeeze(1)
        return filtered
    terms = [x.unsqueeze(1)]
    state = torch.stack([x, torch.zeros_like(x)], 1)
    for _ in range(order):
        state = transform(state)
        terms.append(state)
    signs = torch.ones_like(filters[:, :1, :1])
    signs[2::2] = -1  # the real part of a product takes that of the imaginary parts away
    out: Tensor = matmul(torch.cat(terms, 1).flatten(1), (filters * signs).flatten(0, 1))
    return out


class _Transform:
    """The Cayley transform Q of complex signals ``[N, 2, C]``, its inverse by Jacobi's iterations."""

    def __init__(self, matrix: Matrix, neighbors: Neighbors, zoom: Tensor, iterations: int) -> None:
        entries = zoom * matrix.laplacian
        on_diagonal = neighbors.row == neighbors.col
        ones = entries.new_ones(neighbors.num_src, 1)
        diagonal = aggregate(ones, neighbors, torch.where(on_diagonal, entries, 0))[:, :, None]
        _, graph, symmetric, transposed = matrix  # Dynamo of torch 2.6 slices no named tuples
        self.rest = Matrix(torch.where(on_diagonal, 0, entries), graph, symmetric, transposed)
        self.diagonal, self.norm, self.iterations = diagonal, diagonal.square() + 1, iterations

    def __call__(self, signal: Tensor) -> Tensor:
        right = self._step(1.0, signal, self.diagonal * signal - _times_i(signal))
        state = self._divide(right)
        for _ in range(self.iterations):
            state = self._divide(self._step(-1.0, state, right))
        return state

    def _step(self, alpha: float, signal: Tensor, d: Tensor) -> Tensor:
        out: Tensor = filter_step(signal.flatten(1), d.flatten(1), *self.rest, alpha)
        return out.view(signal.shape)

    def _divide(self, signal: Tensor) -> Tensor:
        """By diagonal + i."""
        return (self.diagonal * signal - _times_i(signal)) / self.norm


def _times_i(signal: Tensor) -> Tensor:
    real, imaginary = signal.unbind(1)
    return torch.stack([-imaginary, real], 1)
