"""gradient_products: the inner products that DiffusionNet's gradient features are made of, and their adjoint.

A building block of :class:`geodl.nn.DiffusionBlock`, which knows the derivative. Primitives, the same in every backend:

- ``products(signals, neighbors, weight) -> (inner [N, 4, C], out [N, C])``: of ``signals [num_src, 3, C]``, called p, r and m, with
  the components ``dx`` and ``dy`` of a gradient (``weight [E, 2]``): inner holds ``dx p``, ``dx r - dy m``, ``dy p`` and
  ``dy r + dx m``; out is the tanh of the first times the second, plus the third times the fourth;
- ``adjoint(inner, grad, transposed, weight) -> [num_src, 3, C]``: the gradient of signals from that of what out is the tanh
  of, with the transposed neighbours and the weights in their order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.ops.aggregate import aggregate
from geodl.ops.backend import addresses, implementation, kernel, new_empty
from geodl.ops.neighbors import Neighbors


def products(signals: Tensor, neighbors: Neighbors, weight: Tensor) -> tuple[Tensor, Tensor]:
    found: tuple[Tensor, Tensor] = implementation(signals, "gradient_products", "products")(
        signals, neighbors, weight
    )
    return found


def adjoint(inner: Tensor, grad: Tensor, transposed: Neighbors, weight: Tensor) -> Tensor:
    found: Tensor = implementation(inner, "gradient_products", "adjoint")(inner, grad, transposed, weight)
    return found


def reference_products(signals: Tensor, neighbors: Neighbors, weight: Tensor) -> tuple[Tensor, Tensor]:
    (xp, xr, xm), (yp, yr, ym) = (
        aggregate(signals.flatten(1), neighbors, part.contiguous()).view(-1, *signals.shape[1:]).unbind(1)
        for part in weight.unbind(1)
    )
    inner = torch.stack([xp, xr - ym, yp, yr + xm], dim=1)
    return inner, (inner[:, 0] * inner[:, 1] + inner[:, 2] * inner[:, 3]).tanh()


def reference_adjoint(inner: Tensor, grad: Tensor, transposed: Neighbors, weight: Tensor) -> Tensor:
    xp, xa, yp, ya = (inner * grad[:, None]).unbind(1)
    along_x, along_y = torch.stack([xa, xp, yp], dim=1), torch.stack([ya, yp, -xp], dim=1)
    return sum(
        aggregate(part.flatten(1), transposed, weight[:, k].contiguous()).view_as(part)
        for k, part in enumerate((along_x, along_y))
    )  # type: ignore[return-value]


def native_products(signals: Tensor, neighbors: Neighbors, weight: Tensor) -> tuple[Tensor, Tensor]:
    rows, channels = neighbors.num_dst, signals.shape[2]
    inner, out = new_empty(signals, rows, 4, channels), new_empty(signals, rows, channels)
    write_products(signals, neighbors, weight, inner, out)
    return inner, out


def native_adjoint(inner: Tensor, grad: Tensor, transposed: Neighbors, weight: Tensor) -> Tensor:
    out = new_empty(inner, transposed.num_dst, 3, inner.shape[2])
    write_adjoint(inner, grad, transposed, weight, out)
    return out


def write_products(signals: Tensor, neighbors: Neighbors, weight: Tensor, inner: Tensor, out: Tensor) -> None:
    """``products`` in C++, into contiguous memory."""
    signals, weight = signals.contiguous(), weight.contiguous()
    rows, channels = neighbors.num_dst, signals.shape[2]
    kernel("gradient_products", signals.dtype)(
        neighbors.rowptr.data_ptr(), rows, *addresses(neighbors.col, weight, signals), channels,
        *addresses(inner, out), torch.get_num_threads(), neighbors.num_edges, len(signals),
    )  # fmt: skip


def write_adjoint(inner: Tensor, grad: Tensor, transposed: Neighbors, weight: Tensor, out: Tensor) -> None:
    """``adjoint`` in C++, into contiguous memory."""
    inner, grad, weight = inner.contiguous(), grad.contiguous(), weight.contiguous()
    rows, channels = transposed.num_dst, grad.shape[1]
    kernel("gradient_products_adjoint", inner.dtype)(
        transposed.rowptr.data_ptr(), rows, *addresses(transposed.col, weight, inner, grad), channels,
        out.data_ptr(), torch.get_num_threads(), transposed.num_edges, len(grad),
    )  # fmt: skip
