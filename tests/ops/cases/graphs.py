"""The awkward graphs that every operator runs on."""

from __future__ import annotations

from collections.abc import Callable

import torch

from geodl.ops import Neighbors


def neighbors_of(degrees: list[int], num_src: int) -> Neighbors:
    """Rows of the given degrees; neighbours drawn with replacement, so duplicates occur."""
    rowptr = torch.tensor([0, *degrees]).cumsum(0)
    return Neighbors(rowptr, torch.randint(max(num_src, 1), (int(rowptr[-1]),)), num_src)


def ragged_parts() -> list[Neighbors]:
    """Shapes of different sizes, as a batch has them; one without edges."""
    return [neighbors_of([2, 0, 5], 3), neighbors_of([0], 1), neighbors_of([1, 7, 3, 0, 2], 4)]


def _power_law() -> Neighbors:
    degrees = (60 * torch.arange(1, 21).double() ** -1.2).long()
    return neighbors_of(degrees[torch.randperm(20)].tolist(), 30)


# Rows of all kinds. What depends on a whole graph being small or empty shows on EMPTY and on the sizes that test_fuzz draws.
GRAPHS: dict[str, Callable[[], Neighbors]] = {
    "plain": lambda: neighbors_of([4] * 12, 12),
    "empty-rows": lambda: neighbors_of([0, 3, 0, 0, 5, 1, 0], 7),
    "duplicates": lambda: Neighbors(torch.tensor([0, 4, 6]), torch.tensor([1, 1, 0, 1, 0, 0]), 2),
    "more-sources": lambda: neighbors_of([2, 3, 0, 4, 1], 23),
    "more-destinations": lambda: neighbors_of([2, 3, 0, 4, 1, 2, 2, 5, 1], 3),
    "power-law": _power_law,
    "batch": lambda: Neighbors.cat(ragged_parts()),
}
EMPTY: dict[str, Callable[[], Neighbors]] = {
    "no-edges": lambda: neighbors_of([0] * 4, 4),
    "no-rows": lambda: neighbors_of([], 3),
    "no-points": lambda: neighbors_of([], 0),
    "one-node": lambda: neighbors_of([3], 1),
}


def packed(*without: str) -> Neighbors:
    """All awkward graphs side by side, but for those named."""
    graphs = GRAPHS | EMPTY
    return Neighbors.cat([make() for name, make in graphs.items() if name not in without])
