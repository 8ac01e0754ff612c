"""Remeshing: the same surface with edges of one length."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geodl.geometry.measures import face_areas
from geodl.geometry.native import native
from geodl.geometry.shapes import ShapeLike, as_shape
from geodl.geometry.surface import Surface, surface_arrays
from geodl.geometry.validation import validate

__all__ = ["remesh"]

# Rounds of splitting, collapsing, flipping and smoothing: edges change little after these.
_ITERATIONS = 10
# Vertices of the result, and of the given mesh, beyond which it does not fit into 32-bit numbers of halfedges with room to spare.
_MOST = 50_000_000


def remesh(mesh: ShapeLike, edge_length: float, *, feature_angle: float = math.pi / 4) -> Any:
    r"""A mesh of the same surface whose faces are nearly equilateral, with edges of about ``edge_length``.

    Edges longer than 4/3 of it are split, those shorter than 4/5 collapsed, others flipped towards six neighbours a vertex; then
    vertices move towards the centre of their faces within the tangent plane and back onto the surface, ten rounds of it. Every
    vertex of the result lies on the given surface. A surface of area A has about :math:`2 A / (\sqrt 3 \, l^2)` vertices.

    Boundaries are kept, and so are creases, edges whose faces meet at more than ``feature_angle``, unless all of a crease is
    shorter than four new edges; their ends and corners stay where they are, and a short edge between two of them stays short.
    Details smaller than an edge are lost. Components stay apart, one smaller than an edge keeps the faces that it needs. A vertex
    that joins several fans of faces becomes a vertex for each.

    Args:
        mesh: ``pos [V, 3]``, ``face [3, F]``: a manifold, with or without boundary, in one or several components.
        edge_length: in the unit of ``pos``.
        feature_angle: between the normals of two faces, in radians.

    Returns:
        A copy with new ``pos`` and ``face``. Vertex attributes of a PyG ``Data`` follow: floats and uint8 colours by
        barycentric interpolation (``normal`` with length one again), integers and booleans from the nearest corner of the face that
        a vertex lies on. What belongs to the whole shape stays; attributes of faces and edges, and operators, are left out.

    Raises:
        ValueError: an edge length that is not positive, is longer than the mesh, or would make more than 50 million vertices; a
            mesh that is no oriented manifold, with what to do.
        IndexError: a face refers to a vertex that does not exist.

    Botsch & Kobbelt, "A remeshing approach to multiresolution modeling", SGP 2004.
    """
    mesh = as_shape(mesh)
    pos, face = surface_arrays(mesh)
    _check(mesh, pos, edge_length, feature_angle)
    faces, corner, weight = native().remesh(pos, face, float(edge_length), float(feature_angle), _ITERATIONS)
    device = mesh.pos.device
    corners = torch.from_numpy(corner.reshape(-1, 3)).to(device)
    weights = torch.from_numpy(weight.reshape(-1, 3)).to(device)
    made = _without_attributes(mesh)
    made.pos = _interpolate(mesh.pos, corners, weights)
    made.face = torch.from_numpy(faces.reshape(-1, 3).T.copy()).to(device)
    for name, value in _vertex_attributes(mesh).items():
        colors = value.dtype == torch.uint8 and value.dim() == 2
        if value.is_floating_point() or value.is_complex() or colors:
            carried = _interpolate(value, corners, weights)
            if name == "normal":
                carried = torch.nn.functional.normalize(carried, dim=-1)
        else:
            carried = value[corners.gather(1, weights.argmax(1, keepdim=True)).squeeze(1)]
        setattr(made, name, carried)
    return made


def _check(mesh: Surface, pos: np.ndarray[Any, Any], edge_length: float, feature_angle: float) -> None:
    if not (edge_length > 0 and math.isfinite(edge_length)):
        raise ValueError(f"edge_length must be positive and finite, not {edge_length}")
    if not 0 < feature_angle <= math.pi:
        raise ValueError(f"feature_angle must lie in 0..pi, not {feature_angle}")
    area = float(face_areas(mesh).double().sum())
    if not area > 0:
        raise ValueError(f"none of the {mesh.face.shape[1]} faces has an area: there is no surface to mesh")
    size = float(np.linalg.norm(np.ptp(pos, axis=0)))
    if edge_length > size:
        raise ValueError(f"edge_length {edge_length:g} is longer than the mesh, whose diagonal is {size:g}")
    expected = 2 * area / math.sqrt(3) / edge_length**2
    if max(expected, len(pos)) > _MOST:
        raise ValueError(
            f"edge_length {edge_length:g} would make {expected:.2g} vertices of the {len(pos)}, more than {_MOST:,}"
        )
    found = validate(mesh)
    named_twice = int((mesh.face == mesh.face.roll(1, 0)).any(0).sum())
    sound = found.orientable and not found.non_manifold_edges
    mended = [
        f"{count} {text}"
        for count, text in (
            (named_twice, "faces name a vertex twice"),
            (found.duplicate_faces, "faces repeat another"),
            (found.inconsistent_edges if sound else 0, "edges join faces of opposite winding"),
        )
        if count
    ]
    if mended:
        raise ValueError(f"{', '.join(mended)}: geodl.geometry.repair(mesh) mends that")
    if found.non_manifold_edges:
        raise ValueError(
            f"the mesh is no manifold: {found.non_manifold_edges} edges have more than two faces. Take faces away until they have "
            "two (an inner wall, mostly), or remesh the parts apart"
        )
    if not found.orientable:
        raise ValueError("the mesh is not orientable: cut it open first, so that its faces have an outside")


def _interpolate(values: Tensor, corners: Tensor, weights: Tensor) -> Tensor:
    """The mean of three rows with weights, in the dtype of the rows."""
    wide = values if values.is_complex() else values.double()
    scale = weights.view(*weights.shape, *[1] * (values.dim() - 1))
    mean = (wide[corners] * scale).sum(1)
    return (mean.round() if values.dtype == torch.uint8 else mean).to(values.dtype)


def _vertex_attributes(mesh: Any) -> dict[str, Tensor]:
    is_node_attr = getattr(mesh, "is_node_attr", None)
    if is_node_attr is None:
        return {}
    return {
        name: value
        for name, value in mesh.to_dict().items()
        if name not in ("pos", "face") and isinstance(value, Tensor) and is_node_attr(name)
    }


def _without_attributes(mesh: Any) -> Any:
    """A copy with nothing but what belongs to the whole shape."""
    made = copy.copy(mesh)
    if hasattr(mesh, "is_node_attr"):
        for name, value in mesh.to_dict().items():
            whole = isinstance(value, str | int | float | bool) or (
                isinstance(value, Tensor) and (value.dim() == 0 or value.shape[0] == 1)
            )
            if not whole:
                del made[name]
    return made
