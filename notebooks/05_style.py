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
# # 5. Style
#
# A texture is statistics without places. A *style* is the texture of a painting, laid over what another picture shows. So
# we need two
# measures: one for the style, one for the content.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from IPython.display import Image
from sklearn.datasets import load_sample_image
from torch.nn import functional as F

from geodl import viz
from geodl.datasets import Puppets
from geodl.geometry import vertex_normals
from geodl.nn import AdaIN
from geodl.synthesis import FilterBank, GramStatistics, transfer

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
# ## Content and style
#
# The content is a flower, a photograph that comes with scikit-learn. The style is made here: winding lines in ink on paper,
# noise of one
# wavelength with a soft threshold.

# %%
photo = torch.from_numpy(load_sample_image("flower.jpg").copy()).permute(2, 0, 1).float() / 255
flower = F.interpolate(photo[None, :, :, 120:547], size=(96, 96), mode="area")[0]


def ink_lines(side=96, length=7.0, seed=0):
    noise = torch.fft.fft2(torch.randn(side, side, generator=torch.Generator().manual_seed(seed)))
    frequency = torch.fft.fftfreq(side)
    ring = ((torch.hypot(frequency[:, None], frequency) * length - 1) / 0.2).square()
    wave = torch.fft.ifft2(noise * torch.exp(-ring / 2)).real
    place = torch.arange(side) / side * 2 * torch.pi
    light = 0.6 * torch.sin(place)[:, None] + 0.6 * torch.sin(place)  # more ink here than there
    share = torch.sigmoid(3 * (wave / wave.std() + light))
    paper, ink = (torch.tensor(color)[:, None, None] for color in ((0.95, 0.9, 0.75), (0.1, 0.15, 0.35)))
    return paper + share * (ink - paper)


painting = ink_lines()
side_by_side("given.png", content=flower, style=painting)

# %% [markdown]
# ## Colours alone
#
# First something simple, to have something to compare with: give the flower the mean and the deviation of the painting's colours.


# %%
def matched(content, style):
    mean, deviation = content.mean((1, 2), keepdim=True), content.std((1, 2), keepdim=True)
    return (content - mean) / deviation * style.std((1, 2), keepdim=True) + style.mean((1, 2), keepdim=True)


recolored = matched(flower, painting).clamp(0, 1)
side_by_side("colours.png", content=flower, colours_of_the_style=recolored)

# %% [markdown]
# Right colours, no lines.
#
# ## Gatys' idea
#
# Change a picture $x$ until it has the statistics $S$ of the style (see the lab before) and still shows the content:
#
# $$ \min_x \; \frac{1}{L} \sum_l \frac{\| S_l(x) - S_l(\text{style}) \|^2}{\| S_l(\text{style}) \|^2} \; + \; w \, E(x,
# \text{content}) . $$
#
# Gatys and others (2016) compare contents by the features of a deep layer of a trained network. We have no trained network
# here, and
# geodl then compares grey levels at a coarse octave: shadows and light must be where they are, details are free.

# %%
film = {}


def watch(found):
    if found.step in (1, 10, 40):
        film[f"step {found.step}"] = found.x


painted = transfer(flower, painting, weight=10, steps=40, progress=watch)
side_by_side("film.png", content=flower, style=painting, **film, result=painted.x)

# %% [markdown]
# Octaves follow one another, the coarse one first. That is why the first pictures look blurred.

# %%
plt.figure(figsize=(5, 2.5))
plt.semilogy(painted.errors)
plt.xlabel("step")
plt.ylabel("error of the style")
# %% [markdown]
# ## How much of each
#
# The weight $w$ decides.

# %%
weights = (0.3, 3.0, 30.0)
made = [transfer(flower, painting, weight=w, steps=25).x for w in weights]
Image(viz.images(made, out / "weights.png", columns=3, titles=[f"w = {w}" for w in weights]))

# %% [markdown]
# Is it really a compromise? We measure both ends. The style: how far the statistics of each picture are from those of the
# painting. The
# content: how well its grey levels, blurred, follow those of the flower (1 is best).

# %%
bank = FilterBank(3, octaves=2).fit(painting)
target = GramStatistics.of(bank(painting))


def follows(x):
    grey = [F.avg_pool2d(picture.mean(0, keepdim=True), 4).flatten() for picture in (x, flower)]
    return float(torch.corrcoef(torch.stack(grey))[0, 1])


named = {
    "content": flower,
    "its colours": recolored,
    **{f"w = {w}": x for w, x in zip(weights, made, strict=True)},
    "style": painting,
}
plt.figure(figsize=(5, 3.2))
for name, picture in named.items():
    style, content = float(target.error(GramStatistics.of(bank(picture)))), follows(picture)
    print(f"{name:12s} error of the style {style:.3f}, follows the content {content:.2f}")
    plt.semilogx(style + 1e-3, content, "o")
    plt.annotate(name, (style + 1e-3, content), textcoords="offset points", xytext=(5, 5))
plt.xlabel("error of the style (left is better)")
plt.ylabel("follows the content")
plt.margins(0.2)
# %% [markdown]
# **Question.** The style itself has error 0, and the content follows itself perfectly. Why can no picture have both?
#
# ## One step instead of a descent
#
# A descent takes seconds for each picture. Huang and Belongie (2017) found a short cut: inside of a network, give each
# channel of the
# content the mean and the deviation of the style's,
#
# $$ \operatorname{AdaIN}(x, y) = \sigma(y) \, \frac{x - \mu(x)}{\sigma(x)} + \mu(y) , $$
#
# and let a trained decoder make a picture of it. The colours above were AdaIN with three channels! StyleGAN (next lab) uses
# it, too: there
# the mean and the deviation come from a style vector $w$ that is learned. `geodl.nn.AdaIN` is that layer.

# %%
layer = AdaIN(3, 8)  # 3 channels, a style vector of 8 numbers
x = torch.rand(1, 3, 16, 16) * 5 + 2
styled = layer(x, torch.randn(1, 8))
print("before: mean", x.mean((2, 3))[0].tolist(), "deviation", x.std((2, 3))[0].tolist())
print("after:  mean", styled.mean((2, 3))[0].tolist(), "deviation", styled.std((2, 3))[0].tolist())

# %% [markdown]
# ## A body in ink
#
# The style needs filters and a mean, the content grey levels. Both exist on a mesh. Here the content is light from the
# upper left, and
# the domain is a body with 3,000 vertices.

# %%
body = Puppets(num_vertices=3000)[0]
light = F.normalize(torch.tensor([-1.0, 1.0, 0.7]), dim=0)
shade = ((vertex_normals(body).float() @ light) + 1) / 2
worn = transfer(shade, painting, body, weight=3.0, steps=20)
Image(viz.surface(body, out / "body.png", color=worn.x, title="light, drawn in ink", size=(9, 6)))

# %% [markdown]
# The settings are small. With 192 pixels, ten times the vertices and a trained network (`NetworkFeatures` takes the
# published weights of
# VGG and SqueezeNet) lines become finer and contents clearer.
#
# **Exercise.** Swap content and style. Then let a photograph of your own be painted by one of the pictures of your
# favourite painter.
#
# ## Papers
#
# - Gatys, Ecker, Bethge, "Image style transfer using convolutional neural networks", 2016.
# - Huang, Belongie, "Arbitrary style transfer in real-time with adaptive instance normalization", 2017.
# - Ulyanov, Vedaldi, Lempitsky, "Improved texture networks", 2017.
