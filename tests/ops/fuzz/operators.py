"""The table of operators: what they are given, and how they are called. A new operator is a new entry."""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.ops import (
    BatchNorm,
    Neighbors,
    PolarWindows,
    aggregate,
    arma,
    attention,
    bernstein,
    cayley,
    chebyshev,
    edge_conv,
    farthest_points,
    heat_diffuse,
    knn,
    patch_conv,
    patch_gather,
    polar_conv,
    radius,
    voxel_pool,
)

from .compare import Fuzzed, Inputs, largest
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
    channels = given["x"].shape[1]
    groups = draw.choice([1, 1, *(g for g in range(2, channels + 1) if channels % g == 0)])
    width = groups * draw.size(40 // groups)
    filters = draw.values(windows, channels // groups, width, kinds=FINITE)
    return given | {"filters": filters, "groups": groups}


def _polar_conv(draw: Draw) -> Inputs:
    rings, rays = draw.random.randint(1, 4), draw.choice((1, 2, 3, 4, 6, 8))
    given = _windows(draw, rings * rays)
    filters = draw.values(rings, rays, given["x"].shape[1], draw.size(33), kinds=TAME)
    rotations = draw.choice([t for t in range(1, rays + 1) if rays % t == 0])
    return given | {"filters": filters, "rotations": rotations, "pool": draw.choice(("max", None))}


def _call_polar_conv(x, neighbors, weight, index, filters, rotations, pool):
    windows = PolarWindows(neighbors, weight, index, filters.shape[0], filters.shape[1])
    return polar_conv(x, windows, filters, rotations, pool)


# --- edge_conv ---


def _edge_conv(draw: Draw) -> Inputs:
    neighbors = draw.neighbors(most=20)
    channels, width = draw.size(33), draw.size(40)
    rows = neighbors.num_dst if neighbors.num_dst != neighbors.num_src or draw.choice((True, False)) else None
    return {
        "x": draw.values(neighbors.num_src, channels, kinds=(*TAME, "special")),
        "x_dst": None if rows is None else draw.values(rows, channels, kinds=TAME),
        "neighbors": neighbors,
        "weight": draw.values(2 * channels, width, kinds=TAME),
        "bias": draw.choice((None, draw.values(width, kinds=TAME))),
        "negative_slope": draw.choice((0.0, 0.2, 0.25, 1.0)),
    }


def _edge_conv_norm(draw: Draw) -> Inputs:
    given = _edge_conv(draw)
    width = given["weight"].shape[1]
    return given | {
        "scale": draw.choice((None, draw.values(width, kinds=TAME))),
        "shift": draw.choice((None, draw.values(width, kinds=TAME))),
        "mean": draw.values(width, kinds=TAME),
        "variance": draw.positive(width),
        "training": draw.choice((True, False)),
    }


def _call_edge_conv_norm(
    x, x_dst, neighbors, weight, bias, negative_slope, scale, shift, mean, variance, training
):
    mean, variance = mean.detach().clone(), variance.detach().clone()
    norm = BatchNorm(mean, variance, scale, shift, training)
    out = edge_conv(x, neighbors, weight, bias, norm, negative_slope, x_dst)
    return out, mean, variance


def _edge_conv_terms(given: Inputs) -> float:
    """The two halves of the weights cancel where they are alike, and so do messages that are all alike in their variance."""
    return largest(given["bias"]) + sum(
        given["x"].shape[1] * largest(given[name]) * largest(given["weight"]) for name in ("x", "x_dst")
    )


def _edge_conv_norm_terms(given: Inputs) -> float:
    return _edge_conv_terms(given) * max(1, largest(given["scale"]))


# --- attention ---


def _attention(draw: Draw) -> Inputs:
    neighbors = draw.neighbors(most=20)
    heads, depth = draw.choice((0, 1, 1, 2, 3, 4, 8, 9)), draw.choice((None, draw.size(33)))
    shape = (heads,) if depth is None else (heads, depth)
    return {
        "x": draw.values(neighbors.num_src, heads, draw.size(40)),
        "neighbors": neighbors,
        "source": draw.values(neighbors.num_src, *shape, kinds=(*TAME, "special")),
        "target": draw.values(neighbors.num_dst, *shape, kinds=(*TAME, "denormal")),
        "vector": None if depth is None else draw.values(heads, depth, kinds=TAME),
        "edge_scale": draw.choice((None, draw.values(neighbors.num_edges, heads, kinds=TAME))),
        "negative_slope": draw.choice((0.0, 0.2, 1.0)),
    }


def _attention_terms(given: Inputs) -> float:
    """A weight of an edge times a signal, summed over its channels and as often by an output as weights count to."""
    size = given["x"].shape[-1] * largest(given["x"]) * max(1, largest(given["edge_scale"]))
    return 3 * size * max(1, largest(given["vector"]), largest(given["source"]))


# --- filters of a Laplacian ---


def _laplacian(draw: Draw) -> Inputs:
    symmetric = draw.choice((True, False))
    neighbors = draw.neighbors(most=20, square=True, symmetric=symmetric)
    edges = neighbors.num_edges
    laplacian = draw.values(edges // 2 if symmetric else edges, kinds=TAME)
    if symmetric:  # an edge and its reverse have one value
        laplacian = laplacian.repeat(2)[neighbors.order]
    return {
        "x": draw.values(neighbors.num_src, draw.size(40)),
        "neighbors": neighbors,
        "laplacian": laplacian / 8,
        "symmetric": symmetric,
    }


def _chebyshev(draw: Draw) -> Inputs:
    given = _laplacian(draw)
    powers = draw.random.randint(1, 6)
    return given | {"filters": draw.values(powers, given["x"].shape[1], draw.size(40), kinds=TAME)}


def _polynomial_terms(given: Inputs) -> float:
    """Filters that are alike cancel where the polynomials of a basis do: at 0, Chebyshev's are 1, 0, -1, 0, ..."""
    filters = given["filters"]
    return filters.numel() * largest(filters) * max(1, largest(given["x"]))


def _cayley(draw: Draw) -> Inputs:
    """Every vertex has a diagonal entry, once, that outweighs its row."""
    given = _chebyshev(draw)
    graph, channels, width = given["neighbors"], *given["filters"].shape[1:]
    loops = torch.arange(graph.num_dst).expand(2, -1)
    edge_index = graph.to_edge_index()
    edge_index = torch.cat([edge_index[:, edge_index[0] != edge_index[1]], loops], dim=1)
    neighbors = Neighbors.from_edge_index(edge_index, graph.num_dst)
    diagonal = neighbors.row == neighbors.col
    degree = neighbors.degree().to(draw.dtype)
    return {
        "x": given["x"],
        "neighbors": neighbors,
        "laplacian": torch.where(diagonal, degree[neighbors.row], -0.5),
        "filters": draw.values(2 * draw.random.randint(0, 3) + 1, channels, width, kinds=TAME),
        "zoom": draw.positive(1)[0],
        "iterations": draw.random.randint(0, 6),
    }


def _arma(draw: Draw) -> Inputs:
    given = _laplacian(draw)
    stacks, channels, width = draw.random.randint(1, 3), given["x"].shape[1], draw.size(20)
    return given | {
        "initial": draw.values(stacks, channels, width, kinds=TAME),
        "recurrent": draw.values(stacks, width, width, kinds=TAME),
        "skip": draw.values(stacks, channels, width, kinds=TAME),
        "steps": draw.random.randint(1, 4),
    }


def _heat_diffuse(draw: Draw) -> Inputs:
    ptr, pairs, channels = draw.packed(), draw.size(20), draw.size(40)
    points = int(ptr[-1])
    return {
        "x": draw.values(points, channels, kinds=TAME),
        "evals": draw.positive(len(ptr) - 1, pairs),
        "evecs": draw.values(points, pairs, kinds=TAME),
        "mass": draw.positive(points),
        "time": draw.positive(channels),
        "ptr": ptr,
    }


# --- points ---

PLACES = (*TAME, "normal", "wide", "huge", "denormal")


def _clouds(draw: Draw, clouds: int | None = None) -> tuple[Tensor | None, int]:
    """``ptr`` and the number of points; None for a single cloud."""
    if clouds is None and draw.choice((True, False)):
        return None, draw.size(65)
    ptr = draw.packed(clouds=clouds)
    return ptr, int(ptr[-1])


def _places(draw: Draw) -> Inputs:
    ptr, count = _clouds(draw)
    return {"x": draw.values(count, draw.choice((1, 2, 3, 3, 4, draw.size(70))), kinds=PLACES), "ptr": ptr}


def _search(draw: Draw) -> Inputs:
    given = _places(draw)
    given |= {"queries": None, "query_ptr": None, "loop": draw.choice((True, False))}
    if draw.choice((True, False)):
        clouds = None if given["ptr"] is None else len(given["ptr"]) - 1
        given["query_ptr"], count = (None, draw.size(40)) if clouds is None else _clouds(draw, clouds)
        given["queries"] = draw.values(count, given["x"].shape[1], kinds=PLACES)
        given["loop"] = True
    return given


def _knn(draw: Draw) -> Inputs:
    return _search(draw) | {"k": draw.random.randint(1, 40)}


def _call_knn(**given):
    neighbors, distance = knn(**given, return_distance=True)
    return neighbors.rowptr, neighbors.col, distance


def _radius(draw: Draw) -> Inputs:
    r = draw.choice(
        (0.0, 0.37, 1.0, 2.0, draw.random.random(), 10 ** draw.random.uniform(-3, 13), float("inf"))
    )
    return _search(draw) | {"r": r, "max_neighbors": draw.choice((None, draw.random.randint(1, 10)))}


def _call_radius(**given):
    neighbors, distance = radius(**given, return_distance=True)
    return neighbors.rowptr, neighbors.col, distance


def _farthest_points(draw: Draw) -> Inputs:
    given = _places(draw)
    ptr = torch.tensor([0, len(given["x"])]) if given["ptr"] is None else given["ptr"]
    sizes = ptr.diff()
    count = draw.choice((draw.size(65), draw.integers(sizes.shape, 0, 65)))
    begin = ptr[:-1] + (sizes * torch.rand(sizes.shape, generator=draw.generator)).long().clamp(max=sizes - 1)
    start = draw.choice((None, begin.clamp(min=0)))
    return given | {"count": count, "start": start}


def _voxel_pool(draw: Draw) -> Inputs:
    ptr, count = _clouds(draw)
    dimensions = draw.random.randint(1, 4)
    sides = 2.0 ** draw.integers((dimensions,), -2, 3).double()
    return {
        "x": draw.values(count, draw.size(33)),
        "pos": draw.values(count, dimensions, kinds=PLACES),
        "size": draw.choice((0.5, 1.0, 0.1, sides)),
        "ptr": ptr,
        "reduce": draw.choice(("mean", "sum", "max", "min")),
    }


OPERATORS: dict[str, Fuzzed] = {
    "aggregate": Fuzzed(_aggregate, aggregate),
    "patch_gather": Fuzzed(_patch_gather, patch_gather),
    "patch_conv": Fuzzed(_patch_conv, patch_conv, special="not finite"),
    "polar_conv": Fuzzed(_polar_conv, _call_polar_conv, special="not finite", selects=True, exact=False),
    "edge_conv": Fuzzed(_edge_conv, edge_conv, special="not finite", selects=True, terms=_edge_conv_terms),
    # A channel that is the same at all edges is divided by the root of eps.
    "edge_conv_norm": Fuzzed(
        _edge_conv_norm,
        _call_edge_conv_norm,
        special="not finite",
        selects=True,
        exact=False,
        slack=300,
        terms=_edge_conv_norm_terms,
    ),
    "attention": Fuzzed(_attention, attention, special="not finite", slack=8, terms=_attention_terms),
    "chebyshev": Fuzzed(_chebyshev, chebyshev, special="not finite", slack=8, terms=_polynomial_terms),
    "bernstein": Fuzzed(_chebyshev, bernstein, special="not finite", slack=64, terms=_polynomial_terms),
    "cayley": Fuzzed(_cayley, cayley, special="not finite", slack=64, terms=_polynomial_terms),
    "arma": Fuzzed(_arma, arma, special="not finite", slack=8),
    "heat_diffuse": Fuzzed(_heat_diffuse, heat_diffuse, exact=False, slack=8),
    "knn": Fuzzed(_knn, _call_knn, slack=0),
    "radius": Fuzzed(_radius, _call_radius, slack=0),
    "farthest_points": Fuzzed(_farthest_points, farthest_points, slack=0),
    "voxel_pool": Fuzzed(_voxel_pool, voxel_pool),
}
