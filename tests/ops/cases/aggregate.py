"""aggregate: every reduction, with and without weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from geodl.ops import Neighbors, aggregate

from .case import Arrays, Case, Inputs


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
        variant=not weighted or reduce == "min",
    )


CASES = [
    _aggregate(reduce, weighted) for reduce in ("sum", "mean", "max", "min") for weighted in (False, True)
]
