"""PointCloud: points of a surface as PyG Data."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from geodl.data.formats import FileShape, read_shape, write_cloud
from geodl.data.mesh import has_rows, narrowed, require_open3d, say, tensors, unit_color
from geodl.data.shown import Shown
from geodl.geometry import as_shape
from geodl.geometry.shapes import positions_of

if TYPE_CHECKING:
    import open3d
    import trimesh

__all__ = ["PointCloud"]


class PointCloud(Shown, Data):
    """Points in space, of a surface as a rule, with what is known at each.

    It is a :class:`torch_geometric.data.Data` and goes wherever geodl needs no faces: Laplacians and spectra, normals, gradients,
    descriptors, :func:`~geodl.matching.match`.

    Args:
        pos: ``[V, 3]``, tensor, array or list. float32 or float64 are kept.
        **attributes: ``normal [V, 3]``, ``color [V, 3]`` (uint8, or floats in 0..1), ``y [V]``, and anything else.

    Raises:
        ValueError: positions of another shape or dtype.
    """

    def __init__(self, pos: Any = None, **attributes: Any) -> None:
        if pos is not None:
            pos = positions_of(pos)
        super().__init__(pos=pos, **attributes)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PointCloud:
        """Read a ply, pcd (all three kinds), npy, npz or las file, columns of text (xyz, pts, txt, csv), or the vertices of a
        mesh file.

        Attributes come along as by :meth:`geodl.data.Mesh.load`. Columns of text behind x y z that no first line names are a colour
        where they are three whole numbers up to 255, else a normal; others are ``x [V, k]``.

        Raises:
            FileNotFoundError: no such file.
            ValueError: unknown format, truncated or damaged file, no points; the message names the file.
            ImportError: the format needs a package that is not installed (las: laspy).

        Warns:
            UserWarning: points that are not finite, or parts of the file that were left out, such as faces.
        """
        return cls._of_file(Path(path), read_shape(Path(path)))

    @classmethod
    def _of_file(cls, path: Path, found: FileShape) -> PointCloud:
        if found.face is not None:
            found.notes.append(f"its {len(found.face)} faces were left out")
        say(path, found)
        return cls(torch.from_numpy(found.pos), **tensors(found.vertex))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a ply, pcd, xyz, txt, npy or npz file, whole or not at all.

        Positions come back exactly, and so do attributes ``[V]`` and ``[V, k]``, except from npy, which holds positions alone, and
        from text and ply, which hold no integers beyond 32 bits.

        Raises:
            ValueError: unknown format, or an attribute that it cannot hold.
            FileNotFoundError: no such folder.
        """
        arrays = {name: value.detach().cpu().numpy() for name, value in self.vertex_attributes().items()}
        if Path(path).suffix.lower() == ".npy" and arrays:
            warnings.warn(f"{path}: npy holds no {', '.join(arrays)}", UserWarning, stacklevel=2)
        write_cloud(Path(path), self.pos.detach().cpu().numpy(), arrays)

    def vertex_attributes(self) -> dict[str, Tensor]:
        """Tensors, other than ``pos``, with one row per point, by name."""
        rows = self.pos.shape[0]
        return {name: v for name, v in self.to_dict().items() if name != "pos" and has_rows(v, rows)}

    def to_trimesh(self) -> trimesh.PointCloud:
        """A :class:`trimesh.PointCloud` with the same points, and their colours."""
        import trimesh

        color = {}
        if "color" in self:
            color["colors"] = (255 * unit_color(self.color)).round().astype("uint8")
        return trimesh.PointCloud(self.pos.detach().cpu().numpy(), **color)

    @classmethod
    def from_trimesh(cls, cloud: trimesh.PointCloud | trimesh.Trimesh) -> PointCloud:
        """The points of a :class:`trimesh.PointCloud`, or of a mesh without its faces; float32 where that holds them."""
        return cls._of(cloud)

    @classmethod
    def from_open3d(cls, cloud: open3d.geometry.PointCloud | open3d.t.geometry.PointCloud) -> PointCloud:
        """The points of an Open3D cloud, legacy or of tensors, with normals and colours; float32 where that holds them."""
        return cls._of(cloud)

    @classmethod
    def _of(cls, shape: Any) -> PointCloud:
        made = narrowed(as_shape(shape)).to_dict()
        made.pop("face", None)
        return cls(**made)

    def to_open3d(self) -> open3d.geometry.PointCloud:
        """Open3D ``PointCloud`` with ``normal`` and ``color`` where they are.

        Raises:
            ImportError: Open3D is not installed.
        """
        o3d = require_open3d("PointCloud.to_open3d")
        cloud: open3d.geometry.PointCloud = o3d.geometry.PointCloud(
            o3d.utility.Vector3dVector(self.pos.detach().cpu().double().numpy())
        )
        if "normal" in self:
            cloud.normals = o3d.utility.Vector3dVector(self.normal.detach().cpu().double().numpy())
        if "color" in self:
            cloud.colors = o3d.utility.Vector3dVector(unit_color(self.color))
        return cloud
