"""
A texture on a surface with a hole
==================================

A picture's texture is grown anew on a surface: no UV coordinates, no cuts, no seam, and no part of the picture is copied. Noise at
the vertices is changed until random filters have the same statistics on the surface as on the picture.
"""

from __future__ import annotations

from pathlib import Path

import torch
import trimesh

from geodl.data import Mesh
from geodl.synthesis import as_image, synthesize
from geodl.viz import images, surface

out = Path("runs/texture")
out.mkdir(parents=True, exist_ok=True)

# %%
# The exemplar
# ------------
# Pebbles, made here; a path, an array or a PIL image do as well.

side, cells = 64, 7
generator = torch.Generator().manual_seed(0)
places = torch.stack(torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij"), -1).view(-1, 2)
seeds = (places + 0.2 + 0.6 * torch.rand(len(places), 2, generator=generator)) / cells
pixels = (torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"), -1) + 0.5) / side
away = (pixels[:, :, None] - seeds + 0.5) % 1 - 0.5  # the picture goes on at its other side
nearest = away.norm(dim=-1).sort(-1)
height = ((nearest.values[..., 1] - nearest.values[..., 0]) * 14).clamp(0.1, 1)
tone = torch.rand(len(places), 1, generator=generator)
hues = torch.lerp(torch.tensor([0.95, 0.6, 0.35]), torch.tensor([0.55, 0.75, 0.85]), tone)
pebbles = as_image((hues[nearest.indices[..., 0]] * height[..., None]).permute(2, 0, 1))
images(pebbles[None], out / "exemplar.png")

# %%
# On a torus
# ----------
# One vertex stands for one pixel, so the mesh has as many as the texture has details.

ring = trimesh.creation.torus(1, 0.4, major_sections=120, minor_sections=54)
torus = Mesh.from_trimesh(ring)
worn = synthesize(pebbles, torus, steps=25)
surface(torus, out / "torus.png", color=worn.x.clamp(0, 1), up="z", front=[0.0, -1.0, 1.0])

# %%
# Sizes and times of a whole body are on the benchmark page of :doc:`synthesis <../benchmarks/synthesis>`.
