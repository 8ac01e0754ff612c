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
# # 8. The geodesic CNN, step by step
#
# On a surface there is no "right" and no "up". Masci, Boscaini, Bronstein and Vandergheynst (2015) lay polar coordinates
# around each
# vertex, turn the filter by all angles, and take the maximum. We build it piece by piece.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from IPython.display import Image
from torch.nn import functional as F

from geodl import viz
from geodl.datasets import Puppets
from geodl.geometry import chart_radius, geodesic_charts, geodesic_distance, heat_kernel_signature, spectrum
from geodl.models import GCNN
from geodl.nn import GeodesicConv, gaussian_windows
from geodl.ops import patch_gather

torch.manual_seed(0)
out = Path(tempfile.mkdtemp())
people = Puppets(num_identities=4, num_poses=3, num_vertices=1500)
body, bent = people[0], people[1]  # one person in two poses
here = int(body.pos[:, 2].argmax())  # a vertex at the front
count = body.pos.shape[0]


def column_of(paths, name):
    return Image(
        viz.images(
            [torch.from_numpy(plt.imread(p)[..., :3]).permute(2, 0, 1) for p in paths], out / name, columns=1
        )
    )


# %% [markdown]
# ## Step 1: distances on the surface
#
# From a vertex to all others: straight through space, and along the surface. Which of the two stays the same when the
# person moves?


# %%
def distances(mesh):
    along = geodesic_distance(mesh, torch.full((count,), here), torch.arange(count))
    return along.float(), (mesh.pos - mesh.pos[here]).norm(dim=1)


along, straight = distances(body)
column_of(
    [
        viz.surface(body, out / "straight.png", scalar=straight, title="straight, metres", size=(7, 3)),
        viz.surface(body, out / "along.png", scalar=along, title="along the surface, metres", size=(7, 3)),
    ],
    "distances.png",
)

# %%
along_bent, straight_bent = distances(bent)
print(f"change by the pose: straight {100 * float((straight_bent - straight).abs().mean()):.1f} cm, "
      f"along the surface {100 * float((along_bent - along).abs().mean()):.1f} cm")  # fmt: skip

# %% [markdown]
# ## Step 2: a chart
#
# For each vertex $j$ near $i$ we keep the length $\rho_{ij}$ of the shortest path, and the angle $\theta_{ij}$ under which
# it leaves $i$.
# That is a map of the surroundings, as a sailor would draw it. geodl measures both exactly.

# %%
charts = geodesic_charts(body, chart_radius(body, 60))
rowptr = charts.neighbors.rowptr
mine = slice(int(rowptr[here]), int(rowptr[here + 1]))
rho, theta, members = charts.rho[mine], charts.theta[mine], charts.neighbors.col[mine]
print(f"{len(members)} vertices in the chart, up to {100 * float(rho.max()):.1f} cm away")
seen = torch.zeros(count)
seen[members] = 1 - rho / rho.max()
Image(viz.surface(body, out / "disc.png", scalar=seen, title="one chart", size=(7, 3)))

# %%
signal = body.pos[:, 1]
figure, axes = plt.subplots(1, 2, figsize=(7, 3.3), subplot_kw={"projection": "polar"})
for axis, (title, value) in zip(
    axes, {"distance": rho, "height of the vertex": signal[members]}.items(), strict=True
):
    axis.scatter(theta, rho, c=value, s=30)
    axis.set_title(title)
    axis.set_yticklabels([])
figure.tight_layout()

# %% [markdown]
# ## Step 3: windows
#
# The chart has vertices at odd places. A filter wants fixed places. So we cut the disc into rings and rays, and give each
# bin a Gaussian
# in $\rho$ and in $\theta$:
#
# $$ w_{ra}(\rho, \theta) \propto \exp\Bigl(-\frac{(\rho - \rho_r)^2}{2 \sigma_\rho^2} - \frac{(\theta - \theta_a)^2}{2
# \sigma_\theta^2}\Bigr). $$

# %%
rings, rays = 3, 8
windows = gaussian_windows(charts, rings, rays)
figure, axes = plt.subplots(1, 4, figsize=(11, 3), subplot_kw={"projection": "polar"})
for axis, (r, a) in zip(axes, ((0, 0), (1, 1), (2, 1), (2, 4)), strict=True):
    axis.scatter(theta, rho, c=windows.weight[mine, r * rays + a], s=30, cmap="magma_r")
    axis.set_title(f"ring {r}, ray {a}")
    axis.set_yticklabels([])
    axis.set_xticklabels([])
figure.tight_layout()

# %% [markdown]
# ## Step 4: the patch
#
# Reading the signal through all windows gives a patch of $3 \times 8$ numbers for each vertex, whatever the mesh looks like there.

# %%
f = torch.sin(25 * body.pos[:, 1:2]) + torch.sin(25 * body.pos[:, :1])
patches = patch_gather(f, windows.neighbors, windows.weight)  # [V, 24, 1]
print(patches.shape)
figure, axes = plt.subplots(1, 4, figsize=(11, 3), subplot_kw={"projection": "polar"})
edges = torch.arange(rays + 1) * 2 * torch.pi / rays - torch.pi / rays
for axis, vertex in zip(axes, (here, 100, 500, 900), strict=True):
    axis.pcolormesh(edges, torch.arange(rings + 1.0), patches[vertex].view(rings, rays), vmin=-2, vmax=2)
    axis.set_title(f"vertex {vertex}")
    axis.set_yticklabels([])
    axis.set_xticklabels([])
figure.tight_layout()

# %%
Image(viz.surface(body, out / "signal.png", scalar=f[:, 0], title="the signal", size=(7, 3)))

