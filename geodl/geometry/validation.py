"""What is wrong with a mesh, and the repairs that need no judgement."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from geodl.geometry.shapes import ShapeLike, as_shape
from geodl.geometry.surface import Surface

__all__ = ["MeshReport", "repair", "validate"]

# Twice the area of a face, relative to its longest edge squared, from which on it counts as having an area.
_FLAT = 1e-10

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class MeshReport:
    """Counts of what was found on a mesh; `str` tells it to a person.

    Faces that refer to missing or non-finite vertices, or name a vertex twice, are counted and then left out
    of all that follows.

    Attributes:
        vertices, faces, edges: how many there are.
        components: connected components of the vertices that belong to a face.
        euler_characteristic: V - E + F, of the vertices that belong to a face.
        boundary_edges, boundary_loops: edges of a single face, and the connected curves that they form.
        non_manifold_edges: edges of more than two faces.
        non_manifold_vertices: vertices where several fans of faces meet.
        inconsistent_edges: edges whose two faces are wound the same way.
        orientable: whether turning faces can make the winding consistent (a Moebius strip is not).
        isolated_vertices: vertices of no face.
        duplicate_vertices: vertices at exactly the place of an earlier one.
        duplicate_faces: faces with the corners of an earlier one.
        degenerate_faces: faces that name a vertex twice or have no area.
        not_finite: vertices with a NaN or infinite coordinate, ``[n]`` int64.
        out_of_range: faces that refer to vertices that do not exist, ``[n]`` int64.
        done: what `repair` did, one sentence each.
        vertex_map: of `repair`, ``[V]`` int64: the new number of every old vertex, -1 if it was removed.
    """

    vertices: int
    faces: int
    edges: int
    components: int
    euler_characteristic: int
    boundary_edges: int
    boundary_loops: int
    non_manifold_edges: int
    non_manifold_vertices: int
    inconsistent_edges: int
    orientable: bool
    isolated_vertices: int
    duplicate_vertices: int
    duplicate_faces: int
    degenerate_faces: int
    not_finite: Tensor = field(repr=False)
    out_of_range: Tensor = field(repr=False)
    done: tuple[str, ...] = ()
    vertex_map: Tensor | None = field(default=None, repr=False)

    @property
    def is_manifold(self) -> bool:
        """Whether every edge has at most two faces and every vertex one fan."""
        return self.non_manifold_edges == 0 and self.non_manifold_vertices == 0

    @property
    def is_closed(self) -> bool:
        """Whether the mesh is a manifold without boundary."""
        return self.is_manifold and self.boundary_edges == 0 and self.faces > 0

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing that `repair` would change or a user should know; a boundary is no fault."""
        counts = (
            self.inconsistent_edges,
            self.isolated_vertices,
            self.duplicate_vertices,
            self.duplicate_faces,
        )
        broken = self.not_finite.numel() + self.out_of_range.numel() + self.degenerate_faces + sum(counts)
        return self.is_manifold and self.orientable and broken == 0 and self.faces > 0

    def __str__(self) -> str:
        lines = [
            f"{self.vertices} vertices, {self.edges} edges, {self.faces} faces, {self.components} component(s), "
            f"Euler characteristic {self.euler_characteristic}"
        ]
        if self.vertices == 0 or self.faces == 0:
            lines.append("  empty: " + ("no vertices" if self.vertices == 0 else "no faces"))
        for count, text in (
            (self.not_finite.numel(), f"vertices are not finite: {_first(self.not_finite)}"),
            (
                self.out_of_range.numel(),
                f"faces refer to vertices that do not exist: {_first(self.out_of_range)}",
            ),
            (self.boundary_edges, f"boundary edges in {self.boundary_loops} loop(s)"),
            (self.non_manifold_edges, "edges have more than two faces"),
            (self.non_manifold_vertices, "vertices join several fans of faces"),
            (self.inconsistent_edges, "edges join faces of opposite winding"),
            (self.isolated_vertices, "vertices belong to no face"),
            (self.duplicate_vertices, "vertices lie exactly on an earlier one"),
            (self.duplicate_faces, "faces repeat an earlier one"),
            (self.degenerate_faces, "faces have no area"),
        ):
            if count:
                lines.append(f"  {count} {text}")
        if not self.orientable:
            lines.append("  not orientable")
        if self.is_clean:
            lines.append("  closed and clean" if self.is_closed else "  clean, with boundary")
        lines.extend(f"  repaired: {deed}" for deed in self.done)
        return "\n".join(lines)


