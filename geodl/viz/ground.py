"""Where films of motions are looked at from: a camera over a ground of squares, y up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def camera(azimuth: float, tilt: float) -> Floats:
    """Rows are the camera's right, its up and the direction towards it.

    Args:
        azimuth: where the camera stands, in degrees from +z towards +x.
        tilt: how far it looks down, in degrees.
    """
    turn, down = np.deg2rad(azimuth), np.deg2rad(tilt)
    right = np.array([np.cos(turn), 0, -np.sin(turn)])
    toward = np.array([np.sin(turn) * np.cos(down), np.sin(down), np.cos(turn) * np.cos(down)])
    return np.stack([right, np.cross(toward, right), toward])


def ground_lines(center: Floats, square: float, reach: float, axes: Floats) -> list[Floats]:
    """Lines ``[2, 2]`` in the picture of the squares on the ground y = 0 about a place, which lies at the origin of the picture."""
    flat, lines = center * (1, 0, 1), []
    for axis in (0, 2):
        first = np.ceil((center[axis] - reach) / square) * square
        for at in np.arange(first, center[axis] + reach, square):
            ends = np.tile(flat, (2, 1))
            ends[:, axis] = at
            ends[:, 2 - axis] += (-reach, reach)
            lines.append((ends - flat) @ axes[:2].T)
    return lines
