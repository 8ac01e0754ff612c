"""geodl precompute SHAPES: operators of mesh files ahead of use."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from geodl.cli.mesh_files import MeshFiles

__all__ = ["add"]


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    page = commands.add_parser(
        "precompute",
        parents=[common],
        help="compute spectra and gradients of mesh files ahead, on all cores; under torchrun on all machines",
    )
    page.add_argument("shapes", type=Path, nargs="+", help="mesh files, or folders of them")
    page.add_argument("--cache", type=Path, help="folder of the cache (the user's cache folder if not given)")
    page.add_argument("-k", type=int, default=128, help="number of eigenpairs")
    page.add_argument("--workers", type=int, help="processes (the cores of this machine if not given)")
    page.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Puts the operators of mesh files into the cache; what is there already is not done again."""
    from geodl.data import OperatorCache, precompute

    cache = OperatorCache(chosen.cache)
    report = precompute(MeshFiles(chosen.shapes), cache, chosen.k, workers=chosen.workers)
    print(report)
    if report.failed:
        raise ValueError(f"{len(report.failed)} of {report.shapes} shapes failed")
