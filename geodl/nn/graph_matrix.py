"""Matrices of a graph: the normalised adjacency and the Laplacians that the layers on graphs apply."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geodl.ops import Neighbors, aggregate
from geodl.ops.core.structure import Fixed, Layout, Part, Rows, Structure
from geodl.ops.core.watch import constant
from geodl.ops.graph_filter import filter_step, matrix_for
from geodl.ops.remembered import Memory, remembered, remembered_beside
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
    return remembered(neighbors, "loops", lambda: change_self_loops(neighbors, add=True)[0])


def with_weighted_loops(
    neighbors: Neighbors, weight: Tensor | None, mask: Tensor | None
) -> tuple[Neighbors, Tensor | None, Tensor | None]:
    """:func:`with_self_loops` and values of its edges ``[E']``: a loop keeps its own (the last of several), a new one has 1."""
    looped = with_self_loops(neighbors)
    if weight is None and mask is None:
        return looped, None, None
    edge = remembered(neighbors, "edges of loops", lambda: change_self_loops(neighbors, add=True)[1])

    def of_loops(value: Tensor | None) -> Tensor | None:
        return None if value is None else torch.cat([value, value.new_ones(1)])[edge]

    return looped, of_loops(weight), of_loops(mask)


def normalized_adjacency(
    neighbors: Neighbors | GraphMatrix,
    weight: Tensor | None = None,
    self_loops: bool = True,
    dtype: torch.dtype = torch.float32,
    mask: Tensor | None = None,
) -> GraphMatrix:
    r"""The symmetrically normalised adjacency matrix,

    .. math:: \hat A = \tilde D^{-1/2} \tilde A \tilde D^{-1/2}, \qquad \tilde A = A + I \text{ or } A, \quad
        \tilde D_{ii} = \sum_j \tilde A_{ij}.

    A point without neighbours has a row of zeros (of its loop alone). A loop that the graph has already is there once, with its own
    weight (the last of several) or 1. The matrix is computed once and kept with ``neighbors`` or, where these want no gradient,
    with the weights.

    Args:
        neighbors: the graph, N by N; a GraphMatrix is returned as it is.
        weight: ``[E]`` non-negative weights of the edges, in CSR order; 1 if not given.
        self_loops: whether I is added. Without, loops of the graph are left out.
        dtype: of the values, where there are no weights.
        mask: ``[E]``, factors of the entries, not of the degrees.

    Raises:
        ValueError: the graph is not square, or weights do not fit it.
    """
    if isinstance(neighbors, GraphMatrix):
        return neighbors
    _check_square(neighbors)
    if weight is not None and weight.shape != (neighbors.num_edges,):
        raise ValueError(
            f"neighbors have {neighbors.num_edges} edges but weight has shape {list(weight.shape)}"
        )
    key = "adjacency", self_loops, dtype if weight is None else weight.dtype
    return _made(neighbors, weight, mask, key, lambda: _adjacency(neighbors, weight, mask, self_loops, dtype))


def scaled_laplacian(
    neighbors: Neighbors | GraphMatrix,
    lambda_max: float = 2.0,
    dtype: torch.dtype = torch.float32,
    weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> GraphMatrix:
    r"""The normalised Laplacian scaled to a spectrum in [-1, 1], :math:`2 (I - D^{-1/2} A D^{-1/2}) / \lambda_{max} - I`.

    Args:
        neighbors: the graph, N by N; a GraphMatrix is returned as it is.
        lambda_max: the largest eigenvalue of the normalised Laplacian, or a bound of it; 2 bounds it for every graph.
        dtype: of the values, where there are no weights.
        weight, mask: as of :func:`normalized_adjacency`.

    Raises:
        ValueError: the graph is not square, weights do not fit it, or ``lambda_max`` is not positive.
    """
    if isinstance(neighbors, GraphMatrix):
        return neighbors
    if not lambda_max > 0:
        raise ValueError(f"lambda_max must be positive, got {lambda_max}")
    return _laplacian(neighbors, 2 / lambda_max, 2 / lambda_max - 1, dtype, weight, mask)


def normalized_laplacian(
    neighbors: Neighbors | GraphMatrix,
    dtype: torch.dtype = torch.float32,
    weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> GraphMatrix:
    r""":math:`I - D^{-1/2} A D^{-1/2}`, its diagonal stored, as :func:`scaled_laplacian`. A GraphMatrix is returned as it is."""
    if isinstance(neighbors, GraphMatrix):
        return neighbors
    return _laplacian(neighbors, 1.0, 1.0, dtype, weight, mask)


def _made(
    neighbors: Neighbors,
    weight: Tensor | None,
    mask: Tensor | None,
    key: Hashable,
    make: Callable[[], GraphMatrix],
) -> GraphMatrix:
    if mask is not None:
        return make()
    if weight is None:
        return remembered(neighbors, key, make)
    return remembered_beside(weight, neighbors, key, make) if constant(weight) else make()


def _laplacian(
    neighbors: Neighbors,
    scale: float,
    diagonal: float,
    dtype: torch.dtype,
    weight: Tensor | None,
    mask: Tensor | None,
) -> GraphMatrix:
    def make() -> GraphMatrix:
        adjacency = normalized_adjacency(neighbors, weight, False, dtype, mask)
        if diagonal == 0:
            return GraphMatrix(adjacency.neighbors, -scale * adjacency.values, adjacency.symmetric)
        looped = with_self_loops(adjacency.neighbors)
        values = adjacency.values.new_full((looped.num_edges,), diagonal)
        # Other edges keep their order.
        values = values.masked_scatter(looped.row != looped.col, -scale * adjacency.values)
        return GraphMatrix(looped, values, adjacency.symmetric)

    _check_square(neighbors)
    key = "laplacian", scale, diagonal, dtype if weight is None else weight.dtype
    return _made(neighbors, weight, mask, key, make)


def _adjacency(
    neighbors: Neighbors, weight: Tensor | None, mask: Tensor | None, self_loops: bool, dtype: torch.dtype
) -> GraphMatrix:
    places, weight, mask = (with_weighted_loops if self_loops else _without_loops)(neighbors, weight, mask)
    ones = torch.ones(
        places.num_src, 1, dtype=dtype if weight is None else weight.dtype, device=places.device
    )
    degree = aggregate(ones, places, weight).squeeze(1)
    # The root of nothing has no derivative.
    scale = degree.masked_fill(degree <= 0, 1).rsqrt().masked_fill(degree <= 0, 0)
    values = scale[places.row] * scale[places.col]
    factor = product(weight, mask)
    if factor is None:
        return _in_order(_ascending(places), values, True)
    structure = remembered(places, "ascending", lambda: _ascending(places))
    return _in_order(structure, values * factor, constant(factor))


def product(weight: Tensor | None, mask: Tensor | None) -> Tensor | None:
    """Both, or the one that is there."""
    if weight is None or mask is None:
        return mask if weight is None else weight
    return weight * mask


def _without_loops(
    neighbors: Neighbors, weight: Tensor | None, mask: Tensor | None
) -> tuple[Neighbors, Tensor | None, Tensor | None]:
    if not torch.compiler.is_compiling() and bool((neighbors.row != neighbors.col).all()):
        return neighbors, weight, mask
    if weight is None and mask is None:
        return change_self_loops(neighbors, add=False)[0], None, None
    places, edge = remembered(neighbors, "no loops", lambda: change_self_loops(neighbors, add=False))
    return places, None if weight is None else weight[edge], None if mask is None else mask[edge]


def _ascending(places: Neighbors) -> tuple[Neighbors, Tensor, Tensor | None]:
    """The graph with ascending columns in every row, which edge each was and, if it is its own transpose, the edge opposite."""
    structure = Neighbors(places.rowptr, places.col, places.num_src)  # its transposes are not kept
    transposed, perm = structure.t()
    ordered, back = transposed.t()
    itself = (
        not torch.compiler.is_compiling()  # which looks at no values
        and torch.equal(transposed.rowptr, ordered.rowptr)
        and torch.equal(transposed.col, ordered.col)
    )
    return Neighbors(ordered.rowptr, ordered.col, places.num_src), perm[back], perm if itself else None


def _in_order(
    structure: tuple[Neighbors, Tensor, Tensor | None], values: Tensor, comparable: bool
) -> GraphMatrix:
    places, edge, opposite = structure
    by_row = values[edge]
    known = opposite is not None and comparable and torch.equal(values[opposite], by_row)
    return GraphMatrix(places, by_row, known)


def _check_square(neighbors: Neighbors) -> None:
    if neighbors.num_dst != neighbors.num_src:
        raise ValueError(
            f"a graph has as many sources as destinations, but neighbors have {neighbors.num_src} and {neighbors.num_dst}"
        )
