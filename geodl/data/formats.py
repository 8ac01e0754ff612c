"""Shapes in files: which reader a file goes to, and what must hold of what it gives."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_geometric.data import Data

from geodl.data.files.foreign import BY_LASPY, BY_MESHIO, BY_TRIMESH, read_laspy, read_meshio, read_trimesh
from geodl.data.files.loaded import Attributes, Loaded, held_by_float32
from geodl.data.files.obj import obj_bytes, read_obj
from geodl.data.files.off import off_bytes, read_off
from geodl.data.files.ply import ply_bytes, read_ply
from geodl.data.files.points import (
    npy_bytes,
    npz_bytes,
    pcd_bytes,
    read_npy,
    read_npz,
    read_pcd,
    read_xyz,
    xyz_bytes,
)
from geodl.data.files.stl import read_stl, stl_bytes
from geodl.data.files.vtk import read_vtk
from geodl.data.whole_file import whole_file
from geodl.geometry.triangulation import triangulate

__all__ = ["CLOUDS", "FORMATS", "MESHES", "FileShape", "is_hidden", "read_shape", "write_cloud", "write_mesh"]

_OWN: dict[str, Callable[[bytes], Loaded]] = {
    ".ply": read_ply, ".off": read_off, ".obj": read_obj, ".stl": read_stl, ".npz": read_npz, ".npy": read_npy, ".pcd": read_pcd,
    **dict.fromkeys((".xyz", ".xyzn", ".xyzrgb", ".pts", ".txt", ".csv", ".asc"), read_xyz),
}  # fmt: skip
_FOREIGN: dict[str, Callable[[Path], Loaded]] = {
    **dict.fromkeys(BY_TRIMESH, read_trimesh),
    **dict.fromkeys(BY_MESHIO, read_meshio),
    ".vtk": read_vtk,
    **dict.fromkeys(BY_LASPY, read_laspy),
}
# What may hold faces, and what never does.
MESHES = (".ply", ".off", ".obj", ".stl", *BY_TRIMESH, *BY_MESHIO)
CLOUDS = tuple(suffix for suffix in (*_OWN, *BY_LASPY) if suffix not in MESHES)
FORMATS = (*MESHES, *CLOUDS)

_WAY_ROUND = "what another library reads comes in by Mesh.from_trimesh, PointCloud.from_open3d or as arrays"


@dataclass
class FileShape:
    """A shape as geodl takes it.

    Attributes:
        pos: ``[V, 3]`` float32 or float64.
        face: ``[F, 3]`` int64; None if the file has no faces.
        vertex, faces: attributes of vertices and of triangles.
        whole: of the whole.
        notes: what was left out.
    """

    pos: NDArray[Any]
    face: NDArray[np.int64] | None
    vertex: Attributes
    faces: Attributes
    whole: dict[str, Any]
    notes: list[str]


def is_hidden(path: Path) -> bool:
    """Whether a file is none of the user's: ``.DS_Store``, and the ``._NAME`` that macOS puts beside NAME."""
    return path.name.startswith(".")


def read_shape(path: Path) -> FileShape:
    """What a file holds; every vertex keeps its place, polygons become triangles.

    Raises:
        FileNotFoundError: no such file.
        ValueError: unknown format, truncated or damaged file, no points.
        ImportError: the format needs a package that is not installed.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        raise ValueError(f"{path} is a folder: geodl.datasets.ShapeFolder reads one")
    if suffix not in _OWN and suffix not in _FOREIGN:
        raise ValueError(
            f"{path}: unknown mesh format {path.suffix!r}; geodl reads {', '.join(FORMATS)}; {_WAY_ROUND}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such mesh file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries that read, which speak of themselves
            if path.stat().st_size == 0:
                raise ValueError("it is empty")
            loaded = _OWN[suffix](path.read_bytes()) if suffix in _OWN else _FOREIGN[suffix](path)
        pos = np.asarray(loaded.pos)
        if pos.ndim != 2 or pos.shape[1] != 3:
            raise ValueError(f"its points have shape {list(pos.shape)}")
        if loaded.polygons is None or not len(loaded.polygons):
            face, owner = None, np.zeros(0, dtype=np.int64)
        else:
            face, owner = triangulate(pos, loaded.polygons)
    except ImportError as error:
        raise ImportError(f"{error}; {_WAY_ROUND}") from error
    except MemoryError:
        raise
    # Parsers raise whatever they stumble over, an IndexError as well as a ValueError: the file is damaged.
    except Exception as error:
        hint = f"; {_WAY_ROUND}" if suffix in _FOREIGN or suffix in (".npz", ".npy") else ""
        said = (str(error) or type(error).__name__).replace("\n", " ")
        other = _looks_like(path, suffix)
        if other:
            raise ValueError(f"{path}: no {suffix[1:]} file ({said}): {other}") from error
        raise ValueError(f"{path}: truncated or damaged {suffix[1:]} file ({said}){hint}") from error
    if len(pos) == 0:
        other = _looks_like(path, suffix)
        raise ValueError(f"{path}: the mesh is empty (no vertices)" + (f": {other}" if other else ""))
    notes = list(loaded.notes)
    if loaded.polygons is not None and (small := int((np.diff(loaded.polygons.starts) < 3).sum())):
        notes.append(f"{small} polygons with fewer than three vertices were left out")
        face = face if face is not None and len(face) else None
    if not loaded.exact and pos.dtype != np.float32:
        known = face is not None and face.min(initial=0) >= 0 and face.max(initial=0) < len(pos)
        if pos.dtype != np.float64 or held_by_float32(pos, face if known else None):
            pos = pos.astype(np.float32)
    vertex = {_name(name): _tidy(name, value) for name, value in loaded.vertex.items()}
    faces = (
        {f"face_{name}": _tidy(name, value)[owner] for name, value in loaded.polygon.items()}
        if face is not None
        else {}
    )
    whole = {f"face_{name}": value for name, value in loaded.whole.items()}
    return FileShape(np.ascontiguousarray(pos), face, vertex, faces, whole, notes)


# How files begin that stand under names of others, and what they are.
_BEGINNINGS = (
    (rb"\x1f\x8b", "", "it is compressed by gzip: unpack it"),
    (rb"PK\x03\x04", ".3mf .npz", "it is a zip archive: unpack it"),
    (rb"version https://git-lfs", "", "it is a pointer of Git LFS, which stands for the file: git lfs pull fetches that"),
    (rb"<(!doctype )?html", "", "it is a web page, as a failed download leaves it"),
    (rb"ply\s", ".ply", "it looks like a ply file"),
    (rb"(ST)?C?N?4?n?OFF\b", ".off", "it looks like an off file"),
    (rb"glTF", ".glb", "it looks like a glb file"),
    (rb"# vtk DataFile", ".vtk", "it looks like a vtk file"),
    (rb"solid\s[^\n]*\n\s*facet", ".stl", "it looks like an stl file"),
    (rb"(#[^\n]*\n|mtllib[^\n]*\n|o [^\n]*\n|\s)*v\s+[-\d.]+\s", ".obj", "it looks like an obj file"),
    (rb"LASF", ".las .laz", "it looks like a las file"),
    (rb"\x93NUMPY", ".npy", "it looks like an npy file"),
)  # fmt: skip


def _looks_like(path: Path, suffix: str) -> str:
    """What a file that could not be read may be; empty if nothing is known."""
    with path.open("rb") as file:
        head = file.read(2000).removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    for pattern, suffixes, said in _BEGINNINGS:
        if suffix not in suffixes.split() and re.match(pattern, head, re.IGNORECASE):
            return said
    return ""


def _name(name: str) -> str:
    """An attribute's name in a PyG Data, whose own names mean something else."""
    return name if name in ("x", "y") or not (hasattr(Data, name) or name in ("batch", "ptr")) else f"{name}_"


