"""attention: the scores of GAT and of GATv2, with and without factors of the weights; attention_weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from geodl.ops import Neighbors, attention, attention_weights

from .case import Arrays, Case, Inputs

SLOPE = 0.3


def _weights_oracle(rowptr: np.ndarray, col: np.ndarray, inputs: Arrays) -> np.ndarray:
    source, target = inputs["source"], inputs["target"]
    weights = np.zeros((len(col), source.shape[1]))
    for i in range(len(rowptr) - 1):
        edges = range(rowptr[i], rowptr[i + 1])
        for h in range(source.shape[1]):
            scores = []
            for e in edges:
                z = source[col[e], h] + target[i, h]
                score = np.where(z > 0, z, SLOPE * z)
                scores.append(inputs["vector"][h] @ score if "vector" in inputs else score)
            powers = np.exp(np.array(scores))
            weights[list(edges), h] = powers / powers.sum()
    return weights


def _attention_oracle(rowptr: np.ndarray, col: np.ndarray, inputs: Arrays) -> np.ndarray:
    x = inputs["x"]
    weights = _weights_oracle(rowptr, col, inputs) * inputs.get("edge_scale", 1)
    out = np.zeros((len(rowptr) - 1, *x.shape[1:]))
    for i in range(len(rowptr) - 1):
        for e in range(rowptr[i], rowptr[i + 1]):
            out[i] += weights[e, :, None] * x[col[e]]
    return out


def _scores(neighbors: Neighbors, heads: int, depth: int | None, dtype: torch.dtype) -> Inputs:
    size = (heads,) if depth is None else (heads, depth)
    made = {
        "source": torch.randn(neighbors.num_src, *size, dtype=dtype),
        "target": torch.randn(neighbors.num_dst, *size, dtype=dtype),
    }
    return made if depth is None else made | {"vector": torch.randn(heads, depth, dtype=dtype)}


def _attention(name: str, heads: int, depth: int | None, scaled: bool, channels: tuple[int, ...]) -> Case:
    def inputs(neighbors: Neighbors, channels: int, dtype: torch.dtype) -> Inputs:
        made = {"x": torch.randn(neighbors.num_src, heads, channels, dtype=dtype)}
        if scaled:
            made["edge_scale"] = torch.randn(neighbors.num_edges, heads, dtype=dtype)
        return made | _scores(neighbors, heads, depth, dtype)

    def call(neighbors: Neighbors, given: Inputs) -> Tensor:
        return attention(
            given["x"], neighbors, given["source"], given["target"], given.get("vector"),
            given.get("edge_scale"), SLOPE,
        )  # fmt: skip

    return Case(
        name=f"attention-{name}",
        inputs=inputs,
        call=call,
        oracle=_attention_oracle,
        operator="attention",
        shared=() if depth is None else ("vector",),
        channels=channels,
        heavy=True,
        variant=not scaled,
    )


def _attention_weights(name: str, depth: bool) -> Case:
    return Case(
        name=f"attention_weights-{name}",
        inputs=lambda neighbors, channels, dtype: _scores(neighbors, 2, channels if depth else None, dtype),
        call=lambda neighbors, given: attention_weights(
            neighbors, given["source"], given["target"], given.get("vector"), SLOPE
        ),
        oracle=_weights_oracle,
        operator="attention",
        shared=("vector",) if depth else (),
        channels=(0, 1, 3, 17, 33, 64) if depth else (1,),
        variant=not depth,
    )


CASES = [
    _attention("gat", heads=3, depth=None, scaled=False, channels=(0, 1, 3, 17, 33, 64, 130)),
    _attention("gat-scaled", heads=8, depth=None, scaled=True, channels=(1, 4, 8, 16, 17, 32, 33)),
    _attention("gatv2", heads=2, depth=33, scaled=False, channels=(0, 3, 17, 33, 130)),
    _attention("gatv2-scaled", heads=9, depth=8, scaled=True, channels=(3, 8, 17, 32, 33)),
    _attention_weights("gat", depth=False),
    _attention_weights("gatv2", depth=True),
]
