"""
A folder of your own shapes
===========================

A folder of files, a classifier, a network of parts, and both as programs that run without their code. The folder has a folder a
class, with files of any kind (here ply, off and npy); labels of parts lie beside the shapes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from torch.export import Dim, export, save

from geodl.data import DataLoader, Mesh
from geodl.datasets import SegmentationFolder, ShapeFolder
from geodl.models import DGCNNParts, PointNet
from geodl.training import ClassificationModule, SegmentationModule, ShapeData, make_trainer
from geodl.viz import point_clouds

ELSEWHERE = """
import sys, torch, geodl.ops  # the operators alone
for folder in sys.argv[1:]:
    given = torch.load(folder + "/given.pt", weights_only=True)
    torch.save(torch.export.load(folder + "/net.pt2").module()(*given), folder + "/scores.pt")
"""


def make_files(folder: Path) -> None:
    """Boxes and balls, each stretched in its own way, with labels of the upper and the lower half."""
    for name, made in (("box", trimesh.creation.box().subdivide()), ("ball", trimesh.creation.icosphere(2))):
        (folder / name).mkdir(parents=True)
        for number in range(15):
            mesh = Mesh.from_trimesh(made.copy().apply_scale([1 + 0.03 * number, 1, 1.3 - 0.02 * number]))
            path = folder / name / f"{name}{number:02d}.{('ply', 'off', 'npy')[number % 3]}"
            if path.suffix == ".npy":
                np.save(path, mesh.pos)
            else:
                mesh.save(path)
            np.savetxt(path.with_suffix(".txt"), mesh.pos[:, 2] > 0, fmt="%d")


def trained(module: Any, data: ShapeData, run: Path, epochs: int) -> torch.nn.Module:
    trainer = make_trainer(run, epochs, progress=False)
    trainer.fit(module, data)
    trainer.test(module, data, verbose=False)
    print(
        f"{type(module).__name__}: {float(module.scores.accuracy):.0%} right on shapes that training never saw"
    )
    model: torch.nn.Module = module.model
    return model.eval()


def exported(model: torch.nn.Module, given: tuple[torch.Tensor, ...], folder: Path) -> None:
    """The network as a program that takes any number of clouds and points, and clouds to try it on."""
    sizes = tuple({0: Dim(f"size{k}", min=2)} for k in range(len(given)))
    save(export(model, given, dynamic_shapes=sizes), folder / "net.pt2")
    torch.save(given, folder / "given.pt")
    torch.save(model(*given), folder / "expected.pt")


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        make_files(root / "shapes")

        every = ShapeFolder(root / "shapes", num_points=200)
        out = Path("runs/own-folder")
        out.mkdir(parents=True, exist_ok=True)
        chosen = [
            every.names.index(name)
            for name in ("ball/ball00.ply", "ball/ball13.off", "box/box00.ply", "box/box13.off")
        ]
        point_clouds(
            [every[k].pos for k in chosen], out / "clouds.png", labels=[every.names[k] for k in chosen]
        )

        train, test = (ShapeFolder(root / "shapes", split, num_points=24) for split in ("train", "test"))
        module = ClassificationModule(PointNet(0, train.num_classes), train.num_classes)
        net = trained(module, ShapeData(train, test, batch_size=8), root / "classifier", epochs=25)
        batch = next(iter(DataLoader(test, batch_size=3)))
        exported(net, (batch.pos, batch.ptr), root / "classifier")

        parts = [SegmentationFolder(root / "shapes", split, num_points=24) for split in ("train", "test")]
        network = DGCNNParts(0, parts[0].num_classes, k=8, categories=1)
        segmenter = SegmentationModule(network, parts[0].num_classes, elements="points")
        net = trained(segmenter, ShapeData(*parts, batch_size=8), root / "segmenter", epochs=6)
        batch = next(iter(DataLoader(parts[1], batch_size=3)))
        category = torch.zeros(3, dtype=torch.int64)
        exported(net, (batch.pos, category, batch.ptr), root / "segmenter")

        folders = [root / "classifier", root / "segmenter"]
        subprocess.run([sys.executable, "-c", ELSEWHERE, *map(str, folders)], check=True)
        for folder in folders:
            there, here = (
                torch.load(folder / f"{name}.pt", weights_only=True) for name in ("scores", "expected")
            )
            print(
                f"{folder.name}, in a process of its own: the same scores: {torch.allclose(there, here, atol=1e-5)}"
            )


if __name__ == "__main__":
    main()
