"""What each domain reads of a shape, and what it must answer: the ambient occlusion of the same vertices."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from torch_geometric.data import Data

from geodl.data import Mesh
from geodl.geometry import Gradient, Spectrum, cast_rays, face_normals, gradient, spectrum

RADII = (0.05, 0.1, 0.2, 0.4, 0.8)  # in units of the root of the area
EIGENVALUES = 64
ABOVE = 1e-3  # a vertex, along its normal, in units of the root of the area
SIDE = 64  # of a picture, in pixels
FINE = 3  # what is traced and gathered in has so many times the pixels a side; odd, so that middles of pixels stay
BLURS = (1.0, 2.0, 4.0, 8.0, 16.0)  # pixels
DIRECTIONS, REACHES = 12, (2.0, 4.0, 8.0, 16.0, 28.0)  # pixels
MARCHED, STEPS = 24, (1.5, 2.5, 4.0, 6.5, 10.5, 17.0, 28.0)  # directions; pixels
THICKNESSES = (0.5, 2.0, math.inf)  # of what is seen, in units of how far along a ray it lies
DIRECTED = 4  # channels, the first: normals, which turn with the view, and where there is a surface
CHANNELS = DIRECTED + len(BLURS) + len(REACHES) + 1 + len(STEPS) * len(THICKNESSES)
QUERIES, SAMPLE = 64, 192  # points of a cloud that a training step asks for, and that each of them is shown


Operators = list[tuple[Spectrum, Gradient]]


def operators_of(meshes: list[Mesh]) -> Operators:
    return [(spectrum(mesh, EIGENVALUES).to(torch.float32), gradient(mesh)) for mesh in meshes]


class Surfaces(Dataset[Any]):
    """Meshes with a signal, the spectrum and the gradient that DiffusionNet reads."""

    def __init__(
        self,
        meshes: list[Mesh],
        operators: Operators,
        signal: Callable[[Mesh], Tensor],
        scale: Standard | None = None,
    ) -> None:
        signals = [signal(mesh) for mesh in meshes]
        self.scale = scale or Standard.of(torch.cat(signals))
        self.items = [
            Data(pos=mesh.pos, x=self.scale(x), spectrum=one, gradient=two, target=mesh.occlusion)
            for mesh, x, (one, two) in zip(meshes, signals, operators, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Data:
        return self.items[index]


class Clouds(Dataset[Any]):
    """Points with normals; in training some of them, another few each time, and else all."""

    def __init__(self, meshes: list[Mesh], seed: int, training: bool) -> None:
        self.meshes, self.training = meshes, training
        self.random = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self.meshes)

    def __getitem__(self, index: int) -> Data:
        mesh = self.meshes[index]
        count = mesh.num_nodes
        random = self.random if self.training else torch.Generator().manual_seed(index)
        query = torch.randint(count, (QUERIES,), generator=random) if self.training else torch.arange(count)
        return Data(
            pos=mesh.pos,
            normal=mesh.normal,
            query_index=query,
            sample_index=torch.randint(count, (SAMPLE,), generator=random),
            turn=2 * math.pi * torch.rand(len(query), generator=random),
            target=mesh.occlusion[query],
        )


class Screens(Dataset[Any]):
    """Views of the meshes: what a camera knows of depth and normals."""

    def __init__(self, meshes: list[Mesh], views: int, seed: int, farthest: float = 1.0) -> None:
        random = torch.Generator().manual_seed(seed)
        self.views = [view_of(mesh, random, farthest) for mesh in meshes for _ in range(views)]

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, index: int) -> Data:
        view = self.views[index]
        return Data(x=view.x[None], target=view.occlusion[None], valid=view.valid[None])


@dataclass
class Standard:
    """Signals brought to mean zero and deviation one, those far out held back."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Standard:
        return cls(x.mean(dim=0), x.std(dim=0).clamp(min=1e-9))

    def __call__(self, x: Tensor) -> Tensor:
        return ((x - self.mean) / self.deviation).clamp(-4, 4)


def positions(mesh: Mesh) -> Tensor:
    """``[V, 6]``: where vertices are and their normals, nothing made of them by hand."""
    return torch.cat([mesh.pos, mesh.normal], dim=1)


def surroundings(mesh: Mesh) -> Tensor:
    """``[V, 22]``: how much lies above a vertex and faces it, within several distances in space. A cloud knows as much."""
    pos, up = mesh.pos, mesh.normal
    offset = pos[None] - pos[:, None]
    distance = offset.norm(dim=2)
    rise = torch.einsum("ijd,id->ij", offset, up) / (distance + 1e-6)
    back = (-torch.einsum("ijd,jd->ij", offset, up) / (distance + 1e-6)).clamp(min=0)
    above, found = rise.clamp(min=0), []
    for radius in RADII:
        weight = (-(distance / radius).square()).exp()
        total = weight.sum(dim=1)
        found += [(weight * part).sum(dim=1) / total for part in (rise, above, above * back)]
        found.append((total / len(pos)).log())
    # As if nothing hid anything else (Bunnell, "Dynamic ambient occlusion and indirect lighting", 2005).
    open_form = (above * back / (distance.square() + 1e-3)).mean(dim=1)
    return torch.stack([*found, open_form, open_form.sqrt()], dim=1)


