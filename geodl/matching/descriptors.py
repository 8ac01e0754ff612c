"""Point maps by nearest neighbours in descriptor space."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["match_descriptors"]

# Entries of the distance block held at once: 64 MB of float32.
_BLOCK = 1 << 24


def match_descriptors(source: Tensor, target: Tensor) -> Tensor:
    """For every vertex of shape 2 (``target``) the vertex of shape 1 (``source``) of nearest descriptor.

    ::

        p2p_21[j] = argmin over i of |source_i - target_j|_2

    The result equals that of the differences taken in float64: a matrix product finds the candidates, and
    those it cannot tell apart within its rounding error are compared again. Equal distances go to the lowest
    index. Never holds ``V1 x V2`` numbers.

    Args:
        source: descriptors of shape 1, ``[V1, D]`` float32 or float64.
        target: descriptors of shape 2, ``[V2, D]``, same dtype and device.

    Returns:
        ``p2p_21`` ``[V2]`` int64, indices of vertices of shape 1.

    Raises:
        ValueError: wrong shape, dtype or device, a descriptor that is not finite, or no source vertices.
    """
    _validate(source, target)
    p2p = torch.empty(target.shape[0], dtype=torch.int64, device=target.device)
    if p2p.numel() == 0:
        return p2p
    source, target = source.detach(), target.detach()
    # A power of two changes no digit, and keeps squares of huge or tiny descriptors finite and nonzero.
    largest = max((float(x.abs().max()) for x in (source, target) if x.numel()), default=0.0)
    scale = 2.0 ** -math.frexp(largest)[1] if largest else 1.0
    exact_source, exact_target = source.double() * scale, target.double() * scale
    centre = exact_source.mean(0)  # a common offset would cancel badly in |a|^2 - 2 a.b + |b|^2
    near_source = (exact_source - centre).to(source.dtype)
    near_target = (exact_target - centre).to(source.dtype)
    source_sq, target_sq = near_source.square().sum(1), near_target.square().sum(1)
    # Rounding error of the expanded square, with room to spare: D + 3 operations, each relative to the norms.
    slack = 8 * (source.shape[1] + 3) * torch.finfo(source.dtype).eps
    rows = max(1, _BLOCK // source.shape[0])
    for start in range(0, target.shape[0], rows):
        block = slice(start, start + rows)
        # |source - target|^2 less |target|^2, which is the same in a row.
        square = torch.addmm(source_sq, near_target[block], near_source.T, alpha=-2)
        bound = square.amin(1) + slack * (target_sq[block] + source_sq.max())
        row, column = (square <= bound[:, None]).nonzero(as_tuple=True)
        p2p[block] = _nearest_candidate(exact_source, exact_target[block], row, column)
    return p2p


def _nearest_candidate(source: Tensor, target: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Per target row the lowest column among the candidate pairs (row, column) of least distance."""
    square = torch.empty(row.shape[0], dtype=torch.float64, device=row.device)
    rows = max(1, _BLOCK // max(1, source.shape[1]))
    for start in range(0, row.shape[0], rows):
        block = slice(start, start + rows)
        square[block] = (source[column[block]] - target[row[block]]).square().sum(1)
    least = torch.full((target.shape[0],), math.inf, dtype=torch.float64, device=row.device)
    least.scatter_reduce_(0, row, square, "amin")
    nearest = square == least[row]
    lowest = torch.full((target.shape[0],), source.shape[0], dtype=torch.int64, device=row.device)
    return lowest.scatter_reduce_(0, row[nearest], column[nearest], "amin")


def _validate(source: Tensor, target: Tensor) -> None:
    for name, x in (("source", source), ("target", target)):
        if x.dim() != 2:
            raise ValueError(f"{name} must have shape [V, D], not {list(x.shape)}")
        if x.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"{name} must be float32 or float64, not {x.dtype}")
        finite = torch.isfinite(x).all(1)
        if not bool(finite.all()):
            bad = (~finite).nonzero().flatten()
            raise ValueError(
                f"{name} has {bad.numel()} descriptors with NaN or infinity; the first is row {int(bad[0])}"
            )
    if source.dtype != target.dtype:
        raise ValueError(f"source is {source.dtype} but target is {target.dtype}")
    if source.device != target.device:
        raise ValueError(f"source is on {source.device} but target is on {target.device}")
    if source.shape[1] != target.shape[1]:
        raise ValueError(
            f"source has {source.shape[1]} numbers a descriptor but target has {target.shape[1]}"
        )
    if source.shape[0] == 0:
        raise ValueError(f"source must hold at least one vertex, it has shape {list(source.shape)}")
