# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 7. From the grid to the graph to the mesh
#
# Images lie on a grid. Social networks, molecules and bodies don't. What is a convolution there? We take one filter, and
# carry it from a
# grid to a graph to a surface. The weights stay the same.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import trimesh
from IPython.display import Image
from torch.nn import functional as F

from geodl import viz
from geodl.data import Graph, Mesh
from geodl.datasets import Digits, Puppets
from geodl.models import LeNet5
from geodl.nn import GridConv, MaxPool, graph_levels, mesh_levels
from geodl.ops import farthest_points, knn

torch.manual_seed(0)
out = Path(tempfile.mkdtemp())

# %% [markdown]
# ## One formula
#
# Around each point $i$ there are neighbours $j$ with local coordinates $u_{ij}$: where $j$ lies, seen from $i$. A few
# windows $w_m$ read
# the signal $f$ there, and the filter is one weight for each window:
#
# $$ D_m f(i) = \sum_{j \in N(i)} w_m(u_{ij}) \, f_j, \qquad (f \star g)(i) = \sum_m g_m \, D_m f(i) . $$
#
# On a grid $u_{ij}$ is an integer offset, and the window of tap $m$ is 1 at the offset $m$ and else 0. That is the
# convolution that you
# know. On other domains only $u$ and $w$ change.
#
# ## The grid
#
# Our filter is Sobel's: how much the signal changes downwards, and to the right.

# %%
digit = F.pad(
    F.interpolate(Digits("test").x[2:3], size=(24, 24), mode="bilinear"), (4, 4, 4, 4)
)  # [1, 1, 32, 32]
conv = GridConv(1, 2, 3, padding=1, bias=False)
down = torch.tensor([[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]]) / 4
with torch.no_grad():
    conv.weight.copy_(torch.stack([down, down.T])[:, None])
conv.requires_grad_(False)
Image(viz.filters(conv, out / "sobel.png"))


# %%
def signed(x):
    """Between -1 and 1 as grey levels: grey is zero."""
    return 0.5 + 0.5 * x.clamp(-1, 1)


on_grid = conv(digit)
Image(
    viz.images(
        [digit[0], *signed(on_grid[0])[:, None]],
        out / "grid.png",
        columns=3,
        titles=["signal", "downwards", "rightwards"],
    )
)

# %% [markdown]
# ## The grid as a graph
#
# Now forget that it is an image. Each pixel is a node with a place, joined with the pixel beside it and below it, and nodes
# come in any
# order. We shuffle them to be sure.

# %%
row, column = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
place = torch.stack([row.flatten(), column.flatten()], 1).float()
number = torch.arange(1024).view(32, 32)
edges = torch.cat(
    [
        torch.stack([number[:-1].flatten(), number[1:].flatten()]),
        torch.stack([number[:, :-1].flatten(), number[:, 1:].flatten()]),
    ],
    1,
)
order = torch.randperm(1024)
back = order.argsort()
graph = Graph(edge_index=torch.cat([back[edges], back[edges.flip(0)]], 1), pos=place[order])
level = graph_levels(graph)
signal = digit.flatten()[order][:, None]  # [1024, 1]: a row a node
on_graph = conv(signal, level)  # the same layer, the same weights
difference = (on_graph[back].T.view(2, 32, 32) - on_grid[0])[:, 1:-1, 1:-1].abs().max()
print(f"largest difference to the image, inside of the border: {difference:.1e}")

# %% [markdown]
# The same numbers: the grid was a graph all the time.
#
# ## A graph that is no grid
#
# 1,024 nodes at random places, spread evenly, each joined with its six nearest. Now no neighbour lies exactly at a tap. So
# each tap reads
# the mean of those that are near it, with a hat for the weights: $w_m(u) = \max(0, 1 - |u_1 - m_1|)\,\max(0, 1 - |u_2 -
# m_2|)$, divided by
# their sum.

# %%
many = 31 * torch.rand(8000, 2)
nodes = many[farthest_points(many, 1024)[0]]
near = knn(nodes, 7)
edge_index = torch.stack([near.col, near.row])
edge_index = torch.cat([edge_index, edge_index.flip(0)], 1)
scattered = graph_levels(Graph(edge_index=edge_index, pos=nodes))


def at(points, image):
    """An image ``[1, 1, 32, 32]`` read between its pixels."""
    where = (points.flip(1) / 31 * 2 - 1)[None, :, None]
    return F.grid_sample(image, where, align_corners=True)[0, :, :, 0].T


values = at(nodes, digit)
answer = conv(values, scattered)


