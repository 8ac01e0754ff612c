"""result.json: the one form in which every benchmark leaves its numbers."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from geodl import __version__
from geodl.data.whole_file import whole_file

_PACKAGES = (
    "geodl",
    "lightning",
    "numpy",
    "open3d",
    "potpourri3d",
    "scipy",
    "torch",
    "torch_geometric",
    "triton",
    "trimesh",
)


def hardware() -> dict[str, Any]:
    """CPU, cores, threads that torch uses, and the GPU if there is one."""
    found: dict[str, Any] = {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a benchmark may use, as far as they are installed."""
    installed = {
        found.metadata["Name"].replace("-", "_"): found.version for found in metadata.distributions()
    }
    return {
        "python": platform.python_version(),
        "geodl": __version__,
        **{name: installed[name] for name in _PACKAGES if name in installed},
    }


def command() -> str:
    """The command line of this process as one would type it, ``python -m benchmarks.faust --seed 1``."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    program = (
        f"python -m {spec.name.removesuffix('.__main__')}"
        if spec is not None
        else f"python {Path(sys.argv[0]).name}"
    )
    return " ".join([program, *map(shlex.quote, sys.argv[1:])])


def portable(line: str, chosen: argparse.Namespace) -> str:
    """The command line without the folders of one machine."""
    for name in ("root", "cache", "squeezenet", "out"):
        if folder := getattr(chosen, name, None):
            line = line.replace(str(folder), name.upper())
    for value in vars(chosen).values():
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, Path) and len(path.parts) > 1:
                line = line.replace(str(path), path.name)
    return line


def write_result(
    out: Path,
    *,
    benchmark: str,
    data: str,
    model: str,
    seconds: float,
    parameters: Mapping[str, Any] | int | None,
    seeds: Sequence[int],
    command: str,
    metrics: Mapping[str, Any] | None = None,
    rows: Sequence[Mapping[str, Any]] | None = None,
) -> Path:
    """Write ``out/result.json`` whole or not at all.

    Args:
        out: folder, made if it is missing.
        benchmark: name of the script.
        data: data set, variant and split.
        model: network or method.
        seconds: wall-clock time of the run.
        parameters: number of learned parameters, or the sizes that the run was made with.
        seeds: every seed that was used.
        command: how to run it again, see :func:`command`.
        metrics: name -> value, for accuracy and the like.
        rows: one mapping a comparison, for speed: op, work, peer, ours_ms, peer_ms, ratio (peer / ours),
            roofline, ours_mb, peer_mb; and family, where a table of its own is wanted for some.

    Returns:
        The path of the file.

    Raises:
        ValueError: neither or both of metrics and rows, or a number that JSON cannot hold (NaN, infinity).
    """
    if (metrics is None) == (rows is None):
        raise ValueError("a result has either metrics or rows")
    result: dict[str, Any] = {
        "benchmark": benchmark,
        "data": data,
        "model": model,
        **(
            {"metrics": dict(metrics)} if metrics is not None else {"rows": [dict(row) for row in rows or []]}
        ),
        "seconds": round(seconds, 3),
        "parameters": dict(parameters) if isinstance(parameters, Mapping) else parameters,
        "seeds": list(seeds),
        "hardware": hardware(),
        "versions": versions(),
        "command": command,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    text = json.dumps(result, indent=2, allow_nan=False) + "\n"
    path = out / "result.json"
    with whole_file(path) as temporary:
        temporary.write_text(text)
    return path


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
