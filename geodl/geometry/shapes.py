"""as_shape: the one door through which every shape comes in."""

from __future__ import annotations

import copy
import os
import warnings
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from geodl.geometry.triangulation import Polygons, triangulate

__all__ = [
    "IndexLike",
    "ShapeLike",
    "SignalLike",
    "as_index",
    "as_shape",
    "as_signal",
    "faces_of",
    "positions_of",
]

# What `as_shape` takes; what `as_index` and `as_signal` do.
ShapeLike: TypeAlias = Any
IndexLike: TypeAlias = Any
SignalLike: TypeAlias = Any


def as_shape(shape: ShapeLike) -> Any:
    r"""A shape in the form that geodl computes with: tensors ``pos [V, 3]`` and, of a mesh, ``face [3, F]`` int64.

    What has them already is given back as it is, attributes, batches and derivatives included. Else it is made of

    - a couple ``(vertices, faces)`` of arrays, tensors or lists, faces ``[F, 3]`` or ``[3, F]`` of any integer dtype (three
      faces of three corners are read as ``[3, F]``, as PyG has them, if they are a tensor, else as rows); or positions ``[V, 3]``
      alone, a cloud;
    - trimesh's ``Trimesh``, ``Scene`` and ``PointCloud``;
    - Open3D's meshes and clouds, legacy and of tensors;
    - a PyG ``Data`` or any object with ``pos`` and ``face`` (or ``edge_index``), as tensors or arrays;
    - a mapping of these names, or any object with ``vertices`` or ``points`` and ``faces``, ``cells`` or ``triangles``, as
      those of polyscope and meshio.

    Objects are known by their attributes: nothing is imported. Floating dtypes are kept, whole numbers become float32 where it
    holds them; what is float64 there, as all of trimesh, is float64 here. Normals and colours come along.

    Args:
        shape: any of these.

    Returns:
        The object itself, or a new one with ``pos``, ``face``, ``normal``, ``color`` as far as there are any.

    Raises:
        TypeError: it is none of these. Paths are read in the room above: ``geodl.data.as_shape``.
        ValueError: arrays whose shapes or dtypes are no shape's.
    """
    if shape is None:
        raise TypeError("a shape is needed, not None")
    if callable(getattr(shape, "read", None)) and callable(getattr(shape, "seek", None)):
        raise TypeError(f"{type(shape).__name__} is an open file, which has no format: give its path")
    if isinstance(shape, str | bytes | os.PathLike):
        raise TypeError(
            f"{os.fspath(shape)!r} is a path: read it by geodl.data.as_shape or geodl.data.Mesh.load"
        )
    pos = getattr(shape, "pos", None)
    if isinstance(pos, Tensor) or (pos is None and isinstance(getattr(shape, "edge_index", None), Tensor)):
        return _with_tensors(shape)
    if isinstance(shape, Tensor | np.ndarray):
        return _made(pos=positions_of(shape))
    if isinstance(shape, tuple | list):
        return _of_arrays(shape)
    if isinstance(shape, dict):
        return as_shape(_made(**{str(key): value for key, value in shape.items()}))
    for made in (_of_data, _of_open3d, _of_scene, _of_cells):
        found = made(shape)
        if found is not None:
            return found
    raise TypeError(
        f"{type(shape).__module__}.{type(shape).__name__} is no shape: it has neither pos nor vertices nor points. "
        "Give arrays (vertices, faces), or an object of geodl, trimesh, Open3D or PyG"
    )


def as_index(name: str, index: Any) -> Tensor:
    """A point map or labels, as int64: a tensor, an array or a list of integers of any dtype.

    Raises:
        ValueError: no integers.
    """
    made = index if isinstance(index, Tensor) else _tensor(name, index)
    if made.is_floating_point() or made.is_complex() or made.dtype == torch.bool:
        if made.numel() == 0 and not isinstance(index, Tensor):
            return made.long()
        raise ValueError(f"{name} must hold integers, not {made.dtype}")
    return made.long()


def as_signal(name: str, values: Any) -> Tensor:
    """Numbers at the points: a tensor as it is, or one of an array or a list.

    Raises:
        ValueError: no numbers.
    """
    return values if isinstance(values, Tensor) else _tensor(name, values)


def _made(**fields: Any) -> Any:
    """A PyG ``Data``: attributes of its vertices follow them."""
    from torch_geometric.data import Data

    return Data(**fields)


