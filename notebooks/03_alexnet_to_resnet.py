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
# # 3. From AlexNet to ResNet: parameters and receptive fields
#
# Between 2012 and 2016 networks for images became ten times deeper and, in the end, smaller. We do not train them here. We
# take them
# apart: where their parameters are, what they cost, and how much of the image one unit sees.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from IPython.display import Image
from torch import nn
from torch.nn import functional as F

from geodl import viz
from geodl.datasets import Digits
from geodl.models import (
    VGG16,
    AlexNet,
    InceptionV1,
    LeNet5,
    MultilayerPerceptron,
    ResNet18,
    ResNet50,
    SqueezeNet,
)
from geodl.nn import GridConv, MaxPool

torch.manual_seed(0)
out = Path(tempfile.mkdtemp())

# %% [markdown]
# ## How many parameters
#
# On torch's device `meta` a network has shapes but no numbers, so that even VGG costs no memory.

# %%
with torch.device("meta"):
    networks = {
        "LeNet-5, 1998": LeNet5(),
        "AlexNet, 2012": AlexNet(),
        "VGG-16, 2014": VGG16(),
        "Inception, 2014": InceptionV1(auxiliary=False),
        "ResNet-18, 2015": ResNet18(),
        "ResNet-50, 2015": ResNet50(),
        "SqueezeNet, 2016": SqueezeNet(),
    }


def parameters(model, kind):
    return sum(p.numel() for m in model.modules() if isinstance(m, kind) for p in m.parameters(recurse=False))


print(f"{'':18s}{'all':>12s}{'convolutions':>14s}{'linear':>13s}")
for name, model in networks.items():
    count = sum(p.numel() for p in model.parameters())
    print(f"{name:18s}{count:12,}{parameters(model, GridConv):14,}{parameters(model, nn.Linear):13,}")

# %%
plt.figure(figsize=(7, 3))
convolutions = [parameters(model, GridConv) / 1e6 for model in networks.values()]
linear = [parameters(model, nn.Linear) / 1e6 for model in networks.values()]
plt.barh(list(networks), convolutions, label="convolutions")
plt.barh(list(networks), linear, left=convolutions, label="linear layers")
plt.gca().invert_yaxis()
plt.xlabel("parameters, millions")
plt.legend()
plt.tight_layout()

# %% [markdown]
# AlexNet and VGG hold nearly everything in their linear layers. Inception and ResNet take the mean over the image before
# the last layer,
# and the millions are gone.
#
# **Exercise.** AlexNet's first linear layer reads 256 maps of 6 x 6 and has 4,096 outputs. Compute its parameters, and
# compare with all
# its convolutions.

# %% [markdown]
# ## What they cost
#
# A convolution of $k \times k$ taps from $C$ to $C'$ channels has $k^2 C C'$ weights, and uses each of them at every point that it
# writes. So parameters and arithmetic are different things. We count multiplications, by watching what goes through.


# %%
def multiplications(model, size):
    count = 0

    def watch(layer, _, result):
        nonlocal count
        places = result[0, 0].numel() if isinstance(layer, GridConv) else 1
        count += layer.weight.numel() * places

    hooks = [m.register_forward_hook(watch) for m in model.modules() if isinstance(m, GridConv | nn.Linear)]
    channels = 1 if size == 32 else 3
    model.eval()(torch.empty(1, channels, size, size, device="meta"))
    for hook in hooks:
        hook.remove()
    return count


plt.figure(figsize=(6, 4))
for name, model in networks.items():
    cost = multiplications(model, 32 if "LeNet" in name else 224)
    count = sum(p.numel() for p in model.parameters())
    print(f"{name:18s}{cost / 1e9:8.4f} billion multiplications an image")
    plt.loglog(count, cost, "o")
    plt.annotate(name.split(",")[0], (count, cost), textcoords="offset points", xytext=(6, 4))
plt.xlabel("parameters")
plt.ylabel("multiplications an image")
plt.margins(0.25)

# %% [markdown]
# **Question.** AlexNet has more parameters than ResNet-50 but needs fewer multiplications. Which of the two matters on a
# phone, and
# which for the danger of learning the training set by heart?

# %% [markdown]
# ## Receptive fields
#
# Which pixels can a unit see? Go back from the output: a layer with $k$ taps and stride $s$, on top of layers that see $r$
# pixels and
# together have stride $j$, sees
#
# $$ r' = r + (k - 1)\, j, \qquad j' = j \, s . $$


# %%
def receptive_field(layers):
    """Of (kernel, stride) of layers, one after the other."""
    r, j = 1, 1
    for kernel, stride in layers:
        r, j = r + (kernel - 1) * j, j * stride
    return r, j


alexnet = [(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2)]
resnet = (
    [(7, 2), (3, 2)]
    + [(3, 1)] * 4
    + [(3, 2)]
    + [(3, 1)] * 3
    + [(3, 2)]
    + [(3, 1)] * 3
    + [(3, 2)]
    + [(3, 1)] * 3
)
for name, layers in {"AlexNet": alexnet, "ResNet-18": resnet}.items():
    r, j = receptive_field(layers)
    print(f"{name:10s} a unit sees {r} x {r} pixels, and its neighbour sees {j} pixels further")

# %% [markdown]
# Why are there so many 3 x 3? Two of them see 5 x 5, three see 7 x 7, with fewer weights and a rectifier between (VGG, 2014):

