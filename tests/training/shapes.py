"""Small deformed spheres that share their vertices: a correspondence problem that trains in seconds."""

import torch
import trimesh

from geodl.data import Mesh


def spheres(count: int, subdivisions: int = 1) -> list[Mesh]:
    made = trimesh.creation.icosphere(subdivisions)
    base, face = (
        torch.from_numpy(made.vertices.copy()).float(),
        torch.from_numpy(made.faces.copy()).long().t(),
    )
    generator = torch.Generator().manual_seed(0)
    shapes = []
    for number in range(count):
        stretch = torch.tensor([1.0, 1.4, 0.7]) + 0.1 * torch.randn(3, generator=generator)
        pos = base * stretch + 0.1 * base[:, :1].square()
        shapes.append(Mesh(pos, face.contiguous(), y=torch.arange(base.shape[0]), name=f"sphere-{number}"))
    return shapes
