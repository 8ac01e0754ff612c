"""Mesh: a triangle mesh as PyG Data."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from geodl.data.files.loaded import held_by_float32
from geodl.data.formats import FileShape, read_shape, write_mesh
from geodl.data.shown import Shown
from geodl.geometry import as_shape
from geodl.geometry import repair as repaired
from geodl.geometry.shapes import faces_of, positions_of
from geodl.geometry.surface import check_range

if TYPE_CHECKING:
    import open3d
    import trimesh

__all__ = ["Mesh"]


class Mesh(Shown, Data):
    r"""A triangle mesh: vertices in space and the triples of vertices that span its faces.

    It is a :class:`torch_geometric.data.Data` and keeps its conventions, so PyG's transforms and loaders
    take it. Any attribute can ride along: a tensor with ``V`` rows is a vertex attribute (features ``x``,
    labels ``y``), one with ``F`` rows whose name begins with ``face_`` an attribute of faces; an operator with a ``cat``
    (:class:`~geodl.ops.Neighbors`, charts, polar windows) is packed block-diagonally by :func:`~geodl.data.collate`.

    Args:
        pos: ``[V, 3]``, tensor, array or list: vertex positions, in the unit of the source. float32 or float64 are kept.
        face: ``[3, F]`` or ``[F, 3]`` integers in ``[0, V)``: vertices of each triangle, counter-clockwise seen from outside.
        **attributes: anything else that belongs to the shape.

    Raises:
        ValueError: wrong shape, dtype or device.
        IndexError: a face names a vertex that is not there.
    """

    def __init__(self, pos: Any = None, face: Any = None, **attributes: Any) -> None:
        # PyG's batching makes an empty one and fills it.
        if pos is not None:
            pos = positions_of(pos)
        if face is not None:
            face = faces_of(face, pos=pos)
            if pos is not None:
                if face.device != pos.device:
                    raise ValueError(f"pos is on {pos.device} but face is on {face.device}")
                check_range(face, pos.shape[0])
        super().__init__(pos=pos, face=face, **attributes)

    @classmethod
    def load(cls, path: str | os.PathLike[str], repair: bool = False) -> Mesh:
        """Read a mesh file: ply, off, obj, stl; npz of arrays; glb, gltf, 3mf through trimesh; vtk, vtu, msh through meshio.

        Vertices keep the order and number that they have in the file, used by a face or not; polygons are
        cut into triangles, convex or not. ``pos`` is float32, or float64 where the file says ``double`` or where float32 cannot
        hold it (map coordinates). An stl file stores every corner of every triangle apart: corners at the same position become
        one vertex, in the order of first occurrence.

        Vertex properties of a ply file become attributes: ``nx, ny, nz`` the ``normal [V, 3]``,
        ``red, green, blue`` the ``color [V, 3]``, ``label`` the ``y [V]``, ``name_0, name_1, ...`` the
        ``name [V, k]``, every other the attribute ``[V]`` of its name; properties of faces ``face_NAME [F]``. Colours of off
        and obj are ``color`` too, the groups of an obj ``face_group [F]`` with their ``face_group_names``.

        Args:
            path: the file; its ending names the format.
            repair: pass it through :func:`~geodl.geometry.repair`, which leaves out vertices that are not finite, faces that
                name no vertex, and duplicates; what it did is said in a warning.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the format is unknown; the file is truncated or damaged; there are no vertices or no
                faces. The message names the file.
            IndexError: a face names a vertex that is not there.
            ImportError: the format needs a package that is not installed.

        Warns:
            UserWarning: vertices that are not finite, or parts of the file that were left out.
        """
        return cls._of_file(Path(path), read_shape(Path(path)), repair)

    @classmethod
    def _of_file(cls, path: Path, found: FileShape, repair: bool = False) -> Mesh:
        if found.face is None:
            more = f" ({'; '.join(found.notes)})" if found.notes else ""
            raise ValueError(
                f"{path}: the mesh has {len(found.pos)} vertices but no faces{more}; as a point cloud it is read by "
                "geodl.data.PointCloud.load"
            )
        say(path, found)
        pos, face = torch.from_numpy(found.pos), torch.from_numpy(found.face).t().contiguous()
        attributes = {**tensors(found.vertex), **tensors(found.faces), **found.whole}
        if repair:
            whole, report = repaired(Data(pos=pos, face=face, **attributes))
            if report.done:
                warnings.warn(f"{path}: {'; '.join(report.done)}", UserWarning, stacklevel=3)
            return cls(**whole.to_dict())
        try:
            return cls(pos, face, **attributes)
        except IndexError as error:
            raise IndexError(f"{path}: {error}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a ply, off, obj, stl or npz file, whole or not at all (a temporary file is renamed at the end).

        Positions come back exactly from ply (binary), off and obj (enough digits) and npz; stl holds float32 and no
        shared vertices. ply keeps attributes ``[V]`` and ``[V, k]`` of vertices, and ``face_NAME`` of faces, in the properties that
        :meth:`load` reads, of dtype float32, float64, bool and integer; npz keeps both; off and obj keep ``color``.

        Warns:
            UserWarning: attributes that the format has no place for.

        Raises:
            ValueError: unknown format, or a vertex attribute that ply cannot hold.
            FileNotFoundError: no such folder.
        """
        arrays = {name: value.detach().cpu().numpy() for name, value in self.vertex_attributes().items()}
        of_faces = {name: value.detach().cpu().numpy() for name, value in self.face_attributes().items()}
        suffix = Path(path).suffix.lower()
        lost = {*arrays, *of_faces} - ({"color"} if suffix in (".off", ".obj") else set())
        if suffix in (".off", ".obj", ".stl") and lost:
            warnings.warn(
                f"{path}: {suffix[1:]} holds no {', '.join(sorted(lost))}", UserWarning, stacklevel=2
            )
        write_mesh(Path(path), self.pos.detach().cpu().numpy(), self.face.t().cpu().numpy(), arrays, of_faces)

    def vertex_attributes(self) -> dict[str, Tensor]:
        """Tensors, other than ``pos``, with one row per vertex, by name."""
        of_faces = self.face_attributes()
        rows = self.pos.shape[0]
        return {
            name: value
            for name, value in self.to_dict().items()
            if name not in ("pos", "face") and name not in of_faces and has_rows(value, rows)
        }

    def face_attributes(self) -> dict[str, Tensor]:
        """Tensors called ``face_NAME`` with one row per face, by name."""
        rows = self.face.shape[1]
        return {
            name: value
            for name, value in self.to_dict().items()
            if name.startswith("face_") and has_rows(value, rows)
        }

    def to_trimesh(self) -> trimesh.Trimesh:
        """A :class:`trimesh.Trimesh` with the same vertices in the same order, and ``vertex_attributes``."""
        import trimesh

        attributes = {name: value.detach().cpu().numpy() for name, value in self.vertex_attributes().items()}
        return trimesh.Trimesh(
            self.pos.detach().cpu().numpy(),
            self.face.t().cpu().numpy(),
            process=False,
            vertex_attributes=attributes,
        )

    @classmethod
    def from_trimesh(cls, mesh: trimesh.Trimesh | trimesh.Scene) -> Mesh:
        """Mesh of a :class:`trimesh.Trimesh` or of the meshes of a ``Scene``, with their ``vertex_attributes``.

        trimesh holds float64; ``pos`` is float32 where that holds it, as of a file.
        """
        return cls._of(mesh)

    @classmethod
    def from_open3d(cls, mesh: open3d.geometry.TriangleMesh | open3d.t.geometry.TriangleMesh) -> Mesh:
        """Mesh of an Open3D mesh, legacy or of tensors, with its normals and colours.

        ``pos`` is float32 where that holds it, as of a file.
        """
        return cls._of(mesh)

    @classmethod
    def _of(cls, shape: Any) -> Mesh:
        made = as_shape(shape)
        if getattr(made, "face", None) is None:
            raise ValueError(f"{type(shape).__name__} has no faces: geodl.data.PointCloud takes points alone")
        return cls(**narrowed(made).to_dict())

    def to_open3d(self) -> open3d.geometry.TriangleMesh:
        """Open3D ``TriangleMesh`` with normals, and colours from ``color [V, 3]``: uint8, or float in 0..1.

        Raises:
            ImportError: Open3D is not installed.
        """
        o3d = require_open3d("Mesh.to_open3d")
        mesh: open3d.geometry.TriangleMesh = o3d.geometry.TriangleMesh(
            o3d.utility.Vector3dVector(self.pos.detach().cpu().double().numpy()),
            o3d.utility.Vector3iVector(self.face.t().cpu().int().numpy()),
        )
        mesh.compute_vertex_normals()
        if "color" in self:
            mesh.vertex_colors = o3d.utility.Vector3dVector(unit_color(self.color))
        return mesh


