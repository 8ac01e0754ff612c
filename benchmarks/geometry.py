"""Geodesics beside potpourri3d and pygeodesic, spectra beside scipy: `python -m benchmarks.geometry`.

Peers are timed on a sample of source vertices and scaled up, unless ``--full``; ours are always run whole. Ours use
``--threads``, the peers have one thread each. ``--only spectrum`` measures the spectra alone, on the meshes of ``--root`` and
``--remeshed``, beside scipy's shift-invert eigsh with the same matrices, and the precomputation of many shapes.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
import trimesh
from numpy.typing import NDArray
from scipy.sparse.linalg import eigsh
from torch import Tensor

from benchmarks.result import command, write_result
from geodl.data import Mesh, collate
from geodl.geometry import (
    Charts,
    chart_radius,
    geodesic_charts,
    geodesic_distance,
    gradient,
    laplacian,
    polar_template,
    spectrum,
    template_coverage,
)

# Of 6890 predictions of a trained network, most are right, nearly all others a few edges off, and a few anywhere.
NEAR, FAR = 0.28, 0.02


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.geometry", description=__doc__)
    parser.add_argument("--root", type=Path, help="folder of MPI-FAUST; a procedural mesh if not given")
    parser.add_argument("--remeshed", type=Path, help="folder of FAUST_r (off files), for the spectra")
    parser.add_argument("--only", choices=["geodesics", "spectrum"], help="measure these alone")
    parser.add_argument("--shape", type=int, default=0, help="number of the FAUST shape")
    parser.add_argument("--size", type=int, default=60, help="average number of vertices in a chart")
    parser.add_argument("--sample", type=int, default=100, help="source vertices on which peers are timed")
    parser.add_argument("--full", action="store_true", help="time the peers' charts on every vertex")
    parser.add_argument("--repeats", type=int, default=7, help="runs of ours, of which the median counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=["cpu"], default="cpu", help="geometry is computed on the CPU")
    parser.add_argument("--out", type=Path, default=Path("runs/geometry"), help="folder of result.json")
    chosen = parser.parse_args(argv)
    torch.set_num_threads(chosen.threads)

    busy = round(
        os.getloadavg()[0], 1
    )  # what else the machine was doing: above 0, all times below are too long
    began = time.perf_counter()
    mesh, name = load(chosen.root, chosen.shape)
    vertices = mesh.pos.shape[0]
    if chosen.only == "spectrum":
        return spectra_alone(chosen, mesh, name, busy, began)
    rng = np.random.default_rng(chosen.seed)
    sample = np.sort(rng.permutation(vertices)[: vertices if chosen.full else chosen.sample])
    radius = chart_radius(mesh, chosen.size)
    charts = geodesic_charts(mesh, radius)
    rows = [
        *time_charts(mesh, charts, radius, sample, chosen.repeats),
        *time_evaluation(mesh, charts, rng, chosen.repeats),
        *time_full_solves(mesh, sample[:: max(1, len(sample) // 20)]),
        time_template(mesh, charts, chosen.repeats),
    ]
    if chosen.only is None:
        rows += time_spectra({name: mesh, **remeshed(chosen.remeshed, 1)}, chosen.repeats)
    path = write_result(
        chosen.out,
        benchmark="geometry",
        data=name,
        model="exact polyhedral windows",
        seconds=time.perf_counter() - began,
        parameters={
            "vertices": vertices,
            "faces": mesh.face.shape[1],
            "radius": radius,
            "mean_chart_size": charts.neighbors.num_edges / vertices,
            "threads": chosen.threads,
            "sampled_sources": len(sample),
            "load_average": busy,
        },
        seeds=[chosen.seed],
        command=public_command(chosen.root, chosen.remeshed),
        rows=rows,
    )
    show(rows)
    print(f"\n{name}, {vertices} vertices, {chosen.threads} thread(s); written to {path}")


def load(root: Path | None, shape: int) -> tuple[Mesh, str]:
    if root is not None:
        from geodl.datasets import FAUST

        mesh = FAUST(root)[shape]
        return Mesh(pos=mesh.pos.double(), face=mesh.face), f"FAUST registrations, {mesh.name}"
    ball = trimesh.creation.icosphere(subdivisions=5)
    x, y, z = np.array(ball.vertices).T
    bumps = 1 + 0.25 * np.sin(3 * x + 1) * np.cos(4 * y + 0.7) + 0.15 * np.sin(5 * z + 2 * x)
    pos = np.stack([1.4 * x, y, 0.8 * z], axis=1) * bumps[:, None]
    return Mesh(
        pos=torch.from_numpy(pos), face=torch.from_numpy(np.array(ball.faces).T.copy())
    ), "deformed icosphere"


def time_charts(
    mesh: Mesh, charts: Charts, radius: float, sample: NDArray[np.int64], repeats: int
) -> list[dict[str, Any]]:
    """Charts against a loop of potpourri3d's logarithmic map over the vertices, and what separates their numbers."""
    ours = median_ms(lambda: geodesic_charts(mesh, radius), repeats)
    work = (
        f"charts of {charts.num_charts} vertices, {charts.neighbors.num_edges / charts.num_charts:.0f} each"
    )
    row: dict[str, Any] = comparison("geodesic_charts", work, "none", ours, None)
    try:
        import potpourri3d
    except ImportError:
        return [row | agreement_with_pygeodesic(mesh, charts, sample)]
    pos, face = mesh.pos.numpy(), mesh.face.T.numpy()
    began = time.perf_counter()
    solver = potpourri3d.MeshVectorHeatSolver(pos, face)
    build = time.perf_counter() - began
    maps, seconds = [], []
    for i in sample.tolist():
        began = time.perf_counter()
        maps.append(solver.compute_log_map(i, strategy="AffineLocal"))
        seconds.append(time.perf_counter() - began)
    peer = 1e3 * (build + statistics.fmean(seconds) * charts.num_charts)
    scaled = "" if len(sample) == charts.num_charts else f", {len(sample)} sources scaled up"
    row = comparison("geodesic_charts", work, f"potpourri3d AffineLocal{scaled}", ours, peer)
    row |= agreement_with_pygeodesic(mesh, charts, sample)
    row |= direction_difference(charts, sample, maps, "theta_median_degrees")
    # The default heat time suits the mean edge; where vertices are denser, only a shorter one converges.
    solver = potpourri3d.MeshVectorHeatSolver(pos, face, t_coef=0.01)
    maps = [solver.compute_log_map(i, strategy="AffineLocal") for i in sample[:100].tolist()]
    row |= direction_difference(charts, sample[:100], maps, "theta_median_degrees_heat_time_0.01")
    return [row]


