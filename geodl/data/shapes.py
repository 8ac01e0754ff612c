"""as_shape with paths: what geometry's takes, and what lies on the disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch import Tensor
from torch_geometric.data import Data

from geodl import geometry
from geodl.data.formats import read_shape
from geodl.data.mesh import Mesh
from geodl.data.point_cloud import PointCloud

__all__ = ["as_shape"]


def as_shape(shape: Any) -> Any:
    """A shape as a :class:`Mesh` or a :class:`PointCloud`: a path to a file of either, or anything that
    :func:`geodl.geometry.as_shape` takes.

    What is a PyG ``Data`` (or has tensors) already is given back as it is, with all that it carries.

    Raises:
        TypeError, ValueError, IndexError, FileNotFoundError, ImportError: it is no shape, or its file can't be read.
    """
    if isinstance(shape, str | bytes | os.PathLike):
        path = Path(os.fsdecode(shape))
        found = read_shape(path)
        return PointCloud._of_file(path, found) if found.face is None else Mesh._of_file(path, found)
    made = geometry.as_shape(shape)
    if made is shape or isinstance(shape, Data) or not isinstance(getattr(made, "pos", None), Tensor):
        return made
    fields = made.to_dict() if isinstance(made, Data) else dict(vars(made))
    return Mesh(**fields) if fields.get("face") is not None else PointCloud(**fields)