# %% [markdown]
# ## Step 5: the filter, and its rotations
#
# A filter has one weight for each bin. Red is positive, blue negative.

# %%
conv = GeodesicConv(1, 4, rings, rays, bias=False).requires_grad_(False)
Image(viz.filters(conv, out / "filters.png", title="four random filters"))

# %% [markdown]
# But where does ray 0 point? It must point somewhere, and nothing says where. So we try all eight:
#
# $$ y_i = \max_{t} \sum_{r, a} D_{r, a + t} f(i) \, W_{ra} . $$

# %%
all_turns = GeodesicConv(1, 4, rings, rays, bias=False, pool=None).requires_grad_(False)
all_turns.load_state_dict(conv.state_dict())
turns = all_turns(f, charts)  # [V, 8, 4]
best = conv(f, charts)  # [V, 4]
print(turns.shape, "->", best.shape, "largest difference:", float((turns.amax(1) - best).abs().max()))
column_of(
    [
        viz.surface(
            body, out / "turn0.png", scalar=turns[:, 0, 0], title="filter 0, not turned", size=(7, 3)
        ),
        viz.surface(
            body, out / "best.png", scalar=best[:, 0], title="filter 0, the best of eight turns", size=(7, 3)
        ),
    ],
    "answers.png",
)

# %% [markdown]
# Does it keep its promise? Turn the chart of each vertex by some multiple of 45 degrees, at random.

# %%
angle = torch.randint(rays, (count,)) * 2 * torch.pi / rays
turned = charts.rotate(angle)
print(f"without the maximum: changes by up to {float((all_turns(f, turned) - turns).abs().max()):.3f}")
print(f"with the maximum:    changes by up to {float((conv(f, turned) - best).abs().max()):.1e}")

# %% [markdown]
# **Question.** The maximum forgets the direction. What can a geodesic CNN not tell apart because of it?
#
# ## Step 6: the pose does not matter
#
# Charts are made of distances on the surface, and those hardly change when a person moves. The same signal, the same
# filter, another pose:

# %%
charts_bent = geodesic_charts(bent, chart_radius(bent, 60))
again = conv(f, charts_bent)
print(
    f"correlation of the answers in two poses: {torch.corrcoef(torch.stack([best[:, 0], again[:, 0]]))[0, 1]:.3f}"
)

# %% [markdown]
# ## Step 7: learn
#
# Layers in a row make a network. It shall say for each vertex to which of 17 parts of the body it belongs. What it reads is
# the heat kernel
# signature: how much heat is left at a vertex after a while. That too depends on the surface alone. Three people are to
# learn from; a
# fourth one, in three poses, is for the test.


# %%
def prepared(mesh):
    x = heat_kernel_signature(spectrum(mesh, 60)).log().float()
    x = (x - x.mean(0)) / (x.std(0) + 0.1)  # each body by its own mean, so that its size does not matter
    return x, gaussian_windows(geodesic_charts(mesh, chart_radius(mesh, 60)), rings, rays), mesh.part


bodies = [prepared(mesh) for mesh in people]
train, test = bodies[:9], bodies[9:]


def fit(model, steps):
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    losses = []
    for step in range(steps):
        x, w, part = train[step % len(train)]
        loss = F.cross_entropy(model(x, w), part)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def accuracy(model, shapes):
    model.eval()
    return (
        100
        * sum(float((model(x, w).argmax(1) == part).double().mean()) for x, w, part in shapes)
        / len(shapes)
    )


class Linear(torch.nn.Linear):
    def forward(self, x, _):
        return super().forward(x)


linear = Linear(16, len(Puppets.parts))
fit(linear, 300)
model = GCNN(16, len(Puppets.parts), rings, rays, widths=(32, 32), hidden=32)
losses = fit(model, 60)
print(f"linear model, vertex by vertex: {accuracy(linear, test):.1f} % of the vertices of the new person")
print(f"geodesic CNN:                   {accuracy(model, test):.1f} %")

# %%
plt.figure(figsize=(5, 2.5))
plt.plot(losses)
plt.xlabel("step")
plt.ylabel("cross entropy")
# %%
with torch.no_grad():
    x, w, part = test[1]
    guess = model(x, w).argmax(1)
column_of(
    [
        viz.surface(people[10], out / "true.png", label=part, title="true parts", size=(7, 3)),
        viz.surface(people[10], out / "guess.png", label=guess, title="the network's", size=(7, 3)),
    ],
    "parts.png",
)

# %% [markdown]
# Look for left and right. The signature is the same for both hands, and distances are, too. A network that reads nothing
# else can only
# guess the side. With left and right counted as one:

# %%
merged = torch.tensor([Puppets.parts.index(name.replace("right", "left")) for name in Puppets.parts])
same = float((merged[guess] == merged[part]).double().mean())
print(f"right, up to the side: {100 * same:.1f} %")

# %% [markdown]
# Sixty steps are few. With ten times as many, and more people, the rest becomes better; the side does not, until the
# network is told
# something that differs between left and right.
#
# **Exercise.** Give it the positions of the vertices beside the signature. Then turn the test bodies by 90 degrees. What happens?
#
# ## Papers
#
# - Masci, Boscaini, Bronstein, Vandergheynst, "Geodesic convolutional neural networks on Riemannian manifolds", 2015.
# - Sun, Ovsjanikov, Guibas, "A concise and provably informative multi-scale signature based on heat diffusion", 2009.
# - Poulenard, Ovsjanikov, "Multi-directional geodesic neural networks via equivariant convolution", 2018: keeps the directions.
