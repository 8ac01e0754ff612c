"""gradient_products: the inner products that DiffusionNet's gradient features are made of, and their adjoint.

A building block of the fused :class:`geodl.nn.DiffusionBlock` on the CPU, which knows the derivative and brings the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.ops.core import CSR
from geodl.ops.core.declaration import Declaration
from geodl.ops.core.dispatch import kernel
from geodl.ops.core.memory import addresses
from geodl.ops.core.plain import write_prepare
from geodl.ops.neighbors import Neighbors

_PRODUCTS = Declaration.parse("signals[S,3,C] weight[E,2] inner[N,4,C] out[N,C]; graph:csr[N,S,E]")
_ADJOINT = Declaration.parse("inner[S,4,C] grad[S,C] weight[E,2] out[N,3,C]; graph:csr[N,S,E]")
_PREPARE = {line: write_prepare(line) for line in (_PRODUCTS, _ADJOINT)}


def write_products(signals: Tensor, neighbors: Neighbors, weight: Tensor, inner: Tensor, out: Tensor) -> None:
    """Of ``signals [num_src, 3, C]``, called p, r and m, with the components ``dx`` and ``dy`` of a gradient (``weight [E, 2]``):
    into ``inner [N, 4, C]`` ``dx p``, ``dx r - dy m``, ``dy p`` and ``dy r + dx m``; into ``out [N, C]`` the tanh of the first
    times the second, plus the third times the fourth.

    In float32 or float64 on the CPU; what is written to is contiguous.
    """
    _write("gradient_products", _PRODUCTS, neighbors, weight, (signals,), (inner, out))


def write_adjoint(inner: Tensor, grad: Tensor, transposed: Neighbors, weight: Tensor, out: Tensor) -> None:
    """Into ``out [num_src, 3, C]`` the gradient of signals from that of what the products' tanh is taken of, ``grad [N, C]``.

    With the transposed neighbours, and the weights in their order.
    """
    _write("gradient_products_adjoint", _ADJOINT, transposed, weight, (inner, grad), (out,))


def _write(
    name: str,
    line: Declaration,
    neighbors: Neighbors,
    weight: Tensor,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
) -> None:
    given = (*inputs, weight, *outputs, CSR(neighbors.rowptr, neighbors.col, neighbors.num_src))
    prepared = _PREPARE[line](*given)
    if prepared is None:
        line.bind(given)
        raise ValueError(f"{name} writes numbers of plain tensors alone")
    *tensors, graph = prepared[1]
    if any(
        tensor.data_ptr() != out.data_ptr()
        for tensor, out in zip(tensors[-len(outputs) :], outputs, strict=True)
    ):
        raise ValueError(f"{name} writes into contiguous memory alone")
    read, weights = tensors[: len(inputs)], tensors[len(inputs)]
    kernel(name, weights.dtype)(
        graph.rowptr.data_ptr(), graph.num_dst, *addresses(graph.col, weights, *read), outputs[-1].shape[-1],
        *addresses(*outputs), torch.get_num_threads(), graph.num_edges, graph.num_src,
    )  # fmt: skip
