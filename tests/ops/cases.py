"""The table of operators that the conformance suite runs, and the awkward graphs that it runs them on.

To put an operator under the suite, append a ``Case`` to ``CASES``: test_conformance.py then compares it in
every backend, dtype and graph with its oracle, checks its derivatives, and records and checks each custom op
that it calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from geodl.ops import Neighbors, PolarWindows, aggregate, patch_conv, patch_gather, polar_conv

Inputs = dict[str, Tensor]
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """One operator.

    Attributes:
        name: name of the case in the report of pytest.
        inputs: ``(neighbors, channels, dtype) -> name -> tensor``, drawn from the global generator. Floating
            tensors are differentiated; integer tensors are structure (such as the index of sparse windows).
        call: the operator under test, ``(neighbors, inputs) -> Tensor``.
        oracle: the same in float64 NumPy by loops over rows and edges, ``(rowptr, col, inputs) -> array``,
            written from the equation and not from the implementation.
        shared: names of inputs that all shapes of a batch have in common (filters); the others are
            concatenated.
        channels: channel counts to run; primes, so that no block size divides them, and 0.
        operator: stem of the module under geodl/ops/triton/ that holds the operator; without it Triton is
            skipped.
    """

    name: str
    inputs: Callable[[Neighbors, int, torch.dtype], Inputs]
    call: Callable[[Neighbors, Inputs], Tensor]
    oracle: Callable[[np.ndarray, np.ndarray, Arrays], np.ndarray]
    operator: str
    shared: tuple[str, ...] = ()
    channels: tuple[int, ...] = (0, 1, 3, 17, 33, 64, 130)


# --- graphs -------------------------------------------------------------------------------------------------


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


GRAPHS: dict[str, Callable[[], Neighbors]] = {
    "plain": lambda: neighbors_of([4] * 12, 12),
    "empty-rows": lambda: neighbors_of([0, 3, 0, 0, 5, 1, 0], 7),
    "no-edges": lambda: neighbors_of([0] * 4, 4),
    "no-rows": lambda: neighbors_of([], 3),
    "no-points": lambda: neighbors_of([], 0),
    "one-node": lambda: neighbors_of([3], 1),
    "duplicates": lambda: Neighbors(torch.tensor([0, 4, 6]), torch.tensor([1, 1, 0, 1, 0, 0]), 2),
    "more-sources": lambda: neighbors_of([2, 3, 0, 4, 1], 23),
    "more-destinations": lambda: neighbors_of([2, 3, 0, 4, 1, 2, 2, 5, 1], 3),
    "power-law": _power_law,
    "batch": lambda: Neighbors.cat(ragged_parts()),
}


# --- aggregate ----------------------------------------------------------------------------------------------


def _aggregate_oracle(reduce: str) -> Callable[[np.ndarray, np.ndarray, Arrays], np.ndarray]:
    def oracle(rowptr: np.ndarray, col: np.ndarray, inputs: Arrays) -> np.ndarray:
        x = inputs["x"]
        weight = inputs.get("weight", np.ones(len(col)))
        out = np.zeros((len(rowptr) - 1, x.shape[1]))
        for i in range(len(rowptr) - 1):
            messages = np.array([weight[e] * x[col[e]] for e in range(rowptr[i], rowptr[i + 1])])
            if len(messages):
                out[i] = getattr(np, reduce)(messages, axis=0)
        return out

    return oracle


def _aggregate(reduce: str, weighted: bool) -> Case:
    def inputs(neighbors: Neighbors, channels: int, dtype: torch.dtype) -> Inputs:
        made = {"x": torch.randn(neighbors.num_src, channels, dtype=dtype)}
        if weighted:
            made["weight"] = torch.randn(neighbors.num_edges, dtype=dtype)
        return made

    return Case(
        name=f"aggregate-{reduce}" + ("-weighted" if weighted else ""),
        inputs=inputs,
        call=lambda neighbors, given: aggregate(given["x"], neighbors, given.get("weight"), reduce=reduce),
        oracle=_aggregate_oracle(reduce),
        operator="aggregate",
    )


CASES: list[Case] = [
    _aggregate(reduce, weighted) for reduce in ("sum", "mean", "max", "min") for weighted in (False, True)
]


# --- windows ------------------------------------------------------------------------------------------------

RINGS, RAYS, OUT_CHANNELS = 2, 4, 5


def _windows(neighbors: Neighbors, channels: int, dtype: torch.dtype, sparse: bool) -> Inputs:
    """Signal and weights of all windows; in the sparse form two windows see an edge, at times the same."""
    columns = 2 if sparse else RINGS * RAYS
    made = {
        "x": torch.randn(neighbors.num_src, channels, dtype=dtype),
        "weight": torch.randn(neighbors.num_edges, columns, dtype=dtype),
    }
    if sparse:
        made["index"] = torch.randint(RINGS * RAYS, (neighbors.num_edges, columns))
    return made


def _patches_oracle(rowptr: np.ndarray, col: np.ndarray, inputs: Arrays) -> np.ndarray:
    x, weight, index = inputs["x"], inputs["weight"], inputs.get("index")
    out = np.zeros((len(rowptr) - 1, RINGS * RAYS, x.shape[1]))
    for i in range(len(rowptr) - 1):
        for e in range(rowptr[i], rowptr[i + 1]):
            for s in range(weight.shape[1]):
                out[i, s if index is None else index[e, s]] += weight[e, s] * x[col[e]]
    return out


def _patch_gather(sparse: bool) -> Case:
    return Case(
        name="patch_gather-" + ("sparse" if sparse else "dense"),
        inputs=lambda neighbors, channels, dtype: _windows(neighbors, channels, dtype, sparse),
        call=lambda neighbors, given: patch_gather(
            given["x"], neighbors, given["weight"], given.get("index"), RINGS * RAYS
        ),
        oracle=_patches_oracle,
        operator="patch_gather",
    )


def _patch_conv(sparse: bool) -> Case:
    def inputs(neighbors: Neighbors, channels: int, dtype: torch.dtype) -> Inputs:
        filters = torch.randn(RINGS * RAYS, channels, OUT_CHANNELS, dtype=dtype)
        return _windows(neighbors, channels, dtype, sparse) | {"filters": filters}

    def oracle(rowptr: np.ndarray, col: np.ndarray, given: Arrays) -> np.ndarray:
        return np.einsum("nmc,mco->no", _patches_oracle(rowptr, col, given), given["filters"])

    return Case(
        name="patch_conv-" + ("sparse" if sparse else "dense"),
        inputs=inputs,
        call=lambda neighbors, given: patch_conv(
            given["x"], neighbors, given["weight"], given["filters"], given.get("index")
        ),
        oracle=oracle,
        operator="window_conv",
        shared=("filters",),
    )


def _polar_conv(sparse: bool, rotations: int, pool: Literal["max"] | None) -> Case:
    def inputs(neighbors: Neighbors, channels: int, dtype: torch.dtype) -> Inputs:
        filters = torch.randn(RINGS, RAYS, channels, OUT_CHANNELS, dtype=dtype)
        return _windows(neighbors, channels, dtype, sparse) | {"filters": filters}

    def call(neighbors: Neighbors, given: Inputs) -> Tensor:
        windows = PolarWindows(neighbors, given["weight"], given.get("index"), RINGS, RAYS)
        return polar_conv(given["x"], windows, given["filters"], rotations, pool)

    def oracle(rowptr: np.ndarray, col: np.ndarray, given: Arrays) -> np.ndarray:
        patches = _patches_oracle(rowptr, col, given)
        patches = patches.reshape(len(patches), RINGS, RAYS, patches.shape[2])
        turns = [(np.arange(RAYS) + t * RAYS // rotations) % RAYS for t in range(rotations)]
        turned = [np.einsum("nrac,raco->no", patches[:, :, turn], given["filters"]) for turn in turns]
        return np.max(turned, axis=0) if pool else np.stack(turned, axis=1)

    return Case(
        name=f"polar_conv-{'sparse' if sparse else 'dense'}-{rotations}-{pool}",
        inputs=inputs,
        call=call,
        oracle=oracle,
        operator="window_conv",
        shared=("filters",),
    )


CASES += [_patch_gather(sparse) for sparse in (False, True)]
CASES += [_patch_conv(sparse) for sparse in (False, True)]
CASES += [_polar_conv(sparse, rotations=4, pool="max") for sparse in (False, True)]
CASES += [_polar_conv(True, rotations=2, pool="max"), _polar_conv(True, rotations=4, pool=None)]
