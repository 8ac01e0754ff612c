"""With what kernels are launched: a tile chosen by the number of channels.

A program computes ``rows x windows x channels`` sums (one window where the operator knows none), the channels being
neighbours in memory. Each operator has one table of tiles; those that compute a number a row and channel share ``ROW_TILES``.
It is a table and not Triton's autotuner, which measures, and so waits for the device, in the middle of a step or of the
capture of a CUDA graph.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

# In the interpreter a program costs far more than the numbers that it computes.
_INTERPRETED_ROWS, _INTERPRETED_SUMS = 64, 2**17


@dataclass(frozen=True)
class Tile:
    """What one program computes, all powers of two, with how many warps and how many edges at once."""

    rows: int
    channels: int
    warps: int
    windows: int = 1
    unroll: int = 1


class Tiles(dict[int, Tile]):
    """Highest number of channels -> tile, ascending; the last also serves more. A constant, told from others by identity."""

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__


# Of the operators that compute a number a row and channel.
# Four numbers of 4 bytes a thread: one vector load. Rows are few where channels are many, so that a long row keeps few
# others waiting.
ROW_TILES = Tiles(
    {
        1: Tile(rows=128, channels=1, warps=4, unroll=4),
        4: Tile(rows=128, channels=4, warps=4, unroll=4),
        16: Tile(rows=32, channels=16, warps=4, unroll=4),
        32: Tile(rows=16, channels=32, warps=4, unroll=4),
        64: Tile(rows=8, channels=64, warps=4, unroll=4),
        128: Tile(rows=4, channels=128, warps=4, unroll=4),
        512: Tile(rows=2, channels=256, warps=4, unroll=4),
    }
)

# Of a few long rows, such as of a cloud whose points are pooled: a warp to so many numbers, and many edges on their way.
LONG_ROW_TILES = Tiles({512: Tile(rows=1, channels=32, warps=1, unroll=16)})
_LONG, _FEW = 64, 2**17  # edges of a row, and numbers in all


def row_tiles(rows: int, channels: int, edges: int) -> Tiles:
    """The table for so many rows of so many edges together: a program to many rows is not enough for a GPU where these are few."""
    long = channels >= 32 and edges >= _LONG * rows and rows * channels <= _FEW
    return LONG_ROW_TILES if long else ROW_TILES


def tile(table: Tiles, x: Tensor, channels: int, windows: int = 1) -> Tile:
    """The entry of the table for so many channels, fitted to the number of windows.

    Args:
        table: of the operator.
        x: a tensor on the device of the launch.
        channels: how many channels there are.
        windows: how many windows there are.
    """
    return _fitted(table, x.is_cuda, channels, windows)


@functools.lru_cache(maxsize=1024)
def _fitted(table: Tiles, on_gpu: bool, channels: int, windows: int) -> Tile:
    if not on_gpu:
        all_channels, all_windows = triton.next_power_of_2(channels), triton.next_power_of_2(windows)
        fitting = _INTERPRETED_SUMS // (all_channels * all_windows)
        return Tile(max(1, min(fitting, _INTERPRETED_ROWS)), all_channels, 4, all_windows)
    found = next((entry for bound, entry in table.items() if channels <= bound), [*table.values()][-1])
    fitting = found.windows
    while fitting > 1 and blocks(windows, fitting) * fitting > 1.25 * windows:
        fitting //= 2
    return replace(found, windows=fitting, rows=found.rows * found.windows // fitting)


def blocks(size: int, block: int) -> int:
    """How many blocks cover a size."""
    return -(-size // block)


def accumulator(x: Tensor) -> Any:
    """The type in which sums of numbers like x are formed."""
    return tl.float64 if x.dtype == torch.float64 else tl.float32
