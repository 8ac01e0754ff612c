"""Neighbors: conversions against scipy, the cached transpose, packing, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
import torch

from geodl.ops import Neighbors, aggregate, backends, use_backend

from .cases import EMPTY, GRAPHS, ragged_parts


def dense(neighbors: Neighbors) -> np.ndarray:
    """How often every destination reads every source."""
    counts = np.zeros((neighbors.num_dst, neighbors.num_src), dtype=int)
    np.add.at(counts, (neighbors.row.numpy(), neighbors.col.numpy()), 1)
    return counts


@pytest.mark.parametrize(
    "backend", [name for name in ("reference", "native") if backends()[name] == "available"]
)
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(
    ("num_dst", "num_src", "edges"), [(7, 5, 30), (4, 9, 0), (1, 1, 3), (3000, 70, 20000)]
)
def test_from_edge_index_sorts_edges_stably(num_dst, num_src, edges, threads, backend):
    src, dst = torch.randint(num_src, (edges,)), torch.randint(num_dst, (edges,))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with use_backend(backend):
            neighbors = Neighbors.from_edge_index(torch.stack([src, dst]), num_dst, num_src)
            transposed, perm = neighbors.t()
    finally:
        torch.set_num_threads(before)
    order = np.argsort(dst.numpy(), kind="stable")
    np.testing.assert_array_equal(neighbors.order, order)
    np.testing.assert_array_equal(neighbors.col, src.numpy()[order])
    np.testing.assert_array_equal(neighbors.row, dst.numpy()[order])
    np.testing.assert_array_equal(neighbors.degree(), np.bincount(dst.numpy(), minlength=num_dst))
    np.testing.assert_array_equal(neighbors.to_edge_index(), np.stack([src, dst])[:, order])

    ones = np.ones(edges)
    matrix = scipy.sparse.coo_array((ones, (dst.numpy(), src.numpy())), shape=(num_dst, num_src)).tocsr()
    np.testing.assert_array_equal(neighbors.rowptr, np.concatenate([[0], np.cumsum(neighbors.degree())]))
    np.testing.assert_array_equal(dense(transposed), matrix.T.toarray())
    np.testing.assert_array_equal(perm, np.argsort(neighbors.col, kind="stable"))


@pytest.mark.parametrize("graph", GRAPHS | EMPTY)
def test_transpose(graph):
    neighbors = (GRAPHS | EMPTY)[graph]()
    transposed, perm = neighbors.t()
    assert (transposed.num_dst, transposed.num_src) == (neighbors.num_src, neighbors.num_dst)
    assert torch.equal(neighbors.col[perm], transposed.row) and torch.equal(
        neighbors.row[perm], transposed.col
    )
    assert neighbors.t()[0] is transposed
    twice, again = transposed.t()
    assert torch.equal(twice.rowptr, neighbors.rowptr)
    assert torch.equal(perm[again].sort().values, torch.arange(neighbors.num_edges))


def test_cat_is_block_diagonal():
    parts = ragged_parts()
    packed = Neighbors.cat(parts)
    np.testing.assert_array_equal(dense(packed), scipy.linalg.block_diag(*map(dense, parts)))


def test_cat_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one part"):
        Neighbors.cat([])


def test_to_keeps_caches():
    neighbors = Neighbors.from_edge_index(torch.tensor([[0, 1, 1], [1, 0, 1]]), 2)
    transposed, perm = neighbors.t()
    row = neighbors.row
    moved = neighbors.to("cpu")
    assert moved.t()[0].col is transposed.col and moved.t()[1] is perm and moved.row is row
    assert torch.equal(moved.order, neighbors.order)
    assert moved.to("meta").device.type == "meta"


def test_made_inside_a_compiled_function():
    edge_index = torch.tensor([[0, 1, 2, 2], [1, 0, 1, 2]])
    x = torch.randn(3, 4, requires_grad=True)

    def call(x, edge_index):
        return aggregate(x, Neighbors.from_edge_index(edge_index, 3), reduce="max")

    torch._dynamo.reset()
    out = torch.compile(call, fullgraph=True, backend="aot_eager")(x, edge_index)
    assert torch.equal(out, call(x, edge_index))
    assert torch.equal(
        torch.autograd.grad(out.sum(), x)[0], torch.autograd.grad(call(x, edge_index).sum(), x)[0]
    )


def csr(rowptr, col, num_src=3, order=None):
    return lambda: Neighbors(torch.tensor(rowptr), torch.tensor(col), num_src, order)


def edges(edge_index, num_dst=2):
    return lambda: Neighbors.from_edge_index(torch.tensor(edge_index), num_dst)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (csr([0.0, 1.0], [0]), ValueError, "rowptr must be int64, not torch.float32"),
        (csr([0, 1], [0.0]), ValueError, "col must be int64, not torch.float32"),
        (csr([[0, 1]], [0]), ValueError, r"rowptr must have shape \[N\+1\], not \[1, 2\]"),
        (csr([0, 1], [[0]]), ValueError, r"col must have shape \[E\], not \[1, 1\]"),
        (
            lambda: Neighbors(torch.arange(0), torch.arange(0), 1),
            ValueError,
            r"rowptr must have shape \[N\+1\], not \[0\]",
        ),
        (csr([0, 1], [0], -1), ValueError, "num_src must not be negative, got -1"),
        (csr([1, 1], [0]), ValueError, "ascend from 0 to the 1 edges of col, not from 1 to 1"),
        (csr([0, 2], [0]), ValueError, "ascend from 0 to the 1 edges of col, not from 0 to 2"),
        (csr([0, 2, 1, 2], [0, 0]), ValueError, "must not descend, but row 1 ends before it starts"),
        (csr([0, 2], [0, 3]), IndexError, r"col holds 0..3, but there are 3 sources"),
        (csr([0, 1], [-1]), IndexError, r"col holds -1..-1, but there are 3 sources"),
        (csr([0, 1], [0], 3, torch.arange(2)), ValueError, r"order must have shape \[E\] = \[1\], not \[2\]"),
        (csr([0, 1], [0], 3, torch.arange(1, device="meta")), ValueError, "on cpu but order is on meta"),
        (edges([0, 1]), ValueError, r"edge_index must have shape \[2, E\], not \[2\]"),
        (edges([[0.0], [1.0]]), ValueError, "edge_index must be int64, not torch.float32"),
        (edges([[0], [2]]), IndexError, r"edge_index\[1\] holds 2..2, but there are 2 destinations"),
        (edges([[0], [-1]]), IndexError, r"edge_index\[1\] holds -1..-1, but there are 2 destinations"),
        (edges([[0], [0]], -1), ValueError, "num_dst must not be negative, got -1"),
        (edges([[5], [0]]), IndexError, "col holds 5..5, but there are 2 sources"),
    ],
)
def test_refuses(make, error, message):
    with pytest.raises(error, match=message):
        make()
