"""Reading mesh files of 50 MB beside trimesh: `python -m benchmarks.loading`.

Times are of the processor, so that what else the machine does counts little; the best of ``--repeats`` runs of each, in turn.
trimesh reads with and without its ``process``, which merges vertices as ``Mesh.load`` does for stl.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh

from benchmarks.result import command, portable, write_result
from geodl.data import Mesh

# Of each kind of file: its ending, what trimesh calls it, its options, and bytes a vertex.
KINDS: dict[str, tuple[str, str, dict[str, Any], float]] = {
    "obj": ("obj", "obj", {}, 80),
    "off": ("off", "off", {}, 80),
    "stl, binary": ("stl", "stl", {}, 100),
    "stl, text": ("stl", "stl_ascii", {}, 520),
    "ply, binary": ("ply", "ply", {}, 38),
    "ply, text": ("ply", "ply", {"encoding": "ascii"}, 62),
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__)
    parser.add_argument("--megabytes", type=float, default=50, help="size of each file")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=["cpu"], default="cpu", help="files are read on the CPU")
    parser.add_argument("--out", type=Path, default=Path("runs/loading"), help="folder of result.json")
    chosen = parser.parse_args(argv)
    torch.set_num_threads(chosen.threads)
    began = time.perf_counter()
    busy = round(os.getloadavg()[0], 1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, (ending, name, options, bytes_each) in KINDS.items():
            path = Path(folder) / f"sheet.{ending}"
            sheet = wavy_sheet(round((chosen.megabytes * 1e6 / bytes_each) ** 0.5), chosen.seed)
            written = sheet.export(file_type=name, **options)
            path.write_bytes(written if isinstance(written, bytes) else written.encode())
            for row in compared(kind, path, chosen.repeats):
                said = f"{row['op']}, {row['work']}: ours {row['ours_ms']:.0f} ms, {row['peer']} {row['peer_ms']:.0f} ms"
                print(said, flush=True)
                rows.append(row)
            path.unlink()
    out = write_result(
        chosen.out,
        benchmark="loading",
        data="height field with random numbers, written by trimesh",
        model="Mesh.load",
        rows=rows,
        seconds=time.perf_counter() - began,
        parameters={"megabytes": chosen.megabytes, "repeats": chosen.repeats, "load_average": busy},
        seeds=[chosen.seed],
        command=portable(command(), chosen),
    )
    print(f"wrote {out}")


def wavy_sheet(side: int, seed: int) -> trimesh.Trimesh:
    """A square grid of ``side`` x ``side`` vertices with random numbers of all digits, two triangles a cell."""
    random = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    pos = np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3) + 0.1 * random.random((side * side, 3))
    number = np.arange(side * side).reshape(side, side)
    a, b, c, d = number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]
    face = np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3)
    return trimesh.Trimesh(pos / side, face, process=False)


def compared(kind: str, path: Path, repeats: int) -> list[dict[str, Any]]:
    readers: dict[str, Callable[[], Any]] = {
        "ours": lambda: Mesh.load(path),
        "trimesh": lambda: trimesh.load(path),
        "trimesh, process=False": lambda: trimesh.load(path, process=False),
    }
    best = dict.fromkeys(readers, float("inf"))
    faces = set()
    for _ in range(repeats):
        for name, read in readers.items():
            before = time.process_time()
            found = read()
            best[name] = min(best[name], time.process_time() - before)
            faces.add(found.face.shape[1] if name == "ours" else len(found.faces))
    assert len(faces) == 1, f"{kind}: {faces} faces"
    ours = best.pop("ours")
    work = f"{path.stat().st_size / 1e6:.0f} MB, {faces.pop():,} faces"
    return [
        {
            "op": kind,
            "work": work,
            "peer": peer,
            "ours_ms": 1e3 * ours,
            "peer_ms": 1e3 * theirs,
            "ratio": theirs / ours,
            "roofline": None,
            "ours_mb": None,
            "peer_mb": None,
        }
        for peer, theirs in best.items()
    ]


if __name__ == "__main__":
    main()
