"""Mesh: a triangle mesh as PyG Data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from geodl.data.formats import read_mesh, write_mesh

if TYPE_CHECKING:
    import open3d
    import trimesh

__all__ = ["Mesh"]


class Mesh(Data):
    r"""A triangle mesh: vertices in space and the triples of vertices that span its faces.

    It is a :class:`torch_geometric.data.Data` and keeps its conventions, so PyG's transforms and loaders
    take it. Any attribute can ride along: a tensor with ``V`` rows is a vertex attribute (features ``x``,
    labels ``y``); an operator with a ``cat`` (:class:`~geodl.ops.Neighbors`, charts, polar windows) is
    packed block-diagonally by :func:`~geodl.data.collate`.

    Args:
        pos: ``[V, 3]`` float32 (or float64, which is kept): vertex positions, in the unit of the source.
        face: ``[3, F]`` int64 in ``[0, V)``: vertices of each triangle, counter-clockwise seen from outside.
        **attributes: anything else that belongs to the shape.

    Raises:
        ValueError: wrong shape, dtype or device, or a face that names a vertex that is not there.
    """

    def __init__(self, pos: Tensor | None = None, face: Tensor | None = None, **attributes: Any) -> None:
        # PyG's batching makes an empty one and fills it.
        if pos is not None:
            _check_pos(pos)
        if face is not None:
            _check_face(face, pos)
        super().__init__(pos=pos, face=face, **attributes)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Mesh:
        """Read a ply (ascii or binary), off, obj or stl file.

        Vertices keep the order and number that they have in the file, used by a face or not; polygons are
        cut into triangles. ``pos`` is float32, or float64 where a ply file says ``double``. An stl file
        stores every corner of every triangle apart: corners at the same position become one vertex, in the
        order of first occurrence.

        Vertex properties of a ply file become attributes: ``nx, ny, nz`` the ``normal [V, 3]``,
        ``red, green, blue`` the ``color [V, 3]``, ``label`` the ``y [V]``, ``name_0, name_1, ...`` the
        ``name [V, k]``, every other the attribute ``[V]`` of its name.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the format is unknown; the file is truncated or damaged; there are no vertices or no
                faces; a face names a vertex that is not there; a coordinate is NaN or infinite. The message
                names the file.
        """
        pos, face, attributes = read_mesh(Path(path))
        tensors = {name: torch.from_numpy(value.copy()) for name, value in attributes.items()}
        return cls(torch.from_numpy(pos.copy()), torch.from_numpy(face).t().contiguous(), **tensors)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a ply, off, obj or stl file, whole or not at all (a temporary file is renamed at the end).

        Positions come back exactly from ply (binary), off and obj (enough digits); stl holds float32 and no
        shared vertices. ply keeps vertex attributes ``[V]`` and ``[V, k]``, in the properties that
        :meth:`load` reads, of dtype float32, float64, bool and integer; the other formats keep none.

        Raises:
            ValueError: unknown format, or a vertex attribute that ply cannot hold.
            FileNotFoundError: no such folder.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise FileNotFoundError(f"{path.parent}: no such folder to save {path.name} in")
        arrays = {name: value.detach().cpu().numpy() for name, value in self.vertex_attributes().items()}
        write_mesh(path, self.pos.detach().cpu().numpy(), self.face.t().cpu().numpy(), arrays)

    def vertex_attributes(self) -> dict[str, Tensor]:
        """Tensors, other than ``pos``, with one row per vertex, by name."""
        rows = self.pos.shape[0]
        return {
            name: value
            for name, value in self.to_dict().items()
            if name not in ("pos", "face")
            and isinstance(value, Tensor)
            and value.dim()
            and value.shape[0] == rows
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
    def from_trimesh(cls, mesh: trimesh.Trimesh) -> Mesh:
        """Mesh of a :class:`trimesh.Trimesh`: ``pos`` float32, and its ``vertex_attributes``."""
        attributes = {name: torch.as_tensor(value) for name, value in mesh.vertex_attributes.items()}
        pos = torch.tensor(mesh.vertices, dtype=torch.float32)
        return cls(
            pos, torch.tensor(mesh.faces, dtype=torch.int64).reshape(-1, 3).t().contiguous(), **attributes
        )

    def to_open3d(self) -> open3d.geometry.TriangleMesh:
        """Open3D ``TriangleMesh`` with normals, and colours from ``color [V, 3]``: uint8, or float in 0..1.

        Raises:
            ImportError: Open3D is not installed.
        """
        try:
            import open3d
        except ImportError as error:
            raise ImportError("Mesh.to_open3d needs Open3D: pip install open3d") from error
        mesh = open3d.geometry.TriangleMesh(
            open3d.utility.Vector3dVector(self.pos.detach().cpu().double().numpy()),
            open3d.utility.Vector3iVector(self.face.t().cpu().int().numpy()),
        )
        mesh.compute_vertex_normals()
        if "color" in self:
            color = self.color.detach().cpu()
            color = color.double() if color.is_floating_point() else color.double() / 255
            mesh.vertex_colors = open3d.utility.Vector3dVector(color.numpy())
        return mesh


def _check_pos(pos: Tensor) -> None:
    if pos.dim() != 2 or pos.shape[1] != 3:
        raise ValueError(f"pos must have shape [V, 3], not {list(pos.shape)}")
    if not pos.is_floating_point():
        raise ValueError(f"pos must be float32 or float64, not {pos.dtype}")


def _check_face(face: Tensor, pos: Tensor | None) -> None:
    if face.dim() != 2 or face.shape[0] != 3:
        hint = "; transpose it" if face.dim() == 2 and face.shape[1] == 3 else ""
        raise ValueError(f"face must have shape [3, F], not {list(face.shape)}{hint}")
    if face.dtype != torch.int64:
        raise ValueError(f"face must be int64, not {face.dtype}")
    if pos is None:
        return
    if face.device != pos.device:
        raise ValueError(f"pos is on {pos.device} but face is on {face.device}")
    if face.numel() and not 0 <= int(face.min()) <= int(face.max()) < pos.shape[0]:
        raise ValueError(
            f"face names vertices {int(face.min())}..{int(face.max())}, but there are {pos.shape[0]} vertices"
        )
