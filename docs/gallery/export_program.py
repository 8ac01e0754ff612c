"""
A network as a program
======================

``torch.export`` writes a network into a file that runs without the class that it came from. The operators of geodl are operators of
PyTorch, so they stay in the program as they are: a process that loads it imports ``geodl.ops`` and nothing else of the library.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch.export import Dim, export, save

from geodl.models import PointNet2

torch.manual_seed(0)
folder = Path(tempfile.mkdtemp())

# %%
# Export
# ------
# A batch of clouds is all their points, and ``ptr``, where each cloud begins and the last one ends. Both sizes are left open, so
# that the program takes any number of clouds with any numbers of points.

network = PointNet2(0, 5).eval()  # of a ClassificationModule that was trained: module.model.eval()
pos, ptr = torch.rand(300, 3), torch.tensor([0, 140, 300])
program = export(network, (pos, ptr), dynamic_shapes=({0: Dim("points", min=2)}, {0: Dim("clouds", min=2)}))
save(program, folder / "classifier.pt2")

used = sorted({str(node.target) for node in program.graph.nodes if str(node.target).startswith("geodl.")})
print(f"{(folder / 'classifier.pt2').stat().st_size / 1e6:.1f} MB, with the operators", *used, sep="\n")

# %%
# A process of its own
# --------------------
# It is given other clouds: three, of other sizes.

other = torch.rand(500, 3), torch.tensor([0, 90, 270, 500])
torch.save(other, folder / "clouds.pt")

elsewhere = """
import sys, torch, geodl.ops

network = torch.export.load(sys.argv[1]).module()
with torch.no_grad():
    scores = network(*torch.load(sys.argv[2], weights_only=True))
torch.save(scores, sys.argv[3])
print(f"{len(scores)} clouds, classes {scores.argmax(1).tolist()}")
print("rooms that were loaded:", sorted(name for name in sys.modules if name.count(".") == 1 and name.startswith("geodl.")))
"""
paths = [str(folder / name) for name in ("classifier.pt2", "clouds.pt", "scores.pt")]
done = subprocess.run([sys.executable, "-c", elsewhere, *paths], check=True, capture_output=True, text=True)
print(done.stdout)

# %%
# The same scores come out there and here.

there = torch.load(folder / "scores.pt", weights_only=True)
with torch.no_grad():
    here = network(*other)
torch.testing.assert_close(there, here)
print(f"largest difference {float((there - here).abs().max()):.1e}")
