"""geodl convert IN OUT: a shape in another format."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from geodl.cli.inputs import read_shape
from geodl.cli.output import new_file

__all__ = ["add"]

_POINTS_ALONE = (".pcd", ".xyz", ".txt", ".npy")


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    page = commands.add_parser("convert", parents=[common], help="write a shape in another format")
    page.add_argument("shape", type=Path, help="mesh or cloud")
    page.add_argument("out", type=Path, help="file to write; its ending names the format")
    page.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    from geodl.data import PointCloud

    new_file(chosen.out)
    shape = read_shape(chosen.shape)
    if getattr(shape, "face", None) is not None and chosen.out.suffix.lower() in _POINTS_ALONE:
        print(f"{chosen.out.suffix} holds no faces: {shape.face.shape[1]} are left out")
        shape = PointCloud(shape.pos, **shape.vertex_attributes())
    shape.save(chosen.out)
    print(f"wrote {chosen.out}: {shape.pos.shape[0]} points")
