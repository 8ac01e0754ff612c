"""edge_conv: with and without bias and norm, in training and out of it."""

from __future__ import annotations

import numpy as np
import torch

from geodl.ops import BatchNorm, Neighbors, edge_conv

from .case import Arrays, Case, Inputs

SLOPE, EPS = 0.2, 0.1


def _edge_conv(name: str, norm: bool, training: bool, bias: bool) -> Case:
    def inputs(neighbors: Neighbors, channels: int, dtype: torch.dtype) -> Inputs:
        in_channels = (channels + 1) // 2
        made = {
            "x": torch.randn(neighbors.num_src, in_channels, dtype=dtype),
            "x_dst": torch.randn(neighbors.num_dst, in_channels, dtype=dtype),
            "weight": torch.randn(2 * in_channels, channels, dtype=dtype) / max(in_channels, 1) ** 0.5,
        }
        if bias:
            made["bias"] = torch.randn(channels, dtype=dtype)
        if norm:
            made |= {"gamma": torch.randn(channels, dtype=dtype), "beta": torch.randn(channels, dtype=dtype)}
        return made

    def call(neighbors: Neighbors, given: Inputs) -> torch.Tensor:
        batch_norm = None
        if norm:
            channels, like = given["gamma"].shape[0], given["x"]
            options = {"dtype": like.dtype, "device": like.device}
            batch_norm = BatchNorm(
                running_mean=torch.linspace(-1, 1, channels, **options),
                running_var=torch.linspace(1, 2, channels, **options),
                weight=given["gamma"],
                bias=given["beta"],
                training=training and neighbors.num_edges > 1,  # one edge has no statistics
                eps=EPS,
            )
        return edge_conv(
            given["x"], neighbors, given["weight"], given.get("bias"), batch_norm, SLOPE, given["x_dst"]
        )

    def oracle(rowptr: np.ndarray, col: np.ndarray, given: Arrays) -> np.ndarray:
        x, x_dst, weight = given["x"], given["x_dst"], given["weight"]
        channels = weight.shape[1]
        h = np.zeros((len(col), channels))
        for i in range(len(rowptr) - 1):
            for e in range(rowptr[i], rowptr[i + 1]):
                h[e] = np.concatenate([x_dst[i], x[col[e]] - x_dst[i]]) @ weight + given.get("bias", 0)
        if norm:
            mean, variance = np.linspace(-1, 1, channels), np.linspace(1, 2, channels)
            if training and len(col) > 1:
                mean, variance = h.mean(axis=0), h.var(axis=0)
            h = (h - mean) / np.sqrt(variance + EPS) * given["gamma"] + given["beta"]
        h = np.where(h > 0, h, SLOPE * h)
        out = np.zeros((len(rowptr) - 1, channels))
        for i in range(len(rowptr) - 1):
            if rowptr[i] < rowptr[i + 1]:
                out[i] = h[rowptr[i] : rowptr[i + 1]].max(axis=0)
        return out

    return Case(
        name=name,
        inputs=inputs,
        call=call,
        oracle=oracle,
        operator="edge_conv",
        shared=("weight", *(["bias"] if bias else []), *(["gamma", "beta"] if norm else [])),
        local=not training,
        variant=not (norm and bias),
    )


CASES = [
    _edge_conv("edge_conv-plain", norm=False, training=False, bias=False),
    _edge_conv("edge_conv-bias", norm=False, training=False, bias=True),
    _edge_conv("edge_conv-norm", norm=True, training=True, bias=False),
    _edge_conv("edge_conv-norm-bias", norm=True, training=True, bias=True),
    _edge_conv("edge_conv-running", norm=True, training=False, bias=True),
]
