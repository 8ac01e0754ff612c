"""What a user knows of a map before it is made: landmarks, regions, a first map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geodl.geometry.shapes import IndexLike, as_index
from geodl.matching.spectral_shape import SpectralShape

Indices = NDArray[np.int64]
Regions = tuple[Any, Any] | Sequence[tuple[Any, Any]]


@dataclass(frozen=True, eq=False)
class Hints:
    """What is known of a map before: vertices (of those with a mass) that match, and labels that must agree.

    Attributes:
        at_one, at_two: ``[L]``, landmarks.
        labels_1, labels_2: ``[V1]`` and ``[V2]``, or None.
    """

    at_one: Indices
    at_two: Indices
    labels_1: Indices | None = None
    labels_2: Indices | None = None

    @property
    def regions(self) -> int:
        """How many labels there are."""
        return 1 + max(
            (int(x.max(initial=0)) for x in (self.labels_1, self.labels_2) if x is not None), default=-1
        )

    def at_light(self, one: SpectralShape, two: SpectralShape) -> Hints:
        """The same of what large meshes are matched by first."""
        at = [
            where if shape.coarse is None else shape.coarse.cell.numpy()[where]
            for shape, where in ((one, self.at_one), (two, self.at_two))
        ]
        labels = [
            label if shape.coarse is None or label is None else label[shape.coarse.center.numpy()]
            for shape, label in ((one, self.labels_1), (two, self.labels_2))
        ]
        return Hints(*at, *labels)


def as_hints(
    one: SpectralShape,
    two: SpectralShape,
    landmarks: Sequence[tuple[int, int]] | None,
    regions: Regions | None,
) -> Hints | None:
    """Landmarks and regions, checked, of the vertices that have a mass."""
    if landmarks is None and regions is None:
        return None
    at = torch.zeros(0, 2, dtype=torch.int64)
    if landmarks is not None and len(landmarks):
        at = as_index("landmarks", landmarks).cpu()
        if at.dim() != 2 or at.shape[1] != 2:
            raise ValueError(f"landmarks must be pairs of vertices [L, 2], not {list(at.shape)}")
    ends = [_among(shape, at[:, side], side + 1) for side, shape in enumerate((one, two))]
    both = (ends[0] >= 0) & (ends[1] >= 0)
    marks = (ends[0][both].numpy(), ends[1][both].numpy())
    if regions is None:
        return Hints(*marks)
    labels, kinds = _labels(regions, one.used.shape[0], two.used.shape[0])
    used = (labels[0][one.used].numpy(), labels[1][two.used].numpy())
    for here, there, name in ((0, 1, "shape 2"), (1, 0, "shape 1")):
        alone = np.setdiff1d(used[here], used[there])
        if len(alone):
            label = int(alone[0])
            what = f"of label {label}"
            if kinds is not None:
                inside = kinds[:, label].nonzero().flatten().tolist()
                what = f"that is in masks {inside} alone" if inside else "outside all masks"
            raise ValueError(f"regions must be on both shapes: {name} has none {what}")
    # Labels may be large numbers: they are counted through.
    number = np.unique(np.concatenate(used), return_inverse=True)[1].reshape(-1)
    return Hints(*marks, number[: len(used[0])], number[len(used[0]) :])


def as_start(one: SpectralShape, two: SpectralShape, p2p_21: IndexLike) -> Tensor:
    """A point map given, between the vertices that have a mass; -1 where there is none."""
    start = as_index("initial", p2p_21).cpu()
    sizes = two.used.shape[0], one.used.shape[0]
    if start.shape != (sizes[0],):
        raise ValueError(f"initial has shape {list(start.shape)} but shape 2 has {sizes[0]} vertices")
    if start.numel() and not -1 <= int(start.min()) <= int(start.max()) < sizes[1]:
        raise IndexError(
            f"initial holds {int(start.min())}..{int(start.max())}, but shape 1 has {sizes[1]} vertices"
        )
    place = torch.where(one.used, torch.cumsum(one.used, 0) - 1, -1)
    found = torch.where(start < 0, -1, place[start.clamp(min=0)])[two.used]
    if not bool((found >= 0).any()):
        raise ValueError("initial matches no vertex")
    return found


def heeded(found: Tensor, hints: Hints | None) -> Tensor:
    """A point map with the landmarks, and -1 where regions forbid it."""
    if hints is None:
        return found
    if hints.labels_1 is not None:
        goal = torch.from_numpy(hints.labels_1)[found.clamp(min=0)]
        found = found.masked_fill(goal != torch.from_numpy(hints.labels_2), -1)
    return found.index_copy(0, torch.from_numpy(hints.at_two), torch.from_numpy(hints.at_one))


def _among(shape: SpectralShape, vertices: Tensor, number: int) -> Tensor:
    count = shape.used.shape[0]
    if vertices.numel() and not 0 <= int(vertices.min()) <= int(vertices.max()) < count:
        raise IndexError(
            f"landmarks hold vertices {int(vertices.min())}..{int(vertices.max())} of shape {number}, which has {count}"
        )
    return torch.where(shape.used, torch.cumsum(shape.used, 0) - 1, -1)[vertices]


def _labels(regions: Regions, count_1: int, count_2: int) -> tuple[list[Tensor], Tensor | None]:
    """Labels of the vertices of either shape; of masks, also which of them make up each label, ``[masks, labels]``."""
    pairs = list(regions)
    if not pairs:
        raise ValueError("regions are empty: give labels of both shapes, or pairs of masks")
    if len(pairs) == 2 and not any(_is_pair(side) for side in pairs):
        labels = [torch.as_tensor(side).cpu() for side in pairs]
        if any(label.dtype != torch.bool for label in labels):
            labels = [as_index("regions", label) for label in labels]
            _check_sizes(labels, (count_1, count_2))
            if any(label.numel() and int(label.min()) < 0 for label in labels):
                raise ValueError("labels of regions must not be negative")
            return labels, None
        pairs = [(labels[0], labels[1])]
    if not all(_is_pair(pair) for pair in pairs):
        raise ValueError("regions must be labels ([V1], [V2]), or pairs of masks ([V1], [V2])")
    masks = [[torch.as_tensor(side).bool().cpu() for side in pair] for pair in pairs]
    for pair in masks:
        _check_sizes(pair, (count_1, count_2))
    # What lies in the same masks is one region.
    sides = torch.cat([torch.cat(pair)[None] for pair in masks])
    kinds, number = torch.unique(sides, dim=1, return_inverse=True)
    return list(number.split([count_1, count_2])), kinds


def _is_pair(side: Any) -> bool:
    return isinstance(side, (tuple, list)) and len(side) == 2 and not isinstance(side[0], (bool, int))


def _check_sizes(sides: list[Tensor], counts: tuple[int, int]) -> None:
    for number, (side, count) in enumerate(zip(sides, counts, strict=True), 1):
        if side.shape != (count,):
            raise ValueError(
                f"regions of shape {number} have shape {list(side.shape)}, it has {count} vertices"
            )
