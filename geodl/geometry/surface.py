"""What geometry asks of a mesh: positions and triangles, checked once at the door."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geodl.ops.clouds import check_pointer

__all__ = ["Surface", "check_range", "check_surface", "surface_arrays"]


class Surface(Protocol):
    """Anything with vertex positions and triangles, such as a ``torch_geometric.data.Data``.

    Attributes:
        pos: ``[V, 3]`` floating point.
        face: ``[3, F]`` integer, the corners of every triangle.
    """

    @property
    def pos(self) -> Tensor: ...

    @property
    def face(self) -> Tensor: ...


def check_surface(mesh: Surface) -> tuple[Tensor, Tensor]:
    """``(pos [V, 3], face [3, F] int64)`` of a mesh whose numbers can be computed with.

    Raises:
        ValueError: no vertices, no faces, wrong shapes or dtypes, or a position that is not finite.
        IndexError: a face refers to a vertex that does not exist.
    """
    pos, face = getattr(mesh, "pos", None), getattr(mesh, "face", None)
    for name, tensor in (("pos", pos), ("face", face)):
        if not isinstance(tensor, Tensor):
            raise ValueError(f"the mesh needs a tensor .{name}, but it is {type(tensor).__name__}")
    assert isinstance(pos, Tensor) and isinstance(face, Tensor)
    if pos.dim() != 2 or pos.shape[1] != 3:
        raise ValueError(f"pos must have shape [V, 3], not {list(pos.shape)}")
    if not pos.is_floating_point():
        raise ValueError(f"pos must be floating point, not {pos.dtype}")
    if face.dim() != 2 or face.shape[0] != 3:
        raise ValueError(f"face must have shape [3, F], not {list(face.shape)}")
    if face.is_floating_point() or face.dtype == torch.bool:
        raise ValueError(f"face must hold integers, not {face.dtype}")
    if pos.device != face.device:
        raise ValueError(f"pos is on {pos.device} but face is on {face.device}")
    if pos.shape[0] == 0:
        raise ValueError("the mesh is empty: it has no vertices")
    if face.shape[1] == 0:
        raise ValueError(f"the mesh has no faces (but {pos.shape[0]} vertices)")
    if not bool(torch.isfinite(pos).all()):
        bad = (~torch.isfinite(pos).all(dim=1)).nonzero().flatten()
        more = f" ({bad.numel()} such vertices)" if bad.numel() > 1 else ""
        raise ValueError(f"vertex {int(bad[0])} is not finite: {pos[bad[0]].tolist()}{more}")
    face = face.to(torch.int64)
    check_range(face, pos.shape[0])
    return pos, face


def check_range(face: Tensor, vertices: int) -> None:
    """Raises IndexError for a face ``[3, F]`` that refers to a vertex that does not exist."""
    if face.numel() and not 0 <= int(face.min()) <= int(face.max()) < vertices:
        bad = ((face < 0) | (face >= vertices)).any(dim=0).nonzero().flatten()
        more = f" ({bad.numel()} such faces)" if bad.numel() > 1 else ""
        raise IndexError(
            f"face {int(bad[0])} is {face[:, bad[0]].tolist()}, but vertices go from 0 to {vertices - 1}{more}"
        )


def surface_arrays(mesh: Surface) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """``(pos [V, 3] float64, face [F, 3] int64)``, checked, contiguous and on the CPU, as the native code reads them."""
    pos, face = check_surface(mesh)
    vertices = pos.detach().to("cpu", torch.float64).contiguous().numpy()
    if bool((vertices == vertices[0]).all()):
        raise ValueError(f"all {len(vertices)} vertices lie in one point: the mesh has no size")
    return vertices, face.detach().cpu().t().contiguous().numpy()


def check_single(cloud: Any) -> None:
    """Refuses a packed batch: neighbours would be found across its clouds.

    Raises:
        ValueError: the cloud has a ``ptr``.
    """
    if getattr(cloud, "ptr", None) is not None:
        raise ValueError("this is read of single clouds alone: take a batch apart with to_data_list()")


def clouds_of(cloud: Any) -> list[Any]:
    """The clouds of a packed one, with their positions and normals alone, so that no neighbours are found across them.

    Raises:
        ValueError: a ``ptr`` that does not ascend from 0 to the number of points, or has an empty cloud beside others.
    """
    ptr = getattr(cloud, "ptr", None)
    if ptr is None:
        return [cloud]
    check_pointer(ptr, cloud.pos.shape[0])
    sizes = ptr.diff().tolist()
    if len(sizes) == 1:
        return [cloud]
    if 0 in sizes:
        raise ValueError(f"cloud {sizes.index(0)} of the batch has no points")
    normal = getattr(cloud, "normal", None)
    normals = [None] * len(sizes) if normal is None else normal.split(sizes)
    parts = zip(cloud.pos.split(sizes), normals, strict=True)
    return [SimpleNamespace(pos=pos, normal=normal) for pos, normal in parts]
