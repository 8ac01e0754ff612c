"""The Open3D renderer, in a process of its own: without a good driver Filament aborts or never returns."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from geodl.viz.scene import Body, Buffers, Scene

__all__ = ["draw", "probe"]

_SCRIPT = Path(__file__).with_name("open3d_offscreen.py")
_TIMEOUT = 240.0  # seconds; a software driver takes two or three, on a machine that is not busy


def draw(scene: Scene, width: int, height: int) -> Buffers:
    """Draw bodies that fill the picture; see ``render``.

    Raises:
        RuntimeError: the process of Open3D failed; with its last words.
    """
    pos, face, normal, color = scene.stacked()
    low, high = scene.box()
    with tempfile.TemporaryDirectory(prefix="geodl-viz-") as folder:
        given, made = Path(folder, "scene.npz"), Path(folder, "buffers.npz")
        np.savez(
            given,
            pos=pos,
            face=face,
            normal=normal,
            color=color,
            low=low,
            high=high,
            size=np.array([width, height]),
        )
        try:
            done = subprocess.run(
                [sys.executable, str(_SCRIPT), str(given), str(made)],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT,
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"the process of Open3D did not finish in {_TIMEOUT:g} seconds") from error
        except OSError as error:
            raise RuntimeError(f"the process of Open3D did not start: {error}") from error
        if not made.exists():
            raise RuntimeError(f"the process of Open3D {_ending(done)}")
        with np.load(made) as buffers:
            return Buffers(buffers["color"], buffers["normal"])


def probe() -> str:
    """Draw one triangle; empty if it is there, else what went wrong."""
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    toward = np.tile([0.0, 0, 1], (3, 1))
    triangle = Body("", corners, np.array([[0, 1, 2]]), toward, np.ones((3, 3)))
    try:
        seen = draw(Scene([triangle]), 16, 16)
    except RuntimeError as error:
        return str(error)
    return "" if seen.color.any() else "its pictures are black"


def _ending(done: subprocess.CompletedProcess[str]) -> str:
    words = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    last = f": {words[-1]}" if words else ""
    if done.returncode < 0:
        return f"was killed by {signal.Signals(-done.returncode).name}{last}"
    return f"ended with status {done.returncode}{last}"