def _tensor(name: str, values: Any) -> Tensor:
    if np.ma.is_masked(values):
        raise ValueError(f"{name} has {int(np.ma.getmaskarray(values).sum())} masked numbers: fill them")
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"it is {array.dtype}")
        if array.dtype.kind == "u" and array.dtype.itemsize > 1:
            array = array.astype(np.int64)
        if array.dtype.kind == "f" and array.dtype.itemsize > 8:
            array = array.astype(np.float64)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        # Negative strides and read-only memory are not torch's.
        return torch.from_numpy(np.array(array, order="C", copy=True))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be an array of numbers, not {type(values).__name__} ({error})"
        ) from error


def positions_of(values: Any) -> Tensor:
    """``pos [V, 3]`` of a tensor, an array or a list; whole numbers become float32 where it holds them."""
    pos = as_signal("pos", values)
    if pos.dim() != 2 or pos.shape[1] != 3:
        hint = "; transpose it" if pos.dim() == 2 and pos.shape[0] == 3 else ""
        raise ValueError(f"pos must have shape [V, 3], not {list(pos.shape)}{hint}")
    if pos.dtype == torch.bool or pos.is_complex():
        raise ValueError(f"pos must be floating point, not {pos.dtype}")
    if not pos.is_floating_point():
        held = bool((pos.double().float().double() == pos.double()).all())
        pos = pos.float() if held else pos.double()
    return pos


def faces_of(values: Any, rows: bool | None = None, pos: Tensor | None = None) -> Tensor:
    """``[3, F]`` int64 of triangles, or of quads in two triangles each, convex or not where ``pos`` is known.

    ``rows`` says whether 3 x 3 numbers are ``[F, 3]``: of a tensor not, of an array or a list they are, if it is not given.
    """
    ragged = _ragged(values)
    if ragged is not None:
        return _polygons(ragged, pos)
    face = as_index("face", values)
    padded = face.dim() == 2 and face.shape[1] == 4 and bool((face[:, 3] == -1).any())
    if padded and bool((face[:, :3] >= 0).all()):  # triangles among quads, filled up with -1
        return _polygons([[v for v in row if v >= 0] for row in face.tolist()], pos).to(face.device)
    certain = rows is True
    rows = not isinstance(values, Tensor) if rows is None else rows
    if face.dim() == 1 and face.numel() == 0:
        return face.reshape(3, 0)
    if face.dim() == 2 and face.shape[1] == 3 and (rows or face.shape[0] != 3):
        return face.t().contiguous()
    if face.dim() == 2 and face.shape[0] == 3 and not (certain and face.shape[1] == 4):
        return face
    if face.dim() == 2 and face.shape[1] == 4:
        if pos is not None:
            return _triangles(pos, Polygons.of(face.cpu().numpy())).to(face.device)
        return torch.cat([face[:, [0, 1, 2]], face[:, [0, 2, 3]]]).t().contiguous()
    raise ValueError(f"face must have shape [3, F] or [F, 3], not {list(face.shape)}")


def _ragged(values: Any) -> list[list[int]] | None:
    """Faces of different numbers of corners, as a list of lists; None if that is not what they are."""
    if not isinstance(values, list | tuple) and not (
        isinstance(values, np.ndarray) and values.dtype == object
    ):
        return None
    if not all(isinstance(row, list | tuple) or np.ndim(row) == 1 for row in values):
        return None
    if len({len(row) for row in values}) < 2:
        return None
    return [as_index("face", row).tolist() for row in values]


def _polygons(rows: list[list[int]], pos: Tensor | None) -> Tensor:
    """Triangles ``[3, F]`` of polygons, fans where no positions are known."""
    few = [k for k, row in enumerate(rows) if len(row) < 3]
    if few:
        raise ValueError(f"face {few[0]} has {len(rows[few[0]])} corners: a face has at least three")
    if pos is None:
        fans = [[row[0], row[k], row[k + 1]] for row in rows for k in range(1, len(row) - 1)]
        return torch.tensor(fans, dtype=torch.int64).reshape(-1, 3).t().contiguous()
    starts = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return _triangles(pos, Polygons(np.array([v for row in rows for v in row], dtype=np.int64), starts))