def direction_difference(
    charts: Charts, sample: NDArray[np.int64], maps: list[NDArray[np.float64]], name: str
) -> dict[str, float]:
    """Median difference of theta in degrees, over all pairs and over the charts' own medians, frames aligned."""
    pairs, per_chart = [], []
    for i, log in zip(sample.tolist(), maps, strict=True):
        col, rho, theta = chart(charts, i)
        turn = theta - torch.atan2(*torch.from_numpy(log)[col].flip(1).unbind(1))
        # Frames differ by one angle a vertex, which its nearest neighbours tell best.
        offset = torch.atan2((turn.sin() / rho).sum(), (turn.cos() / rho).sum())
        error = (torch.remainder(turn - offset + math.pi, 2 * math.pi) - math.pi).abs() * 180 / math.pi
        pairs.append(error)
        per_chart.append(error.median())
    return {
        name: round(float(torch.cat(pairs).median()), 4),
        f"{name}_per_chart": round(float(torch.stack(per_chart).median()), 4),
    }


def agreement_with_pygeodesic(mesh: Mesh, charts: Charts, sample: NDArray[np.int64]) -> dict[str, float]:
    """Relative difference of rho from pygeodesic's exact distances, in percent."""
    solver = exact_solver(mesh)
    if solver is None:
        return {}
    errors = []
    for i in sample[:25].tolist():
        expected, _ = solver.geodesicDistances(np.array([i]))
        col, rho, _ = chart(charts, i)
        exact = torch.from_numpy(expected)[col]
        errors.append(100 * (rho - exact).abs() / exact)
    error = torch.cat(errors)
    return {
        "rho_mean_error_percent": float(error.mean()),
        "rho_p99_error_percent": float(error.quantile(0.99)),
    }


