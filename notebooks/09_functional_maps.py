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
# # 9. Functional maps
#
# Two bodies: which point of one is which point of the other? A table of vertices is large and rough. Ovsjanikov and others
# (2012) ask
# instead: what becomes of a *function* on one body when it is carried to the other? In the right basis the answer is a
# small matrix.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from IPython.display import Image

from geodl import viz
from geodl.datasets import Puppets
from geodl.geometry import spectrum, wave_kernel_signature
from geodl.matching import (
    MatchedPair,
    evaluate,
    fmap_to_p2p,
    functional_map,
    match,
    match_descriptors,
    p2p_to_fmap,
    zoomout,
)
from geodl.ops import farthest_points

torch.manual_seed(0)
out = Path(tempfile.mkdtemp())
people = Puppets(num_identities=3, num_poses=3, num_vertices=1500)
one, two = people[0], people[5]  # two people in two poses
true = torch.arange(two.pos.shape[0])  # here we know the answer: vertices have the same numbers


def column_of(paths, name):
    return Image(
        viz.images(
            [torch.from_numpy(plt.imread(p)[..., :3]).permute(2, 0, 1) for p in paths], out / name, columns=1
        )
    )


Image(
    viz.correspondence(
        one, two, true, out / "true.png", title="equal colours: the same point of the body", size=(8, 4)
    )
)

# %% [markdown]
# ## A Fourier basis on a body
#
# On a circle, sines and cosines are the eigenfunctions of the second derivative. A surface has its own: the eigenfunctions
# of the Laplacian,
#
# $$ L \, \phi_k = \lambda_k \, M \, \phi_k , \qquad \lambda_1 = 0 \le \lambda_2 \le \lambda_3 \le \dots $$
#
# $M$ holds the area of each vertex. Small eigenvalues are slow waves, large ones fast waves.

# %%
k = 60
spectrum_1, spectrum_2 = spectrum(one, k), spectrum(two, k)
phi_1, phi_2, mass_1, mass_2 = spectrum_1.evecs, spectrum_2.evecs, spectrum_1.mass, spectrum_2.mass
column_of(
    [
        viz.surface(one, out / f"phi{n}.png", scalar=phi_1[:, n], title=f"eigenfunction {n + 1}", size=(7, 3))
        for n in (1, 5, 30)
    ],
    "phi.png",
)

# %%
plt.figure(figsize=(5, 2.7))
plt.plot(spectrum_1.evals, label="one")
plt.plot(spectrum_2.evals, label="two")
plt.xlabel("number")
plt.ylabel("eigenvalue, 1 / square metre")
plt.legend()
# %% [markdown]
# The eigenvalues of both are nearly the same: bending a body does not change its Laplacian, only growing does.
#
# ## A function as a few numbers
#
# $a_k = \phi_k^\top M f$ are the coefficients of $f$. How many are needed? Take the function "I am on the left leg or arm,
# or not".

# %%
f = (one.pos[:, 0] > 0.12).double()
pictures = [viz.surface(one, out / "f.png", scalar=f, title="a function", size=(7, 3))]
for n in (10, 60):
    a = phi_1[:, :n].T @ (mass_1 * f)
    near = phi_1[:, :n] @ a
    error = float((mass_1 * (near - f).square()).sum().sqrt() / (mass_1 * f.square()).sum().sqrt())
    title = f"from {n} numbers, error {100 * error:.0f} %"
    pictures.append(
        viz.surface(one, out / f"f{n}.png", scalar=near, limits=(-0.2, 1.2), title=title, size=(7, 3))
    )
column_of(pictures, "function.png")

# %% [markdown]
# **Exercise.** Which functions need few numbers? Try the height, and a single vertex.
#
# ## A map as a matrix
#
# A point map $p_{21}$ takes each vertex of *two* to a vertex of *one*. So it carries each function $f$ on *one* to $f \circ
# p_{21}$ on *two*.
# That is linear in $f$! Written in the two bases it is a matrix,
#
# $$ C_{12} = \Phi_2^\top M_2 \, \Phi_1(p_{21}) . $$


# %%
def drawn(matrices):
    figure, axes = plt.subplots(1, len(matrices), figsize=(3.4 * len(matrices), 3.4), squeeze=False)
    for axis, (title, c) in zip(axes[0], matrices.items(), strict=True):
        axis.imshow(c, cmap="RdBu_r", vmin=-1, vmax=1)
        axis.set_title(title)
    figure.tight_layout()


c_true = p2p_to_fmap(true, phi_1, phi_2, mass_2)
shuffled = true[torch.randperm(len(true))]
drawn({"the true map": c_true, "a random map": p2p_to_fmap(shuffled, phi_1, phi_2, mass_2)})

# %% [markdown]
# The true map is nearly diagonal: slow waves go to slow waves, fast ones to fast ones. (Signs are a matter of chance, as
# $-\phi$ is an
# eigenfunction, too.) The table had as many numbers as the body has vertices; this has $60 \times 60$, and it can be
# *computed with*.
#
# ## From descriptors to the matrix
#
# We don't know the map. But we know functions that should correspond. The wave kernel signature tells for each point how
# the waves of each
# frequency meet there.

# %%
wks_1, wks_2 = wave_kernel_signature(spectrum_1, 40), wave_kernel_signature(spectrum_2, 40)
column_of(
    [
        viz.surface(
            mesh,
            out / f"wks{name}.png",
            scalar=wks[:, 8],
            title=f"one of the signatures, body {name}",
            size=(7, 3),
        )
        for name, mesh, wks in (("one", one, wks_1), ("two", two, wks_2))
    ],
    "wks.png",
)

