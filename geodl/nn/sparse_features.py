"""Sparse features: a signal of which only the nonzeros are stored, as bags of words are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from geodl.ops import Neighbors, aggregate, patch_conv
from geodl.ops.core.structure import Layout, Part, Rows, Structure

__all__ = ["Features", "SparseFeatures", "dropout", "linear", "multiply_first", "patch_conv_of"]


@dataclass(eq=False)
class SparseFeatures(Structure):
    r"""A signal ``[N, C]`` by its nonzeros: point i reads the channels ``places.col[e]`` with the weights ``values[e]``.

    The product with a matrix is an aggregation over the nonzeros,

    .. math:: (x W)_i = \sum_{e \,\in\, \text{row } i} v_e \, W_{\text{col}[e]},

    so a layer that multiplies first costs what the nonzeros cost, and dropout draws a number for each of them alone. The
    graph layers of this room take it in the place of ``x``. It pays where less than about a tenth is nonzero. Gradients go
    to W, and to ``values`` if they ask for one.

    Args:
        places: N rows, C sources.
        values: ``[E]`` floating point, in CSR order.

    Raises:
        ValueError: as many values as nonzeros are needed.
    """

    places: Neighbors
    values: Tensor

    layout: ClassVar[Layout] = {
        "places": Part(Neighbors, shared=frozenset({"sources"})),  # the channels
        "values": Rows("edges"),
    }

    def check(self) -> None:
        if self.values.shape != (self.places.num_edges,):
            raise ValueError(
                f"places have {self.places.num_edges} nonzeros but values have shape {list(self.values.shape)}"
            )

    @classmethod
    def from_dense(cls, x: Tensor) -> SparseFeatures:
        """The nonzeros of ``x [N, C]``."""
        if x.dim() != 2 or not x.is_floating_point():
            raise ValueError(
                f"x must have shape [N, C] and be floating point, not {list(x.shape)} of {x.dtype}"
            )
        row, channel = x.nonzero(as_tuple=True)
        places = Neighbors.from_edge_index(torch.stack([channel, row]), x.shape[0], x.shape[1])
        return cls(places, x[row, channel])

    @property
    def shape(self) -> torch.Size:
        return torch.Size([self.places.num_dst, self.places.num_src])

    @property
    def dtype(self) -> torch.dtype:
        return self.values.dtype

    def to_dense(self) -> Tensor:
        eye = torch.eye(self.places.num_src, dtype=self.dtype, device=self.device)
        return aggregate(eye, self.places, self.values)


Features = Tensor | SparseFeatures


def linear(x: Features, weight: Tensor) -> Tensor:
    """``x weight``: ``[N, C]`` times ``[C, C']``, over the nonzeros of sparse features."""
    if isinstance(x, SparseFeatures):
        return aggregate(weight, x.places, x.values)
    if x.dim() != 2 or x.shape[1] != weight.shape[0]:
        raise ValueError(f"x must have shape [N, {weight.shape[0]}], not {list(x.shape)}")
    return x @ weight


def dropout(x: Features, p: float, training: bool) -> Features:
    """Dropout; of sparse features, of the nonzeros (the zeros stay zero either way)."""
    if not training or p == 0:
        return x
    if isinstance(x, SparseFeatures):
        return SparseFeatures(x.places, functional.dropout(x.values, p))
    return functional.dropout(x, p)


def multiply_first(x: Features, filters: Tensor) -> tuple[Tensor, Tensor]:
    """A dense signal and ``filters [K, ., C']`` that give what x and ``filters [K, C, C']`` give.

    Sparse features are multiplied by all the filters side by side; what is left of the filters picks the K products apart.
    """
    if not isinstance(x, SparseFeatures):
        return x, filters
    powers, channels, out_channels = filters.shape
    products = linear(x, filters.transpose(0, 1).reshape(channels, -1))
    picks = torch.eye(powers * out_channels, dtype=filters.dtype, device=filters.device)
    return products, picks.view(-1, powers, out_channels).transpose(0, 1)


def patch_conv_of(x: Features, neighbors: Neighbors, weight: Tensor, filters: Tensor) -> Tensor:
    """:func:`geodl.ops.patch_conv`; sparse features are multiplied by the filters first, and then read window by window."""
    if not isinstance(x, SparseFeatures):
        return patch_conv(x, neighbors, weight, filters)
    products = linear(x, filters.transpose(0, 1).flatten(1)).view(-1, *filters.shape[::2])
    windows = zip(products.unbind(1), weight.unbind(1), strict=True)
    return torch.stack([aggregate(product, neighbors, w) for product, w in windows]).sum(0)
