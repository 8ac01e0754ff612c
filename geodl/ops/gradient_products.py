"""gradient_products: the inner products that DiffusionNet's gradient features are made of, and their adjoint.

A building block of the fused :class:`geodl.nn.DiffusionBlock` on the CPU, which knows the derivative and brings the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.ops.core import CSR
from geodl.ops.core.checks import compile_checks
from geodl.ops.core.declaration import Declaration
from geodl.ops.core.dispatch import kernel
from geodl.ops.core.memory import addresses
from geodl.ops.neighbors import Neighbors

_PRODUCTS = Declaration.parse("signals[S,3,C] weight[E,2] inner[N,4,C] out[N,C]; graph:csr[N,S,E]")
_ADJOINT = Declaration.parse("inner[S,4,C] grad[S,C] weight[E,2] out[N,3,C]; graph:csr[N,S,E]")
_FITS = {line: compile_checks(line) for line in (_PRODUCTS, _ADJOINT)}


def write_products(signals: Tensor, neighbors: Neighbors, weight: Tensor, inner: Tensor, out: Tensor) -> None:
    """Of ``signals [num_src, 3, C]``, called p, r and m, with the components ``dx`` and ``dy`` of a gradient (``weight [E, 2]``):
    into ``inner [N, 4, C]`` ``dx p``, ``dx r - dy m``, ``dy p`` and ``dy r + dx m``; into ``out [N, C]`` the tanh of the first
    times the second, plus the third times the fourth.

    All tensors are contiguous, in float32 or float64 on the CPU.
    """
    _write("gradient_products", _PRODUCTS, neighbors, weight, (signals,), (inner, out))


def write_adjoint(inner: Tensor, grad: Tensor, transposed: Neighbors, weight: Tensor, out: Tensor) -> None:
    """Into ``out [num_src, 3, C]`` the gradient of signals from that of what the products' tanh is taken of, ``grad [N, C]``.

    With the transposed neighbours, and the weights in their order.
    """
    _write("gradient_products_adjoint", _ADJOINT, transposed, weight, (inner, grad), (out,))


def _write(
    name: str, line: Declaration, neighbors: Neighbors, weight: Tensor, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]
) -> None:
    graph = CSR(neighbors.rowptr, neighbors.col, neighbors.num_src)
    given = (*inputs, weight, *outputs, graph)
    if not _FITS[line](*given):
        line.bind(given)
    if not all(tensor.is_contiguous() for tensor in (*given[:-1], *graph[:2])):
        raise ValueError(f"{name} needs contiguous tensors")
    kernel(name, weight.dtype)(
        graph.rowptr.data_ptr(), graph.num_dst, *addresses(graph.col, weight, *inputs), outputs[-1].shape[-1],
        *addresses(*outputs), torch.get_num_threads(),
    )  # fmt: skip
