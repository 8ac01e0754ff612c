"""ARMA convolution: rational filters of a graph by recursions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from geodl.nn.glorot import glorot
from geodl.nn.graph_layer import GraphLayer
from geodl.nn.graph_matrix import GraphMatrix, normalized_adjacency
from geodl.nn.sparse_features import Features, dropout, linear
from geodl.ops import Neighbors, arma

__all__ = ["ARMAConv"]


class ARMAConv(GraphLayer):
    r"""Auto-regressive moving-average convolution: S recursions side by side, and their mean,

    .. math:: x^{(1)}_s = \sigma(\hat A x A_s + x V_s + b_s), \quad
        x^{(t+1)}_s = \sigma(\hat A x^{(t)}_s W_s + x V_s + b_s), \quad y = \frac{1}{S} \sum_s x^{(T)}_s,
        \qquad \hat A = D^{-1/2} A D^{-1/2}

    without self-loops: it is x V_s that brings back what the graph smooths away. The steps share their weights.

    Args:
        in_channels: ``C``.
        out_channels: C'.
        num_stacks: ``S``.
        num_layers: ``T``.
        activation: sigma; None for the identity.
        dropout: of x in x V_s.
        bias: whether b is learned.
        recursion_dropout: of the numbers of x A_s.

    Shapes:
        x ``[N, C]`` (or :class:`~geodl.nn.SparseFeatures`), a graph of N points
        (:class:`~geodl.nn.GraphLayer`) or a :class:`~geodl.nn.GraphMatrix` -> ``[N, C']``.

    Bianchi, Grattarola, Livi and Alippi, "Graph neural networks with convolutional ARMA filters", IEEE TPAMI 2021.
    """

    reads_matrices = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_stacks: int = 1,
        num_layers: int = 1,
        activation: Callable[[Tensor], Tensor] | None = torch.relu,
        dropout: float = 0.0,
        bias: bool = True,
        recursion_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if num_stacks < 1 or num_layers < 1:
            raise ValueError(
                f"num_stacks and num_layers must be at least 1, got {num_stacks} and {num_layers}"
            )
        self.num_layers, self.activation = num_layers, activation
        self.dropout, self.recursion_dropout = dropout, recursion_dropout
        self.initial = glorot(num_stacks, in_channels, out_channels)
        self.recurrent = glorot(num_stacks, out_channels, out_channels) if num_layers > 1 else None
        self.skip = glorot(num_stacks, in_channels, out_channels)
        self.bias = nn.Parameter(torch.zeros(num_stacks * out_channels)) if bias else None

    def convolve(
        self,
        x: Features,
        neighbors: Neighbors | GraphMatrix,
        weight: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        matrix = normalized_adjacency(neighbors, weight, self_loops=False, dtype=self.skip.dtype, mask=mask)
        stacks, channels, out_channels = self.skip.shape
        read = linear(x, self.initial.transpose(0, 1).reshape(channels, -1))
        read = functional.dropout(read, self.recursion_dropout, self.training)
        kept = linear(
            dropout(x, self.dropout, self.training), self.skip.transpose(0, 1).reshape(channels, -1)
        )
        kept = kept if self.bias is None else kept + self.bias
        # x A_s and x V_s + b_s of all stacks side by side are the signal, and the operator's filters pick them apart.
        picks = torch.eye(2 * stacks * out_channels, dtype=self.skip.dtype, device=self.skip.device)
        initial, skip = picks.view(-1, 2 * stacks, out_channels).transpose(0, 1).chunk(2)
        recurrent = (
            initial.new_empty(stacks, out_channels, out_channels)
            if self.recurrent is None
            else self.recurrent
        )
        return arma(
            torch.cat([read, kept], 1), matrix.neighbors, matrix.values, initial, recurrent, skip,
            self.num_layers, self.activation, matrix.symmetric,
        )  # fmt: skip
