"""Strips and films of motions, where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from geodl.viz import skeleton_film, skeleton_strip


def strips(motions: Mapping[str, Any], path: Path, console: Console) -> None:
    """A strip and a film of the same name beside it, of positions ``[F, J, 3]`` with their skeletons."""
    try:
        skeleton_strip(motions, path)
        skeleton_film(motions, path.with_suffix(".gif"))
    except ImportError as error:
        console.print(f"no pictures: {error}")
