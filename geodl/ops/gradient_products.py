"""gradient_products: the inner products that DiffusionNet's gradient features are made of, and their adjoint.

A building block of the fused :class:`geodl.nn.DiffusionBlock` on the CPU, which knows the derivative and brings the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.ops.core import CSR
from geodl.ops.core.dispatch import kernel
from geodl.ops.core.fitting import Fitting
from geodl.ops.core.memory import addresses
from geodl.ops.neighbors import Neighbors

_PRODUCTS = Fitting("signals[S,3,C] weight[E,2] out[N,C]; graph:csr[N,S,E]")
_DERIVATIVE = Fitting("signals[S,3,C] grad[N,C] weight[E,2] inner[N,4,C] out[N,C]; graph:csr[N,S,E]")
_ADJOINT = Fitting("inner[S,4,C] weight[E,2] out[N,3,C]; graph:csr[N,S,E]")


def write_products(signals: Tensor, neighbors: Neighbors, weight: Tensor, out: Tensor) -> None:
    """Of ``signals [num_src, 3, C]``, called p, r and m, with the components ``dx`` and ``dy`` of a gradient (``weight [E, 2]``):
    into ``out [N, C]`` the tanh of ``(dx p) (dx r - dy m) + (dy p) (dy r + dx m)``.

    In float32 or float64 on the CPU; what is written to is contiguous.
    """
    _write("gradient_products", _PRODUCTS, neighbors, (signals, weight), (out,))


def write_derivative(
    signals: Tensor, neighbors: Neighbors, weight: Tensor, grad: Tensor, inner: Tensor, out: Tensor
) -> None:
    """The same into ``out`` again, and from its gradient ``grad [N, C]`` into ``inner [N, 4, C]`` what :func:`write_adjoint` takes:
    the four factors in their order, times the gradient of what tanh is taken of."""
    _write("gradient_products_derivative", _DERIVATIVE, neighbors, (signals, grad, weight), (inner, out))


def write_adjoint(inner: Tensor, transposed: Neighbors, weight: Tensor, out: Tensor) -> None:
    """Into ``out [num_src, 3, C]`` the gradient of signals.

    With the transposed neighbours, and the weights in their order.
    """
    _write("gradient_products_adjoint", _ADJOINT, transposed, (inner, weight), (out,))


def _write(
    name: str, fitting: Fitting, neighbors: Neighbors, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]
) -> None:
    *fit, graph = fitting(*inputs, *outputs, CSR(neighbors.rowptr, neighbors.col, neighbors.num_src))
    if any(out is not written for out, written in zip(outputs, fit[len(inputs) :], strict=True)):
        raise ValueError(f"{name} writes into contiguous memory alone")
    *read, weight = fit[: len(inputs)]
    kernel(name, weight.dtype)(
        graph.rowptr.data_ptr(), graph.num_dst, *addresses(graph.col, weight, *read), outputs[-1].shape[-1],
        *addresses(*outputs), torch.get_num_threads(), graph.num_edges, graph.num_src,
    )  # fmt: skip
