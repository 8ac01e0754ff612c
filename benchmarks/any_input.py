"""Every function of geometry on every kind of mesh, what came out: `python -m benchmarks.any_input`.

The meshes are those of ``geodl.datasets.broken_meshes`` and the files in ``--root``. Each function must give finite numbers or an
error that names the trouble; the command fails if one does neither.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch_geometric.data import Data

import geodl.geometry as geometry
from benchmarks.result import command, write_result
from benchmarks.tables import summary
from geodl.data import Mesh
from geodl.datasets import broken_meshes
from geodl.matching import Match, match

# An error of these kinds, with a message, is a diagnosis; any other is a crash.
DIAGNOSES = (ValueError, IndexError)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.any_input", description=__doc__)
    parser.add_argument("--root", type=Path, help="a folder of mesh files, beside the generated ones")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=["cpu"], default="cpu", help="geometry is computed on the CPU")
    parser.add_argument("--out", type=Path, default=Path("runs/any_input"), help="folder of result.json")
    chosen = parser.parse_args(argv)
    torch.set_num_threads(chosen.threads)
    began = time.perf_counter()
    found = {}
    for name, shape in shapes(chosen.root):
        found[name] = examine(shape)
        print(f"{name:30} {summary(found[name]['functions'])}", flush=True)
    counts = {kind: 0 for kind in ("answers", "diagnoses", "failures")}
    for each in found.values():
        for outcome in each["functions"].values():
            counts[kind_of(outcome)] += 1
    path = write_result(
        chosen.out,
        benchmark="any-input",
        data="broken meshes" + (" and mesh files" if chosen.root else ""),
        model="geodl.geometry",
        seconds=time.perf_counter() - began,
        parameters={"threads": chosen.threads, "functions": len(FUNCTIONS)},
        seeds=[chosen.seed],
        command=command() if chosen.root is None else command().replace(str(chosen.root), "MESHES"),
        metrics={**counts, "shapes": found},
    )
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()) + f"; written to {path}")
    if counts["failures"]:
        raise SystemExit(1)


def shapes(root: Path | None) -> Iterator[tuple[str, Data]]:
    yield from broken_meshes().items()
    for path in sorted(root.iterdir()) if root else []:
        if path.suffix.lower() in (".ply", ".off", ".obj", ".stl"):
            yield path.name, Mesh.load(path)


def _edge(shape: Any) -> float:
    """A length to measure radii by."""
    if getattr(shape, "face", None) is not None:
        return float(geometry.mean_edge_length(shape))
    geometry.point_normals(shape)  # the cloud's own diagnosis
    spread = float((shape.pos.amax(0) - shape.pos.amin(0)).max())
    return float(spread / max(len(shape.pos), 2) ** 0.5)


def _pairs(shape: Any) -> tuple[Tensor, Tensor]:
    count = max(int(shape.pos.shape[0]), 1)
    return torch.zeros(8, dtype=torch.int64), torch.arange(8) % count


def _spectrum(shape: Any, k: int = 8) -> geometry.Spectrum:
    operator = geometry.laplacian(shape)
    return geometry.spectrum(operator, min(k, int((operator.mass > 0).sum())))


def _operators(shape: Any) -> tuple[geometry.Spectrum, geometry.Gradient]:
    weak = geometry.laplacian(shape).matrix()
    parts = connected_components(weak, directed=False, return_labels=False)
    return _spectrum(shape, parts + 8), geometry.gradient(shape)


def _signature(shape: Any, make: Callable[[geometry.Spectrum], Tensor]) -> Tensor:
    return make(_operators(shape)[0])


def _charts(shape: Any) -> geometry.Charts:
    return geometry.geodesic_charts(shape, 2.5 * _edge(shape))


def _derivative(shape: Any, make: Callable[[Any], geometry.FieldDerivative]) -> Tensor:
    whirl = shape.pos.double().roll(1, 1).sin()
    operator = make(shape)
    frames = geometry.tangent_frames(shape).double()
    return operator((frames[:, :2] @ whirl[:, :, None]).transpose(1, 2))


def _template(shape: Any) -> Any:
    return geometry.polar_template(shape, _charts(shape), 2, 4)


def _remesh(shape: Any) -> Tensor:
    made = geometry.remesh(shape, 0.9 * float(geometry.mean_edge_length(shape)))
    return torch.cat([made.pos.flatten(), geometry.face_areas(made)])


def _rays(shape: Any) -> Tensor:
    """Where rays that aim at the middles of the faces meet the shape."""
    geometry.validate(shape)
    away = _edge(shape) * shape.pos.new_tensor([1.0, 2.0, 3.0])
    middles = shape.pos[shape.face].mean(dim=0)
    return geometry.cast_rays(shape, middles + away, -away).weights


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "validate": geometry.validate,
    "repair": lambda shape: geometry.repair(shape)[0].pos,
    "edges": geometry.edges,
    "mean_edge_length": geometry.mean_edge_length,
    "face_areas": geometry.face_areas,
    "surface_area": geometry.surface_area,
    "vertex_areas": geometry.vertex_areas,
    "face_normals": geometry.face_normals,
    "vertex_normals": geometry.vertex_normals,
    "point_normals": geometry.point_normals,
    "laplacian_coordinates": geometry.laplacian_coordinates,
    "tangent_frames": geometry.tangent_frames,
    "gradient": geometry.gradient,
    "divergence": lambda shape: _derivative(shape, geometry.divergence),
    "curl": lambda shape: _derivative(shape, geometry.curl),
    "direction_field": lambda shape: geometry.direction_field(shape, curvature=1.0),
    "laplacian": geometry.laplacian,
    "laplacian cotangent": lambda shape: geometry.laplacian(shape, "cotangent"),
    "laplacian points": lambda shape: geometry.laplacian(shape, "points"),
    "spectrum": _spectrum,
    "heat_kernel_signature": lambda shape: _signature(shape, geometry.heat_kernel_signature),
    "wave_kernel_signature": lambda shape: _signature(shape, lambda s: geometry.wave_kernel_signature(s, 16)),
    "shot": lambda shape: geometry.shot(shape, 3 * _edge(shape)),
    "differential_invariants": lambda shape: geometry.differential_invariants(*_operators(shape)),
    "curvature": geometry.curvature,
    "ambient_occlusion": lambda shape: 1 - geometry.ambient_occlusion(shape, rays=16),
    "direct_light": lambda shape: geometry.direct_light(shape, torch.tensor([1.0, 2.0, 3.0])),
    "cast_rays": _rays,
    "angle_deficit": geometry.angle_deficit,
    "remesh": _remesh,
    "coarsen": lambda shape: geometry.coarsen(shape, 10),
    "hierarchy": lambda shape: geometry.hierarchy(shape, [20, 5]),
    "geodesic_charts": _charts,
    "chart_radius": lambda shape: geometry.chart_radius(shape, 6),
    "geodesic_distance": lambda shape: geometry.geodesic_distance(shape, *_pairs(shape)),
    "polar_template": _template,
    "match": lambda shape: _matched(match(shape, shape, 16)),
}
# Functions that may answer infinity: between components.
_UNBOUNDED = {"geodesic_distance"}
# Functions whose answer may be zero everywhere: a plane has no curvature; a triangle's vertices may have no neighbours there.
_MAY_BE_ZERO = {"validate", "curvature", "laplacian_coordinates", "edges", "shot"}


def _matched(found: Match) -> list[Any]:
    """What is said of the vertices that have a match: of others the expected error is NaN, as its page says."""
    error = found.trust.error
    judged = replace(found.trust, error=None if error is None else error[found.p2p_21 >= 0])
    return [found.p2p_21, found.p2p_12, found.c_12, judged]


def examine(shape: Any) -> dict[str, Any]:
    """What is wrong with a shape, and what every function made of it."""
    mesh = getattr(shape, "face", None) is not None
    report = str(geometry.validate(shape)).splitlines() if mesh else [f"{len(shape.pos)} points, no faces"]
    return {
        "found": "; ".join(line.strip() for line in report),
        "functions": {name: outcome(name, function, shape) for name, function in FUNCTIONS.items()},
    }


def outcome(name: str, function: Callable[[Any], Any], shape: Any) -> str:
    """``answer``, ``answer, warned: ...``, ``diagnosis: ...``, or ``failure: ...``."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = function(shape)
        except DIAGNOSES as error:
            return (
                f"diagnosis: {error}" if str(error) else f"failure: {type(error).__name__} without a message"
            )
        except Exception as error:
            return f"failure: {type(error).__name__}: {error}"
    values = [value for value in tensors(result) if value.is_floating_point()]
    for value in values:
        if bool(value.isnan().any()) or (name not in _UNBOUNDED and bool(value.isinf().any())):
            return "failure: not a finite number"
    told = [str(each.message) for each in caught if issubclass(each.category, RuntimeWarning | UserWarning)]
    if told:
        return f"answer, warned: {told[0]}"
    if (
        name not in _MAY_BE_ZERO
        and values
        and not any(bool(value.any()) for value in values)
        and _has_area(shape)
    ):
        return "failure: zero everywhere"
    return "answer"


def _has_area(shape: Any) -> bool:
    """Whether zero is a wrong measure of a shape: on meshes of flat faces alone it is the truth."""
    if getattr(shape, "face", None) is None:
        return True
    report = geometry.validate(shape)
    return report.degenerate_faces < report.faces


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in an answer."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, float):
        yield torch.tensor(value)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors(each)
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors(getattr(value, field.name))


def kind_of(outcome: str) -> str:
    return {"answer": "answers", "diagnosis": "diagnoses", "failure": "failures"}[
        outcome.split(":")[0].split(",")[0]
    ]


if __name__ == "__main__":
    main()
