"""The table of operators: what they are given, and how they are called. A new operator is a new entry."""

from __future__ import annotations

from geodl.ops import PolarWindows, aggregate, patch_conv, patch_gather, polar_conv

from .compare import Fuzzed, Inputs
from .draw import FINITE, TAME, Draw

# --- aggregate ---


def _aggregate(draw: Draw) -> Inputs:
    neighbors = draw.neighbors()
    return {
        "x": draw.values(neighbors.num_src, draw.size(70)),
        "neighbors": neighbors,
        "weight": draw.choice((None, draw.values(neighbors.num_edges, kinds=TAME))),
        "reduce": draw.choice(("sum", "mean", "max", "min")),
    }


# --- patches ---


def _windows(draw: Draw, windows: int) -> Inputs:
    neighbors = draw.neighbors(most=20)
    edges = neighbors.num_edges
    columns = draw.choice((None, 1, 2, 3))
    given: Inputs = {"neighbors": neighbors, "index": None}
    if columns is not None and windows:
        given["index"] = draw.integers((edges, columns), 0, windows)
    width = windows if given["index"] is None else columns
    given["weight"] = draw.values(edges, width, kinds=TAME)
    given["x"] = draw.values(neighbors.num_src, draw.size(40))
    return given


def _patch_gather(draw: Draw) -> Inputs:
    windows = draw.size(20)
    return _windows(draw, windows) | {"num_windows": windows}


def _patch_conv(draw: Draw) -> Inputs:
    windows = draw.size(20)
    given = _windows(draw, windows)
    return given | {"filters": draw.values(windows, given["x"].shape[1], draw.size(40), kinds=FINITE)}


def _polar_conv(draw: Draw) -> Inputs:
    rings, rays = draw.random.randint(1, 4), draw.choice((1, 2, 3, 4, 6, 8))
    given = _windows(draw, rings * rays)
    filters = draw.values(rings, rays, given["x"].shape[1], draw.size(33), kinds=TAME)
    rotations = draw.choice([t for t in range(1, rays + 1) if rays % t == 0])
    return given | {"filters": filters, "rotations": rotations, "pool": draw.choice(("max", None))}


def _call_polar_conv(x, neighbors, weight, index, filters, rotations, pool):
    windows = PolarWindows(neighbors, weight, index, filters.shape[0], filters.shape[1])
    return polar_conv(x, windows, filters, rotations, pool)


OPERATORS: dict[str, Fuzzed] = {
    "aggregate": Fuzzed(_aggregate, aggregate),
    "patch_gather": Fuzzed(_patch_gather, patch_gather),
    "patch_conv": Fuzzed(_patch_conv, patch_conv, special="not finite"),
    "polar_conv": Fuzzed(_polar_conv, _call_polar_conv, special="not finite", selects=True, exact=False),
}
