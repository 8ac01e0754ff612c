"""Calls of the operators themselves, past the functions that make their arguments: kernels and declarations look again."""

from __future__ import annotations

import pytest
import torch

from geodl.ops import Neighbors, backends, bernstein
from geodl.ops.aggregate import gather_max, gather_sum, scatter_sum
from geodl.ops.attention import attend, attend_backward
from geodl.ops.core import CSR
from geodl.ops.patch_gather import read_patches

from .fuzz import hostile
from .fuzz.draw import Draw
from .fuzz.operators import OPERATORS

native = pytest.mark.skipif(backends()["native"] != "available", reason="looks at the C++ kernels")


def graph(edges: int, sources: int, rows: int = 1) -> CSR:
    rowptr = torch.arange(rows + 1) * edges // rows
    return CSR(rowptr, torch.arange(edges) % sources, sources)


@native
@pytest.mark.parametrize("edges", [1, 7, 15, 16, 17, 33, 5000, 9000])
@pytest.mark.parametrize("sources", [1, 3, 1000])
def test_a_wrong_index_is_found_wherever_it_stands(edges, sources):
    """Kernels look at vectors of indices by their halves: whatever is wrong in one half must not vanish in the other."""
    x = torch.ones(sources, 2)
    for rows in (1, min(edges, 700)):
        assert gather_sum(x, None, graph(edges, sources, rows), None).sum() == 2 * edges
        for place in {0, edges // 2, edges - 1}:
            for wrong in (-1, sources, 2**31, 2**32, 2**32 + 1, 2**62, -(2**31), -(2**32), -(2**63)):
                given = graph(edges, sources, rows)
                given.col[place] = wrong
                told = rf"col holds {wrong} at edge {place}, but there are {sources} sources"
                with pytest.raises(IndexError, match=told):
                    gather_sum(x, None, given, None)


READS = {
    "maximum": lambda x, graph: gather_max(x, None, graph, True),
    "attention": lambda x, graph: attend(
        x[:, None], x[:, :1], x.new_zeros(graph.num_dst, 1), None, None, graph, 0.2
    ),
    "sparse windows": lambda x, graph: read_patches(
        x, x.new_ones(len(graph.col), 1), graph, torch.zeros_like(graph.col)[:, None], 1
    ),
    "dense windows": lambda x, graph: read_patches(x, x.new_ones(len(graph.col), 1), graph, None, 1),
}


@native
@pytest.mark.parametrize("edges", [1, 3, 4, 7, 17, 60, 257, 9000])
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_look_ahead_leaves_no_index_out(read, edges):
    """Rows are looked at a few cache lines ahead of the loop that reads them, the last ones of a run twice."""
    x = torch.ones(3, 2)
    for rows in {1, min(edges, 7), min(edges, 700)}:
        read(x, graph(edges, 3, rows))
        for place in {0, edges // 3, edges // 2, edges - 2, edges - 1} & set(range(edges)):
            for wrong in (-1, 3, 2**31, 2**32, 2**32 + 1, -(2**32), -(2**63)):
                given = graph(edges, 3, rows)
                given.col[place] = wrong
                told = f"col holds {wrong} at edge {place}, but there are 3 sources"
                with pytest.raises(IndexError, match=told):
                    read(x, given)


@native
@pytest.mark.parametrize("edges", [1, 5, 60, 1000])
@pytest.mark.parametrize("name", ["t_row", "perm"])
def test_a_look_ahead_leaves_no_entry_of_a_transpose_out(name, edges):
    x = torch.ones(3, 2)
    for rows in {1, min(edges, 7)}:
        given = graph(edges, 3, rows).with_transpose()
        position = gather_max(x, None, given, True)[1]
        target, grad = x.new_zeros(rows, 1), x.new_ones(rows, 1, 2)
        out, statistics = attend(x[:, None], x[:, :1], target, None, None, given, 0.2)
        for place in {0, edges // 2, edges - 1}:
            for wrong in (-1, max(edges, rows), 2**32, -(2**63)):
                entries = getattr(given, name).clone()
                entries[place] = wrong
                spoilt = given._replace(**{name: entries})
                with pytest.raises(IndexError, match=f"{name} holds {wrong} at edge {place}"):
                    scatter_sum(grad[:, 0], None, spoilt, position)
                with pytest.raises(IndexError, match=f"{name} holds {wrong} at edge {place}"):
                    attend_backward(
                        grad, x[:, None], x[:, :1], target, None, None, out, statistics, spoilt, 0.2
                    )


def test_a_transpose_is_given_whole():
    given = graph(6, 3, 3).with_transpose()._replace(perm=None)
    with pytest.raises(ValueError, match="graph must have t_row and perm where it has t_rowptr"):
        gather_sum(torch.ones(3, 2), None, given, None)


@pytest.mark.parametrize("powers", [1, 3])
def test_filters_without_memory_are_refused_before_they_are_mixed(powers):
    neighbors = Neighbors(torch.tensor([0, 1, 2]), torch.tensor([1, 0]), 2)
    filters = torch.randn(powers, 4, 5)
    filters.untyped_storage().resize_(0)
    with pytest.raises(ValueError, match=r"filters of shape .* has no memory"):
        bernstein(torch.randn(2, 4), neighbors, torch.randn(2), filters)


def test_the_fuzzer_knows_what_a_call_reads():
    """One Chebyshev power reads no graph, two do: only then an answer to a graph that is nonsense would be wrong."""
    operator, draw = OPERATORS["chebyshev"], Draw("read")
    neighbors = Neighbors(torch.tensor([0, 1, 3, 4]), torch.tensor([1, 0, 2, 1]), 3)
    inputs = {
        "x": torch.randn(3, 2, dtype=draw.dtype),
        "neighbors": neighbors,
        "laplacian": torch.randn(4, dtype=draw.dtype),
        "symmetric": False,
    }
    for powers, unread in ((1, True), (2, False)):
        filters = torch.randn(powers, 2, 3, dtype=draw.dtype)
        assert hostile._unread(operator, inputs | {"filters": filters}, [("neighbors", "col")]) is unread
