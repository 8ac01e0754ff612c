"""Formats that other libraries read well: glb, gltf, 3mf by trimesh, vtk, vtu, msh by meshio, las, laz by laspy."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from geodl.data.files.loaded import Loaded
from geodl.data.files.unchecked import check_gltf, check_gmsh, check_las, look_before_making_room
from geodl.geometry.triangulation import Polygons

__all__ = ["BY_LASPY", "BY_MESHIO", "BY_TRIMESH", "read_laspy", "read_meshio", "read_trimesh"]

BY_TRIMESH = (".glb", ".gltf", ".3mf")
BY_MESHIO = (".vtk", ".vtu", ".msh")
BY_LASPY = (".las", ".laz")


def _needs(path: Path, package: str, error: ImportError) -> ImportError:
    return ImportError(f"{path}: {path.suffix.lower()} files need {package}: pip install {package}")


def read_trimesh(path: Path) -> Loaded:
    """A scene's meshes in the places where it has them, as one."""
    import trimesh

    try:
        with _overheard("trimesh") as said:
            scene = trimesh.load_scene(path, process=False)
    except ImportError as error:
        raise _needs(path, error.name or "lxml", error) from error
    parts: list[Any] = scene.dump()
    meshes = [part for part in parts if hasattr(part, "faces")]
    clouds = [part for part in parts if not hasattr(part, "faces") and hasattr(part, "vertices")]
    notes = [f"trimesh says: {text}" for text in said]
    if path.suffix.lower() != ".3mf":
        notes += check_gltf(path)
    if not meshes:
        pos = np.concatenate([np.zeros((0, 3)), *(np.asarray(cloud.vertices) for cloud in clouds)])
        return Loaded(pos, notes=notes)
    for number, mesh in enumerate(meshes):  # behind the others, a corner too far would be one of theirs
        if len(mesh.faces) and not 0 <= mesh.faces.min() <= mesh.faces.max() < len(mesh.vertices):
            raise ValueError(
                f"part {number} has {len(mesh.vertices)} vertices, but faces reach {mesh.faces.max()}"
            )
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = [np.asarray(mesh.faces) + start for mesh, start in zip(meshes, starts, strict=False)]
    loaded = Loaded(
        np.concatenate([np.asarray(mesh.vertices) for mesh in meshes]),
        Polygons.of(np.concatenate(faces)),
        notes=notes,
    )
    if all(mesh.visual.kind == "vertex" for mesh in meshes):
        loaded.vertex["color"] = np.concatenate(
            [np.asarray(mesh.visual.vertex_colors)[:, :3] for mesh in meshes]
        )
    if len(meshes) > 1:
        loaded.polygon["group"] = np.repeat(np.arange(len(meshes)), [len(face) for face in faces])
    if clouds:
        loaded.notes.append(f"{len(clouds)} parts that are no meshes were left out")
    return loaded


@contextmanager
def _overheard(library: str) -> Iterator[list[str]]:
    """What a library tells its log of the parts that it leaves out."""
    said: list[str] = []
    log, handler = logging.getLogger(library), logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage().replace("\n", " "))  # type: ignore[method-assign]
    log.addHandler(handler)
    try:
        yield said
    finally:
        log.removeHandler(handler)


def read_meshio(path: Path) -> Loaded:
    """Triangles, quads and polygons of a mesh file; other cells are left out, of a mesh of volumes all."""
    try:
        import meshio
    except ImportError as error:
        raise _needs(path, "meshio", error) from error
    look_before_making_room()
    try:
        mesh = meshio.read(path)
    except SystemExit as error:  # what it does of files that it can't read
        raise ValueError("meshio cannot read it") from error
    except MemoryError as error:
        raise ValueError(f"it announces more than there is memory for: {error}") from error
    if path.suffix.lower() == ".msh":
        check_gmsh(path)
    return of_cells(
        np.asarray(mesh.points), [(block.type, block.data) for block in mesh.cells], mesh.point_data
    )


def of_cells(points: Any, cells: list[tuple[str, Any]], point_data: dict[str, Any]) -> Loaded:
    pos = np.asarray(points)
    if pos.ndim == 2 and pos.shape[1] == 2:
        pos = np.pad(pos, ((0, 0), (0, 1)))
    flat = [
        np.asarray(row) for kind, data in cells if kind in ("triangle", "quad", "polygon") for row in [data]
    ]
    polygons = [Polygons.of(rows) for rows in flat if rows.ndim == 2 and len(rows)]
    loaded = Loaded(pos, exact=pos.dtype == np.float64)
    if polygons:
        shifts = np.cumsum([0, *(len(part.corners) for part in polygons)])
        starts = [part.starts[1:] + shift for part, shift in zip(polygons, shifts, strict=False)]
        loaded.polygons = Polygons(
            np.concatenate([part.corners for part in polygons]),
            np.concatenate([np.zeros(1, dtype=np.int64), *starts]),
        )
    others = sorted({kind for kind, _ in cells} - {"triangle", "quad", "polygon"})
    if others:
        loaded.notes.append(f"cells that are no faces were left out: {', '.join(others)}")
    for name, value in point_data.items():
        value = np.asarray(value)
        if value.ndim in (1, 2) and len(value) == len(pos) and value.dtype.kind in "fiub":
            loaded.vertex[{"Normals": "normal", "RGB": "color"}.get(name, name.replace(" ", "_"))] = value
    return loaded


def read_laspy(path: Path) -> Loaded:
    """A laser scan: ``pos`` float64 as scale and offset give it, ``color`` of 16 bits as floats in 0..1, intensity and class."""
    try:
        import laspy
    except ImportError as error:
        raise _needs(path, "laspy", error) from error
    data = path.read_bytes()
    check_las(data)
    # Not the one of many threads, which ends the process where the table says of a chunk that it is large.
    backends = [one for one in laspy.LazBackend.detect_available() if one.name != "LazrsParallel"]
    with laspy.open(io.BytesIO(data), laz_backend=backends or None) as reader:
        announced, file = reader.header.point_count, reader.read()
    if len(file.points) != announced:
        raise ValueError(f"its header announces {announced} points, it has {len(file.points)}")
    loaded = Loaded(np.stack([np.asarray(file.x), np.asarray(file.y), np.asarray(file.z)], axis=1))
    header = file.header
    if not header.are_points_compressed and not header.number_of_evlrs:
        end = header.offset_to_point_data + header.point_count * header.point_format.size
        if len(data) > end:
            loaded.notes.append(
                f"{len(data) - end} bytes behind its {header.point_count} points were left out"
            )
    returns = int(np.sum(header.number_of_points_by_return))
    if returns and returns != header.point_count:
        loaded.notes.append(f"its header counts {returns} returns, but announces {header.point_count} points")
    names = set(file.point_format.dimension_names)
    if {"red", "green", "blue"} <= names:
        color = np.stack([np.asarray(file[name]) for name in ("red", "green", "blue")], axis=1)
        loaded.vertex["color"] = (
            color.astype(np.uint8) if color.max(initial=0) <= 255 else (color / 65535).astype(np.float32)
        )
    if "intensity" in names:
        loaded.vertex["intensity"] = np.asarray(file.intensity).astype(np.float32)
    if "classification" in names:
        loaded.vertex["y"] = np.asarray(file.classification).astype(np.int64)
    return loaded
