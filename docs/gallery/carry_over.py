"""
Two shapes matched, and what is carried over
============================================

A texture, a segmentation and ten landmarks go from one body to another by a map that nobody trained. The two are different
people in different poses, each with a mesh of its own. The texture is given at the corners of faces, as files have it, with
a seam along the back; what is drawn is its colour at the vertices.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from geodl.data import Mesh
from geodl.datasets import Puppets
from geodl.geometry import geodesic_distance, surface_area
from geodl.matching import farthest_vertices, match
from geodl.viz import lines, surface


def texture(uv: Tensor) -> Tensor:
    """A picture, at texture coordinates: a checkerboard of two hues that change from top to bottom."""
    board = ((uv[..., 0] * 8).floor() + (uv[..., 1] * 5).floor()) % 2
    hue = torch.stack([uv[..., 1] / 2, 0.35 + 0 * uv[..., 1], 0.9 - uv[..., 1] / 2.2], -1)
    return (hue * (0.35 + 0.65 * board[..., None])).clamp(0, 1)


def wrapped(at_rest: Tensor, face: Tensor) -> Tensor:
    """Angle about the vertical axis and height of the corners of faces, ``[F, 3, 2]``; no face lies across the seam."""
    corner = at_rest[face].transpose(0, 1)
    angle = torch.atan2(corner[..., 0], corner[..., 2] + 0.02)
    first = angle[:, :1]
    angle = first + torch.remainder(angle - first + math.pi, 2 * math.pi) - math.pi
    return torch.stack([angle / (2 * math.pi) + 0.5, corner[..., 1]], 2)


def at_vertices(mesh: Mesh, corner_color: Tensor) -> Tensor:
    """The mean colour of the corners at every vertex."""
    total = torch.zeros(mesh.pos.shape[0], 3).index_add(0, mesh.face.mT.flatten(), corner_color.flatten(0, 1))
    count = torch.bincount(mesh.face.flatten(), minlength=mesh.pos.shape[0]).clamp(min=1)
    return total / count[:, None]


def main() -> None:
    out = Path("runs/carry-over")
    out.mkdir(parents=True, exist_ok=True)
    people = Puppets(num_identities=4, num_poses=2, num_vertices=2500, variant="remeshed")
    one, two = people[3], people[6]
    found = match(one, two)
    print(found.trust)

    rest = people.reference.pos
    uv = wrapped(rest[one.y], one.face)
    surface(one, out / "texture-given.png", color=at_vertices(one, texture(uv)), title="a texture")
    carried = found.transfer(uv)
    surface(two, out / "texture-carried.png", color=at_vertices(two, texture(carried)), title="carried over")
    span = (carried - carried.roll(1, 1)).abs().amax((1, 2))
    print(f"texture: {int((span > 0.5).sum())} of {len(span):,} faces reach across the seam")

    labels = found.transfer(one.part, "precise")
    surface(one, out / "parts-given.png", label=one.part, title="a segmentation")
    surface(two, out / "parts-carried.png", label=labels, title="carried over")
    print(f"segmentation: {100 * float((labels == two.part).double().mean()):.1f} % of the labels are right")

    # Points spread over the reference, where both bodies have them.
    landmarks = farthest_vertices(rest, 10)
    given, true = one.corres[landmarks], two.corres[landmarks]
    placed = found.inverse().p2p_21[given]
    error = geodesic_distance(two, placed, true) / float(surface_area(two)) ** 0.5
    print(
        f"landmarks: x100 mean {100 * float(error.mean()):.2f}, median {100 * float(error.median()):.2f}, "
        f"worst {100 * float(error.max()):.2f}"
    )
    only = torch.full((two.pos.shape[0],), -1).index_copy(0, placed, given)
    lines(one, two, only, out / "landmarks.png", count=10, title="ten landmarks")


if __name__ == "__main__":
    main()
