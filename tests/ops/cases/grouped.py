"""patch_conv with groups: the oracle is the dense filter with zeros between groups."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from geodl.ops import Neighbors, patch_conv

from .case import Arrays, Case, Inputs
from .windows import RAYS, RINGS, patches_oracle, random_windows


def _grouped(sparse: bool, depthwise: bool) -> Case:
    """Depthwise, or two groups of so many channels as the suite asks for (primes, below and above ``NARROW``)."""

    def inputs(neighbors: Neighbors, channels: int, dtype: torch.dtype) -> Inputs:
        read, outputs = (1, 2 * channels) if depthwise and channels else (channels, 6)
        made = random_windows(neighbors, channels if depthwise else 2 * channels, dtype, sparse)
        return made | {"filters": torch.randn(RINGS * RAYS, read, outputs, dtype=dtype)}

    def call(neighbors: Neighbors, given: Inputs) -> Tensor:
        channels = given["x"].shape[1]
        groups = max(1, channels) if depthwise else 2
        return patch_conv(
            given["x"], neighbors, given["weight"], given["filters"], given.get("index"), groups
        )

    def oracle(rowptr: np.ndarray, col: np.ndarray, given: Arrays) -> np.ndarray:
        patches, filters = patches_oracle(rowptr, col, given), given["filters"]
        groups = patches.shape[2] // filters.shape[1] if filters.shape[1] else 1
        read, written = filters.shape[1], filters.shape[2] // groups
        dense = np.zeros((len(filters), patches.shape[2], filters.shape[2]))
        for g in range(groups):
            outputs = slice(g * written, (g + 1) * written)
            dense[:, g * read : (g + 1) * read, outputs] = filters[:, :, outputs]
        return np.einsum("nmc,mco->no", patches, dense)

    return Case(
        name=f"patch_conv-{'depthwise' if depthwise else 'grouped'}-{'sparse' if sparse else 'dense'}",
        inputs=inputs,
        call=call,
        oracle=oracle,
        operator="depthwise_conv" if depthwise else "window_conv",
        shared=("filters",),
        blas=not depthwise,
        channels=(0, 1, 3, 17, 33, 130) if depthwise else (0, 3, 17, 33),
        variant=not sparse,
    )


CASES = [_grouped(sparse, depthwise) for sparse in (False, True) for depthwise in (False, True)]
