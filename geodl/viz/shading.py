"""Light: unlit colours and normals in, a picture out. The same for every renderer, so that they compare."""

from __future__ import annotations

import numpy as np

from geodl.viz.scene import Buffers, Floats

__all__ = ["shade"]

_LIGHT = np.array([-0.38, 0.48, 0.79])  # over the left shoulder of the viewer


def shade(buffers: Buffers) -> Floats:
    """Soft directional light with darker rims: RGBA ``[H, W, 4]`` in 0..1, clear where there is nothing."""
    drawn = buffers.normal.max(2, keepdims=True) > 0
    normal = buffers.normal / 127.5 - 1
    normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-6)
    normal *= np.where(normal[..., 2:] < 0, -1.0, 1.0)  # a surface seen from its inside is lit there
    toward = np.clip(normal @ _LIGHT, -1, 1)[..., None]
    light = 0.42 + 0.74 * (0.5 + 0.5 * toward) ** 1.6
    rim = np.clip(normal[..., 2:] / 0.45, 0, 1)
    light *= 0.72 + 0.28 * rim * (2 - rim)
    gloss = 0.10 * np.clip(toward, 0, 1) ** 24
    lit = np.clip(buffers.color / 255 * light + gloss, 0, 1)
    return np.concatenate([lit * drawn, drawn.astype(np.float64)], axis=2)
