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
# # 6. Generative adversarial networks
#
# A network that makes pictures needs somebody who says whether they are good. Goodfellow and others (2014) let a second
# network say it,
# and train both against one another. First in the plane, where we can watch the game; then on digits.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from IPython.display import Image
from torch.nn import functional as F

from geodl import viz
from geodl.datasets import Digits
from geodl.models import DCDiscriminator, MultilayerPerceptron, StyleGenerator, precision_recall
from geodl.training import AdversarialModule, ImageData, make_trainer

torch.manual_seed(0)
out = Path(tempfile.mkdtemp())


def row(paths, name):
    """Several pictures side by side."""
    pictures = [torch.from_numpy(plt.imread(path)[..., :3]).permute(2, 0, 1) for path in paths]
    return Image(viz.images(pictures, out / name, columns=len(paths)))


# %% [markdown]
# ## The game
#
# The generator $G$ makes points out of noise $z$. The discriminator $D$ tells real points (large values) from made ones
# (small values).
# Each has a loss of its own:
#
# $$ L_D = \mathbb E\, f(D(G(z))) + \mathbb E\, f(-D(x)), \qquad L_G = \mathbb E\, f(-D(G(z))), \qquad f(t) = \log(1 + e^t) . $$
#
# $D$ learns to see the difference. $G$ moves its points to where $D$ is fooled. Nobody tells $G$ what the data look like.


# %%
def real(count):
    """Points on a ring."""
    angle = 2 * torch.pi * torch.rand(count)
    return 2 * torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * torch.randn(count, 2)


generator = MultilayerPerceptron([2, 32, 32, 2])
discriminator = MultilayerPerceptron([2, 32, 32, 1])
to_learn = [torch.optim.Adam(net.parameters(), 2e-3, betas=(0.5, 0.99)) for net in (discriminator, generator)]
losses, frames = [], []
for step in range(1201):
    x, z = real(128), torch.randn(128, 2)
    made = generator(z)
    loss_d = F.softplus(discriminator(made.detach())).mean() + F.softplus(-discriminator(x)).mean()
    to_learn[0].zero_grad()
    loss_d.backward()
    to_learn[0].step()
    loss_g = F.softplus(-discriminator(generator(z))).mean()
    to_learn[1].zero_grad()
    loss_g.backward()
    to_learn[1].step()
    losses.append((loss_d.item(), loss_g.item()))
    if step in (0, 100, 400, 1200):
        both = torch.cat([made.detach(), x])
        which = (torch.arange(256) >= 128).long()
        name = out / f"ring{step}.png"
        frames.append(viz.decision_boundary(discriminator, both, which, name, title=f"step {step}"))
row(frames, "ring.png")

# %% [markdown]
# Orange points are real, blue ones made. On orange ground the discriminator says "real"; crosses are its mistakes. At the
# start it finds a
# border at once. Then the blue points wander over that border, and the border moves, again and again. At the end it is
# right about as
# often as a coin.

# %%
plt.figure(figsize=(6, 2.5))
plt.plot(torch.tensor(losses), label=["discriminator", "generator"], linewidth=0.8)
plt.axhline(2 * torch.log(torch.tensor(2.0)), color="grey", linestyle=":", label="a coin")
plt.xlabel("step")
plt.legend()

# %% [markdown]
# These curves do not fall, and that is as it should be: each is measured against an opponent that learns, too. **You cannot
# see from the
# loss of a GAN whether it is good.** Look at samples, and measure them otherwise.
#
# **Exercise.** Replace the ring by eight separate spots. Often the generator makes only some of them. This is called mode
# collapse. Find
# out what makes it worse.
#
# ## A generator with style
#
# Now digits of 8 x 8, three of the ten kinds, so that a short training suffices. We take StyleGAN's generator (Karras and
# others, 2019 and 2020) in its smallest form:
#
# - a mapping network turns the noise $z$ into a style $w$;
# - the picture begins with a learned constant of 4 x 4 points;
# - each convolution is modulated by the style: $W'_{c'ck} = s_c(w)\, W_{c'ck}$, divided by its norm;
# - noise is added after each, for details that no style should have to remember.


# %%
def three(split):
    """Zeros, ones and fours, from -1 (paper) to 1 (ink)."""
    digits = Digits(split)
    return digits.x[torch.isin(digits.y, torch.tensor([0, 1, 4]))] * 2 - 1


images = three("train")
generator = StyleGenerator(latent_channels=32, widths=(48, 32), size=(4, 4), mapping_layers=2)
discriminator = DCDiscriminator(widths=(32, 48), size=(4, 4))
for name, net in (("generator", generator), ("discriminator", discriminator)):
    print(f"{name}: {sum(p.numel() for p in net.parameters()):,} parameters")