def buried(mesh: Mesh) -> Tensor:
    """``[V]`` bool: vertices that lie inside the body, where it folds into itself: the surface winds once around the point just
    above them (van Oosterom & Strackee 1983; Jacobson et al. 2013). They see no light, and no view sees them."""
    point = (mesh.pos + ABOVE * mesh.normal).double()
    found = []
    for some in point.split(256):
        a, b, c = (mesh.pos.double()[corner] - some[:, None] for corner in mesh.face)
        x, y, z = a.norm(dim=2), b.norm(dim=2), c.norm(dim=2)
        volume = (a * torch.linalg.cross(b, c)).sum(dim=2)
        across = x * y * z + (a * b).sum(dim=2) * z + (b * c).sum(dim=2) * x + (c * a).sum(dim=2) * y
        found.append(torch.atan2(volume, across).sum(dim=1) / (2 * math.pi))
    return torch.cat(found) > 0.5


@dataclass
class View:
    """A picture: ``x [C, H, W]``, ``occlusion [H, W]``, ``valid [H, W]`` where the outer side of a face is seen, and of every valid
    pixel its face's vertices ``corner [P, 3]`` and their weights. ``fine [4, 3 H, 3 W]`` are its normals and its depth in smaller
    pixels, whose side is the unit of depth, infinite where nothing is; ``shown [F]`` bool, the faces that some of these show;
    ``sight [3]`` leads to the camera."""

    x: Tensor
    fine: Tensor
    shown: Tensor
    sight: Tensor
    occlusion: Tensor
    valid: Tensor
    corner: Tensor
    weight: Tensor

    def of_vertices(self, values: Tensor) -> Tensor:
        """``[P]`` at the valid pixels."""
        return (values[self.corner] * self.weight).sum(dim=1)


def view_of(mesh: Mesh, random: torch.Generator, farthest: float = 1.0) -> View:
    """The mesh from a random direction, by parallel rays; up to ``farthest`` times smaller than would fill the picture."""
    camera = torch.linalg.qr(torch.randn(3, 3, generator=random)).Q
    camera = camera * torch.linalg.det(camera)  # axes in rows: right, up, towards the camera
    return view_from(mesh, camera, farthest ** float(torch.rand(1, generator=random)))


