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
# # 4. Texture
#
# When do two pictures show the same texture? Not when their pixels agree. They must agree in *statistics*. We look for
# statistics that
# suffice, and make new textures from noise. Pictures here are small, and descents short, so that the page is built in seconds.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from IPython.display import Image
from sklearn.datasets import load_sample_image

from geodl import viz
from geodl.datasets import Puppets
from geodl.synthesis import FilterBank, GramStatistics, synthesize

torch.manual_seed(0)
out = Path(tempfile.mkdtemp())


def side_by_side(name, **pictures):
    return Image(
        viz.images(
            list(pictures.values()),
            out / name,
            columns=len(pictures),
            titles=[n.replace("_", " ") for n in pictures],
        )
    )


# %% [markdown]
# ## Two exemplars
#
# A labyrinth that we make ourselves, noise of one wavelength with a threshold, and petals of a dahlia, from a photograph
# that comes with
# scikit-learn.


# %%
def labyrinth(side, length=9.0, seed=0):
    noise = torch.fft.fft2(torch.randn(side, side, generator=torch.Generator().manual_seed(seed)))
    frequency = torch.fft.fftfreq(side)
    ring = ((torch.hypot(frequency[:, None], frequency) * length - 1) / 0.2).square()
    wave = torch.fft.ifft2(noise * torch.exp(-ring / 2)).real
    share = torch.sigmoid(3 * (wave / wave.std() - 0.3))
    ground, wall = (torch.tensor(color)[:, None, None] for color in ((0.85, 0.7, 0.45), (0.2, 0.15, 0.2)))
    return ground + share * (wall - ground)


photo = torch.from_numpy(load_sample_image("flower.jpg").copy()).permute(2, 0, 1).float() / 255
petals = photo[:, 150:278:2, 230:358:2].contiguous()
maze, other = labyrinth(64), labyrinth(64, seed=1)
side_by_side(
    "exemplars.png", labyrinth=maze, another_piece=other, photograph=photo[:, ::6, ::6], petals=petals
)

# %% [markdown]
# ## Is it the colours?
#
# The same colours, each as often, at other places:

# %%
shuffled = maze.flatten(1)[:, torch.randperm(64 * 64)].view(3, 64, 64)
side_by_side("colours.png", labyrinth=maze, same_colours=shuffled)

# %% [markdown]
# No. What stands beside what matters, too.
#
# ## Is it the spectrum?
#
# Take the Fourier transform, keep its absolute values, and replace the phases by those of noise. All correlations of two
# pixels are
# those of the exemplar then.


# %%
def random_phases(image):
    spectrum, noise = torch.fft.fft2(image), torch.fft.fft2(torch.rand(image.shape[1:]))
    made = torch.fft.ifft2(spectrum * noise / noise.abs()).real  # the same phases added to all colours
    return made.clamp(0, 1)


side_by_side("phases.png", labyrinth=maze, same_spectrum=random_phases(maze), noise=shuffled)

# %% [markdown]
# Better: the wavelength is right. But the walls have lost their sharp edges. Edges are where many frequencies have the same phase.
#
# **Question.** Which textures would this suffice for? Think of sand, and of a brick wall.
#
# ## Answers of filters
#
# Gatys, Ecker and Bethge (2015) take the answers of the filters of a trained network, $F_{ic}$ at point $i$ of channel $c$,
# and ask how
# often two filters answer together:
#
# $$ G_{cd} = \frac{1}{N} \sum_i F_{ic} F_{id} . $$
#
# This Gram matrix knows nothing of where. Ustyuzhaninov and others (2017) found that random filters do nearly as well. So
# does geodl:
# a bank of 64 random filters of 5 x 5, with rectifiers, at several octaves.

# %%
bank = FilterBank(3, octaves=2).fit(maze)
Image(viz.filters(bank.weight[0, :32], out / "bank.png", title="32 of the random filters"))

# %% [markdown]
# Fitted to the exemplar, filters see the directions of its colours alike. What do some of them answer?

# %%
answers = bank.respond(maze[None], 0).relu()[0, [1, 2, 3, 5, 6, 7, 9, 10]]
Image(viz.images((answers / answers.amax((1, 2), keepdim=True))[:, None], out / "answers.png", columns=8))