def draw(panels, points=nodes):
    figure, axes = plt.subplots(1, len(panels), figsize=(3.2 * len(panels), 3.2))
    for axis, (title, value) in zip(axes, panels.items(), strict=True):
        axis.scatter(points[:, 1], -points[:, 0], c=value.detach(), s=14, cmap="gray")
        axis.set_title(title)
        axis.axis("off")
    figure.tight_layout()


draw({"signal": values[:, 0], "downwards": answer[:, 0], "rightwards": answer[:, 1]})

# %%
same = torch.corrcoef(torch.stack([answer[:, 0], at(nodes, on_grid[:, :1])[:, 0]]))[0, 1]
print(f"correlation with the image's answer at the same places: {same:.3f}")

# %% [markdown]
# **Question.** What would happen if the graph had no places, only edges? Which windows could a filter still have? (A graph
# convolution
# like GCN, Kipf and Welling 2017, has a single one: the mean of all neighbours. What can it not see?)
#
# ## The mesh
#
# A surface has no offsets: there is no "two to the right" on a sphere. But around each vertex we can lay a *chart*: how far
# is it to a
# neighbour along the surface, and in which direction does the shortest path leave? That gives polar coordinates, and
# $u = \rho\,(\cos\theta, \sin\theta)$. `mesh_levels` measures them exactly.
#
# One thing must be chosen: where *up* is. Here it is the direction of the y axis, laid into the surface.

# %%
ball = trimesh.creation.icosphere(4)
sphere = Mesh(torch.tensor(ball.vertices.copy()).float(), torch.tensor(ball.faces.T.copy()))
on_sphere = mesh_levels(sphere, direction=torch.tensor([0.0, -1.0, 0.0]))  # rows of a filter run down


def painted(mesh, image=digit):
    """The digit, thrown onto the front of a shape."""
    return at(torch.stack([15.5 - 18 * mesh.pos[:, 1], 15.5 + 18 * mesh.pos[:, 0]], 1), image) * (
        mesh.pos[:, 2:] > 0
    )


f = painted(sphere)
g = conv(f, on_sphere)
pictures = [
    viz.surface(sphere, out / f"sphere{k}.png", scalar=value, title=title, size=(6, 3))
    for k, (title, value) in enumerate(
        {"signal": f[:, 0], "downwards": g[:, 0], "rightwards": g[:, 1]}.items()
    )
]


def column_of(paths, name):
    return Image(
        viz.images(
            [torch.from_numpy(plt.imread(p)[..., :3]).permute(2, 0, 1) for p in paths], out / name, columns=1
        )
    )


column_of(pictures, "spheres.png")

# %% [markdown]
# The same two filters, on a sphere. Turn *up* by a right angle, and the two answers change places (up to a sign): the
# filter depends on
# the direction that we chose. How strong the edge is, the root of the sum of their squares, does not.

# %%
turned = mesh_levels(sphere, direction=torch.tensor([1.0, 0.0, 0.0]))
h = conv(f, turned)
face_on = sphere.pos[:, 2] > 0.8  # where the two directions are nearly at a right angle
a, b = g[face_on], h[face_on]
print(
    f"first answer, turned, with the second one: correlation {torch.corrcoef(torch.stack([b[:, 0], a[:, 1]]))[0, 1]:.3f}"
)
print(
    f"strength of the edge: correlation {torch.corrcoef(torch.stack([a.norm(dim=1), b.norm(dim=1)]))[0, 1]:.3f}"
)

# %% [markdown]
# On all of a sphere no field of directions is smooth (the hairy ball theorem). The next lab shows a way out: turn the
# filter by all
# angles, and take the maximum.
#
# ## Train on a grid, use on a mesh
#
# If the weights are the same, a network that was trained on images must work on surfaces. We train three layers to remove
# noise from
# images, and then run them, unchanged, on the graph and on the sphere.


# %%
class Denoiser(torch.nn.Module):
    def __init__(self):
        super().__init__()
        sizes = [(1, 16), (16, 16), (16, 1)]
        self.convs = torch.nn.ModuleList(
            GridConv(c, d, 3, padding=1, padding_mode="replicate") for c, d in sizes
        )

    def forward(self, x, level=None):
        y = x
        for k, layer in enumerate(self.convs):
            y = layer(y if k == 0 else y.relu(), level)
        return x - y  # it says what the noise is


images = F.pad(F.interpolate(Digits("train").x, size=(24, 24), mode="bilinear"), (4, 4, 4, 4))
net, noise = Denoiser(), 0.25
optimizer = torch.optim.Adam(net.parameters(), 3e-3)
for _ in range(250):
    clean = images[torch.randint(len(images), (16,))]
    loss = F.mse_loss(net(clean + noise * torch.randn_like(clean)), clean)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# %%
