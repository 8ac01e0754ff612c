"""Procedural pictures of materials: exemplars that need no download."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn import functional as F

STONE = 14.0  # of a pebble, in pixels
STROKE = 3  # of a brush, in pixels


def labyrinth(side: int, seed: int = 0, length: float = 9.0) -> Tensor:
    """Dark walls on light ground ``[3, side, side]``, ``length`` pixels from one to the next: noise of one wavelength."""
    draw = torch.Generator().manual_seed(seed)
    noise = torch.fft.fft2(torch.randn(side, side, generator=draw))
    frequency = torch.fft.fftfreq(side)
    band = ((torch.hypot(frequency[:, None], frequency) * length - 1) / 0.2).square()
    wave = torch.fft.ifft2(noise * torch.exp(-band / 2)).real
    share = torch.sigmoid(3 * (wave / wave.std() - 0.3))
    ground, wall = (torch.tensor(color)[:, None, None] for color in ((0.85, 0.7, 0.45), (0.2, 0.15, 0.2)))
    return ground + share * (wall - ground)


def stones(height: int, width: int, seed: int = 0) -> Tensor:
    """Pebbles ``[3, height, width]``: Voronoi cells with rounded shades, dark gaps and a grain."""
    draw = np.random.default_rng(seed)
    count = int(height * width / STONE**2 * 1.6)
    centre = draw.uniform(-STONE, [height + STONE, width + STONE], (count, 2))
    for _ in range(3):  # of about the same size
        sample = draw.uniform(-STONE, [height + STONE, width + STONE], (20 * count, 2))
        near = cKDTree(centre).query(sample)[1]
        hits = np.maximum(np.bincount(near, minlength=count), 1)
        centre = np.stack([np.bincount(near, sample[:, axis], count) / hits for axis in range(2)], 1)
    pixel = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1).reshape(-1, 2)
    apart, near = cKDTree(centre).query(pixel + draw.normal(0, 0.15, pixel.shape), k=2)
    gap = np.clip((apart[:, 1] - apart[:, 0]) / 4, 0, 1)
    off = (pixel - centre[near[:, 0]]) / STONE
    light = 0.75 - 0.35 * off[:, 0] - 0.2 * off[:, 1] + draw.normal(0, 0.03, len(pixel))
    hue = np.array([[0.85, 0.75, 0.65], [0.6, 0.68, 0.75], [0.75, 0.55, 0.45], [0.9, 0.9, 0.88]])
    color = (hue[draw.integers(0, len(hue), count)] * draw.uniform(0.8, 1.1, (count, 1)))[near[:, 0]]
    shown = (color * (light * gap**0.7)[:, None]).clip(0, 1).reshape(height, width, 3)
    return torch.tensor(shown.transpose(2, 0, 1).copy(), dtype=torch.float32)


def waves(side: int, seed: int) -> Tensor:
    """Brush strokes that whirl: stripes of a few colours along a smooth field of directions."""
    draw = torch.Generator().manual_seed(seed)
    rough = torch.randn(1, 1, 6, 6, generator=draw)
    angle = 3 * F.interpolate(rough, size=(side, side), mode="bicubic")[0, 0]
    rough = torch.randn(1, 1, side // STROKE, side // STROKE, generator=draw)
    noise = F.interpolate(rough, size=(side, side), mode="bicubic")[0, 0]
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    total = torch.zeros(side, side)
    for step in range(-3 * STROKE, 3 * STROKE + 1):  # the mean of the noise along the direction
        at = (
            (row + step * angle.sin()).round().long() % side,
            (column + step * angle.cos()).round().long() % side,
        )
        total += noise[at]
    shade = (total / total.std()).clamp(-2, 2)
    colors = torch.tensor([[0.08, 0.12, 0.35], [0.15, 0.4, 0.7], [0.55, 0.75, 0.8], [0.95, 0.85, 0.35]])
    place = (shade + 2) / 4 * 2.999
    low = place.long()
    mixed = colors[low] + (place - low)[..., None] * (colors[low + 1] - colors[low])
    return mixed.permute(2, 0, 1).contiguous()


def weave(side: int, seed: int) -> Tensor:
    """A basket: bands over and under one another."""
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    over = ((row // 8 + column // 8) % 2).bool()
    along = torch.where(over, row % 8, column % 8).float()
    light = 0.35 + 0.65 * torch.sin(torch.pi * (along + 0.5) / 8)
    grain = 0.05 * torch.randn(side, side, generator=torch.Generator().manual_seed(seed))
    color = torch.where(over[..., None], torch.tensor([0.85, 0.65, 0.35]), torch.tensor([0.6, 0.25, 0.15]))
    return (color * (light + grain)[..., None]).clamp(0, 1).permute(2, 0, 1).contiguous()


def wood(side: int, seed: int) -> Tensor:
    """Planks' grain ``[3, side, side]``: rings that run down and wander, and fine pores along them."""
    draw = torch.Generator().manual_seed(seed)
    slow = F.interpolate(torch.randn(1, 1, 4, 7, generator=draw), size=(side, side), mode="bicubic")[0, 0]
    pores = torch.randn(1, 1, side // 12, side, generator=draw)
    pores = F.interpolate(pores, size=(side, side), mode="bicubic")[0, 0]
    phase = (torch.arange(side) / 11 + 0.8 * slow) % 1
    ring = torch.where(phase < 0.8, phase / 0.8, (1 - phase) / 0.2)
    light, dark = (torch.tensor(color)[:, None, None] for color in ((0.82, 0.62, 0.38), (0.42, 0.24, 0.12)))
    return (light + ring**2 * (dark - light) + 0.035 * pores).clamp(0, 1)


def terrazzo(side: int, seed: int) -> Tensor:
    """Chips of four colours in pale cement ``[3, side, side]``."""
    draw = np.random.default_rng(seed)
    count = side * side // 90
    centre = draw.uniform(-8, side + 8, (count, 2))
    pixel = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1).reshape(-1, 2)
    apart, near = cKDTree(centre).query(pixel, k=2)
    size = draw.uniform(0.1, 1.0, count)[near[:, 0]]
    inside = np.clip((apart[:, 1] - apart[:, 0]) - 1.2, 0, 1) * (apart[:, 0] < 6 * size)
    hue = np.array([[0.75, 0.3, 0.2], [0.2, 0.25, 0.3], [0.85, 0.65, 0.3], [0.45, 0.55, 0.45]])
    color = hue[draw.integers(0, len(hue), count)][near[:, 0]]
    cement = np.array([0.88, 0.86, 0.82]) + draw.normal(0, 0.015, (len(pixel), 1))
    shown = (cement + inside[:, None] * (color - cement)).clip(0, 1).reshape(side, side, 3)
    return torch.tensor(shown.transpose(2, 0, 1).copy(), dtype=torch.float32)


def six(side: int, seed: int) -> dict[str, Tensor]:
    """All of them, by name."""
    return {
        "stones": stones(side, side, seed),
        "labyrinth": labyrinth(side, seed),
        "waves": waves(side, seed),
        "weave": weave(side, seed),
        "wood": wood(side, seed),
        "terrazzo": terrazzo(side, seed),
    }
