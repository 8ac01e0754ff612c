"""Which renderer draws the PNGs: "open3d" (off-screen) or "matplotlib" (anywhere)."""

from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from geodl.viz import matplotlib_renderer, open3d_renderer
from geodl.viz.scene import Buffers, Scene

__all__ = ["render", "renderers", "use_renderer"]

RENDERERS = ("open3d", "matplotlib")
INSTALL_OPEN3D = (
    "pip install matplotlib open3d; on Debian also: apt install libusb-1.0-0 libvulkan1 mesa-vulkan-drivers"
)

_forced: list[str] = []
_failed: list[str] = []  # why Open3D gave up on a picture after the probe had passed


@functools.cache
def _why_not(name: str) -> str:
    """Why a renderer cannot run on this machine; empty if it can. Asked once a process."""
    if importlib.util.find_spec("matplotlib") is None:  # sets the titles of every picture
        return "matplotlib is not installed; pip install matplotlib open3d"
    if name == "open3d":
        if importlib.util.find_spec("open3d") is None:
            return f"Open3D is not installed; {INSTALL_OPEN3D}"
        if reason := open3d_renderer.probe():
            return f"Open3D cannot render off-screen here ({reason}); {INSTALL_OPEN3D}"
    return ""


def renderers() -> dict[str, str]:
    """Every renderer of PNGs, best first, and whether it can run here. Pictures use the first that can.

    Open3D is tried in a process of its own, since it aborts where a graphics driver is missing.

    Returns:
        name -> "available", or the reason why it is not.
    """
    reasons = {name: _why_not(name) for name in RENDERERS}
    if _failed:
        reasons["open3d"] = _failed[0]
    return {name: reason or "available" for name, reason in reasons.items()}


@contextmanager
def use_renderer(name: str) -> Iterator[None]:
    """Draw every PNG inside the ``with`` block with one renderer.

    Args:
        name: "open3d" or "matplotlib".

    Raises:
        ValueError: no such renderer, or it cannot run on this machine.
    """
    if name not in RENDERERS:
        raise ValueError(f"renderer must be one of {', '.join(RENDERERS)}, not {name!r}")
    if reason := _why_not(name):
        raise ValueError(f"renderer {name!r} cannot run here: {reason}")
    _forced.append(name)
    try:
        yield
    finally:
        _forced.pop()


def render(scene: Scene, width: int, height: int) -> Buffers:
    """Draw a scene with the renderer that is forced, else with the best that runs here.

    Raises:
        ImportError: matplotlib is missing.
        RuntimeError: the forced renderer failed.
    """
    if reason := _why_not("matplotlib"):
        raise ImportError(reason)
    if _forced:
        draw = open3d_renderer.draw if _forced[-1] == "open3d" else matplotlib_renderer.draw
        return draw(scene, width, height)
    if not _failed and not _why_not("open3d"):
        try:
            return open3d_renderer.draw(scene, width, height)
        except RuntimeError as error:
            _failed.append(str(error))
            warnings.warn(
                f"matplotlib draws the pictures from here on: {error}", RuntimeWarning, stacklevel=5
            )
    return matplotlib_renderer.draw(scene, width, height)
