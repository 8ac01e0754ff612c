"""geodl view FILES: shapes that turn under the mouse, in the browser or as a page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from geodl.cli.inputs import read_index, read_shape, read_values
from geodl.cli.output import new_file

__all__ = ["add"]


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    page = commands.add_parser("view", parents=[common], help="show shapes side by side in the browser")
    page.add_argument("shapes", type=Path, nargs="+", help="meshes or clouds")
    page.add_argument("-o", "--out", type=Path, help="write this .html file instead of opening the browser")
    page.add_argument(
        "--scalar",
        type=Path,
        nargs="+",
        help="for every shape a file of numbers a vertex; columns are channels",
    )
    page.add_argument(
        "--label", type=Path, nargs="+", help="a file of whole numbers a vertex for every shape"
    )
    page.add_argument(
        "--map",
        type=Path,
        help="of two shapes: a vertex of the first for each of the second, as p2p_21.txt",
    )
    page.add_argument("--up", default="y", help="what points up: x, y, z, or -x, ...")
    page.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    if chosen.out is not None:
        new_file(chosen.out)
    from geodl.viz import show  # after what can be told at once

    layers: dict[str, Any] = {
        name: [read(path) for path in paths]
        for name, paths, read in (("scalar", chosen.scalar, read_values), ("label", chosen.label, read_index))
        if paths is not None
    }
    page = show(
        [read_shape(path) for path in chosen.shapes],
        **layers,
        map=None if chosen.map is None else read_index(chosen.map),
        names=[path.name for path in chosen.shapes],
        title=", ".join(path.name for path in chosen.shapes),
        up=chosen.up,
    )
    print(f"wrote {page.save(chosen.out) if chosen.out else page.open()}")
