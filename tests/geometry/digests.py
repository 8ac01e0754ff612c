"""Prints a digest of everything that is computed of a shape: ``python -m tests.geometry.digests THREADS``.

With several threads twice, with those and with five.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch  # isort: skip  # before numpy, so that all share torch's OpenMP runtime
import numpy as np

from geodl.data import Mesh, PointCloud, UnitArea, VertexSignal, collate
from geodl.geometry import (
    SparseFactor,
    angle_deficit,
    chart_radius,
    coarsen,
    curvature,
    differential_invariants,
    direction_field,
    divergence,
    geodesic_charts,
    gradient,
    grid_laplacian,
    heat_kernel_signature,
    hierarchy,
    laplacian,
    mean_edge_length,
    point_normals,
    polar_template,
    shot,
    spectrum,
    surface_area,
    tangent_frames,
    vertex_areas,
    vertex_normals,
    wave_kernel_signature,
)
from geodl.matching import SpectralShape

from .shapes import bumpy

solver: Any = sys.modules["geodl.geometry.spectrum"]


def sheet(side: int) -> Mesh:
    """With a border; of 150 points a side the faces and edges are more than torch leaves to one thread."""
    at = torch.arange(side * side).view(side, side)
    a, b, c, d = at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]
    face = torch.cat([torch.stack(corners).flatten(1) for corners in ((a, b, c), (a, c, d))], 1)
    x, y = torch.meshgrid(*[torch.linspace(0, 1, side)] * 2, indexing="ij")
    return Mesh(torch.stack([x, y, 0.2 * (4 * x).sin() * (3 * y + 1).cos()], 2).view(-1, 3), face)


def arrays(value: Any) -> Iterator[np.ndarray[Any, Any]]:
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from arrays(part)
    elif isinstance(value, Mapping):
        yield from arrays(list(value.values()))
    elif hasattr(value, "to_tensors"):
        yield from arrays(value.to_tensors())
    elif hasattr(value, "__dataclass_fields__"):
        yield from arrays([getattr(value, name) for name in value.__dataclass_fields__])
    else:
        array = np.ascontiguousarray(value)
        assert array.dtype != object
        yield array


def by_arpack(shape: Any) -> Any:
    exact = solver._block_lanczos
    solver._block_lanczos = lambda *given: (1.01 * (found := exact(*given))[0], *found[1:])
    try:
        return spectrum(shape, 12)
    finally:
        solver._block_lanczos = exact


def polished(shape: Any) -> Any:
    bound, solver._POLISHED = solver._POLISHED, 0.0
    try:
        return spectrum(shape, 12)
    finally:
        solver._POLISHED = bound


def computed() -> Iterator[tuple[str, Callable[[], Any]]]:
    few, some = (Mesh(each.pos, each.face) for each in (bumpy(2), bumpy(3)))
    cloud, many, wide = PointCloud(some.pos), PointCloud(sheet(37).pos), sheet(150)
    batch = collate([few, some, sheet(12)])
    yield "dense", lambda: spectrum(few, 40)
    yield "dense, polished", lambda: polished(few)
    yield "Lanczos, tufted", lambda: spectrum(some, 60)
    yield "Lanczos, cotangent", lambda: spectrum(some, 60, "cotangent")
    yield "Lanczos, polished", lambda: polished(some)
    yield "Lanczos, a cloud", lambda: spectrum(cloud, 30)
    yield "Lanczos, a grid", lambda: spectrum(grid_laplacian([12, 11, 10], periodic=True), 30)
    yield "ARPACK", lambda: by_arpack(some)
    yield "a batch", lambda: spectrum(batch, 20)
    ones = np.linspace(0, 1, 2640).reshape(-1, 2)
    yield (
        "factor",
        lambda: SparseFactor(grid_laplacian([12, 11, 10]).matrix() + 0.1 * np.eye(1320)).solve(ones),
    )
    for kind, shape in (("mesh", some), ("sheet", wide), ("cloud", cloud), ("larger cloud", many)):
        yield f"laplacian of a {kind}", partial(laplacian, shape)
        yield f"frames of a {kind}", partial(tangent_frames, shape)
        yield f"gradient of a {kind}", partial(gradient, shape)
        yield f"signal of a {kind}", partial(signal, shape)
        yield f"unit {kind}", partial(unit, shape)
        yield f"charts of a {kind}", partial(geodesic_charts, shape, size=30 if len(shape.pos) < 5000 else 9)
        yield f"area of a {kind}", partial(surface_area, shape)
        yield f"areas of a {kind}", partial(vertex_areas, shape)
    for kind, mesh in (("mesh", some), ("sheet", wide)):
        yield f"curvature of a {kind}", partial(curvature, mesh)
        yield f"angles of a {kind}", partial(angle_deficit, mesh)
        yield f"divergence of a {kind}", partial(divergence, mesh)
        yield f"normals of a {kind}", partial(vertex_normals, mesh)
        yield f"edges of a {kind}", partial(mean_edge_length, mesh)
        yield f"cells of a {kind}", partial(coarsen, mesh, 100)
    yield "normals of a cloud", lambda: point_normals(many)
    yield "levels", lambda: hierarchy(some, [200, 50])
    yield "chart radius", lambda: torch.tensor(chart_radius(some, 30))
    yield "template", lambda: polar_template(some, geodesic_charts(some, chart_radius(some, 30)), 3, 8)
    yield "field", lambda: direction_field(some)
    yield "SHOT", lambda: shot(some, 0.3)
    for kind, each in (("mesh", some), ("batch", batch)):
        found = spectrum(each, 60)
        yield f"heat kernels of a {kind}", partial(heat_kernel_signature, found)
        yield f"wave kernels of a {kind}", partial(wave_kernel_signature, found)
        yield f"invariants of a {kind}", partial(differential_invariants, found, gradient(each))
    yield "what match reads", lambda: SpectralShape.of(some, 60).invariants


def signal(shape: Any) -> Any:
    return VertexSignal()(shape.clone()).x


def unit(shape: Any) -> Any:
    return UnitArea()(shape.clone()).pos


def digest(value: Any) -> str:
    made = hashlib.sha256()
    for array in arrays(value):
        made.update(array.tobytes())
    return made.hexdigest()[:16]


if __name__ == "__main__":
    asked = int(sys.argv[1])
    counts = [asked] if asked == 1 else [asked, 5]
    blocks = []
    for count in counts:
        torch.set_num_threads(count)
        blocks.append("\n".join(f"{name}: {digest(call())}" for name, call in computed()))
    print("\n\n".join(blocks))
