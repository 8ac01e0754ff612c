"""How good a correspondence is: geodesic error, accuracy and the Princeton curve."""

from __future__ import annotations

import hashlib
import math
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geodl.data.shapes import as_shape
from geodl.geometry import geodesic_distance, surface_area
from geodl.geometry.shapes import IndexLike, as_index
from geodl.matching.edge_distance import edge_distance

__all__ = ["PROTOCOLS", "CorrespondenceReport", "MatchedPair", "evaluate"]

PROTOCOLS = {
    "exact": "exact polyhedral geodesics / sqrt(area), mean over all points of all pairs",
    "dijkstra": "Dijkstra along edges / sqrt(area), mean over all points of all pairs",
    "per-pair": "exact polyhedral geodesics / sqrt(area), mean over the means of the pairs",
}
_HIT_THRESHOLDS = (0.01, 0.02, 0.05, 0.10, 0.20)
_WORST_LISTED = 10


@dataclass(frozen=True, eq=False)
class MatchedPair:
    """A shape matched to a target mesh.

    Args:
        mesh: the mesh that the indices mean (the target, or the reference of a labelling), with ``pos``
            ``[V', 3]`` and ``face`` ``[3, F]``.
        predicted: ``[V]`` integers: the vertex of ``mesh`` that each of the V points of the shape is matched to; -1 where there is
            none.
        true: ``[V]`` integers: the vertex of ``mesh`` that it should be matched to.
        name: what the report calls the pair; "pair <number>" if empty.
    """

    mesh: Any
    predicted: IndexLike
    true: IndexLike
    name: str = ""


