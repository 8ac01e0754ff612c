"""What a picture could say of the light at its pixels: rays traced against that alone which the view shows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.shading.data import ABOVE, View, turned_frames
from geodl.data import Mesh
from geodl.geometry import ambient_occlusion, cast_rays, face_normals

RAYS = 64
ASKED = 50  # pixels of a view whose occluders are counted


def traced(mesh: Mesh, view: View) -> Tensor:
    """``[P]`` at the valid pixels: the ambient occlusion of the faces of which the view shows something. No method that reads one
    picture and has learned nothing of what lies behind can know more."""
    shown = Mesh(mesh.pos, mesh.face[:, view.shown])
    return ambient_occlusion(shown, *places(mesh, view), rays=RAYS)


def occluders(mesh: Mesh, view: View, random: torch.Generator) -> Tensor:
    """``[3]``: how many rays from some pixels meet first what the view shows, what faces away from the camera, and what faces it
    but is hidden."""
    point, normal = places(mesh, view)
    some = torch.randint(len(point), (ASKED,), generator=random)
    area, turn = torch.rand(2, ASKED, generator=random)
    out = torch.stack([area.sqrt(), torch.zeros(ASKED), (1 - area).sqrt()], dim=1)  # as dense as the cosine
    frames = turned_frames(normal[some], 2 * torch.pi * turn)
    hits = cast_rays(mesh, point[some], torch.einsum("pk,pkd->pd", out, frames))
    face = hits.face[hits.hit]
    met = (mesh.pos[mesh.face.T[face]] * hits.weights[hits.hit][:, :, None]).sum(dim=1)
    away = face_normals(mesh)[face] @ view.sight <= 0
    behind = cast_rays(mesh, met + ABOVE * view.sight, view.sight).hit & ~away
    return torch.stack([(~away & ~behind).sum(), away.sum(), behind.sum()])


def places(mesh: Mesh, view: View) -> tuple[Tensor, Tensor]:
    """Points just above the surface at the valid pixels, and normals there."""
    weight = view.weight[:, :, None]
    normal = F.normalize((mesh.normal[view.corner] * weight).sum(dim=1), dim=1)
    return (mesh.pos[view.corner] * weight).sum(dim=1) + ABOVE * normal, normal