def off(x, true):
    return float((x - true).square().mean().sqrt())


domains = {"image": (digit, None), "graph": (values, scattered), "sphere": (f, on_sphere)}
blur = GridConv(1, 1, 3, padding=1, bias=False).requires_grad_(False)
blur.weight.fill_(1 / 9)
results = {}
with torch.no_grad():
    for name, (true, where) in domains.items():
        noisy = true + noise * torch.randn_like(true)
        results[name] = noisy, net(noisy, where)
        errors = [off(x, true) for x in (noisy, blur(noisy, where), results[name][1])]
        print(
            f"{name:7s} noise {errors[0]:.3f}, mean of 3 x 3 taps {errors[1]:.3f}, the network {errors[2]:.3f}"
        )

# %%
noisy, cleaned = results["graph"]
draw({"signal": values[:, 0], "noisy": noisy[:, 0], "denoised": cleaned[:, 0]})

# %%
noisy, cleaned = results["sphere"]
column_of(
    [
        viz.surface(
            sphere, out / "noisy.png", scalar=noisy[:, 0], limits=(-0.2, 1), title="noisy", size=(6, 3)
        ),
        viz.surface(
            sphere, out / "cleaned.png", scalar=cleaned[:, 0], limits=(-0.2, 1), title="denoised", size=(6, 3)
        ),
    ],
    "denoised.png",
)

# %% [markdown]
# It has never seen a mesh, and yet it removes half of the noise there, because charts make the surface look, from each
# vertex, like the
# grid that it knows. But it is no longer better than the plain mean of the taps. Away from the grid a tap is a mean over a
# few points, so
# the noise that it reads is weaker and smoother than that of the training. What a network has learned about noise, it has
# learned about
# noise on a grid.
#
# **Exercise.** Train it on the random graph. Is it better than the mean then, there and on the sphere?
#
# ## Pooling
#
# Networks for images halve the resolution. A mesh has cells for that: vertices join into cells, and the maximum of a cell
# goes to the next
# level.

# %%
body = Puppets(num_vertices=1500)[0]
levels = mesh_levels(body, sizes=(400, 100))
height = torch.sin(9 * body.pos[:, 1:2])
x, steps, cells = height, [height], torch.arange(len(height))
for at_level in levels.pyramid()[:-1]:
    x = MaxPool(2)(x, at_level)
    cells = at_level.cells().cluster[cells]
    steps.append(x[cells])
column_of(
    [
        viz.surface(
            body, out / f"pool{k}.png", scalar=step[:, 0], title=f"{level.num_nodes} points", size=(6, 3)
        )
        for k, (step, level) in enumerate(zip(steps, levels.pyramid(), strict=True))
    ],
    "pooled.png",
)

# %% [markdown]
# So all that LeNet needs exists on a body, too. This is the network of lab 2:

# %%
wide = mesh_levels(body, sizes=(400, 100), kernel_size=5)
scores = LeNet5(points=wide.pyramid()[-1].num_nodes)(height.T[None], wide)
print(scores.shape)

# %% [markdown]
# ## What changes from paper to paper
#
# | domain | coordinates $u_{ij}$ | windows $w_m(u)$ | name |
# |---|---|---|---|
# | grid | integer offset | 1 at tap m | CNN (LeCun and others 1989) |
# | graph | degrees | $1 / \sqrt{d_i d_j}$ | GCN (Kipf, Welling 2017) |
# | graph | none | softmax of a learned score | GAT (Velickovic and others 2018) |
# | mesh | geodesic polar | bins in distance and angle | geodesic CNN (Masci and others 2015) |
# | any | any | learned Gaussians | MoNet (Monti and others 2017) |
#
# **Exercise.** Put the digit on the body instead of the sphere and find its edges. Where do they look wrong, and why?
#
# ## Papers
#
# - LeCun and others, "Backpropagation applied to handwritten zip code recognition", 1989.
# - Masci, Boscaini, Bronstein, Vandergheynst, "Geodesic convolutional neural networks on Riemannian manifolds", 2015.
# - Kipf, Welling, "Semi-supervised classification with graph convolutional networks", 2017.
# - Monti and others, "Geometric deep learning on graphs and manifolds using mixture model CNNs", 2017.
# - Bronstein, Bruna, LeCun, Szlam, Vandergheynst, "Geometric deep learning: going beyond Euclidean data", 2017.