def validate(mesh: ShapeLike) -> MeshReport:
    """Looks for everything that can be wrong with a mesh, without raising for any of it.

    Args:
        mesh: anything with ``pos [V, 3]`` and ``face [3, F]``.

    Raises:
        ValueError: ``pos`` or ``face`` are missing or have another shape.
    """
    mesh = as_shape(mesh)
    pos, face = _arrays(mesh)
    finite, in_range, proper = _sound(pos, face)
    sound = face[in_range & proper]
    corners = pos[sound]
    sides = corners - np.roll(corners, 1, axis=1)
    twice_area = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1)
    longest = (sides**2).sum(axis=2).max(axis=1, initial=0)
    flat = int((twice_area <= _FLAT * longest).sum())

    edge, edge_of, same_way = _pair_halfedges(sound, len(pos))
    faces_of_edge = np.bincount(edge_of, minlength=len(edge))
    used = np.unique(sound)
    label = _components(len(pos), edge)
    boundary = edge[faces_of_edge == 1]
    curve = _components(len(pos), boundary)
    # Corners of one vertex are linked where two faces share an edge at it; two groups of corners are two
    # fans.
    link = _linked_corners(sound, edge_of)
    fan = _components(sound.size, link)
    fans = np.unique(np.stack([sound.reshape(-1), fan]), axis=1)[0]
    sheets = _sheets(len(sound), same_way)
    return MeshReport(
        vertices=len(pos),
        faces=len(face),
        edges=len(edge),
        components=len(np.unique(label[used])),
        euler_characteristic=len(used) - len(edge) + len(sound),
        boundary_edges=len(boundary),
        boundary_loops=len(np.unique(curve[np.unique(boundary)])),
        non_manifold_edges=int((faces_of_edge > 2).sum()),
        non_manifold_vertices=int((np.bincount(fans, minlength=1) > 1).sum()),
        inconsistent_edges=int((same_way[:, 2] == 1).sum()),
        orientable=not bool((sheets[: len(sound)] == sheets[len(sound) :]).any()),
        isolated_vertices=len(pos) - len(np.unique(face[in_range])),
        duplicate_vertices=int(finite.sum()) - len(np.unique(pos[finite], axis=0)),
        duplicate_faces=len(sound) - len(np.unique(np.sort(sound, axis=1), axis=0)),
        degenerate_faces=flat + int((~proper).sum()),
        not_finite=torch.from_numpy(np.flatnonzero(~finite)),
        out_of_range=torch.from_numpy(np.flatnonzero(_missing(face, len(pos)))),
    )


