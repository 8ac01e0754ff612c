"""geodl repair IN OUT: a mesh without what is wrong with it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from geodl.cli.output import new_file

__all__ = ["add"]


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    page = commands.add_parser("repair", parents=[common], help="write a mesh without what is wrong with it")
    page.add_argument("shape", type=Path, help="mesh")
    page.add_argument("out", type=Path, help="mesh file to write; its ending names the format")
    page.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    from geodl.data import Mesh
    from geodl.geometry import repair

    new_file(chosen.out)
    whole, report = repair(Mesh.load(chosen.shape))
    Mesh(**whole.to_dict()).save(chosen.out)
    print("\n".join(report.done) or "nothing was wrong")
    print(f"wrote {chosen.out}: {report}")