# %%
for count in (1, 2, 3):
    side = receptive_field([(3, 1)] * count)[0]
    print(f"{count} of 3 x 3: {count * 9} weights a pair of channels; one of {side} x {side}: {side**2}")

# %% [markdown]
# ## Measured
#
# We can also ask the network. The gradient of one unit with respect to the image is zero wherever the unit cannot see. Weights are
# random here; the picture is the mean over a few random images.


# %%
def sensitivity(features, side, images=4):
    """How much the middle unit of a layer, summed over channels, changes with every pixel."""
    total = torch.zeros(side, side)
    for _ in range(images):
        image = torch.randn(1, 3, side, side, requires_grad=True)
        maps = features(image)
        middle = maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2]
        (middle * torch.randn_like(middle)).sum().backward()
        total += image.grad[0].abs().sum(0)
    return total / total.max()


net = AlexNet().eval()
layers = ["features.0", "features.3", "features.6", "features.8", "features.10"]
seen = [sensitivity(lambda image, name=name: net.features(image, [name])[name], 224, 2) for name in layers]
titles = [f"convolution {k}" for k in range(1, 6)]
Image(
    viz.images(
        [s.sqrt() for s in seen],
        out / "alexnet.png",
        columns=5,
        titles=titles,
        title="what a unit of AlexNet sees",
    )
)

# %%
for title, s in zip(titles, seen, strict=True):
    print(f"{title}: {int((s.amax(0) > 0).sum())} x {int((s.amax(1) > 0).sum())} pixels")
k = [layers[:n] for layers, n in ((alexnet, 1), (alexnet, 3), (alexnet, 5), (alexnet, 6), (alexnet, 7))]
print("the formula says", [receptive_field(part)[0] for part in k])

# %% [markdown]
# Both agree. But look at the pictures again: the middle counts far more than the rim. Luo and others (2016) call the bright
# part the
# *effective* receptive field. It grows only with the root of the number of layers, because paths through the middle outnumber all
# others, like the sum of many dice.

# %%
deep = ResNet18().eval()
stages = ["layer1", "layer2", "layer3"]
seen = [sensitivity(lambda image, name=name: deep.features(image, [name])[name], 224, 2) for name in stages]
Image(viz.images([s.sqrt() for s in seen], out / "resnet.png", columns=3, titles=stages, title="ResNet-18"))

# %%
for name, s in zip(stages, seen, strict=True):
    line = s.sum(0) / s.sum()
    place = torch.arange(224.0)
    spread = ((place - (line * place).sum()).square() * line).sum().sqrt()
    print(
        f"{name}: sees {int((s.amax(0) > 0).sum())} pixels; 95 % of what counts lies within {4 * float(spread):.0f}"
    )

# %% [markdown]
# **Exercise.** Replace the strides of `resnet` by 1 in the formula. How many layers of 3 x 3 would then be needed to see
# 224 pixels?

# %% [markdown]
# ## Why residuals
#
# Deeper should be better. But plain deep networks do not even fit the training set: the gradient that arrives at the first
# layers is
# too small. A residual block adds its input to its output, $x + f(x)$, and the gradient has a way around. We measure it on fully
# connected networks of 2 to 60 layers, tanh, right after the initialisation.


# %%
class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = MultilayerPerceptron([width, width, width], nn.Tanh)

    def forward(self, x):
        return x + self.inner(x) / 4


def first_gradient(layers):
    x = torch.randn(64, 32)
    F.mse_loss(layers(x), torch.randn(64, 32)).backward()
    return float(next(layers.parameters()).grad.norm())


depths = [2, 4, 8, 16, 32, 60]
plain = [first_gradient(MultilayerPerceptron([32] * (d + 1), nn.Tanh)) for d in depths]
residual = [first_gradient(nn.Sequential(*[Residual(32) for _ in range(d // 2)])) for d in depths]
plt.figure(figsize=(5, 3))
plt.semilogy(depths, plain, "o-", label="plain")
plt.semilogy(depths, residual, "o-", label="residual")
plt.xlabel("layers")
plt.ylabel("gradient at the first layer")
plt.legend()
# %% [markdown]
# After 60 plain layers next to nothing is left. (Other initialisations and batch normalisation help plain networks, too;
# residuals made
# 152 layers possible.)
#
# ## Pooling
#
# The last piece: what a maximum over 2 x 2 does to an image, again and again. The position is lost bit by bit, the strokes stay.

# %%
image = F.interpolate(Digits().x[4:5], size=(64, 64), mode="bilinear")
pooled = [image[0]]
for _ in range(4):
    image = MaxPool(2)(image)
    pooled.append(F.interpolate(image, size=(64, 64))[0])
Image(
    viz.images(
        pooled, out / "pool.png", columns=5, titles=["64 x 64", "32 x 32", "16 x 16", "8 x 8", "4 x 4"]
    )
)

# %% [markdown]
# **Question.** Why is the mean over all points, at the end of ResNet, not a bad idea, though it forgets every position at once?
#
# ## Papers
#
# - Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks", 2012.
# - Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015.
# - Szegedy and others, "Going deeper with convolutions", 2015.
# - He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2016.
# - Iandola and others, "SqueezeNet", 2016.
# - Luo, Li, Urtasun, Zemel, "Understanding the effective receptive field in deep convolutional neural networks", 2016.