def repair(mesh: ShapeLike) -> tuple[Any, MeshReport]:
    """A copy of the mesh after the repairs that need no judgement, and what was done.

    In this order: faces that refer to missing or non-finite vertices are removed; vertices at exactly the
    same place are merged; faces that name a vertex twice or repeat an earlier face are removed; faces are
    turned so that every orientable component is wound like its first face; vertices of no face are removed.
    Nothing moves, no hole is filled, faces without area but with three distinct corners stay (removing them
    would open the surface), and so do edges with more than two faces.

    Args:
        mesh: anything with ``pos [V, 3]`` and ``face [3, F]``. Of a PyG ``Data`` the other attributes of its
            vertices follow, and those of its faces that are called ``face_NAME``.

    Returns:
        The copy and its `MeshReport`, with ``done`` and ``vertex_map``.

    Raises:
        ValueError: ``pos`` or ``face`` are missing or have another shape, or no face would be left.
    """
    mesh = as_shape(mesh)
    pos, face = _arrays(mesh)
    finite, in_range, _ = _sound(pos, face)
    done: list[str] = []
    kept, origin = face[in_range], np.flatnonzero(in_range)
    if len(kept) < len(face):
        done.append(f"removed {len(face) - len(kept)} faces that referred to missing or non-finite vertices")

    merged = np.arange(len(pos))
    _, first, inverse = np.unique(pos[finite], axis=0, return_index=True, return_inverse=True)
    merged[finite] = np.flatnonzero(finite)[first[inverse.reshape(-1)]]
    moved = int((merged[finite] != np.flatnonzero(finite)).sum())
    if moved:
        done.append(f"merged {moved} vertices with others at the same place")
    kept = merged[kept]

    ordered = np.sort(kept, axis=1)
    proper = (ordered[:, 0] != ordered[:, 1]) & (ordered[:, 1] != ordered[:, 2])
    if not proper.all():
        done.append(f"removed {int((~proper).sum())} faces that named a vertex twice")
    kept, ordered, origin = kept[proper], ordered[proper], origin[proper]
    _, first = np.unique(ordered, axis=0, return_index=True)
    if len(first) < len(kept):
        done.append(f"removed {len(kept) - len(first)} faces that repeated an earlier one")
    kept, origin = kept[np.sort(first)], origin[np.sort(first)]
    if len(kept) == 0:
        raise ValueError(
            f"nothing would be left of the {len(face)} faces: {'; '.join(done) or 'there are none'}"
        )

    *_, same_way = _pair_halfedges(kept, len(pos))
    sheets = _sheets(len(kept), same_way)
    upper, lower = sheets[: len(kept)], sheets[len(kept) :]
    # The first face of every component stays as it is.
    _, seed = np.unique(np.minimum(upper, lower), return_index=True)
    turn = ~np.isin(upper, upper[seed]) & (upper != lower)
    if turn.any():
        kept[turn] = kept[turn][:, [0, 2, 1]]
        done.append(f"turned {int(turn.sum())} faces to the winding of their component")

    used = np.unique(kept)
    alone = len(np.unique(merged[finite])) - len(used)
    if alone:
        done.append(f"removed {alone} vertices of no face")
    if not finite.all():
        done.append(f"removed {int((~finite).sum())} non-finite vertices")
    number = np.full(len(pos), -1, dtype=np.int64)
    number[used] = np.arange(len(used))
    vertex_map = np.where(finite, number[merged], -1)
    corners = torch.from_numpy(np.ascontiguousarray(number[kept].T))
    clean = _rebuild(mesh, torch.from_numpy(used), corners, torch.from_numpy(origin))
    return clean, replace(validate(clean), done=tuple(done), vertex_map=torch.from_numpy(vertex_map))


def _arrays(mesh: Surface) -> tuple[NDArray[np.float64], Ints]:
    pos, face = getattr(mesh, "pos", None), getattr(mesh, "face", None)
    for name, tensor in (("pos", pos), ("face", face)):
        if not isinstance(tensor, Tensor):
            raise ValueError(f"the mesh needs a tensor .{name}, but it is {type(tensor).__name__}")
    assert isinstance(pos, Tensor) and isinstance(face, Tensor)
    if pos.dim() != 2 or pos.shape[1] != 3:
        raise ValueError(f"pos must have shape [V, 3], not {list(pos.shape)}")
    if face.dim() != 2 or face.shape[0] != 3:
        raise ValueError(f"face must have shape [3, F], not {list(face.shape)}")
    return pos.detach().cpu().double().numpy(), face.detach().cpu().long().t().contiguous().numpy()


def _missing(face: Ints, vertices: int) -> Mask:
    return cast(Mask, ((face < 0) | (face >= vertices)).any(axis=1))