def time_evaluation(
    mesh: Mesh, charts: Charts, rng: np.random.Generator, repeats: int
) -> list[dict[str, Any]]:
    """Errors of one shape's predictions against one exact solve per vertex, ours and pygeodesic's."""
    truth = np.arange(charts.num_charts)
    predicted = truth.copy()
    fate = rng.random(len(truth))
    rowptr, col = charts.neighbors.rowptr.numpy(), charts.neighbors.col.numpy()
    drawn = rowptr[:-1] + (rng.random(len(truth)) * np.diff(rowptr)).astype(np.int64)
    predicted = np.where(fate < NEAR + FAR, col[drawn], predicted)
    predicted = np.where(fate < FAR, rng.integers(len(truth), size=len(truth)), predicted)
    pairs = torch.from_numpy(predicted), torch.from_numpy(truth)
    ours = median_ms(lambda: geodesic_distance(mesh, *pairs), max(3, repeats // 2))
    work = f"{len(truth)} pairs, {100 * NEAR:.0f} % near, {100 * FAR:.0f} % anywhere"
    few = rng.permutation(len(truth))[:20]
    everyone = torch.arange(len(truth))
    begun = torch.from_numpy(few).repeat_interleave(len(truth))
    full = median_ms(lambda: geodesic_distance(mesh, begun, everyone.repeat(len(few))), 3)
    peer = f"geodl, one full solve a vertex, {len(few)} scaled up"
    rows = [comparison("geodesic_distance", work, peer, ours, full / len(few) * len(truth))]
    solver = exact_solver(mesh)
    if solver is not None:
        began = time.perf_counter()
        for i in few[:10].tolist():
            solver.geodesicDistances(np.array([i]))
        spent = 1e3 * (time.perf_counter() - began) / 10 * len(truth)
        peer = "pygeodesic, one full solve a vertex, 10 scaled up"
        rows.append(comparison("geodesic_distance", work, peer, ours, spent))
    return rows


def time_full_solves(mesh: Mesh, sample: NDArray[np.int64]) -> list[dict[str, Any]]:
    """One source, all vertices; and how far the two solvers' distances are apart."""
    solver = exact_solver(mesh)
    if solver is None:
        return []
    everyone = torch.arange(mesh.pos.shape[0])
    ours, theirs, error = [], [], 0.0
    for i in sample.tolist():
        began = time.perf_counter()
        found = geodesic_distance(mesh, torch.full_like(everyone, i), everyone).numpy()
        between = time.perf_counter()
        expected, _ = solver.geodesicDistances(np.array([i]))
        ours.append(1e3 * (between - began))
        theirs.append(1e3 * (time.perf_counter() - between))
        reached = np.isfinite(found) & (expected > 0)
        error = max(error, float((np.abs(found - expected)[reached] / expected[reached]).max()))
    work = f"one source to all {mesh.pos.shape[0]} vertices"
    row = comparison(
        "geodesic_distance", work, "pygeodesic", statistics.median(ours), statistics.median(theirs)
    )
    return [row | {"largest_relative_difference": error}]


def time_template(mesh: Mesh, charts: Charts, repeats: int) -> dict[str, Any]:
    ours = median_ms(lambda: polar_template(mesh, charts, 5, 8), max(3, repeats // 2))
    coverage = float(template_coverage(mesh, charts, 5, 8).mean())
    return comparison(
        "polar_template", f"5 rings x 8 rays, {charts.num_charts} charts", "none", ours, None
    ) | {"coverage": round(coverage, 4)}


def spectra_alone(chosen: argparse.Namespace, mesh: Mesh, name: str, busy: float, began: float) -> None:
    rows = time_spectra({name: mesh, **remeshed(chosen.remeshed, 1)}, chosen.repeats)
    rows.append(time_precomputation(remeshed(chosen.remeshed, 100) or {name: mesh}))
    path = write_result(
        chosen.out,
        benchmark="spectrum",
        data=" and ".join(filter(None, [name, chosen.remeshed and "FAUST_r"])),
        model="block Lanczos",
        seconds=time.perf_counter() - began,
        parameters={"threads": chosen.threads, "load_average": busy},
        seeds=[chosen.seed],
        command=public_command(chosen.root, chosen.remeshed),
        rows=rows,
    )
    show(rows)
    print(f"\n{chosen.threads} thread(s); written to {path}")


def remeshed(root: Path | None, count: int) -> dict[str, Mesh]:
    """The first shapes of FAUST_r, by name."""
    if root is None:
        return {}
    paths = sorted(root.rglob("*.off"))[:count]
    if not paths:
        raise SystemExit(f"{root}: no off files")
    return {f"FAUST_r, {path.stem}": Mesh.load(path) for path in paths}


def time_spectra(meshes: dict[str, Mesh], repeats: int) -> list[dict[str, Any]]:
    """The same eigenvalues as scipy's, in turns with it."""
    rows = []
    for name, mesh in meshes.items():
        operator = laplacian(mesh)
        weak, mass = operator.matrix().tocsc(), scipy.sparse.diags_array(operator.mass.numpy()).tocsc()
        # As far below zero as the first eigenvalue of a surface is above it.
        sigma = -float(4 * math.pi / operator.mass.sum())
        for k in (128, 200):
            ours, theirs = [], []
            found = spectrum(operator, k)
            for _ in range(max(3, repeats // 2)):
                began = time.perf_counter()
                found = spectrum(operator, k)
                between = time.perf_counter()
                expected = eigsh(weak, k, mass, sigma=sigma, return_eigenvectors=True)[0]
                ours.append(1e3 * (between - began))
                theirs.append(1e3 * (time.perf_counter() - between))
            work = f"k = {k}, {name}, {len(mesh.pos)} vertices"
            row = comparison(
                "spectrum", work, "scipy eigsh", statistics.median(ours), statistics.median(theirs)
            )
            difference = np.abs(found.evals.numpy()[1:] / np.sort(expected)[1:] - 1).max()
            rows.append(
                row
                | {"largest_relative_difference": float(difference), "residual": found.reports[0].residual}
            )
    return rows


def time_precomputation(meshes: dict[str, Mesh]) -> dict[str, Any]:
    """Laplacians, spectra and gradients of many shapes, from memory."""
    batch = collate(list(meshes.values()))
    began = time.perf_counter()
    spectrum(batch, 128)
    for mesh in meshes.values():
        gradient(mesh)
    spent = 1e3 * (time.perf_counter() - began)
    return comparison(
        "precomputation", f"{len(meshes)} shapes, spectrum k = 128 and gradient", "none", spent, None
    )


def exact_solver(mesh: Mesh) -> Any:
    """pygeodesic's solver, or None where it is not installed."""
    try:
        from pygeodesic import geodesic
    except ImportError:
        return None
    return geodesic.PyGeodesicAlgorithmExact(mesh.pos.numpy(), mesh.face.T.numpy())


def chart(charts: Charts, i: int) -> tuple[Tensor, Tensor, Tensor]:
    """Neighbours, rho and theta of vertex i, without itself."""
    row = slice(int(charts.neighbors.rowptr[i]), int(charts.neighbors.rowptr[i + 1]))
    col = charts.neighbors.col[row]
    away = col != i
    return col[away], charts.rho[row][away], charts.theta[row][away]


def median_ms(run: Callable[[], object], repeats: int) -> float:
    run()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times)


def comparison(op: str, work: str, peer: str, ours_ms: float, peer_ms: float | None) -> dict[str, Any]:
    return {
        "op": op,
        "work": work,
        "peer": peer,
        "ours_ms": round(ours_ms, 3),
        "peer_ms": None if peer_ms is None else round(peer_ms, 1),
        "ratio": None if peer_ms is None else round(peer_ms / ours_ms, 1),
        "roofline": None,
        "ours_mb": None,
        "peer_mb": None,
    }


def public_command(root: Path | None, remeshed: Path | None) -> str:
    """The command line without the place of the data on this machine."""
    line = command()
    for path, name in ((root, "MPI-FAUST"), (remeshed, "FAUST_r")):
        line = line if path is None else line.replace(str(path), name)
    return line


def show(rows: Sequence[dict[str, Any]]) -> None:
    print(f"{'operation':18} {'ours, ms':>10} {'peer, ms':>12} {'ratio':>8}  peer; work")
    for row in rows:
        peer_ms, ratio = ("-" if row[key] is None else f"{row[key]:,.1f}" for key in ("peer_ms", "ratio"))
        print(f"{row['op']:18} {row['ours_ms']:10.1f} {peer_ms:>12} {ratio:>8}  {row['peer']}; {row['work']}")
        for key in list(row)[9:]:
            print(f"{'':18} {key} = {row[key]:.3g}")


if __name__ == "__main__":
    main()
