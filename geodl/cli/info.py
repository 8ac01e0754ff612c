"""geodl info FILES: what a shape is, and what is wrong with it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from geodl.cli.inputs import read_shape

__all__ = ["add"]


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    page = commands.add_parser("info", parents=[common], help="say what a shape is and what is wrong with it")
    page.add_argument("shapes", type=Path, nargs="+", help="meshes or clouds")
    page.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    # A list: after a bad shape come the others.
    return 0 if all([_is_said(path) for path in chosen.shapes]) else 1


def _is_said(path: Path) -> bool:
    try:
        _say(path)
    except (OSError, ValueError, IndexError, TypeError, RuntimeError, ImportError) as error:
        print(f"geodl: {error}", file=sys.stderr)
        return False
    return True


def _say(path: Path) -> None:
    from geodl.geometry import surface_area, validate

    shape = read_shape(path)
    print(f"{path}: {type(shape).__name__}, {shape.pos.dtype}".replace("torch.", ""))
    if getattr(shape, "face", None) is None:
        print(f"  {shape.pos.shape[0]} points, no faces")
    else:
        print(f"  {validate(shape)}")
    low, high = shape.pos.amin(0).tolist(), shape.pos.amax(0).tolist()
    print(
        "  extends "
        + ", ".join(f"{axis} {a:.4g}..{b:.4g}" for axis, a, b in zip("xyz", low, high, strict=True))
    )
    if getattr(shape, "face", None) is not None:
        print(f"  area {float(surface_area(shape)):.6g}")
    if carried := shape.vertex_attributes():
        print("  carries " + ", ".join(f"{name} {list(value.shape)}" for name, value in carried.items()))