# %% [markdown]
# First the simple thing: for each vertex the one with the most similar signature.

# %%
nearest = match_descriptors(wks_1, wks_2)
Image(
    viz.correspondence(
        one, two, nearest, out / "nearest.png", true=true, title="nearest signatures", size=(10, 4)
    )
)

# %% [markdown]
# Rough, and a signature cannot tell left from right, as a body is nearly symmetric. So somebody helps, and clicks on six
# points of both
# bodies. Heat that spreads from each of them gives more functions that should correspond.
#
# Now all vertices together. Let $A$ and $B$ be the coefficients of all these functions on both bodies. Look for the matrix
# that carries
# $A$ to $B$, and prefers near-diagonal ones ($D_{ij}$ is large where the eigenvalues differ):
#
# $$ C = \arg\min_C \| C A - B \|^2 + w \sum_{ij} D_{ij} C_{ij}^2 . $$

# %%
n = 20
clicked = farthest_points(one.pos, 6)[0]  # vertices have the same numbers here


def coefficients(spectrum, signature):
    phi, evals, mass = spectrum.evecs[:, :n], spectrum.evals[:n], spectrum.mass
    heat = torch.cat([phi[clicked].T * (-t * evals[:, None]).exp() for t in (0.02, 0.1)], 1)
    waves = phi.T @ (mass[:, None] * signature)
    return torch.cat([waves / wks_1.norm(dim=0), heat], 1)


a, b = coefficients(spectrum_1, wks_1), coefficients(spectrum_2, wks_2)
a, b = a / a.norm(dim=0), b / b.norm(dim=0)
c = functional_map(a, b, spectrum_1.evals[:n], spectrum_2.evals[:n], weight=1)
drawn({"true": c_true[:n, :n], "from descriptors": c})

# %% [markdown]
# ## ZoomOut
#
# A matrix gives a point map: for each vertex of *two*, the vertex of *one* whose row of $\Phi_1$ is nearest. The point map
# gives a larger
# matrix. And so on, a few frequencies more at every turn (Melzi and others, 2019).

# %%
maps, matrices = {"nearest signatures": nearest, "20 x 20": fmap_to_p2p(c, phi_1, phi_2)}, {"20 x 20": c}
for size in (30, 60):
    c = zoomout(c, spectrum_1, spectrum_2, size, step=2)
    matrices[f"{size} x {size}"] = c
    maps[f"{size} x {size}"] = fmap_to_p2p(c, phi_1, phi_2)
drawn(matrices)

# %%
column_of(
    [
        viz.correspondence(one, two, maps[name], out / f"map{name[:2]}.png", title=name, size=(8, 3))
        for name in ("20 x 20", "60 x 60")
    ],
    "maps.png",
)

# %% [markdown]
# ## How good?
#
# We know the truth here. The error of a vertex is the geodesic distance from where it was sent to where it belongs, divided
# by the root of
# the area. The curve tells how many vertices have at most which error. The last line is `match`, which does all of the
# above and some more:
# it tries several first maps, looks in both directions, and asks for the orientation.

# %%
found = match(one, two)
maps["match(one, two)"] = found.p2p_21
reports = {name: evaluate([MatchedPair(one, p, true)]) for name, p in maps.items()}
Image(viz.curve(reports, out / "curve.png"))

# %%
column_of(
    [
        viz.correspondence(
            one, two, maps["match(one, two)"], out / "match.png", title="match(one, two)", size=(8, 3)
        ),
        viz.surface(
            two,
            out / "errors.png",
            scalar=reports["60 x 60"].errors[0],
            title="error of the 60 x 60 map",
            size=(8, 3),
        ),
    ],
    "match-row.png",
)

# %% [markdown]
# `match` was not told the six points. It tries several first maps, and keeps those that do not turn the surface inside out.
#
# **Question.** Leave out the clicked points, and draw the maps again. Does a map take left to left, left to right, or each
# half as it
# likes? A smooth map that exchanges the sides has a large error, but for the Laplacian it is perfect.
#
# ## What it is good for
#
# Carry something over: the parts of one body to the other.

# %%
labels = found.transfer(one.part)
print(f"{100 * float((labels == two.part).double().mean()):.1f} % of the labels are right")
column_of(
    [
        viz.surface(one, out / "given.png", label=one.part, title="given", size=(7, 3)),
        viz.surface(two, out / "carried.png", label=labels, title="carried over", size=(7, 3)),
    ],
    "transfer.png",
)

# %% [markdown]
# **Exercise.** Use `Puppets(..., variant="remeshed")`, where each body has a mesh of its own. What has to change above, and
# what gets worse?
# In a *deep* functional map the signatures are learned, so that the matrix comes out right: `geodl.models.FunctionalMapNet`.
#
# ## Papers
#
# - Ovsjanikov, Ben-Chen, Solomon, Butscher, Guibas, "Functional maps: a flexible representation of maps between shapes", 2012.
# - Aubry, Schlickewei, Cremers, "The wave kernel signature: a quantum mechanical approach to shape analysis", 2011.
# - Melzi, Ren, Rodola, Sharma, Wonka, Ovsjanikov, "ZoomOut: spectral upsampling for efficient shape correspondence", 2019.
# - Donati, Sharma, Ovsjanikov, "Deep geometric functional maps", 2020.