@dataclass(frozen=True, eq=False)
class CorrespondenceReport:
    """What :func:`evaluate` found. Errors are geodesic distance / sqrt(area); "x100" marks percents of it.

    Attributes:
        protocol: a key of ``PROTOCOLS``.
        names: of the pairs, in the order given.
        errors: of every matched point, in order, float64 a pair, not multiplied by 100; inf if unreachable.
        mean_error: x100; inf if any point is unreachable.
        mean_error_reachable: x100, over the reachable points only (``mean_error`` if all are).
        median_error, worst_error: x100, over all points of all pairs.
        pair_means: x100, one a pair.
        accuracy: fraction of points with predicted == true.
        thresholds: ``[T]`` float64, of the Princeton curve.
        curve: ``[T]`` float64: fraction of all points with error <= threshold (Kim et al. 2011).
        auc: area under that curve from 0 to the last threshold t, over t: the mean of max(0, 1 - error / t).
        points: number of points of all pairs.
        unreachable: number of points whose prediction lies on another component than the truth. They count as
            never hit in ``curve``, ``auc`` and ``accuracy``, and make ``mean_error`` infinite.
        unmatched: number of points that were predicted as -1, as :func:`match` does of vertices of no face: they count nowhere
            else.
        seconds: that the evaluation took.
    """

    protocol: str
    names: tuple[str, ...]
    errors: tuple[Tensor, ...]
    mean_error: float
    mean_error_reachable: float
    median_error: float
    worst_error: float
    pair_means: tuple[float, ...]
    accuracy: float
    thresholds: Tensor
    curve: Tensor
    auc: float
    points: int
    unreachable: int
    unmatched: int
    seconds: float

    def hit_rate(self, threshold: float) -> float:
        """Fraction of all points with error <= threshold (in units of sqrt(area), e.g. 0.05)."""
        return sum(int((error <= threshold).sum()) for error in self.errors) / self.points

    def to_dict(self) -> dict[str, Any]:
        """The numbers (without ``errors``) as plain Python for ``json.dumps``; infinite ones become None."""
        return {
            "protocol": self.protocol,
            "pairs": len(self.names),
            "points": self.points,
            "unreachable": self.unreachable,
            "unmatched": self.unmatched,
            "mean_error_x100": _finite(self.mean_error),
            "mean_error_reachable_x100": _finite(self.mean_error_reachable),
            "median_error_x100": _finite(self.median_error),
            "worst_error_x100": _finite(self.worst_error),
            "accuracy": self.accuracy,
            "auc": self.auc,
            "hit_rate": {f"{threshold:g}": self.hit_rate(threshold) for threshold in _HIT_THRESHOLDS},
            "thresholds": self.thresholds.tolist(),
            "curve": self.curve.tolist(),
            "pair_means_x100": [
                {"name": name, "mean_error_x100": _finite(mean)}
                for name, mean in zip(self.names, self.pair_means, strict=True)
            ],
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        lines = [
            f"Correspondence over {_count(len(self.names), 'pair')}, {self.points:,} points",
            f"  protocol '{self.protocol}': {PROTOCOLS[self.protocol]}",
            f"  mean error x100     {self.mean_error:9.3f}",
            f"  median error x100   {self.median_error:9.3f}",
            f"  worst error x100    {self.worst_error:9.3f}",
            f"  exact               {100 * self.accuracy:9.2f} %",
            *(f"  within {100 * t:4.0f} %       {100 * self.hit_rate(t):9.2f} %" for t in _HIT_THRESHOLDS),
            f"  area under curve    {100 * self.auc:9.2f} %  (errors 0 to {float(self.thresholds[-1]):g})",
            f"  seconds             {self.seconds:9.2f}",
        ]
        if self.unmatched:
            lines.append(
                f"  unmatched           {self.unmatched:9,} points have no prediction (-1) and do not count"
            )
        if self.unreachable:
            lines.append(
                f"  UNREACHABLE         {self.unreachable:9,} points predicted on another component "
                f"(mean error x100 of the others: {self.mean_error_reachable:.3f})"
            )
        worst = sorted(range(len(self.names)), key=lambda p: -self.pair_means[p])[:_WORST_LISTED]
        width = max(len("pair"), *(len(self.names[p]) for p in worst))
        lines.append(f"  {'pair':<{width}}  mean error x100")
        lines.extend(f"  {self.names[p]:<{width}}  {self.pair_means[p]:15.3f}" for p in worst)
        if hidden := len(self.names) - len(worst):
            lines.append(f"  ... and {_count(hidden, 'pair')} with smaller errors")
        return "\n".join(lines)


def evaluate(
    pairs: Iterable[MatchedPair], protocol: str = "exact", thresholds: Sequence[float] | Tensor | None = None
) -> CorrespondenceReport:
    """Geodesic error of every point of every pair, and what follows from it.

    ::

        error(v) = d(predicted[v], true[v]) / sqrt(area of the mesh)

    with d the geodesic distance on the mesh that the indices mean (Kim, Lipman and Funkhouser 2011, "Blended
    intrinsic maps"). Distances are asked once for every distinct couple of vertices of every distinct mesh,
    whatever the number of pairs that share it, and never as a ``V x V`` table; equal indices cost nothing.

    Args:
        pairs: matched pairs; a generator will do. Equal meshes (``pos``, ``face``) share distances.
        protocol: "exact", "dijkstra" or "per-pair", see ``PROTOCOLS``; name it where you quote the numbers.
        thresholds: of the Princeton curve, ascending, in units of sqrt(area); by default 101 from 0 to 0.25.

    Raises:
        ValueError: no pairs, a pair without points, with wrong shapes or dtypes, a mesh without area, an
            unknown protocol, or thresholds that do not ascend.
        IndexError: an index outside the vertices of the mesh (-1 of a prediction is none).

    Warns:
        RuntimeWarning: points predicted on another component than the truth.
    """
    began = time.perf_counter()
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}, not {protocol!r}")
    levels = _thresholds(thresholds)
    meshes: dict[bytes, Any] = {}
    members: dict[bytes, list[int]] = {}
    names: list[str] = []
    matches: list[tuple[Tensor, Tensor]] = []
    unmatched = 0
    for number, pair in enumerate(pairs):
        name = pair.name or f"pair {number}"
        mesh = as_shape(pair.mesh)
        predicted, true = _validated(pair, mesh, name)
        answered = predicted >= 0
        unmatched += int((~answered).sum())
        match = predicted[answered], true[answered]
        key = _fingerprint(mesh)
        meshes.setdefault(key, mesh)
        members.setdefault(key, []).append(number)
        names.append(name)
        matches.append(match)
    if not matches:
        raise ValueError("pairs is empty: there is nothing to evaluate")

    errors: list[Tensor] = [torch.empty(0)] * len(matches)
    for key, numbers in members.items():
        predicted = torch.cat([matches[number][0] for number in numbers])
        true = torch.cat([matches[number][1] for number in numbers])
        mesh = _Surface(meshes[key].pos.detach().cpu().double(), meshes[key].face.detach().cpu())
        area = float(surface_area(mesh))
        if not (area > 0 and math.isfinite(area)):
            raise ValueError(
                f"{names[numbers[0]]}: mesh has surface area {area:g}; errors are relative to its square root"
            )
        error = _distances(mesh, predicted, true, protocol) / math.sqrt(area)
        sizes = [matches[number][0].shape[0] for number in numbers]
        for number, part in zip(numbers, torch.split(error, sizes), strict=True):
            errors[number] = part.clone()  # else one pair would keep the errors of all
    exact = sum(int((predicted == true).sum()) for predicted, true in matches)
    return _report(protocol, tuple(names), tuple(errors), exact, levels, unmatched, began)


@dataclass(frozen=True)
class _Surface:
    """A mesh in float64 on the CPU, so that areas and distances come back in float64."""

    pos: Tensor
    face: Tensor


