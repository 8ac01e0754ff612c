"""
DiffusionNet with published weights
===================================

``from_published`` reads the checkpoints of the authors' code by the names that they have there, and takes the network's
sizes from the weights. The authors keep theirs in their repository, `github.com/nmwsharp/diffusion-net
<https://github.com/nmwsharp/diffusion-net>`_, in ``experiments/*/pretrained_models``; download one and put its path below.
Nothing is downloaded when this page is made, so it writes a stand-in with the same names and shapes, and weights that were
never trained: the labels in the picture mean nothing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from geodl.datasets import Puppets
from geodl.geometry import gradient, heat_kernel_signature, spectrum
from geodl.models import DiffusionNet
from geodl.viz import surface

torch.manual_seed(0)

# %%
# A checkpoint with the published names
# -------------------------------------
# 16 channels of heat kernel signatures in, 8 parts of a body out, as in the authors' human segmentation. ``torch.load`` is called
# with ``weights_only=True``: nothing is unpickled.

width, blocks = 128, 4
weights = {"first_lin.weight": torch.randn(width, 16) / 4, "first_lin.bias": torch.zeros(width)}
for block in range(blocks):
    at = f"block_{block}"
    weights[f"{at}.diffusion.diffusion_time"] = torch.rand(width) / 10
    weights[f"{at}.gradient_features.A_re.weight"] = torch.randn(width, width) / width
    weights[f"{at}.gradient_features.A_im.weight"] = torch.randn(width, width) / width
    for layer, read in enumerate((3 * width, width, width)):
        weights[f"{at}.mlp.miniMLP_mlp_layer_{layer:03d}.weight"] = torch.randn(width, read) / read**0.5
        weights[f"{at}.mlp.miniMLP_mlp_layer_{layer:03d}.bias"] = torch.zeros(width)
weights |= {"last_lin.weight": torch.randn(8, width) / width**0.5, "last_lin.bias": torch.zeros(8)}

checkpoint = Path(tempfile.mkdtemp()) / "human_seg_hks_4x128.pth"
torch.save(weights, checkpoint)

network = DiffusionNet.from_published(checkpoint).eval()
print(f"{sum(p.numel() for p in network.parameters()):,} parameters, {len(network.blocks)} blocks")

# %%
# On a mesh
# ---------
# The authors' segmentation reads heat kernel signatures at 16 times and 128 eigenvectors. Older weights, from before the correction
# of the gradient features, need ``features="frame-dependent"``.

body = Puppets(num_identities=1, num_poses=1, num_vertices=1500)[0]
modes = spectrum(body, 128)
x = heat_kernel_signature(modes, 16).float()
with torch.no_grad():
    parts = network(x, modes, gradient(body)).argmax(1)

out = Path("runs/published-weights")
out.mkdir(parents=True, exist_ok=True)
surface(body, out / "parts.png", label=parts, title="labels of untrained weights")

# %%
# A file of something else is refused by name:

try:
    DiffusionNet.from_published({"conv1.weight": torch.zeros(64, 3, 7, 7)})
except ValueError as error:
    print(error)