# %%
def shown(x, name, **options):
    return Image(viz.images(((x.detach() + 1) / 2).clamp(0, 1), out / name, **options))


z = torch.randn(16, 32)
shown(images[:16], "real.png", columns=8, title="real")

# %%
shown(generator(z), "before.png", columns=8, title="made, before training")

# %% [markdown]
# `AdversarialModule` is the game above with what people have learned since: a penalty on the slope of the discriminator at
# real images
# (R1, Mescheder and others, 2018), and an average over the generator's recent weights, from which
# samples are taken.

# %%
module = AdversarialModule(generator, discriminator, learning_rate=5e-3, r1=0.5, path_length=0)
trainer = make_trainer(out / "run", epochs=1, progress=False)
steps = 800
trainer.fit(module, ImageData(images, batch_size=16, batches=steps))
print(f"{steps} steps")

# %%
made = module.average(torch.randn(300, 32)).detach()
shown(made[:32], "made.png", columns=8, title="made")

# %% [markdown]
# Some can be read, some are between two digits. This was a quarter of a minute of training. With ten times the steps nearly
# all can be
# read, and all ten digits are possible.
#
# ## How good?
#
# Two questions. *Precision*: how many of the made images lie where real ones are? *Recall*: how many of the real ones lie
# where made ones
# are? (Kynkaanniemi and others, 2019. "Where" is a ball to the third neighbour, here simply in the space of the 64 pixels.) For
# comparison: noise, a Gaussian with the mean and covariance of the pixels, and real digits of other writers.

# %%
pixels = images[:300].flatten(1)
mean, factor = pixels.mean(0), torch.linalg.cholesky(torch.cov(pixels.T) + 1e-4 * torch.eye(64))
others = {
    "noise": torch.rand(300, 64) * 2 - 1,
    "Gaussian of the pixels": mean + torch.randn(300, 64) @ factor.T,
    "the GAN": made.flatten(1),
    "real, other writers": three("test").flatten(1),
}
for name, samples in others.items():
    count = min(len(samples), len(pixels))
    found = precision_recall(pixels[:count], samples[:count])
    print(f"{name:24s} precision {found.precision:.2f}, recall {found.recall:.2f}")

# %% [markdown]
# **Question.** A generator that makes one perfect image again and again: which of the two figures notices?
#
# ## Does it copy?
#
# Below each made digit is the training image that is nearest to it.

# %%
near = torch.cdist(made[:8].flatten(1), images.flatten(1)).argmin(1)
shown(torch.cat([made[:8], images[near]]), "near.png", columns=8, title="made, and the nearest real one")

# %% [markdown]
# ## Walking through styles
#
# Between two styles lie others. Each row goes from one to another along a straight line in $w$.

# %%
with torch.no_grad():
    w = module.average.mapping(torch.randn(6, 32))
    walk = torch.cat([torch.lerp(w[k], w[k + 3], torch.linspace(0, 1, 10)[:, None]) for k in range(3)])
    steps_between = module.average.synthesis(module.average.styles(walk))
shown(steps_between, "walk.png", columns=10)

# %% [markdown]
# ## Mixing styles
#
# The first layers (coarse) take the style of the row, the last ones (fine) that of the column. So what do coarse layers decide?

# %%
with torch.no_grad():
    rows, columns = module.average.mapping(torch.randn(4, 32)), module.average.mapping(torch.randn(8, 32))
    coarse, fine = rows.repeat_interleave(8, 0), columns.repeat(4, 1)
    mixed = module.average.synthesis(module.average.styles(coarse, fine, crossover=1))
shown(mixed, "mixed.png", columns=8)

# %% [markdown]
# With three layers there is not much to mix. A generator of faces has 18: there the coarse ones decide the pose, the middle
# ones the
# features, the fine ones the colours.
#
# **Exercise.** `module.average(z, truncation=0.5)` pulls all styles to the mean. What happens to precision, what to recall?
#
# ## Papers
#
# - Goodfellow and others, "Generative adversarial nets", 2014.
# - Creswell and others, "Generative adversarial networks: an overview", 2018.
# - Mescheder, Geiger, Nowozin, "Which training methods for GANs do actually converge?", 2018.
# - Karras, Laine, Aila, "A style-based generator architecture for generative adversarial networks", 2019.
# - Karras and others, "Analyzing and improving the image quality of StyleGAN", 2020.
# - Kynkaanniemi and others, "Improved precision and recall metric for assessing generative models", 2019.
