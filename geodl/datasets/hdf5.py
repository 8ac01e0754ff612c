"""Point clouds in HDF5 files: ``data [M, N, 3]``, ``label [M]`` and what else a cloud has, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodl.datasets.surface_samples import Points


def read_labels(path: Path, classes: int, what: str) -> NDArray[np.int64]:
    """The labels ``[M]`` of a file, once its data are known to fit them.

    Args:
        path: of a file that is there.
        classes: how many there are.
        what: the form of the data, for the message of a missing h5py.

    Raises:
        ValueError: a damaged file, data that are no clouds, labels that are none.
        ImportError: no h5py.
    """
    h5py = require_h5py(what)
    try:
        with h5py.File(path, "r") as file:
            data, labels = file["data"].shape, np.asarray(file["label"]).reshape(-1)
    except (OSError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if len(data) != 3 or data[2] != 3 or data[0] != len(labels):
        raise ValueError(f"{path}: data has shape {list(data)} for {len(labels)} labels, not [M, N, 3]")
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"{path}: labels {labels.min()}..{labels.max()} are not those of the {classes} classes"
        )
    return labels.astype(np.int64)


def read_rows(path: Path, row: int, keys: Sequence[str], what: str) -> dict[str, Any]:
    """What a file has of one cloud under these keys, float64; only "data" must be there.

    Raises:
        ValueError: a damaged file, or arrays of one cloud with different numbers of points.
        ImportError: no h5py.
    """
    with require_h5py(what).File(path, "r") as file:
        try:
            found = {key: np.asarray(file[key][row], dtype=np.float64) for key in keys if key in file}
        except (OSError, KeyError, ValueError, IndexError) as error:
            raise ValueError(f"{path}: shape {row} is damaged: {error}") from error
    points = len(found["data"])
    for key, array in found.items():
        if len(array) != points:
            raise ValueError(f"{path}: shape {row} has {points} points but {len(array)} rows of {key}")
    return found


def check_points(path: Path, rows: Points, widths: Sequence[int]) -> Points:
    """Rows of finite numbers, as many as the form has.

    Raises:
        ValueError: no points, another number of columns, or a number that is not finite; the file is named.
    """
    if rows.size == 0:
        raise ValueError(f"{path} has no points")
    if rows.shape[1] not in widths:
        raise ValueError(f"{path} has {rows.shape[1]} numbers a point, not {' or '.join(map(str, widths))}")
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise ValueError(f"{path}: point {int(finite.argmin())} is not finite")
    return rows


def require_h5py(what: str) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f"{what} needs h5py: pip install h5py") from error
    return h5py
