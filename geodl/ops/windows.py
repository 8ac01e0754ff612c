"""What operators that read a signal through windows have in common: the windows as tensors, and checks.

The weight of window m at edge e comes in one of two forms: dense, ``weight [E, M]``, or sparse,
``weight [E, S]`` and ``index [E, S]``: edge e is seen by the windows ``index[e, s]`` alone. A window named
twice counts twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor

from geodl.ops.neighbors import Neighbors, transpose, transpose_for


class Windows(NamedTuple):
    """Neighbourhoods and the windows on them, as flat as custom ops need them.

    The transpose (``t_rowptr [num_src+1]``, ``t_row [E]``, ``perm [E]``) is what gradients gather over. It is
    None where the backend needs none, and where the caller foresaw no such gradient.
    """

    rowptr: Tensor
    col: Tensor
    t_rowptr: Tensor | None
    t_row: Tensor | None
    perm: Tensor | None
    weight: Tensor
    index: Tensor | None  # type: ignore[assignment]  # hides tuple.index

    @property
    def num_dst(self) -> int:
        return self.rowptr.shape[0] - 1

    def contiguous(self) -> Windows:
        index = None if self.index is None else self.index.contiguous()
        return self._replace(weight=self.weight.contiguous(), index=index)

    def transposed(self, num_src: int) -> tuple[Tensor, Tensor, Tensor]:
        """The transpose, made now if nobody foresaw that it is needed."""
        if self.t_rowptr is None or self.t_row is None or self.perm is None:
            return cast(tuple[Tensor, Tensor, Tensor], transpose(self.rowptr, self.col, num_src))
        return self.t_rowptr, self.t_row, self.perm

    def slots(self, num_windows: int) -> list[Tensor]:
        """For each column of ``weight``: which of all N * M windows every edge adds to, ``[E]``."""
        row = torch.repeat_interleave(torch.arange(self.num_dst, device=self.col.device), self.rowptr.diff())
        columns = range(self.weight.shape[1])
        return [row * num_windows + (s if self.index is None else self.index[:, s]) for s in columns]


def windows_for(
    x: Tensor, neighbors: Neighbors, weight: Tensor, index: Tensor | None, filters: Tensor | None = None
) -> Windows:
    """The windows, with the transpose if a gradient will gather over it.

    On a GPU it is that of the signal, and with filters also those of weight and filters; on the CPU none.
    """
    transposed: tuple[Tensor | None, Tensor | None, Tensor | None] = (None, None, None)
    if x.device.type != "cpu":
        transposed = transpose_for(x, neighbors, *([] if filters is None else [weight, filters]))
    return Windows(neighbors.rowptr, neighbors.col, *transposed, weight, index)


def check_windows(neighbors: Neighbors, weight: Tensor, index: Tensor | None, num_windows: int | None) -> int:
    """Checks shapes, dtypes and devices (not the values of ``index``) and returns the number of windows M."""
    edges = neighbors.num_edges
    if weight.dim() != 2 or weight.shape[0] != edges:
        raise ValueError(
            f"weight must have one row for each of the {edges} edges, not shape {list(weight.shape)}"
        )
    if not weight.is_floating_point():
        raise ValueError(f"weight must be floating point, not {weight.dtype}")
    if weight.device != neighbors.device:
        raise ValueError(f"weight is on {weight.device} but neighbors are on {neighbors.device}")
    if index is None:
        if num_windows is not None and num_windows != weight.shape[1]:
            raise ValueError(f"weight has {weight.shape[1]} windows but {num_windows} are expected")
        return weight.shape[1]
    if index.dtype != torch.int64:
        raise ValueError(f"index must be int64, not {index.dtype}")
    if index.shape != weight.shape:
        raise ValueError(f"index has shape {list(index.shape)} but weight has {list(weight.shape)}")
    if index.device != weight.device:
        raise ValueError(f"index is on {index.device} but weight is on {weight.device}")
    if num_windows is None:
        raise ValueError("num_windows must be given with index")
    if num_windows < 0:
        raise ValueError(f"num_windows must not be negative, got {num_windows}")
    return num_windows


def check_index(index: Tensor | None, num_windows: int) -> None:
    """Checks that every window exists. It reads the values: for implementations and constructors alone."""
    if index is None or index.numel() == 0:
        return
    low, high = (int(bound) for bound in index.aminmax())
    if low < 0 or high >= num_windows:
        raise IndexError(f"index holds windows {low}..{high}, but there are {num_windows} windows")


def check_filters(filters: Tensor, x: Tensor, windows: tuple[int, ...]) -> None:
    """Checks that ``filters [*windows, C, C']`` fit the windows and the channels of ``x``."""
    expected = (*windows, x.shape[1])
    if filters.dim() != len(expected) + 1 or filters.shape[:-1] != expected:
        shape = ", ".join(map(str, expected))
        raise ValueError(
            f"filters must have shape [{shape}, C'] for these windows and x, not {list(filters.shape)}"
        )
    if filters.dtype != x.dtype:
        raise ValueError(f"filters are {filters.dtype} but x is {x.dtype}")
    if filters.device != x.device:
        raise ValueError(f"filters are on {filters.device} but x is on {x.device}")


def total(*terms: Tensor | None) -> Tensor | None:
    """Sum of the terms that exist."""
    present = [term for term in terms if term is not None]
    return sum(present[1:], present[0]) if present else None


def wanted(shapes_of: tuple[Tensor, ...], needs: tuple[bool, ...]) -> list[Tensor]:
    """An uninitialised gradient of every tensor that needs one, an empty tensor for the others."""
    return [t.new_empty(t.shape if need else 0) for t, need in zip(shapes_of, needs, strict=True)]


def derivatives_of_adjoint(
    conv: Callable[..., Tensor],
    backward: Callable[..., tuple[Tensor, Tensor, Tensor]],
    grad: Tensor,
    inputs: tuple[Tensor, Windows, Tensor],
    cotangents: tuple[Tensor | None, ...],
    needs: tuple[bool, ...],
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """Derivatives of the backward pass of a convolution that is linear in signal, weight and filters each.

    With f(x, w, F) the convolution, b its adjoint and v the gradients of b's three results,
    <v, b(g, x, w, F)> = <g, f(vx, w, F)> + <g, f(x, vw, F)> + <g, f(x, w, vF)>: f and b with one argument
    replaced.

    Args:
        conv: ``(x, *windows, filters)``.
        backward: ``(grad, x, *windows, filters, need_x, need_weight, need_filters)``.
        grad: the gradient that the backward pass was given.
        inputs: x, the windows and the filters that it was given.
        cotangents: gradients of its three results, or None.
        needs: whether the derivative by ``grad``, x, weight and filters is needed.

    Returns:
        The derivatives by ``grad``, x, weight and filters; None where not needed.
    """
    x, windows, filters = inputs
    vx, vweight, vfilters = cotangents
    need_grad, need_x, need_weight, need_filters = needs
    terms = []
    if vx is not None:
        terms.append((vx, windows, filters, (False, need_weight, need_filters)))
    if vweight is not None:
        terms.append((x, windows._replace(weight=vweight), filters, (need_x, False, need_filters)))
    if vfilters is not None:
        terms.append((x, windows, vfilters, (need_x, need_weight, False)))
    grad_grad: Tensor | None = None
    grads: list[Tensor | None] = [None, None, None]
    for x_, windows_, filters_, needed in terms:
        if need_grad:
            grad_grad = total(grad_grad, conv(x_, *windows_, filters_))
        if any(needed):
            parts = backward(grad, x_, *windows_, filters_, *needed)
            grads = [
                total(g, part if need else None) for g, part, need in zip(grads, parts, needed, strict=True)
            ]
    return grad_grad, grads[0], grads[1], grads[2]
