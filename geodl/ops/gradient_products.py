"""gradient_products: the inner products that DiffusionNet's gradient features are made of, and their adjoint.

A building block of the fused :class:`geodl.nn.DiffusionBlock` on the CPU, which knows the derivative and brings the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.ops.core import CSR
from geodl.ops.core.declaration import Declaration
from geodl.ops.core.dispatch import kernel
from geodl.ops.core.memory import addresses, resolve
from geodl.ops.core.plain import MUST_BE_RESOLVED, write_look
from geodl.ops.neighbors import Neighbors

_PRODUCTS = Declaration.parse("signals[S,3,C] weight[E,2] out[N,C]; graph:csr[N,S,E]")
_DERIVATIVE = Declaration.parse(
    "signals[S,3,C] grad[N,C] weight[E,2] inner[N,4,C] out[N,C]; graph:csr[N,S,E]"
)
_ADJOINT = Declaration.parse("inner[S,4,C] weight[E,2] out[N,3,C]; graph:csr[N,S,E]")
_LOOK = {line: write_look(line) for line in (_PRODUCTS, _DERIVATIVE, _ADJOINT)}


def write_products(signals: Tensor, neighbors: Neighbors, weight: Tensor, out: Tensor) -> None:
    """Of ``signals [num_src, 3, C]``, called p, r and m, with the components ``dx`` and ``dy`` of a gradient (``weight [E, 2]``):
    into ``out [N, C]`` the tanh of ``(dx p) (dx r - dy m) + (dy p) (dy r + dx m)``.

    In float32 or float64 on the CPU; what is written to is contiguous.
    """
    _write("gradient_products", _PRODUCTS, neighbors, weight, (signals,), (out,))


def write_derivative(
    signals: Tensor, neighbors: Neighbors, weight: Tensor, grad: Tensor, inner: Tensor, out: Tensor
) -> None:
    """The same into ``out`` again, and from its gradient ``grad [N, C]`` into ``inner [N, 4, C]`` what :func:`write_adjoint` takes:
    the four factors in their order, times the gradient of what tanh is taken of."""
    _write("gradient_products_derivative", _DERIVATIVE, neighbors, weight, (signals, grad), (inner, out))


def write_adjoint(inner: Tensor, transposed: Neighbors, weight: Tensor, out: Tensor) -> None:
    """Into ``out [num_src, 3, C]`` the gradient of signals.

    With the transposed neighbours, and the weights in their order.
    """
    _write("gradient_products_adjoint", _ADJOINT, transposed, weight, (inner,), (out,))


def _write(
    name: str,
    line: Declaration,
    neighbors: Neighbors,
    weight: Tensor,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
) -> None:
    graph = CSR(neighbors.rowptr, neighbors.col, neighbors.num_src)
    found = _LOOK[line]((*inputs, weight, *outputs, graph))
    if found & MUST_BE_RESOLVED:
        *read, weight = (resolve(tensor, "signals") for tensor in (*inputs, weight))
        inputs, graph = tuple(read), graph.resolved()
        found = _LOOK[line]((*inputs, weight, *outputs, graph))
    if found & MUST_BE_RESOLVED:
        raise ValueError(f"{name} writes into contiguous memory alone")
    if not found:
        line.bind((*inputs, weight, *outputs, graph))
        raise ValueError(f"{name} writes numbers of plain tensors alone")
    kernel(name, weight.dtype)(
        graph.rowptr.data_ptr(), graph.num_dst, *addresses(graph.col, weight, *inputs), outputs[-1].shape[-1],
        *addresses(*outputs), torch.get_num_threads(), graph.num_edges, graph.num_src,
    )  # fmt: skip
