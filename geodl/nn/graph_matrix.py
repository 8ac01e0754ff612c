"""Matrices of a graph: the normalised adjacency and the Laplacians that the layers on graphs apply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geodl.ops import Neighbors, aggregate
from geodl.ops.core.structure import Fixed, Layout, Part, Rows, Structure
from geodl.ops.graph_filter import filter_step, matrix_for
from geodl.ops.remembered import Memory, remembered
from geodl.ops.row_edges import change_self_loops

__all__ = [
    "GraphMatrix",
    "normalized_adjacency",
    "normalized_laplacian",
    "scaled_laplacian",
    "with_self_loops",
]


@dataclass(eq=False)
class GraphMatrix(Structure):
    """A sparse square matrix: row i has the numbers ``values[e]`` in the columns ``neighbors.col[e]``.

    Args:
        neighbors: the places, N by N.
        values: ``[E]`` floating point, in CSR order.
        symmetric: the matrix is known to be its own transpose, so that gradients need no other. Not known any more once the
            matrix is changed.
    """

    neighbors: Neighbors
    values: Tensor
    symmetric: bool = False

    layout: ClassVar[Layout] = {
        "neighbors": Part(Neighbors),
        "values": Rows("edges"),
        "symmetric": Fixed(all),
    }

    def memory(self) -> Memory:
        if self._memory is not None and self._memory.mark != self.mark():
            self.symmetric = False
        return super().memory()

    def __matmul__(self, x: Tensor) -> Tensor:
        return self.step(x, 1.0)

    def step(self, x: Tensor, scale: float, d: Tensor | None = None) -> Tensor:
        """``scale A x + d`` in one pass, for x and d ``[N, C]``."""
        if not torch.compiler.is_compiling():
            self.memory()
        matrix = matrix_for(x, self.neighbors, self.values, self.symmetric)
        out: Tensor = filter_step(x, d, *matrix, scale)
        return out


# A layer asks for the matrix of its graph in every pass; it is made once, and lives as long as the graph.


def with_self_loops(neighbors: Neighbors) -> Neighbors:
    """Every point reads itself once, after its other neighbours (remembered)."""

    _check_square(neighbors)
    return remembered(neighbors, "loops", lambda: change_self_loops(neighbors, add=True))


def normalized_adjacency(
    neighbors: Neighbors | GraphMatrix,
    weight: Tensor | None = None,
    self_loops: bool = True,
    dtype: torch.dtype = torch.float32,
) -> GraphMatrix:
    r"""The symmetrically normalised adjacency matrix,

    .. math:: \hat A = \tilde D^{-1/2} \tilde A \tilde D^{-1/2}, \qquad \tilde A = A + I \text{ or } A, \quad
        \tilde D_{ii} = \sum_j \tilde A_{ij}.

    A point without neighbours has a row of zeros (of its loop alone). Loops that the graph has already count as 1.

    Args:
        neighbors: the graph, N by N; a GraphMatrix is returned as it is.
        weight: ``[E]`` non-negative weights of the edges, in CSR order; 1 if not given. Without weights the matrix is
            computed once and kept with ``neighbors``.
        self_loops: whether I is added. Without, loops of the graph are left out.
        dtype: of the values, where there are no weights.

    Raises:
        ValueError: the graph is not square, or weights do not fit it.
    """
    if isinstance(neighbors, GraphMatrix):
        return neighbors
    _check_square(neighbors)
    if weight is None:
        key = "adjacency", self_loops, dtype
        return remembered(neighbors, key, lambda: _adjacency(neighbors, None, self_loops, dtype))
    if weight.shape != (neighbors.num_edges,):
        raise ValueError(
            f"neighbors have {neighbors.num_edges} edges but weight has shape {list(weight.shape)}"
        )
    return _adjacency(neighbors, weight, self_loops, weight.dtype)


def scaled_laplacian(
    neighbors: Neighbors | GraphMatrix, lambda_max: float = 2.0, dtype: torch.dtype = torch.float32
) -> GraphMatrix:
    r"""The normalised Laplacian scaled to a spectrum in [-1, 1], :math:`2 (I - D^{-1/2} A D^{-1/2}) / \lambda_{max} - I`.

    Args:
        neighbors: the graph, N by N; a GraphMatrix is returned as it is.
        lambda_max: the largest eigenvalue of the normalised Laplacian, or a bound of it; 2 bounds it for every graph.
        dtype: of the values.

    Raises:
        ValueError: the graph is not square, or ``lambda_max`` is not positive.
    """
    if isinstance(neighbors, GraphMatrix):
        return neighbors
    if not lambda_max > 0:
        raise ValueError(f"lambda_max must be positive, got {lambda_max}")
    return _laplacian(neighbors, 2 / lambda_max, 2 / lambda_max - 1, dtype)


def normalized_laplacian(
    neighbors: Neighbors | GraphMatrix, dtype: torch.dtype = torch.float32
) -> GraphMatrix:
    r""":math:`I - D^{-1/2} A D^{-1/2}`, its diagonal stored. A GraphMatrix is returned as it is."""
    return neighbors if isinstance(neighbors, GraphMatrix) else _laplacian(neighbors, 1.0, 1.0, dtype)


def _laplacian(neighbors: Neighbors, scale: float, diagonal: float, dtype: torch.dtype) -> GraphMatrix:
    def make() -> GraphMatrix:
        adjacency = normalized_adjacency(neighbors, None, False, dtype)
        if diagonal == 0:
            return GraphMatrix(adjacency.neighbors, -scale * adjacency.values, adjacency.symmetric)
        looped = with_self_loops(adjacency.neighbors)
        values = adjacency.values.new_full((looped.num_edges,), diagonal)
        # Other edges keep their order.
        values = values.masked_scatter(looped.row != looped.col, -scale * adjacency.values)
        return GraphMatrix(looped, values, adjacency.symmetric)

    _check_square(neighbors)
    return remembered(neighbors, ("laplacian", scale, diagonal, dtype), make)


def _adjacency(
    neighbors: Neighbors, weight: Tensor | None, self_loops: bool, dtype: torch.dtype
) -> GraphMatrix:
    kept = neighbors.row != neighbors.col
    if weight is not None:
        weight = weight[kept]
    if self_loops:
        places = with_self_loops(neighbors)
        if weight is not None:
            loops = places.row == places.col
            weight = weight.new_ones(places.num_edges).masked_scatter(~loops, weight)
    else:
        plain = not torch.compiler.is_compiling() and bool(kept.all())
        places = neighbors if plain else change_self_loops(neighbors, add=False)
    ones = torch.ones(places.num_src, 1, dtype=dtype, device=places.device)
    degree = aggregate(ones, places, weight).squeeze(1)
    scale = degree.rsqrt().where(degree > 0, 0)
    values = scale[places.row] * scale[places.col]
    return _in_order(places, values if weight is None else values * weight)


def _in_order(places: Neighbors, values: Tensor) -> GraphMatrix:
    """The matrix with ascending columns in every row; whether it is symmetric shows on the way."""
    structure = Neighbors(places.rowptr, places.col, places.num_src)  # its transposes are not kept
    transposed, perm = structure.t()
    ordered, back = transposed.t()
    by_column, by_row = values[perm], values[perm[back]]
    symmetric = (
        not torch.compiler.is_compiling()  # which looks at no values
        and torch.equal(transposed.rowptr, ordered.rowptr)
        and torch.equal(transposed.col, ordered.col)
        and torch.equal(by_column, by_row)
    )
    return GraphMatrix(Neighbors(ordered.rowptr, ordered.col, places.num_src), by_row, symmetric)


def _check_square(neighbors: Neighbors) -> None:
    if neighbors.num_dst != neighbors.num_src:
        raise ValueError(
            f"a graph has as many sources as destinations, but neighbors have {neighbors.num_src} and {neighbors.num_dst}"
        )