def view_from(mesh: Mesh, camera: Tensor, away: float = 1.0) -> View:
    """The mesh by parallel rays, so many times smaller than would fill the picture; axes of the camera in rows, the last one
    towards it."""
    seen = mesh.pos @ camera.T
    low, high = seen.amin(dim=0), seen.amax(dim=0)
    pixel = 1.05 * away * float((high - low)[:2].max()) / SIDE
    side = FINE * SIDE
    ticks = (torch.arange(side) + 0.5 - side / 2) * pixel / FINE
    middle = (low + high) / 2
    x, y = torch.meshgrid(ticks + middle[0], ticks + middle[1], indexing="xy")
    start = torch.stack([x, y.flip(0), torch.full_like(x, float(high[2]) + 1)], dim=2).view(-1, 3)
    hits = cast_rays(mesh, start @ camera, -camera[2])
    outer = face_normals(mesh) @ camera[2] > 0
    valid = hits.hit & outer[hits.face.clamp(min=0)]
    shown = torch.zeros(len(outer), dtype=torch.bool)
    shown[hits.face[valid]] = True
    corner, weight = mesh.face.T[hits.face[valid]], hits.weights[valid]
    fine = torch.zeros(4, side * side)
    fine[:3, valid] = (F.normalize((mesh.normal[corner] * weight[:, :, None]).sum(dim=1), dim=1) @ camera.T).T
    fine[3] = hits.distance * FINE / pixel  # infinite where nothing is met
    fine, inside = fine.view(4, side, side), valid.view(side, side)
    coarse = torch.zeros_like(inside)
    coarse[FINE // 2 :: FINE, FINE // 2 :: FINE] = True
    corner, weight = corner[coarse.view(-1)[valid]], weight[coarse.view(-1)[valid]]
    valid = inside[coarse]
    image, depth = fine[:, coarse].split([3, 1])
    depth = (depth / FINE).view(SIDE, SIDE)
    hit = depth.isfinite()
    depth = torch.where(hit, depth, depth[hit].mean())
    image = torch.cat([image.view(3, SIDE, SIDE), hit[None].float()])
    marched = torch.zeros(len(STEPS) * len(THICKNESSES), SIDE * SIDE)
    marched[:, valid] = hidden(depth, image[:3], image[3], valid.nonzero()[:, 0]).T
    layers = [
        image,
        relief(depth, image[3]),
        horizons(depth, image[:3], image[3]),
        marched.view(-1, SIDE, SIDE),
    ]
    occlusion = torch.zeros(SIDE * SIDE)
    occlusion[valid] = (mesh.occlusion[corner] * weight).sum(dim=1)
    light, valid = occlusion.view(SIDE, SIDE), valid.view(SIDE, SIDE)
    return View(torch.cat(layers), fine, shown, camera[2], light, valid, corner, weight)


def relief(depth: Tensor, shown: Tensor) -> Tensor:
    """``[5, H, W]``: how far a pixel lies behind the mean of what is seen around it, over the size of that, at several sizes."""
    found = []
    for size in BLURS:
        reach = math.ceil(2 * size)
        kernel = (-(torch.arange(-reach, reach + 1) / size).square() / 2).exp()
        both = torch.stack([depth * shown, shown])[:, None]
        for line in (kernel[:, None], kernel[None]):
            both = F.conv2d(both, line[None, None], padding=[length // 2 for length in line.shape])
        mean = both[0, 0] / both[1, 0].clamp(min=1e-6)
        found.append(((depth - mean) / size).clamp(-3, 3) * shown)
    return torch.stack(found)


def horizons(depth: Tensor, normal: Tensor, shown: Tensor) -> Tensor:
    """``[6, H, W]``: how far what is seen rises above a tangent plane at several distances, and the highest of it; each the
    mean over twelve directions (Bavoil & Sainz, "Image-space horizon-based ambient occlusion", 2008)."""
    rises = []
    for k in range(DIRECTIONS):
        angle = 2 * math.pi * (k + 0.5) / DIRECTIONS
        along = []
        for radius in REACHES:
            right, up = round(radius * math.cos(angle)), round(radius * math.sin(angle))
            other, there = (shifted(layer, right, -up) for layer in (depth, shown))
            offset = torch.stack([torch.full_like(depth, right), torch.full_like(depth, up), depth - other])
            rise = (offset * normal).sum(dim=0) / offset.norm(dim=0)
            along.append(rise.clamp(min=0) * there * shown)
        rises.append(torch.stack([*along, torch.stack(along).amax(dim=0)]))
    return torch.stack(rises).mean(dim=0)


def hidden(depth: Tensor, normal: Tensor, shown: Tensor, pixel: Tensor) -> Tensor:
    """``[P, 21]``: at pixels ``[P]``, the share of the rays, spread as the cosine is, that have run behind what is seen within
    several distances, were it as thick as several shares of the distance (Ritschel et al., "Approximating dynamic global
    illumination in image space", 2009). All lengths are in pixels, so neither the view's extent nor the mesh's unit matters."""
    k = torch.arange(MARCHED)
    area, angle = (k + 0.5) / MARCHED, k * (math.pi * (3 - math.sqrt(5)))
    around = torch.stack([area.sqrt() * angle.cos(), area.sqrt() * angle.sin(), (1 - area).sqrt()], dim=1)
    up = normal.view(3, -1)[:, pixel].T
    along = torch.einsum("dk,pkc->pdc", around, turned_frames(up, torch.zeros(len(up))))
    row, column = pixel // SIDE, pixel % SIDE
    height = torch.where(shown > 0, -depth, -math.inf).view(-1)
    met, found = [torch.zeros(len(pixel), MARCHED, dtype=torch.bool) for _ in THICKNESSES], []
    for step in STEPS:
        x = (column[:, None] + step * along[:, :, 0]).round().long()
        y = (row[:, None] - step * along[:, :, 1]).round().long()
        inside = (x >= 0) & (x < SIDE) & (y >= 0) & (y < SIDE)
        other = height[(y * SIDE + x).where(inside, 0)].where(inside, -math.inf)
        over = other - (height[pixel][:, None] + step * along[:, :, 2])
        for number, thickness in enumerate(THICKNESSES):
            # A surface is off by its slope within a pixel; what lies so near above the ray is taken for itself.
            met[number] = met[number] | ((over > 0.5) & (over < 1.5 + thickness * step))
            found.append(met[number].float().mean(dim=1))
    return torch.stack(found, dim=1)


def shifted(layer: Tensor, right: int, down: int) -> Tensor:
    """``out[y, x] = layer[y + down, x + right]``, zero beyond the border."""
    padded = F.pad(layer, [SIDE // 2] * 4)
    y, x = SIDE // 2 + down, SIDE // 2 + right
    return padded[y : y + SIDE, x : x + SIDE]


def turned_frames(up: Tensor, turn: Tensor) -> Tensor:
    """Frames ``[Q, 3, 3]`` with axes in rows, the last along ``up``, turned about it."""
    helper = F.one_hot(up.abs().argmin(dim=1), 3).to(up)
    first = F.normalize(torch.linalg.cross(up, helper), dim=1)
    second = torch.linalg.cross(up, first)
    c, s = turn.cos()[:, None], turn.sin()[:, None]
    return torch.stack([c * first + s * second, c * second - s * first, up], dim=1)
