"""Operators on windows: patch_gather, patch_conv and polar_conv, dense and sparse."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from geodl.ops import Neighbors, PolarWindows, patch_conv, patch_gather, polar_conv

from .case import Arrays, Case, Inputs

RINGS, RAYS, OUT_CHANNELS = 2, 4, 5


def random_windows(neighbors: Neighbors, channels: int, dtype: torch.dtype, sparse: bool) -> Inputs:
    """Signal and weights of all windows; in the sparse form two windows see an edge, at times the same."""
    columns = 2 if sparse else RINGS * RAYS
    made = {
        "x": torch.randn(neighbors.num_src, channels, dtype=dtype),
        "weight": torch.randn(neighbors.num_edges, columns, dtype=dtype),
    }
    if sparse:
        made["index"] = torch.randint(RINGS * RAYS, (neighbors.num_edges, columns))
    return made


def patches_oracle(rowptr: np.ndarray, col: np.ndarray, inputs: Arrays) -> np.ndarray:
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
        inputs=lambda neighbors, channels, dtype: random_windows(neighbors, channels, dtype, sparse),
        call=lambda neighbors, given: patch_gather(
            given["x"], neighbors, given["weight"], given.get("index"), RINGS * RAYS
        ),
        oracle=patches_oracle,
        operator="patch_gather",
    )


def _patch_conv(sparse: bool) -> Case:
    def inputs(neighbors: Neighbors, channels: int, dtype: torch.dtype) -> Inputs:
        filters = torch.randn(RINGS * RAYS, channels, OUT_CHANNELS, dtype=dtype)
        return random_windows(neighbors, channels, dtype, sparse) | {"filters": filters}

    def oracle(rowptr: np.ndarray, col: np.ndarray, given: Arrays) -> np.ndarray:
        return np.einsum("nmc,mco->no", patches_oracle(rowptr, col, given), given["filters"])

    return Case(
        name="patch_conv-" + ("sparse" if sparse else "dense"),
        inputs=inputs,
        call=lambda neighbors, given: patch_conv(
            given["x"], neighbors, given["weight"], given["filters"], given.get("index")
        ),
        oracle=oracle,
        operator="window_conv",
        shared=("filters",),
        blas=True,
    )


def _polar_conv(sparse: bool, rotations: int, pool: Literal["max"] | None) -> Case:
    def inputs(neighbors: Neighbors, channels: int, dtype: torch.dtype) -> Inputs:
        filters = torch.randn(RINGS, RAYS, channels, OUT_CHANNELS, dtype=dtype)
        return random_windows(neighbors, channels, dtype, sparse) | {"filters": filters}

    def call(neighbors: Neighbors, given: Inputs) -> Tensor:
        windows = PolarWindows(neighbors, given["weight"], given.get("index"), RINGS, RAYS)
        return polar_conv(given["x"], windows, given["filters"], rotations, pool)

    def oracle(rowptr: np.ndarray, col: np.ndarray, given: Arrays) -> np.ndarray:
        patches = patches_oracle(rowptr, col, given)
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
        blas=True,
        variant=rotations < RAYS or pool is None,
    )


CASES = [_patch_gather(sparse) for sparse in (False, True)]
CASES += [_patch_conv(sparse) for sparse in (False, True)]
CASES += [_polar_conv(sparse, rotations=4, pool="max") for sparse in (False, True)]
CASES += [_polar_conv(True, rotations=2, pool="max"), _polar_conv(True, rotations=4, pool=None)]
