"""FAUSTParts: the bodies of FAUST with the 24 parts of SMPL."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import KDTree
from torch import Tensor

from geodl.data import Mesh
from geodl.datasets.faust import FAUST
from geodl.datasets.published import read_vertices
from geodl.geometry import edges

__all__ = ["FAUSTParts"]

_VERTICES = 6890


class FAUSTParts(FAUST):
    """FAUST with the part of the body that every vertex is of: the 24 parts of SMPL (Loper et al. 2015), whose template that of the
    registrations is.

    An item is one of :class:`FAUST`, but ``y [V]`` int64 is the part, 0 to 23, by name in :attr:`parts`. A vertex on the border
    of parts is listed in each of them; it is of the smallest one (by the number of vertices listed; of equally small ones, the
    first by name), so that left and right are alike and small parts stay whole. The vertices of a remeshed body have the part of
    the common point that they stand for (of several, the part of most, the first by number if as many); one that stands for
    none, that of the nearest vertex that does, along edges. Common points lie at vertices, so borders between parts move by up to
    an edge: 2 to 3 % of a body's area has another part than on its registration. Where the registrations are given, a vertex has
    the part at the nearest point of the registered surface instead (there, of the nearest corner of the face).

    Args:
        root: as of :class:`FAUST`; of the remeshed bodies the folder must hold ``corres/sampleID.vts``, the template's vertices at
            the common points.
        segmentation: the file ``smpl_vert_segmentation.json``: of every part the vertices, counted from 0.
        variant, split, transform: as of :class:`FAUST`.
        registrations: the root of the registrations, for "remeshed" bodies that are to have the parts of their surface.

    Raises:
        ValueError: as :class:`FAUST`; registrations given for the registrations; a segmentation that is no such file, or leaves
            out a vertex.
        IndexError: a segmentation that names a vertex that is not there.
        FileNotFoundError: files are missing.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        segmentation: str | os.PathLike[str],
        variant: str = "registrations",
        split: Literal["train", "test"] | None = None,
        transform: Callable[[Mesh], Mesh] | None = None,
        registrations: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(root, variant, split, transform)
        if registrations is not None and variant == "registrations":
            raise ValueError('registrations are for the variant "remeshed"')
        self._registered = None if registrations is None else FAUST(registrations, split=split)
        self.parts, self.template_part = read_parts(Path(segmentation))
        if variant == "remeshed":
            path = self.folder / "corres" / "sampleID.vts"
            self._sample = read_vertices(path, _VERTICES, Path("the template"))

    @property
    def num_classes(self) -> int:
        """Number of parts."""
        return len(self.parts)

    def _read(self, name: str) -> Mesh:
        mesh = super()._read(name)
        if self.variant == "registrations":
            mesh.y = self.template_part.clone()
            return mesh
        if mesh.corres.shape != self._sample.shape:
            raise ValueError(
                f"sampleID.vts lists {len(self._sample)} vertices but {name}.vts lists {len(mesh.corres)}"
            )
        if self._registered is None:
            mesh.y = _by_points(mesh, mesh.corres, self.template_part[self._sample], self.num_classes)
        else:
            body = self._registered[self._registered.names.index(name)]
            body.pos = _aligned(body.pos, body.pos[self._sample], mesh.pos[mesh.corres])
            mesh.y = _by_surface(mesh, body, self.template_part)
        return mesh