def _with_tensors(shape: Any) -> Any:
    """An object with tensors; what is not yet as geometry wants it is changed in a shallow copy."""
    face = getattr(shape, "face", None)
    if face is None or (
        isinstance(face, Tensor) and face.dtype == torch.int64 and face.dim() == 2 and face.shape[0] == 3
    ):
        return shape
    if isinstance(face, Tensor) and (face.is_floating_point() or face.dtype == torch.bool or face.dim() != 2):
        return shape  # its reader says what is wrong with it
    return _replaced(shape, face=faces_of(face))


def _replaced(shape: Any, **fields: Any) -> Any:
    changed = copy.copy(shape)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _of_arrays(shape: tuple[Any, ...] | list[Any]) -> Any:
    """Of ``(vertices, faces)``, or of a list of positions."""
    if isinstance(shape, tuple):
        if len(shape) != 2:
            raise ValueError(f"a shape of arrays is (vertices, faces), not a tuple of {len(shape)}")
        if shape[1] is None:
            return _made(pos=positions_of(shape[0]))
        pos = positions_of(shape[0])
        face = faces_of(shape[1], pos=pos)
        return _made(pos=pos, face=face.to(pos.device))
    if len(shape) == 2 and np.ndim(shape[0]) == 2:
        return _of_arrays(tuple(shape))
    return _made(pos=positions_of(shape))


def _first(shape: Any, *names: str) -> Any:
    for name in names:
        value = getattr(shape, name, None)
        if value is not None and not callable(value):
            return value
    return None


def _of_data(shape: Any) -> Any:
    """An object with ``pos`` (and ``face``) that are arrays."""
    if getattr(shape, "pos", None) is None:
        return None
    face = getattr(shape, "face", None)
    fields = {"pos": positions_of(shape.pos)}
    if face is not None:
        fields["face"] = faces_of(face, pos=fields["pos"])
    edge_index = getattr(shape, "edge_index", None)
    if edge_index is not None and not isinstance(edge_index, Tensor):
        fields["edge_index"] = as_index("edge_index", edge_index)
    return _replaced(shape, **fields)


def _of_open3d(shape: Any) -> Any:
    """Open3D's ``TriangleMesh`` and ``PointCloud``, legacy or of tensors."""
    vertex: Any = getattr(shape, "vertex", None)
    point: Any = getattr(shape, "point", None)
    if hasattr(shape, "to_legacy") and (vertex is not None or point is not None):
        own = vertex if vertex is not None else point
        columns = {
            name: own[name].cpu().numpy() for name in ("positions", "normals", "colors") if name in own
        }
        if "positions" not in columns:
            raise ValueError(f"this {type(shape).__name__} of Open3D is empty: it has no positions")
        made = _made(pos=positions_of(columns["positions"]))
        if vertex is not None and "indices" in shape.triangle:
            made.face = faces_of(shape.triangle["indices"].cpu().numpy(), True)
        return _decorated(made, columns.get("normals"), columns.get("colors"))
    if not hasattr(shape, "get_geometry_type"):
        return None
    if hasattr(shape, "triangles"):
        made = _made(
            pos=positions_of(np.asarray(shape.vertices)), face=faces_of(np.asarray(shape.triangles), True)
        )
        return _decorated(made, np.asarray(shape.vertex_normals), np.asarray(shape.vertex_colors))
    if hasattr(shape, "points"):
        made = _made(pos=positions_of(np.asarray(shape.points)))
        if hasattr(shape, "normals"):  # else it is lines, whose colours are theirs
            return _decorated(made, np.asarray(shape.normals), np.asarray(shape.colors))
        _left_out(type(shape).__name__, "lines")
        return made
    if hasattr(shape, "tetras") or hasattr(shape, "tetra"):
        _left_out(type(shape).__name__, "tetrahedra")
        return _made(pos=positions_of(np.asarray(shape.vertices)))
    return None


def _left_out(what: str, cells: str) -> None:
    warnings.warn(f"{cells} of this {what} were left out: they are no faces", stacklevel=4)


def _decorated(made: Any, normal: Any, color: Any) -> Any:
    rows = made.pos.shape[0]
    if normal is not None and len(normal) == rows and rows:
        made.normal = _tensor("normal", normal).to(made.pos.dtype)
    if color is not None and len(color) == rows and rows:
        worn = _tensor("color", color)[:, :3]
        made.color = worn.float() if worn.is_floating_point() else worn
    return made