def _tidy(name: str, value: NDArray[Any]) -> NDArray[Any]:
    """In a dtype and order that torch takes."""
    value = value.astype(value.dtype.newbyteorder("="))
    if name == "color" and value.dtype.kind in "iu" and value.dtype != np.uint8:
        small = value.size == 0 or (value.min() >= 0 and value.max() <= 255)
        value = value.astype(np.uint8) if small else (value / 65535).astype(np.float32)
    elif value.dtype.kind in "iu" and name not in ("color", "alpha"):
        value = value.astype(np.int64)
    return np.ascontiguousarray(value)


def write_mesh(
    path: Path, pos: NDArray[Any], face: NDArray[np.int64], vertex: Attributes, faces: Attributes
) -> None:
    """Write positions ``[V, 3]`` and triangles ``[F, 3]``; a reader sees the old file or the whole new one.

    ply is binary and keeps the dtype of ``pos`` and the attributes; off and obj are text with enough digits
    to give back the same numbers and a comment that gives back their dtype, and keep ``color``; stl is binary, float32, without
    shared vertices.

    Raises:
        ValueError: unknown format, or an attribute that ply cannot hold.
    """
    writers: dict[str, Callable[[], bytes]] = {
        ".ply": lambda: ply_bytes(
            pos, face, vertex, {name.removeprefix("face_"): v for name, v in faces.items()}
        ),
        ".off": lambda: off_bytes(pos, face, vertex, _digits(pos)),
        ".obj": lambda: obj_bytes(pos, face, vertex, _digits(pos)),
        ".stl": lambda: stl_bytes(pos, face),
        ".npz": lambda: npz_bytes(pos, face, vertex, faces),
    }
    _write(path, writers, "mesh")


def write_cloud(path: Path, pos: NDArray[Any], vertex: Attributes) -> None:
    """Write points ``[V, 3]`` and their attributes, which npy has no place for; whole or not at all.

    Raises:
        ValueError: unknown format, or an attribute that it cannot hold.
    """
    text: Callable[[], bytes] = lambda: xyz_bytes(pos, vertex, _digits(pos))  # noqa: E731
    writers: dict[str, Callable[[], bytes]] = {
        ".ply": lambda: ply_bytes(pos, None, vertex, {}),
        ".pcd": lambda: pcd_bytes(pos, vertex),
        ".xyz": text,
        ".txt": text,
        ".npy": lambda: npy_bytes(pos),
        ".npz": lambda: npz_bytes(pos, None, vertex, {}),
    }
    _write(path, writers, "cloud")


def _write(path: Path, writers: dict[str, Callable[[], bytes]], what: str) -> None:
    if path.suffix.lower() not in writers:
        raise ValueError(f"{path}: unknown {what} format {path.suffix!r}; geodl writes {', '.join(writers)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder to save {path.name} in")
    data = writers[path.suffix.lower()]()
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def _digits(pos: NDArray[Any]) -> int:
    """Significant digits after which a decimal number gives back the same binary one."""
    return 17 if pos.dtype == np.float64 else 9
