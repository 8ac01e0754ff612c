"""
The parts of a body
===================

A network learns to label the parts of bodies from a few of them, and is tested on other people in other poses, each with a mesh of
its own. For shapes and labels in files see :doc:`own_folder`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch_geometric.transforms import Compose

from geodl.data import OperatorCache, SpectralOperators, UnitArea
from geodl.datasets import Puppets
from geodl.geometry import heat_kernel_signature
from geodl.models import DiffusionNet
from geodl.training import SegmentationModule, ShapeData, make_trainer
from geodl.viz import surface

torch.manual_seed(0)
folder = Path(tempfile.mkdtemp())

# %%
# The data
# --------
# Puppets are made, not downloaded. ``part`` is the truth at every vertex. The network reads heat kernel signatures, which neither a
# pose nor a mesh changes much, and works with 64 eigenvectors of every shape.

operators = Compose([UnitArea(), SpectralOperators(OperatorCache(folder / "cache"), k=64)])


def prepare(body):
    body = operators(body)
    body.x = heat_kernel_signature(body.spectrum, 16)
    body.y = body.part
    return body


train, test = (
    Puppets(5, 4, variant="remeshed", num_vertices=1500, split=split) for split in ("train", "test")
)
data = ShapeData([train[k] for k in range(16)], [test[0], test[3]], prepare, batch_size=1)

# %%
# Training
# --------

classes = 1 + int(train[0].part.max())
network = DiffusionNet(16, classes, width=48, blocks=3, dropout=0.0)
module = SegmentationModule(network, classes, learning_rate=6e-3)
trainer = make_trainer(folder / "run", epochs=30, progress=False)
trainer.fit(module, data)
trainer.test(module, data, verbose=False)
print(f"{float(module.scores.accuracy):.1%} of the vertices, mean IoU {float(module.scores.mean_iou):.3f}")

# %%
# The simplest baseline
# ---------------------
# A linear map of the same signatures, by least squares: what the network adds to it is what it has learned.


def signatures(bodies):
    return torch.cat([torch.nn.functional.pad(body.x, (0, 1), value=1.0) for body in bodies]).double()


known = torch.nn.functional.one_hot(torch.cat([body.y for body in data.ready["train"]]), classes).double()
linear = torch.linalg.lstsq(signatures(data.ready["train"]), known).solution
told = (signatures(data.ready["test"]) @ linear).argmax(1)
right = told == torch.cat([body.y for body in data.ready["test"]])
print(f"a linear map: {float(right.double().mean()):.1%} of the vertices")

# %%
# Truth, prediction, errors
# -------------------------
# On a body that the training never saw.

body = data.ready["test"][0]
with torch.no_grad():
    predicted = network.eval()(body.x, body.spectrum, body.gradient).argmax(1)

out = Path("runs/segmentation")
out.mkdir(parents=True, exist_ok=True)
surface(body, out / "1-truth.png", label=body.y, title="truth")
surface(body, out / "2-prediction.png", label=predicted, title="prediction")
wrong = predicted != body.y
surface(
    body,
    out / "3-errors.png",
    label=torch.where(wrong, 0, -1),
    title=f"{int(wrong.sum())} vertices are wrong",
)
