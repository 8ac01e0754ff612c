"""No kernel touches memory at an index that it has not looked at: an entry out of range is passed over, as if it were absent.

A kernel on a GPU cannot name what is wrong, and asking it would make the host wait. What is wrong is named on the host:
``Neighbors`` looks at its values when it is made and when they were changed. So passing over is seen in a compiled graph or a
direct call of ``torch.ops.geodl.*`` alone, whose results then lack these edges; nothing beyond a tensor is read or written.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def row_ends(rowptr, row, rows, edges):
    """Where the edges of rows begin and end, both in [0, edges]; rows from ``rows`` on have none."""
    first = tl.load(rowptr + row, mask=row < rows, other=0)
    last = tl.load(rowptr + row + 1, mask=row < rows, other=0)
    return tl.minimum(tl.maximum(first, 0), edges), tl.minimum(tl.maximum(last, 0), edges)


@triton.jit
def existing(index, at, live, bound):
    """Entries of an index, and which of them are live and lie in [0, bound): a mask for whatever they point at."""
    found = tl.load(index + at, mask=live, other=0)
    return found, live & (found >= 0) & (found < bound)
