"""geodl doctor: what is installed, what runs here and why not, and a small test of it."""

from __future__ import annotations

import argparse
import importlib.util
import platform
from importlib import metadata
from typing import Any

from geodl import __version__
from geodl.cli.output import stage

__all__ = ["add"]

_PACKAGES = ("torch", "torch_geometric", "numpy", "scipy", "trimesh", "robust_laplacian", "safetensors")
_EXTRAS = {
    "train": ("lightning", "rich", "sklearn", "tensorboard"),
    "viz": ("matplotlib", "open3d"),
    "hdf5": ("h5py",),
    "files": ("laspy", "lxml", "meshio", "networkx"),
}
_CALLED = {"sklearn": "scikit-learn"}


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    page = commands.add_parser(
        "doctor", parents=[common], help="say what is installed and what runs here, and test it"
    )
    page.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    import torch

    from geodl.cli.inputs import users_cache
    from geodl.ops import backends
    from geodl.viz import renderers

    print(f"geodl {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print("installed: " + ", ".join(f"{name} {_version(name)}" for name in _PACKAGES))
    for extra, names in _EXTRAS.items():
        missing = [_CALLED.get(name, name) for name in names if importlib.util.find_spec(name) is None]
        print(
            f"extra {extra}: "
            + (f"lacks {', '.join(missing)}: pip install {' '.join(missing)}" if missing else "installed")
        )
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    print(f"threads {torch.get_num_threads()}, GPU {cuda}")
    for name, state in backends().items():
        print(f"operators, {name}: {state}")
    with stage("renderers"):
        found = renderers()
    for name, state in found.items():
        print(f"pictures, {name}: {state}")
    if cache := users_cache(None):
        print(f"cache: {cache.folder}")
    with stage("self-test"):
        troubles = _troubles()
    print("\n".join(troubles) if troubles else "self-test: all right")
    return 1 if troubles else 0


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "(unknown version)"


def _troubles() -> list[str]:
    """What is wrong: the sphere's eigenvalues, and every backend against the definition of an operator."""
    import torch
    import trimesh

    from geodl.geometry import spectrum
    from geodl.ops import Neighbors, aggregate, backends, use_backend

    made = trimesh.creation.icosphere(3)
    evals = spectrum((made.vertices, made.faces), 4).evals
    troubles = []
    # l (l + 1) = 2, three times, within the error of 642 vertices.
    if float((evals[1:] - 2).abs().max()) > 0.05:
        troubles.append(f"self-test: the sphere's first eigenvalues are {evals[1:].tolist()}, not 2")
    draw = torch.Generator().manual_seed(0)
    edges = torch.randint(50, (2, 300), generator=draw)
    graph, x = Neighbors.from_edge_index(edges, 50, 50), torch.randn(50, 8, generator=draw)
    with use_backend("reference"):
        right = aggregate(x, graph)
    for name, state in backends().items():
        if state != "available" or (name == "triton" and not torch.cuda.is_available()):
            continue
        device = "cuda" if name == "triton" else "cpu"
        with use_backend(name):
            told = aggregate(x.to(device), graph.to(device)).cpu()
        if not torch.allclose(told, right, atol=1e-5):
            troubles.append(f"self-test: {name} is off by {float((told - right).abs().max()):g}")
    return troubles