def _of_scene(shape: Any) -> Any:
    """trimesh's ``Scene``: its meshes in their places, as one."""
    if not (hasattr(shape, "dump") and hasattr(shape, "geometry") and hasattr(shape, "graph")):
        return None
    parts = [as_shape(part) for part in shape.dump()]
    meshes = [part for part in parts if getattr(part, "face", None) is not None]
    chosen = meshes or parts
    if not chosen:
        raise ValueError("this scene is empty: it has no geometry")
    starts = np.cumsum([0, *(part.pos.shape[0] for part in chosen)]).tolist()
    made = _made(pos=torch.cat([part.pos for part in chosen]))
    if meshes:
        made.face = torch.cat([part.face + start for part, start in zip(meshes, starts, strict=False)], dim=1)
    for name in ("normal", "color"):
        rows: list[Tensor] = [row for part in chosen if (row := getattr(part, name, None)) is not None]
        if len(rows) == len(chosen) and len({row.dtype for row in rows}) == 1:
            made[name] = torch.cat(rows)
    return made


def _of_cells(shape: Any) -> Any:
    """An object with ``vertices`` or ``points`` and ``faces``, ``cells`` or ``triangles``; trimesh's are such."""
    places = _first(shape, "vertices", "points", "verts", "V")
    if places is None:
        return None
    made = _made(pos=positions_of(_planar(places)))
    cells = _first(shape, "faces", "triangles", "cells", "F")
    if cells is not None:
        face = _cells(cells, made.pos)
        if face is not None:
            made.face = face
    for name, value in (getattr(shape, "vertex_attributes", None) or {}).items():
        numbers = np.asarray(value).dtype.kind in "fiub"
        if numbers and np.ndim(value) and len(value) == made.pos.shape[0] and name not in ("pos", "face"):
            made[name] = as_signal(name, value)
    visual: Any = getattr(shape, "visual", None)
    own = visual is not None and getattr(visual, "kind", None) == "vertex"
    color = visual.vertex_colors if own else getattr(shape, "colors", None)
    if color is not None and np.ndim(color) == 2 and np.shape(color)[1] >= 3 and "color" not in made:
        return _decorated(made, None, color)
    return made


def _planar(places: Any) -> Any:
    if not isinstance(places, Tensor):
        places = np.asarray(places)
        if places.ndim == 2 and places.shape[1] == 2:
            return np.pad(places, ((0, 0), (0, 1)))
    return places


def _cells(cells: Any, pos: Tensor) -> Tensor | None:
    """Triangles of an array, or of meshio's blocks: triangles, quads and polygons, convex or not."""
    if isinstance(cells, dict):
        cells = list(cells.items())
    if isinstance(cells, np.ndarray) and cells.ndim == 1 and cells.size and cells.dtype.kind in "iu":
        cells = [("polygon", row) for row in _unpacked(cells.tolist())]  # as pyvista has them
    if isinstance(cells, Tensor | np.ndarray):
        # Three rows of four are three quads: objects with vertices and faces hold rows.
        return faces_of(cells, True if np.shape(cells) == (3, 4) else None, pos)
    found, others = [], set()
    for block in cells:
        if isinstance(block, tuple):
            kind, data = block
        else:
            kind, data = getattr(block, "type", "polygon"), getattr(block, "data", block)
        if kind in ("triangle", "quad", "polygon"):
            rows = np.atleast_2d(np.asarray(data))
            found.append(as_index("faces", rows).numpy())
        else:
            others.add(str(kind))
    if others - {"vertex"}:
        _left_out("object", ", ".join(sorted(others - {"vertex"})))
    if not found:
        return None
    corners, sizes = [], []
    for rows in found:
        corners.append(rows.reshape(-1))
        sizes += [rows.shape[1]] * len(rows)
    return _triangles(pos, Polygons(np.concatenate(corners), np.cumsum([0, *sizes])))


def _triangles(pos: Tensor, polygons: Polygons) -> Tensor:
    return torch.from_numpy(triangulate(pos.detach().cpu().numpy(), polygons)[0]).t().contiguous()


def _unpacked(packed: list[int]) -> list[list[int]]:
    """Polygons of a list that has before each its number of corners."""
    rows, at = [], 0
    while at < len(packed):
        if packed[at] < 3:
            raise ValueError(
                f"faces are {len(packed)} numbers, of which {packed[at]} should be a number of corners, 3 or more"
            )
        rows.append(packed[at + 1 : at + 1 + packed[at]])
        at += 1 + packed[at]
    if at != len(packed):
        raise ValueError(f"faces are {len(packed)} numbers, which are no triangles [F, 3]")
    return rows
