"""What a command reads beside shapes: numbers a vertex, pairs of vertices, shapes and the user's cache."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geodl.cli.numbering import Numbering

if TYPE_CHECKING:
    from torch import Tensor

    from geodl.data import OperatorCache

__all__ = ["read_index", "read_repaired", "read_shape", "read_values", "users_cache"]


def read_shape(path: Path) -> Any:
    """A mesh or a cloud."""
    from geodl.data import as_shape

    return as_shape(path)


def read_repaired(path: Path) -> tuple[Any, Numbering]:
    """A mesh that has passed through repair, which is said, or a cloud as it is; and what became of the file's vertices."""
    import torch

    shape = read_shape(path)
    if getattr(shape, "face", None) is None:
        return shape, Numbering(torch.arange(len(shape.pos)))
    from geodl.data import Mesh
    from geodl.geometry import repair as repaired

    whole, report = repaired(shape)
    for done in report.done:
        print(f"{path.name}: {done}")
    assert report.vertex_map is not None
    return Mesh(**whole.to_dict()), Numbering(report.vertex_map)


def read_values(path: Path) -> Tensor:
    """Numbers ``[V]`` or ``[V, C]`` of an npy file or of text, a line a vertex.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no such numbers.
    """
    import numpy as np
    import torch

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        made = np.load(path, allow_pickle=False) if path.suffix == ".npy" else _text(path)
        if not isinstance(made, np.ndarray):
            raise ValueError("it is an npz file of several arrays")
        if made.dtype.kind not in "fiub" or made.ndim not in (1, 2) or not made.size:
            raise ValueError(f"it holds {made.dtype} of shape {list(made.shape)}")
    except (ValueError, UnicodeDecodeError, EOFError) as error:
        raise ValueError(f"{path} does not hold numbers, a line a vertex: {error}") from error
    # Of torch's dtypes bool and the unsigned ones lack arithmetic, and none is big-endian.
    kept = np.dtype(np.int64) if made.dtype.kind in "ub" else made.dtype.newbyteorder("=")
    return torch.from_numpy(np.ascontiguousarray(made, dtype=kept))


def _text(path: Path) -> Any:
    import warnings

    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty file is an error below
        separator = "," if "," in path.read_text(encoding="utf-8-sig").partition("\n")[0] else None
        made = np.loadtxt(path, delimiter=separator, ndmin=2, dtype=np.float64, encoding="utf-8-sig")
    return made[:, 0] if made.shape[1:] == (1,) else made


def read_index(path: Path) -> Tensor:
    """Whole numbers, in the shape that the file has them."""
    values = read_values(path)
    if not bool((values.isfinite() & (values == values.round())).all()):
        raise ValueError(f"{path} must hold whole numbers")
    return values.long()


def users_cache(folder: Path | None) -> OperatorCache | None:
    """The cache in a folder; none, which is said, where the user's own cannot be made."""
    from geodl.data import OperatorCache

    try:
        return OperatorCache(folder)
    except OSError as error:
        if folder is not None:
            raise
        print(f"nothing is kept: {error}", file=sys.stderr)
        return None
