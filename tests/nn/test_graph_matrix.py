"""GraphMatrix and loops: products, steps and their derivatives against dense matrices."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geodl.nn import (
    GraphMatrix,
    normalized_adjacency,
    normalized_laplacian,
    scaled_laplacian,
    with_self_loops,
)
from geodl.ops import Neighbors


def directed(nodes: int = 12, edges: int = 30) -> Neighbors:
    """A random directed graph, some edges twice, node 0 with a loop, the last node alone."""
    pairs = torch.randint(nodes - 1, (2, edges))
    return Neighbors.from_edge_index(torch.cat([pairs, pairs[:, :3], torch.zeros(2, 1).long()], 1), nodes)


def dense(neighbors: Neighbors, values: Tensor) -> Tensor:
    out = values.new_zeros(neighbors.num_dst, neighbors.num_src)
    return out.index_put_((neighbors.row, neighbors.col), values, accumulate=True)


def test_products_are_those_of_the_dense_matrix() -> None:
    neighbors = directed()
    matrix = GraphMatrix(neighbors, torch.randn(neighbors.num_edges, dtype=torch.float64))
    x, d = torch.randn(2, 12, 5, dtype=torch.float64)
    whole = dense(neighbors, matrix.values)
    torch.testing.assert_close(matrix @ x, whole @ x)
    torch.testing.assert_close(matrix.step(x, -0.7), -0.7 * whole @ x)
    torch.testing.assert_close(matrix.step(x, 1.5, d), 1.5 * whole @ x + d)


@pytest.mark.parametrize("symmetric", [False, True])
def test_derivatives_of_products(symmetric: bool) -> None:
    """A symmetric matrix needs no transpose, and the derivatives are the same."""
    pairs = torch.unique(torch.randint(8, (2, 15)), dim=1)
    neighbors = Neighbors.from_edge_index(torch.unique(torch.cat([pairs, pairs.flip(0)], 1), dim=1), 8)
    matrix = normalized_adjacency(neighbors, dtype=torch.float64)
    assert matrix.symmetric
    matrix = GraphMatrix(matrix.neighbors, matrix.values, symmetric)
    x, d = torch.randn(2, 8, 3, dtype=torch.float64, requires_grad=True)
    leaves = x.detach().requires_grad_(), d.detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, d: matrix.step(x, 0.3, d), leaves)
    assert torch.autograd.gradgradcheck(lambda x, d: matrix.step(x, 0.3, d), leaves)


def test_a_graph_matrix_is_taken_as_it_is() -> None:
    matrix = GraphMatrix(directed(), torch.randn(34))
    assert normalized_adjacency(matrix) is matrix
    assert scaled_laplacian(matrix) is matrix and normalized_laplacian(matrix) is matrix


def test_every_point_reads_itself_once_and_last() -> None:
    neighbors = directed()
    looped = with_self_loops(neighbors)
    for row in range(12):
        before = neighbors.col[neighbors.rowptr[row] : neighbors.rowptr[row + 1]].tolist()
        after = looped.col[looped.rowptr[row] : looped.rowptr[row + 1]].tolist()
        assert after == [col for col in before if col != row] + [row]
    assert with_self_loops(neighbors) is looped  # made once
    again = with_self_loops(looped)
    assert torch.equal(again.col, looped.col) and torch.equal(again.rowptr, looped.rowptr)


def test_loops_made_in_inference_mode_serve_training() -> None:
    neighbors = directed()
    with torch.inference_mode():
        looped = with_self_loops(neighbors)
    assert not looped.col.is_inference()


def test_only_square_graphs_have_loops() -> None:
    with pytest.raises(ValueError, match="neighbors have 3 and 2"):
        with_self_loops(Neighbors(torch.tensor([0, 1, 1]), torch.tensor([2]), 3))
