"""GIN's layer with a network of two linear layers, as one operator: on small graphs its many calls cost more than its sums.

Products are this library's own, which add the bias and the ReLU where they are formed; the derivative is written by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from geodl.nn.plain import is_plain
from geodl.ops import Neighbors
from geodl.ops.aggregate import gather_sum, scatter_sum
from geodl.ops.core import CSR, Operator
from geodl.ops.core.memory import new_empty
from geodl.ops.core.operator import total
from geodl.ops.matrix_products import native_sum
from geodl.ops.neighbors import csr_for

__all__ = ["fused_gin", "two_layers"]


def two_layers(network: nn.Module) -> tuple[nn.Linear, nn.Linear] | None:
    """The linear layers of a network that is exactly a linear layer, ReLU and a linear layer that reads it."""
    if not is_plain(network, nn.Sequential) or len(network) != 3:
        return None
    first, between, second = network
    if is_plain(first, nn.Linear) and is_plain(between, nn.ReLU) and is_plain(second, nn.Linear):
        return first, second
    return None


def fused_gin(x: Tensor, neighbors: Neighbors, eps: Tensor, first: nn.Linear, second: nn.Linear) -> Tensor:
    """``second(relu(first((1 + eps) x + sum over the neighbours of x)))``, for x ``[N, C]``. Differentiable to any order."""
    graph = csr_for(neighbors, x)
    out: Tensor = gin(x, eps, first.weight, first.bias, second.weight, second.bias, graph)[0]
    return out


# With the sums and the hidden units that the backward pass reads.
gin = Operator(
    "gin",
    "x[N,C] eps[] first[H,C] first_bias[H]? second[D,H] second_bias[D]?; graph:csr[N,N,E] -> "
    "out[N,D] sums:const[N,C] units:const[N,H]",
)

gin_backward = Operator(
    "gin_backward",
    "g[N,D] x[N,C] eps[] first[H,C] second[D,H] sums[N,C] units[N,H]; graph:csr[N,N,E] by_data:bool by_eps:bool -> "
    "by_x[N,C] eps_gradient[] by_first[H,C] by_first_bias[H] by_second[D,H] by_second_bias[D]",
)


@gin.reference
def _(
    x: Tensor,
    eps: Tensor,
    first: Tensor,
    first_bias: Tensor | None,
    second: Tensor,
    second_bias: Tensor | None,
    graph: CSR,
) -> tuple[Tensor, Tensor, Tensor]:
    sums = (1 + eps) * x + graph.sum_rows(x[graph.col])
    units = nn.functional.linear(sums, first, first_bias).relu()
    return nn.functional.linear(units, second, second_bias), sums, units


@gin.native
def _(
    x: Tensor,
    eps: Tensor,
    first: Tensor,
    first_bias: Tensor | None,
    second: Tensor,
    second_bias: Tensor | None,
    graph: CSR,
) -> tuple[Tensor, Tensor, Tensor]:
    sums = gather_sum.run(x, None, graph, None).add_(x, alpha=1 + float(eps))
    units = new_empty(x, x.shape[0], first.shape[0])
    native_sum(units, (sums, first.t()), start=first_bias, last="relu")
    out = new_empty(x, x.shape[0], second.shape[0])
    return native_sum(out, (units, second.t()), start=second_bias), sums, units


@gin_backward.reference
def _(
    g: Tensor,
    x: Tensor,
    eps: Tensor,
    first: Tensor,
    second: Tensor,
    sums: Tensor,
    units: Tensor,
    graph: CSR,
    by_data: bool,
    by_eps: bool,
) -> tuple[Tensor, ...]:
    by_x, eps_gradient, *rest = _gradients(g, x, eps, first, second, sums, units, graph)
    return (
        by_x if by_data else torch.zeros_like(x),
        eps_gradient if by_eps else torch.zeros_like(eps),
        *rest,
    )


@gin_backward.native
def _(
    g: Tensor,
    x: Tensor,
    eps: Tensor,
    first: Tensor,
    second: Tensor,
    sums: Tensor,
    units: Tensor,
    graph: CSR,
    by_data: bool,
    by_eps: bool,
) -> tuple[Tensor, ...]:
    by_units = native_sum(torch.empty_like(units), (g, second), last="relu_derivative", units=units)
    by_second = native_sum(torch.empty_like(second), (g.t(), units))
    by_first = native_sum(torch.empty_like(first), (by_units.t(), sums))
    by_x, eps_gradient = None, None
    if by_data or by_eps:
        by_sums = native_sum(torch.empty_like(x), (by_units, first))
        eps_gradient = (by_sums * x).sum() if by_eps else None
        if by_data:
            by_x = scatter_sum.run(by_sums, None, graph, None).add_(by_sums, alpha=1 + float(eps))
    by_x = torch.zeros_like(x) if by_x is None else by_x
    eps_gradient = torch.zeros_like(eps) if eps_gradient is None else eps_gradient
    return by_x, eps_gradient, by_first, by_units.sum(0), by_second, g.sum(0)


def _gradients(
    g: Tensor,
    x: Tensor,
    eps: Tensor,
    first: Tensor,
    second: Tensor,
    sums: Tensor,
    units: Tensor,
    graph: CSR,
) -> tuple[Tensor, ...]:
    """Of operators of which derivatives exist: by x, eps, first, its bias, second, its bias."""
    by_units = (g @ second) * (units > 0)
    by_sums = by_units @ first
    by_x = (1 + eps) * by_sums + scatter_sum(by_sums, None, graph, None)
    return by_x, (by_sums * x).sum(), by_units.t() @ sums, by_units.sum(0), g.t() @ units, g.sum(0)


def _sums_and_units(
    x: Tensor, eps: Tensor, first: Tensor, first_bias: Tensor | None, graph: CSR
) -> tuple[Tensor, Tensor]:
    sums = (1 + eps) * x + gather_sum(x, None, graph, None)
    return sums, nn.functional.linear(sums, first, first_bias).relu()


def _backward(inputs: Any, outputs: Any, grads: Any, needs: Sequence[bool]) -> Any:
    x, eps, first, first_bias, second, _, graph = inputs
    if torch.is_grad_enabled():  # what is differentiated again must depend on the inputs
        kept = _sums_and_units(x, eps, first, first_bias, graph)
        found = _gradients(grads[0], x, eps, first, second, *kept, graph)
    else:
        found = gin_backward(grads[0], x, eps, first, second, *outputs[-2:], graph, needs[0], needs[1])
    return [by if need else None for by, need in zip(found, needs, strict=True)]


def _jvp(inputs: Any, outputs: Any, tangents: Any) -> Tensor | None:
    x, eps, first, first_bias, second, _, graph = inputs
    dx, deps, dfirst, dfirst_bias, dsecond, dsecond_bias = tangents
    sums, units = _sums_and_units(x, eps, first, first_bias, graph)
    dsums = total(
        None if dx is None else (1 + eps) * dx + gather_sum(dx, None, graph, None),
        None if deps is None else deps * x,
    )
    dunits = total(
        None if dsums is None else dsums @ first.t(),
        None if dfirst is None else sums @ dfirst.t(),
        dfirst_bias,
    )
    return total(
        None if dunits is None else (dunits * (units > 0)) @ second.t(),
        None if dsecond is None else units @ dsecond.t(),
        None if dsecond_bias is None else dsecond_bias.expand(x.shape[0], -1),
    )


gin.differentiable(_backward, _jvp, saves=("x", "eps", "first", "first_bias", "second", "sums", "units"))
