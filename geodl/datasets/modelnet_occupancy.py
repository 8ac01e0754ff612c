"""ModelNet10 as occupancy grids."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from torch_geometric.data import Data

from geodl.datasets.classification import ClassificationSet
from geodl.datasets.modelnet import MODELNET10
from geodl.datasets.published import check_split
from geodl.datasets.surface_samples import Points, cloud, unit_ball

__all__ = ["ModelNetOccupancy"]


class ModelNetOccupancy(ClassificationSet):
    """ModelNet10 (Wu et al. 2015) as grids of 30 x 30 x 30 voxels, official split (3991 / 908), and points from their surface.

    An item is a PyG ``Data`` with ``pos [N, 3]`` in the unit ball and ``normal [N, 3]``, both float32, ``y [1]`` and ``name``
    ("test/0007"). Points are drawn evenly from the faces between an occupied voxel and an empty one, the same at every access.
    ``occupancy [M, 30, 30, 30]`` (bool) are the grids themselves, such as for networks on voxels.

    Numbers on it cannot be compared digit for digit with those on the meshes.

    Args:
        root: the file ``occupancy_30.npz`` (``X_train, y_train, X_test, y_test``, classes in alphabetical order), or its folder.
        split: "train", "test", or None for both, "train" first.
        num_points: of every cloud.
        seed: of the points.
        transform: applied to a shallow copy of the cloud at every access.

    Raises:
        ValueError: no such split, no points, or a damaged file; on access, a grid without an occupied voxel.
        FileNotFoundError: no such file; the message says how to get it.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: Literal["train", "test"] | None = None,
        num_points: int = 1024,
        seed: int = 0,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        check_split(split)
        if num_points < 1:
            raise ValueError(f"num_points must be at least 1, got {num_points}")
        places = [Path(root), Path(root) / _FILE, Path(root) / "ModelNet10" / _FILE]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise FileNotFoundError(f"No {_FILE} at {root}.\n{_INSTRUCTIONS}")
        grids, labels, names = [], [], []
        for part in ["train", "test"] if split is None else [split]:
            x, y = _read_part(path, part)
            grids.append(x)
            labels += y.tolist()
            names += [f"{part}/{k:04d}" for k in range(len(y))]
        self.occupancy = np.concatenate(grids)
        self.num_points, self.seed = num_points, seed
        super().__init__(names, labels, MODELNET10, transform)

    def _read(self, index: int) -> Data:
        part, number = self.names[index].split("/")
        random = np.random.default_rng([self.seed, part == "test", int(number)])
        grid = self.occupancy[index]
        if not grid.any():
            raise ValueError(f"grid {self.names[index]} is empty: it has no surface")
        points, normals = _surface_points(grid, self.num_points, random)
        return cloud(unit_ball(points), normals)


def _surface_points(grid: NDArray[np.bool_], count: int, random: Generator) -> tuple[Points, Points]:
    """Points on the faces between occupied and empty voxels, in voxels, and the normals of these faces."""
    padded = np.pad(grid, 1)
    middles, normals = [], []
    for axis in range(3):
        for side in (-1, 1):
            exposed = np.argwhere(padded & ~np.roll(padded, -side, axis)) - 1
            outwards = np.zeros(3)
            outwards[axis] = side
            middles.append(exposed + 0.5 * outwards)
            normals.append(np.broadcast_to(outwards, exposed.shape))
    middle, normal = np.concatenate(middles), np.concatenate(normals)
    chosen = random.integers(len(middle), size=count)
    within = random.uniform(-0.5, 0.5, (count, 3)) * (normal[chosen] == 0)
    return middle[chosen] + within, normal[chosen]


def _read_part(path: Path, part: str) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            x, y = file[f"X_{part}"], file[f"y_{part}"]
    except KeyError as error:
        raise ValueError(f"{path} lacks an array: {error}") from error
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if x.ndim != 4 or y.shape != x.shape[:1]:
        raise ValueError(
            f"{path}: X_{part} has shape {list(x.shape)} and y_{part} {list(y.shape)}, not [M, n, n, n] and [M]"
        )
    if len(y) and not 0 <= y.min() <= y.max() < len(MODELNET10):
        raise ValueError(
            f"{path}: y_{part} holds {y.min()}..{y.max()}, but there are {len(MODELNET10)} classes"
        )
    return x != 0, y.astype(np.int64)


_FILE = "occupancy_30.npz"
_INSTRUCTIONS = """\
The file holds the voxel grids of ModelNet10 that VoxNet (Maturana and Scherer 2015) is trained on:
  X_train [3991, 30, 30, 30], y_train [3991], X_test [908, 30, 30, 30], y_test [908], classes in alphabetical order.
datasets/modelnet/README.md says how to make it from the meshes."""