# %% [markdown]
# And here are Gram matrices of 64 filters: of the labyrinth, of another piece of it, of its shuffled pixels, of the petals.
# They are
# shown as correlations, grey for none, white for 1.

# %%
pictures = {
    "labyrinth": maze,
    "another piece": other,
    "same colours": shuffled,
    "same spectrum": random_phases(maze),
    "petals": petals,
}
statistics = {name: GramStatistics.of(bank(picture)) for name, picture in pictures.items()}
mean = statistics["labyrinth"].mean[0][0]
deviation = (statistics["labyrinth"].gram[0][0].diagonal() - mean.square()).clamp(min=1e-4).sqrt()
grams = [(s.gram[0][0] - mean.outer(mean)) / deviation.outer(deviation) for s in statistics.values()]
Image(
    viz.images(
        [(0.5 + g / 2).clamp(0, 1) for g in grams], out / "grams.png", columns=5, titles=list(pictures)
    )
)

# %% [markdown]
# A number for how far apart two of them are, relative to the first:

# %%
for name, found in statistics.items():
    print(f"{name:14s} {float(statistics['labyrinth'].error(found)):.3f}")

# %% [markdown]
# Another piece of the same texture is near, everything else is far. That is what a statistic of texture should do.
#
# **Exercise.** Show that shuffling the *points* of the answers changes the Gram matrix by nothing, though shuffling the
# pixels before the
# filters does.
#
# ## Synthesis
#
# Now go backwards. Start from noise and change its pixels, by gradients, until the statistics agree:
#
# $$ \min_x \frac{1}{L} \sum_l \| S_l(x) - S_l(e) \|^2 / \| S_l(e) \|^2 . $$
#
# geodl descends at a coarse octave first, then at the finer one.

# %%
film = {}


def watch(found):
    if found.step in (1, 5, 20, 50, 100):
        film[f"step {found.step}"] = found.x


made = synthesize(maze, (64, 64), steps=50, progress=watch)
side_by_side("film.png", exemplar=maze, **film)

# %%
floor = float(statistics["labyrinth"].error(statistics["another piece"]))
plt.figure(figsize=(5, 3))
plt.semilogy(made.errors, label="synthesis")
plt.axhline(floor, color="grey", linestyle=":", label="another piece of the exemplar")
plt.xlabel("step")
plt.ylabel("relative error")
plt.legend()
# %% [markdown]
# The error jumps in the middle, where the finer octave begins. (The grey line is measured with the bank above, the curve
# with the bank
# that `synthesize` fits for itself, so compare them roughly.) The same for the petals:

# %%
side_by_side("petals.png", exemplar=petals, synthesis=synthesize(petals, (64, 64), steps=50).x)

# %% [markdown]
# Colours and small curves are there. But the petals stand in circles around the middle of the flower, and the statistics do
# not know where
# anything is: the large structure is lost. With ten times the steps details become sharper; the circles do not come back.
#
# **Question.** What else would the statistics have to know?
#
# ## On a body
#
# The formula above needs a mean over points, and filters. It does not need a grid. On a mesh each point has a chart, a
# small map of its
# surroundings, and the same filters lie in the charts. A vertex stands for a pixel; this body has 3,000, so the pattern is coarse.

# %%
body = Puppets(num_vertices=3000)[0]
worn = synthesize(labyrinth(64), body, steps=25)
Image(viz.surface(body, out / "body.png", color=worn.x, title="a labyrinth without seams", size=(9, 6)))

# %% [markdown]
# Nobody has cut this surface open, and so there is no seam. Lab 7 shows how a filter comes to a mesh.
#
# **Exercise.** Give the same body the texture of the petals. Why is one direction needed on a surface, and who chooses it here?
# (`help(geodl.synthesis.surface_levels)` knows.)
#
# ## Papers
#
# - Portilla, Simoncelli, "A parametric texture model based on joint statistics of complex wavelet coefficients", 2000.
# - Galerne, Gousseau, Morel, "Random phase textures: theory and synthesis", 2011.
# - Gatys, Ecker, Bethge, "Texture synthesis using convolutional neural networks", 2015.
# - Ustyuzhaninov, Brendel, Gatys, Bethge, "What does it take to generate natural textures?", 2017.
