"""
An operator of your own
=======================

Declare it, say what it is linear in, and have every derivative. The operator is a sum over neighbours that each point scales
channel by channel, with a weight an edge:

    out[i, c] = gain[i, c] * (sum over edges e of row i of weight[e] x[col[e], c])

It is linear in ``x``, in ``weight`` and in ``gain``. So one declaration, one definition in PyTorch and one adjoint are all: from
these follow the checks and their messages, the fake kernel, half precision, autocast, reverse mode of every order, forward mode,
torch.func and torch.compile.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.ops import Neighbors
from geodl.ops.aggregate import edge_dot, gather_sum, scatter_sum
from geodl.ops.core import CSR, Operator
from geodl.ops.neighbors import csr_for

# Before the semicolon stands what is differentiated, after it the structure: N rows, S sources, E edges.
gained_sum = Operator("gained_sum", "x[S,C] weight[E] gain[N,C]; graph:csr[N,S,E] -> [N,C]")


@gained_sum.reference
def _(x: Tensor, weight: Tensor, gain: Tensor, graph: CSR) -> Tensor:
    return gain * graph.sum_rows(weight[:, None] * x[graph.col])


# The derivative of ``<grad, gained_sum(...)>`` by each argument, made of operators, which have derivatives themselves.
gained_sum.adjoint(
    lambda grad, x, weight, gain, graph: scatter_sum(grad * gain, weight, graph, None),
    lambda grad, x, weight, gain, graph: edge_dot(grad * gain, x, graph, None),
    lambda grad, x, weight, gain, graph: grad * gather_sum(x, weight, graph, None),
)

# A kernel would come next: ``@gained_sum.native`` for C++, ``@gained_sum.triton`` for a GPU. Both are given what the reference is.


def main() -> None:
    neighbors = Neighbors.from_edge_index(torch.tensor([[1, 2, 0, 2], [0, 0, 1, 2]]), num_dst=3)
    graph = csr_for(neighbors)
    x, weight, gain = torch.randn(3, 2).double(), torch.rand(4).double(), torch.rand(3, 2).double()

    def call(*given: Tensor) -> Tensor:
        out: Tensor = gained_sum(*given, graph)
        return out

    inputs = [tensor.requires_grad_() for tensor in (x, weight, gain)]
    assert torch.autograd.gradcheck(call, inputs, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(call, inputs, check_fwd_over_rev=True)
    torch.library.opcheck(torch.ops.geodl.gained_sum.default, (*inputs, *graph))
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*inputs), call(*inputs))
    try:
        call(x, weight[:3], gain)
    except ValueError as error:
        print(error)


if __name__ == "__main__":
    main()