def _sound(pos: NDArray[np.float64], face: Ints) -> tuple[Mask, Mask, Mask]:
    """Which vertices are finite, which faces refer to such vertices alone, and which do not name a vertex twice."""
    finite = cast(Mask, np.isfinite(pos).all(axis=1))
    exists = ~_missing(face, len(pos))
    usable = exists.copy()
    usable[exists] = finite[face[exists]].all(axis=1)
    a, b, c = face.T
    return finite, usable, (a != b) & (b != c) & (c != a)


def _components(nodes: int, links: NDArray[np.integer[Any]]) -> Ints:
    graph = coo_array((np.ones(len(links), dtype=np.int8), (links[:, 0], links[:, 1])), shape=(nodes, nodes))
    return cast(Ints, connected_components(graph, directed=False)[1])


def _pair_halfedges(face: Ints, vertices: int) -> tuple[Ints, Ints, Ints]:
    """Edges ``[E, 2]``, the edge of every halfedge ``[3F]``, and ``[n, 3]`` rows (face, face, wound the same
    way) of the edges with two faces. Halfedge 3 f + k runs from corner k to corner k + 1 of face f."""
    start, end = face.reshape(-1), np.roll(face, -1, axis=1).reshape(-1)
    low, high = np.minimum(start, end), np.maximum(start, end)
    key, edge_of = np.unique(low * max(vertices, 1) + high, return_inverse=True)
    edge_of = edge_of.reshape(-1)
    order = np.argsort(edge_of, kind="stable")
    count = np.bincount(edge_of, minlength=len(key))
    at = (np.cumsum(count) - count)[count == 2]
    one, two = order[at], order[at + 1]
    pairs = np.stack([one // 3, two // 3, (start[one] == start[two]).astype(np.int64)], axis=1)
    return np.stack(np.divmod(key, max(vertices, 1)), axis=1), edge_of, pairs


def _linked_corners(face: Ints, edge_of: Ints) -> Ints:
    """Pairs of corners ``[n, 2]`` of one vertex in faces that share an edge at it."""
    corner = np.arange(face.size)
    following = corner - corner % 3 + (corner + 1) % 3
    ends = np.concatenate([corner, following])  # halfedge h touches its two corners
    key = np.stack([np.concatenate([edge_of, edge_of]), face.reshape(-1)[ends]])
    order = np.lexsort((ends, key[1], key[0]))
    same = (key[:, order[1:]] == key[:, order[:-1]]).all(axis=0)
    return np.stack([ends[order[:-1]][same], ends[order[1:]][same]], axis=1)


def _sheets(faces: int, pairs: Ints) -> Ints:
    """Components of the orientation cover ``[2F]``: node f is face f as wound, node F + f the same face turned."""
    one, two, same_way = pairs.T
    other = two + faces * same_way
    links = np.concatenate(
        [np.stack([one, other], axis=1), np.stack([one + faces, (other + faces) % (2 * faces or 1)], axis=1)]
    )
    return _components(2 * faces, links)


def _rebuild(mesh: Any, used: Tensor, face: Tensor, origin: Tensor) -> Any:
    clean = copy.copy(mesh)
    used, face = used.to(mesh.pos.device), face.to(mesh.face.device, mesh.face.dtype)
    faces = mesh.face.shape[1]
    attributes: dict[str, Tensor] = {"pos": mesh.pos[used], "face": face}
    is_node_attr = getattr(mesh, "is_node_attr", None)
    if is_node_attr is not None:
        for key, value in cast(Any, mesh).to_dict().items():
            if (
                key.startswith("face_")
                and isinstance(value, Tensor)
                and value.dim()
                and value.shape[0] == faces
            ):
                attributes[key] = value[origin.to(value.device)]
            elif key not in attributes and isinstance(value, Tensor) and is_node_attr(key):
                attributes[key] = value[used]
    for key, value in attributes.items():
        setattr(clean, key, value)
    return clean


def _first(numbers: Tensor, shown: int = 5) -> str:
    return ", ".join(map(str, numbers[:shown].tolist())) + (", ..." if numbers.numel() > shown else "")
