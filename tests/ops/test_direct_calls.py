"""Calls of the operators themselves, past the functions that make their arguments: kernels and declarations look again."""

from __future__ import annotations

import pytest
import torch

from geodl.ops import Neighbors, backends, bernstein
from geodl.ops.aggregate import gather_sum
from geodl.ops.core import CSR

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
