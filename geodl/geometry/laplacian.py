"""Laplacians with mass, of meshes, point clouds, graphs and grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import robust_laplacian
import scipy.sparse
import torch
from numpy.typing import NDArray
from torch import Tensor

from geodl.geometry.shapes import ShapeLike, as_shape
from geodl.geometry.surface import clouds_of, surface_arrays
from geodl.ops.core.structure import Fixed, Layout, Part, Rows, Structure
from geodl.ops.neighbors import Neighbors

__all__ = ["Laplacian", "LaplacianReport", "grid_laplacian", "laplacian"]

KINDS = ("tufted", "cotangent", "points", "combinatorial", "normalized")

# Points that a point's local triangulation is made of, as in Sharp & Crane 2020.
_POINT_NEIGHBORS = 30


@dataclass(frozen=True)
class LaplacianReport:
    """What a Laplacian was built from, and what was left out. Counts.

    Attributes:
        kind: one of "tufted", "cotangent", "points", "combinatorial", "normalized", "grid".
        points: vertices, points or nodes.
        without_mass: points that belong to no face that counts: their row and mass are zero.
        skipped_faces: faces that name a vertex twice.
        flat_faces: faces without area; cotangents leave them out, the tufted Laplacian lengthens their edges a little.
        duplicate_points: points of a cloud at exactly the place of an earlier one.
    """

    kind: str
    points: int
    without_mass: int = 0
    skipped_faces: int = 0
    flat_faces: int = 0
    duplicate_points: int = 0

    def __str__(self) -> str:
        lines = [f"{self.kind} Laplacian of {self.points} points"]
        for count, text in (
            (self.without_mass, "points have no mass: they belong to no face"),
            (self.skipped_faces, "faces that name a vertex twice were skipped"),
            (self.flat_faces, "faces have no area"),
            (self.duplicate_points, "points lie exactly on an earlier one"),
        ):
            if count:
                lines.append(f"  {count} {text}")
        return "\n".join(lines)


def _sum_of_reports(reports: Sequence[LaplacianReport]) -> LaplacianReport:
    """One kind, or all that there are, and the sums of the counts."""
    kinds = " and ".join(sorted({report.kind for report in reports}))
    counts = [f.name for f in fields(LaplacianReport) if f.name != "kind"]
    return LaplacianReport(kinds, **{name: sum(getattr(r, name) for r in reports) for name in counts})


@dataclass(frozen=True, eq=False)
class Laplacian(Structure):
    r"""A symmetric positive semidefinite matrix L and a diagonal mass M: the operator :math:`M^{-1} L`.

    Attributes:
        neighbors: the sparsity of L, diagonal included, columns ascending in a row.
        values: ``[E]`` float64, the entries in that order: an aggregation with them is the product with L.
        mass: ``[V]`` float64: areas for surfaces (in the squared unit of ``pos``), 1 for graphs and grids.
        report: what it was built from.
    """

    neighbors: Neighbors
    values: Tensor
    mass: Tensor
    report: LaplacianReport

    layout: ClassVar[Layout] = {
        "neighbors": Part(Neighbors),
        "values": Rows("edges"),
        "mass": Rows("points"),
        "report": Fixed(_sum_of_reports, read=False, type=LaplacianReport),
    }

    def matrix(self) -> scipy.sparse.csr_array:
        """L as a scipy matrix."""
        size = self.neighbors.num_dst
        entries = (
            self.values.cpu().numpy(),
            self.neighbors.col.cpu().numpy(),
            self.neighbors.rowptr.cpu().numpy(),
        )
        return scipy.sparse.csr_array(entries, shape=(size, size))


def default_kind(shape: Any) -> str:
    """The kind of Laplacian that a shape gets if none is asked for: that of its faces, else of its edges, else of its points."""
    if getattr(shape, "face", None) is not None:
        return "tufted"
    return "combinatorial" if getattr(shape, "edge_index", None) is not None else "points"


def laplacian(shape: ShapeLike, kind: str | None = None) -> Laplacian:
    r"""Laplacian of a shape, with which :math:`f^\top L f` is the energy of a function's gradient.

    - ``"tufted"``, the default for meshes: the intrinsic Delaunay Laplacian of the mesh's tufted cover. Weights are never
      negative; edges of any number of faces, boundaries and degenerate triangles are no obstacle.
    - ``"cotangent"``: :math:`L_{ij} = -\tfrac12 (\cot \alpha_{ij} + \cot \beta_{ij})` with a third of the faces' areas as mass.
    - ``"points"``, the default for point clouds: the tufted Laplacian of local triangulations.
    - ``"combinatorial"``, the default for graphs: D - W. Edges count once for either direction, ``edge_weight`` counts if there.
    - ``"normalized"``: :math:`I - D^{-1/2} W D^{-1/2}`, with 0 for a node without edges.

    Args:
        shape: ``pos [V, 3]`` and ``face [3, F]``, or ``pos`` alone, or ``edge_index [2, E]`` (of a PyG ``Data``); of a packed
            batch the blocks are those of each shape alone.
        kind: one of the above.

    Returns:
        Laplacian in float64 on the CPU. Sharp & Crane, "A Laplacian for nonmanifold triangle meshes", SGP 2020;
        Pinkall & Polthier, "Computing discrete minimal surfaces and their conjugates", 1993.

    Raises:
        ValueError: no such kind, or one that the shape has nothing for; positions that are not finite; an empty shape; a mesh
            none of whose faces has an area; fewer than 4 points of a cloud at different places, or
            points whose neighbours lie on a line.
        IndexError: a face or an edge refers to what does not exist.
    """
    shape = as_shape(shape)
    has = {name: getattr(shape, name, None) is not None for name in ("face", "pos", "edge_index")}
    kind = kind or default_kind(shape)
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    needs = {"tufted": "face", "cotangent": "face", "points": "pos"}.get(kind, "edge_index")
    if not has[needs]:
        raise ValueError(f"a {kind} Laplacian needs {needs}, which the shape does not have")
    if kind in ("tufted", "cotangent"):
        return _of_mesh(shape, kind)
    if kind == "points":
        clouds = [_of_points(cloud.pos) for cloud in clouds_of(shape)]
        return clouds[0] if len(clouds) == 1 else Laplacian.cat(clouds)
    return _of_graph(shape, kind)


def grid_laplacian(size: Sequence[int], periodic: bool = False) -> Laplacian:
    """Laplacian of a regular grid of any dimension, with neighbours one step along each axis.

    Args:
        size: points along each axis; a point's number counts the last axis fastest, as ``reshape`` does.
        periodic: whether the ends of every axis are neighbours, so that the eigenvectors are Fourier's. An axis of two points
            then joins them by two edges.

    Raises:
        ValueError: no axes, or an axis without points.
    """
    if not size or min(size) < 1:
        raise ValueError(f"size must hold at least one point along each axis, got {list(size)}")
    total: Any = scipy.sparse.csr_array((1, 1))
    points = 1
    for length in size:
        along = np.arange(length if periodic else length - 1)
        ends = along, (along + 1) % length
        weights = scipy.sparse.coo_array((np.ones(len(along)), ends), shape=(length, length))
        axis = _energy(weights.tocsr())
        total = scipy.sparse.kron(total, scipy.sparse.eye_array(length)) + scipy.sparse.kron(
            scipy.sparse.eye_array(points), axis
        )
        points *= length
    return pack(total, np.ones(points), LaplacianReport("grid", points))


def _of_mesh(mesh: Any, kind: str) -> Laplacian:
    pos, face = surface_arrays(mesh)
    a, b, c = face.T
    proper = (a != b) & (b != c) & (c != a)
    sides = pos[face] - pos[np.roll(face, 1, axis=1)]
    doubled = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1)
    flat = proper & (doubled <= 1e-14 * (sides**2).sum(axis=2).max(axis=1))
    counted = face[proper & ~flat] if kind == "cotangent" else face[proper]
    if not (proper & ~flat).any():
        raise ValueError(f"none of the {len(face)} faces has an area: the mesh has no Laplacian")
    used = np.unique(counted)
    number = np.full(len(pos), -1)
    number[used] = np.arange(len(used))
    if kind == "tufted":
        # In units of the mesh's size: the library's tolerances are absolute.
        unit = float(np.ptp(pos[used], axis=0).max())
        weak, mass = robust_laplacian.mesh_laplacian((pos[used] - pos[used[0]]) / unit, number[counted])
        areas = mass.diagonal() * unit**2
    else:
        weak, areas = _cotangent(pos[used], number[counted])
    entries = weak.tocoo()
    whole = scipy.sparse.coo_array(
        (entries.data, (used[entries.row], used[entries.col])), shape=(len(pos),) * 2
    )
    spread = np.zeros(len(pos))
    spread[used] = areas
    report = LaplacianReport(kind, len(pos), int((spread == 0).sum()), int((~proper).sum()), int(flat.sum()))
    return pack(whole, spread, report)


def _cotangent(pos: NDArray[np.float64], face: NDArray[np.int64]) -> tuple[Any, NDArray[np.float64]]:
    corners = pos[face]
    weights: Any = scipy.sparse.csr_array((len(pos), len(pos)))
    area = 0.5 * np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    for k in range(3):
        one, two = corners[:, (k + 1) % 3] - corners[:, k], corners[:, (k + 2) % 3] - corners[:, k]
        half_cot = (one * two).sum(axis=1) / (4 * area)
        ends = face[:, (k + 1) % 3], face[:, (k + 2) % 3]
        weights = weights + scipy.sparse.coo_array((half_cot, ends), shape=weights.shape).tocsr()
    mass = np.bincount(face.ravel(), np.repeat(area / 3, 3), minlength=len(pos))
    return _energy(weights), mass.astype(np.float64)


def _of_points(pos: Tensor) -> Laplacian:
    if pos.dim() != 2 or pos.shape[1] != 3:
        raise ValueError(f"pos must have shape [V, 3], not {list(pos.shape)}")
    if not bool(torch.isfinite(pos).all()):
        bad = int((~torch.isfinite(pos).all(dim=1)).nonzero()[0])
        raise ValueError(f"point {bad} is not finite: {pos[bad].tolist()}")
    points = pos.detach().cpu().double().numpy()
    distinct, first, which = np.unique(points, axis=0, return_index=True, return_inverse=True)
    if len(distinct) < 4:
        raise ValueError(f"a point cloud needs at least 4 points at different places, it has {len(distinct)}")
    which = which.reshape(-1)
    unit = float(np.ptp(distinct, axis=0).max())
    near = min(_POINT_NEIGHBORS, len(distinct) - 1)
    try:
        weak, mass = robust_laplacian.point_cloud_laplacian((distinct - distinct[0]) / unit, n_neighbors=near)
    except RuntimeError as error:
        # What it says of points that no local triangle contains.
        raise ValueError(
            f"some of the {len(distinct)} points have their neighbours on a line: the cloud is no surface there"
        ) from error
    entries = weak.tocoo()
    # The first of several points at one place stands for them all.
    whole = scipy.sparse.coo_array(
        (entries.data, (first[entries.row], first[entries.col])), shape=(len(points),) * 2
    )
    spread = np.zeros(len(points))
    spread[first] = mass.diagonal() * unit**2
    twins = len(points) - len(distinct)
    return pack(
        whole,
        spread,
        LaplacianReport("points", len(points), int((spread == 0).sum()), duplicate_points=twins),
    )


def _of_graph(graph: Any, kind: str) -> Laplacian:
    src, dst = graph.edge_index.detach().cpu().numpy()
    nodes = graph.num_nodes
    if not nodes:
        raise ValueError("the graph is empty: it has no nodes")
    if len(src) and (min(src.min(), dst.min()) < 0 or max(src.max(), dst.max()) >= nodes):
        raise IndexError(
            f"edge_index holds {min(src.min(), dst.min())}..{max(src.max(), dst.max())}, but there are {nodes} nodes"
        )
    weight = getattr(graph, "edge_weight", None)
    amount = np.ones(len(src)) if weight is None else weight.detach().cpu().double().numpy()
    if (amount < 0).any() or not np.isfinite(amount).all():
        raise ValueError("edge_weight must be finite and not negative")
    # Half from each direction: an edge that is listed both ways counts once.
    adjacency = scipy.sparse.coo_array((0.5 * amount, (src, dst)), shape=(nodes, nodes)).tocsr()
    weak = _energy(adjacency)
    if kind == "normalized":
        degree = weak.diagonal()
        scale = np.divide(1, np.sqrt(degree), out=np.zeros(nodes), where=degree > 0)
        weak = weak.multiply(scale[:, None]).multiply(scale[None, :]).tocsr()
    return pack(weak, np.ones(nodes), LaplacianReport(kind, nodes))


def _energy(weights: Any) -> Any:
    """The matrix of the sum over entries (i, j) of w_ij (f_i - f_j)^2."""
    both = (weights + weights.T).tocsr()
    degree = np.asarray(both.sum(axis=1)).ravel()
    return (scipy.sparse.diags_array(degree) - both).tocsr()


def pack(weak: Any, mass: NDArray[np.float64], report: LaplacianReport) -> Laplacian:
    matrix = weak.tocsr()
    matrix.sum_duplicates()
    symmetric = ((matrix + matrix.T) * 0.5).tocsr()
    symmetric.sort_indices()
    rowptr, col = (
        torch.from_numpy(array.astype(np.int64)) for array in (symmetric.indptr, symmetric.indices)
    )
    neighbors = Neighbors(rowptr, col, len(mass))
    return Laplacian(
        neighbors, torch.from_numpy(symmetric.data), torch.from_numpy(np.ascontiguousarray(mass)), report
    )