def read_parts(path: Path) -> tuple[tuple[str, ...], Tensor]:
    """Names of the parts in alphabetical order, and the part of every vertex of the template, ``[6890]`` int64."""
    if not path.is_file():
        raise FileNotFoundError(f"No segmentation of SMPL at {path}.\n{_INSTRUCTIONS}")
    try:
        listed = {
            str(part): torch.tensor(vertices) for part, vertices in json.loads(path.read_text()).items()
        }
        damaged = not listed or any(v.dtype != torch.int64 or v.dim() != 1 for v in listed.values())
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if damaged:
        raise ValueError(f"{path} is damaged: it should hold a list of vertices for every part")
    names = sorted(listed)
    for name in names:
        if int(listed[name].min()) < 0 or int(listed[name].max()) >= _VERTICES:
            raise IndexError(f"{path}: {name} lists vertices that are not in 0..{_VERTICES - 1}")
    found = torch.full((_VERTICES,), -1)
    # From the largest to the smallest, which has the last word; of equally small ones the first by name.
    for name in sorted(reversed(names), key=lambda name: -len(listed[name])):
        found[listed[name]] = names.index(name)
    if bool((found < 0).any()):
        raise ValueError(
            f"{path} has {int((found < 0).sum())} vertices in no part, the first is {int((found < 0).nonzero()[0])}"
        )
    return tuple(names), found


def _by_points(mesh: Mesh, at: Tensor, label: Tensor, classes: int) -> Tensor:
    """Labels ``[V]`` of vertices by those of points, which lie at vertices ``at``."""
    vertices = mesh.pos.shape[0]
    votes = torch.bincount(at * classes + label, minlength=vertices * classes).view(vertices, classes)
    known = votes.sum(1) > 0
    start, end = edges(mesh)
    length = torch.linalg.vector_norm(mesh.pos[start] - mesh.pos[end], dim=1).double()
    graph = coo_array((length.numpy(), (start.numpy(), end.numpy())), shape=(vertices, vertices)).tocsr()
    sources = known.nonzero()[:, 0].numpy()
    _, _, nearest = dijkstra(graph, directed=False, indices=sources, return_predecessors=True, min_only=True)
    if (nearest < 0).any():
        raise ValueError(
            f"{mesh.name} has {int((nearest < 0).sum())} vertices that no edges join to a common point"
        )
    return votes.argmax(1)[torch.from_numpy(nearest).long()]


def _aligned(pos: Tensor, points: Tensor, wanted: Tensor) -> Tensor:
    """Positions ``[V, 3]`` after the rotation, scaling and shift that take points nearest to the wanted ones (Umeyama 1991)."""
    points, wanted = points.double(), wanted.double()
    middle, aim = points.mean(0), wanted.mean(0)
    u, s, vt = torch.linalg.svd((points - middle).T @ (wanted - aim))
    sign = torch.ones(3, dtype=torch.float64)
    sign[2] = torch.linalg.det(u @ vt).sign()
    scale = (s * sign).sum() / (points - middle).square().sum()
    placed: Tensor = scale * ((pos.double() - middle) @ (u * sign) @ vt) + aim
    return placed


def _by_surface(mesh: Mesh, body: Mesh, part: Tensor) -> Tensor:
    """Labels ``[V]`` of vertices by those of the corners of another surface, which lies in the same place.

    Every face of it stands for the middles of its sixteen like pieces.
    """
    low = torch.tensor([(i, j) for i in range(4) for j in range(4 - i)]) + 1 / 3
    high = torch.tensor([(i, j) for i in range(3) for j in range(3 - i)]) + 2 / 3
    pair = torch.cat([low, high]).double() / 4
    weight = torch.cat([pair, 1 - pair.sum(1, keepdim=True)], 1)  # [16, 3]
    points = torch.einsum("pk,kfc->fpc", weight, body.pos.double()[body.face])
    label = part[body.face.T][:, weight.argmax(1)]
    _, nearest = KDTree(points.reshape(-1, 3).numpy()).query(mesh.pos.double().numpy())
    return label.reshape(-1)[torch.from_numpy(nearest).long()]


_INSTRUCTIONS = """\
The parts of SMPL are a file that is passed round under SMPL's body licence (non-commercial research):
  1. Get smpl_vert_segmentation.json, the vertices of each of the 24 parts, from the wiki of Meshcapade.
  2. Pass its path: FAUSTParts(root=".../MPI-FAUST", segmentation=".../smpl_vert_segmentation.json").
datasets/faust/README.md says more. Puppets has parts and needs no download."""