def _distances(mesh: _Surface, predicted: Tensor, true: Tensor, protocol: str) -> Tensor:
    """Distance [P] float64 between predicted[p] and true[p], asked once for every couple of vertices."""
    num_vertices = mesh.pos.shape[0]
    couple = torch.minimum(predicted, true) * num_vertices + torch.maximum(predicted, true)
    couple, inverse = torch.unique(couple, return_inverse=True)
    low, high = couple // num_vertices, couple % num_vertices
    distance = torch.zeros(couple.shape[0], dtype=torch.float64)
    apart = low != high
    low, high = low[apart], high[apart]
    # Distances are symmetric and a search serves all targets of its source: the busier end is the source.
    uses = torch.bincount(torch.cat([low, high]), minlength=num_vertices)
    swap = uses[high] > uses[low]
    source, target = torch.where(swap, high, low), torch.where(swap, low, high)
    if source.numel():
        measure = edge_distance if protocol == "dijkstra" else geodesic_distance
        distance[apart] = measure(mesh, source, target)
    return distance[inverse]


def _report(
    protocol: str,
    names: tuple[str, ...],
    errors: tuple[Tensor, ...],
    exact: int,
    thresholds: Tensor,
    unmatched: int,
    began: float,
) -> CorrespondenceReport:
    error = torch.cat(errors).sort().values
    points = error.shape[0]
    reachable = error[torch.isfinite(error)]
    pair_means = tuple(100 * float(part.mean()) for part in errors)
    if protocol == "per-pair":
        finite = [part[torch.isfinite(part)] for part in errors]
        mean = sum(pair_means) / len(pair_means)
        means_reachable = [100 * float(part.mean()) for part in finite if part.numel()]
        mean_reachable = sum(means_reachable) / len(means_reachable) if means_reachable else math.inf
    else:
        mean = 100 * float(error.mean())
        mean_reachable = 100 * float(reachable.mean()) if reachable.numel() else math.inf
    unreachable = points - reachable.shape[0]
    if unreachable:
        where = [name for name, mean in zip(names, pair_means, strict=True) if not math.isfinite(mean)]
        warnings.warn(
            f"{unreachable} of {points} points are predicted on another component than the truth, so the "
            f"mean error is infinite (in {', '.join(where[:5])}{', ...' if len(where) > 5 else ''})",
            RuntimeWarning,
            stacklevel=3,
        )
    last = float(thresholds[-1])
    return CorrespondenceReport(
        protocol=protocol,
        names=names,
        errors=errors,
        mean_error=mean,
        mean_error_reachable=mean_reachable,
        median_error=50 * float(error[(points - 1) // 2] + error[points // 2]),
        worst_error=100 * float(error[-1]),
        pair_means=pair_means,
        accuracy=exact / points,
        thresholds=thresholds,
        curve=torch.searchsorted(error, thresholds, right=True).double() / points,
        auc=float((1 - error / last).clamp(min=0).mean()),
        points=points,
        unreachable=unreachable,
        unmatched=unmatched,
        seconds=time.perf_counter() - began,
    )


def _validated(pair: MatchedPair, mesh: Any, name: str) -> tuple[Tensor, Tensor]:
    pos, face = getattr(mesh, "pos", None), getattr(mesh, "face", None)
    if pos is None or face is None:
        raise ValueError(f"{name}: mesh must carry pos and face, it is a {type(pair.mesh).__name__}")
    num_vertices = pos.shape[0]
    found: list[Tensor] = []
    for argument, given, least in (("predicted", pair.predicted, -1), ("true", pair.true, 0)):
        index = as_index(f"{name}: {argument}", given).cpu()
        if index.dim() != 1:
            raise ValueError(f"{name}: {argument} must have shape [V], not {list(index.shape)}")
        if index.numel() == 0:
            raise ValueError(f"{name}: {argument} holds no points")
        if not least <= int(index.min()) <= int(index.max()) < num_vertices:
            span = f"{int(index.min())}..{int(index.max())}"
            raise IndexError(f"{name}: {argument} holds {span}, but mesh has {num_vertices} vertices")
        found.append(index)
    predicted, true = found
    if predicted.shape != true.shape:
        raise ValueError(f"{name}: predicted has {predicted.shape[0]} points but true has {true.shape[0]}")
    if not bool((predicted >= 0).any()):
        raise ValueError(f"{name}: predicted is -1 everywhere: there is nothing to evaluate")
    return predicted, true


def _thresholds(thresholds: Sequence[float] | Tensor | None) -> Tensor:
    if thresholds is None:
        return torch.linspace(0, 0.25, 101, dtype=torch.float64)
    levels = torch.as_tensor(thresholds, dtype=torch.float64).flatten().cpu()
    if levels.numel() == 0 or not bool(torch.isfinite(levels).all()) or bool((levels.diff() <= 0).any()):
        raise ValueError(f"thresholds must ascend and be finite, got {levels.tolist()}")
    if float(levels[0]) < 0 or float(levels[-1]) == 0:
        raise ValueError(f"thresholds must lie above 0 (the first may be 0), got {levels.tolist()}")
    return levels


def _fingerprint(mesh: Any) -> bytes:
    """Equal for meshes of equal content: a data set may make its reference anew for every pair."""
    digest = hashlib.sha256()
    for tensor in (mesh.pos, mesh.face):
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.digest()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
