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

side, seeds = 64, torch.rand(40, 2, generator=torch.Generator().manual_seed(0))
grid = torch.stack(torch.meshgrid(*2 * [(torch.arange(side) + 0.5) / side], indexing="ij"), -1)
away = (grid[:, :, None] - seeds + 0.5) % 1 - 0.5  # on a torus, so that the picture tiles
nearest = away.norm(dim=-1).sort(-1)
height = ((nearest.values[..., 1] - nearest.values[..., 0]) * 12).clamp(0, 1)
tone = torch.rand(40, 1, generator=torch.Generator().manual_seed(1))
hues = torch.lerp(torch.tensor([0.75, 0.45, 0.25]), torch.tensor([0.45, 0.6, 0.65]), tone)
pebbles = as_image((hues[nearest.indices[..., 0]] * height[..., None]).permute(2, 0, 1))
images(pebbles[None], out / "exemplar.png")

# %%
# On a torus
# ----------
# One vertex stands for one pixel, so the mesh has as many as the texture has details.

ring = trimesh.creation.torus(1, 0.45, major_sections=110, minor_sections=50)
torus = Mesh.from_trimesh(ring)
worn = synthesize(pebbles, torus, steps=25)
surface(torus, out / "torus.png", color=worn.x.clamp(0, 1), up="z", front=[0.0, -1.0, 1.0])

# %%
# Sizes and times of a whole body are on the benchmark page of :doc:`synthesis <../benchmarks/synthesis>`.