def tensors(arrays: dict[str, Any]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value.copy()) for name, value in arrays.items()}


def has_rows(value: Any, rows: int) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and value.shape[0] == rows


def narrowed(shape: Any) -> Any:
    """A shape in float32 where that holds it."""
    face = getattr(shape, "face", None)
    corners = None if face is None else face.t().cpu().numpy()
    if shape.pos.dtype == torch.float64 and held_by_float32(shape.pos.detach().cpu().numpy(), corners):
        shape.pos = shape.pos.float()
        if getattr(shape, "normal", None) is not None:
            shape.normal = shape.normal.float()
    return shape


def unit_color(color: Tensor) -> Any:
    """Colours as Open3D has them, float64 in 0..1."""
    color = color.detach().cpu()
    return (color.double() if color.is_floating_point() else color.double() / 255).numpy()


def require_open3d(what: str) -> Any:
    try:
        import open3d
    except ImportError as error:
        raise ImportError(f"{what} needs Open3D: pip install open3d") from error
    return open3d


def say(path: Path, found: FileShape) -> None:
    """Warns of what a file has that a shape should not have, and of what was left out."""
    bad = ~np.isfinite(found.pos).all(axis=1)
    trouble = list(found.notes)
    if bad.any():
        trouble.append(
            f"{int(bad.sum())} vertices have NaN or infinite coordinates, first vertex {int(bad.argmax())}: "
            "geodl.geometry.repair leaves them out"
        )
    for note in trouble:
        warnings.warn(f"{path}: {note}", UserWarning, stacklevel=4)
