"""
A convolution of your own, tested
=================================

A layer says what the local coordinates and the windows are and hands the work to an operator. Whether it depends on anything that
means nothing (the numbering of the points, the tangent frames, the unit of length, what else is in the batch) is a line each.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from geodl.datasets import Puppets
from geodl.geometry import Charts, geodesic_charts
from geodl.ops import patch_conv
from geodl.testing import assert_invariant
from geodl.viz import surface

# %%
# The layer
# ---------
# Its windows are M rings, each a Gaussian of the geodesic distance as a share of the chart's radius R:
#
# .. math:: w_m(u_{ij}) = \exp\Bigl(-2 \bigl(M \rho_{ij} / R_i - m\bigr)^2\Bigr), \qquad
#           y_i = \sum_m \sum_j w_m(u_{ij}) \, x_j W_m .
#
# ``patch_conv`` sums without storing what every window saw at every edge, and has derivatives of every order.


class RingConv(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, rings: int = 3) -> None:
        super().__init__()
        self.filters = nn.Parameter(torch.randn(rings, in_channels, out_channels) / math.sqrt(in_channels))

    def windows(self, charts: Charts) -> Tensor:
        count = len(self.filters)
        reach = charts.radius[charts.neighbors.row]  # of the chart that the edge lies in
        return (-2 * ((count * charts.rho / reach)[:, None] - torch.arange(count)) ** 2).exp()  # [E, M]

    def forward(self, x: Tensor, charts: Charts) -> Tensor:
        return patch_conv(x, charts.neighbors, self.windows(charts), self.filters)  # [V, C']


# %%
# What it sees
# ------------
# A chart holds the vertices around each point, with their exact geodesic distance and direction. Here are the three windows of one
# point of the chest, as red, green and blue.

body = Puppets(num_identities=1, num_poses=1, num_vertices=1500)[0]
charts = geodesic_charts(body, size=250)
conv = RingConv(3, 8)

point = int((body.pos - body.pos.mean(0) - torch.tensor([0.0, 0.25, 0.2])).norm(dim=1).argmin())
edges = slice(*charts.neighbors.rowptr[point : point + 2].tolist())
color = torch.full((len(body.pos), 3), 0.85)
color[charts.neighbors.col[edges]] = conv.windows(charts)[edges].clamp(0, 1)

out = Path("runs/own-convolution")
out.mkdir(parents=True, exist_ok=True)
surface(body, out / "windows.png", color=color, title="three windows of one point")

# %%
# What must not matter
# --------------------
# In float64, so that what is left is rounding. Each line says by how much, and where, a layer that fails depends on it.

charts = geodesic_charts(body, size=20).to(torch.float64)
conv, x = conv.double(), torch.randn(len(body.pos), 3).double()

assert_invariant(conv, (x, charts), under="order")
assert_invariant(conv, (x, charts), under="frames")
assert_invariant(conv, (x, charts), under="scale")
assert_invariant(conv, (x, charts), (2 * x, charts), under="batch")

# %%
# A layer with a fault
# --------------------
# This one reads the angle of a neighbour too. An angle counts from the first axis of the point's tangent frame, which is arbitrary:
# no training can learn what it means.


class FaultyConv(RingConv):
    def windows(self, charts: Charts) -> Tensor:
        return super().windows(charts) * (1 + charts.theta.cos())[:, None]


try:
    assert_invariant(FaultyConv(3, 8).double(), (x, charts), under="frames")
except AssertionError as error:
    print(error)

# %%
# It trains and compiles like any module:

layer = torch.compile(conv, fullgraph=True, backend="aot_eager")
layer(x, charts).square().mean().backward()
print(conv.filters.grad.norm())
