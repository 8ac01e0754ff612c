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
# # 2. LeNet, and what its filters see
#
# A fully connected layer looks at the whole image at once, and has to learn every pattern at every place anew. A
# convolution looks at
# small windows and uses the same weights everywhere. We train LeNet-5 (LeCun and others, 1998) and look inside.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from IPython.display import Image
from torch.nn import functional as F

from geodl import viz
from geodl.datasets import Digits
from geodl.models import LeNet5, MultilayerPerceptron

torch.manual_seed(0)
out = Path(tempfile.mkdtemp())


def maps(x, name, **options):
    """Feature maps ``[C, H, W]`` as grey images, each from its smallest to its largest value."""
    low, high = x.amin((1, 2), keepdim=True), x.amax((1, 2), keepdim=True)
    return Image(viz.images(((x - low) / (high - low + 1e-6))[:, None], out / name, **options))


# %% [markdown]
# ## The data
#
# scikit-learn's digits have 8 x 8 pixels. LeNet wants 32 x 32, so we enlarge them to 24 x 24 and put them into the middle.
# That leaves
# room to move them later.


# %%
def enlarged(x):
    return F.pad(F.interpolate(x, size=(24, 24), mode="bilinear"), (4, 4, 4, 4))


train, test = Digits("train"), Digits("test")
x, y, x_test, y_test = enlarged(train.x), train.y, enlarged(test.x), test.y
print(f"{len(x)} images to learn from, {len(x_test)} by other writers to test with, each {list(x.shape[1:])}")
Image(viz.images(x[:12], out / "digits.png", columns=6))

# %% [markdown]
# ## A convolution by hand
#
# For an image $x$ and a filter $w$ of $3 \times 3$ taps,
#
# $$ (w \star x)(u) = \sum_{v} w(v) \, x(u + v) . $$
#
# Here are four filters that people knew long before networks: the edge from left to right, the edge from top to bottom, a
# blur, and the
# difference to the blur.

# %%
across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
blur = torch.ones(3, 3) / 9
known = torch.stack([across, across.T, blur, torch.eye(3)[1][:, None] * torch.eye(3)[1] - blur])[:, None]
Image(viz.filters(known, out / "known.png", title="red: positive, blue: negative"))

# %%
maps(
    F.conv2d(x[:1], known)[0],
    "known-maps.png",
    columns=4,
    titles=["left-right", "top-bottom", "blur", "sharp"],
)

# %% [markdown]
# **Question.** Which of the four answers is zero where the image is constant? What has that to do with the sum of the weights?

# %% [markdown]
# ## The network
#
# LeNet-5 has two convolutions with pooling after each, and three fully connected layers.

# %%
model = LeNet5()
print(model)
for name, part in model.named_children():
    count = sum(p.numel() for p in part.parameters())
    if count:
        print(f"{name:8s}{count:8,} parameters")
before = model.c1.weight.detach().clone()

# %% [markdown]
# Most parameters sit in the fully connected layer C5, not in the convolutions. The convolutions do most of the arithmetic, because
# each weight is used at every place.


# %%
def fit(model, epochs, rate=2e-3):
    """Adam, batches of 64; the loss of every step."""
    optimizer = torch.optim.Adam(model.parameters(), rate)
    losses = []
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            loss = F.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


@torch.no_grad()
def accuracy(model, x, y):
    return 100 * float((model(x).argmax(1) == y).double().mean())


losses = fit(model, epochs=12)
plt.figure(figsize=(5, 2.5))
plt.plot(losses)
plt.xlabel("step")
plt.ylabel("cross entropy")
# %% [markdown]
# Beside it two networks without convolutions: one linear layer, and a hidden layer of 60 units, so that it has about as
# many parameters
# as LeNet.

# %%
linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1024, 10))
dense = torch.nn.Sequential(torch.nn.Flatten(), MultilayerPerceptron([1024, 60, 10]))
fit(linear, epochs=12)
fit(dense, epochs=12)
models = {"linear": linear, "fully connected": dense, "LeNet-5": model}
for name, network in models.items():
    count = sum(p.numel() for p in network.parameters())
    print(f"{name:16s}{count:7,} parameters: {accuracy(network, x_test, y_test):.1f} % of the test digits")

# %% [markdown]
# The set is small and easy. The difference shows when we move the digits, which none of the three has seen in training.

# %%
shifts = range(-4, 5)
plt.figure(figsize=(5, 3))
for name, network in models.items():
    plt.plot(shifts, [accuracy(network, x_test.roll(s, 3), y_test) for s in shifts], "o-", label=name)
plt.xlabel("moved to the right by so many pixels")
plt.ylabel("right, %")
plt.legend()
# %% [markdown]
# **Question.** LeNet is better, but it too falls. The convolutions move along with the digit. Which layers do not?

# %% [markdown]
# ## The filters
#
# The six filters of the first layer, before training and after it:

# %%
Image(viz.filters(before, out / "before.png", title="C1 before training"))

# %%
Image(viz.filters(model.c1, out / "after.png", title="C1 after training"))

# %% [markdown]
# They have changed less than one may think. With more data and longer training some become clean edge detectors; here,
# after 12 passes
# over 1,437 images, you see the beginning of that. The second layer has $16 \times 6$ filters: one row for each of its
# outputs, one
# column for each map that it reads. Here are the first six outputs.

# %%
Image(viz.filters(model.c3.weight[:6], out / "c3.png", title="C3"))

# %% [markdown]
# ## What the filters see
#
# One digit on its way through the network.

# %%
digit = x_test[y_test == 5][:1]
with torch.no_grad():
    c1 = model.c1(digit).relu()
    s2 = model.s2(c1)
    c3 = model.c3(s2).relu()
    s4 = model.s4(c3)
print(" -> ".join(str(list(m.shape[1:])) for m in (digit, c1, s2, c3, s4)))
maps(c1[0], "c1-maps.png", columns=6, title="C1: six maps of 28 x 28")

# %%
maps(s2[0], "s2-maps.png", columns=6, title="S2: the largest of 2 x 2")

# %%
maps(c3[0], "c3-maps.png", columns=8, title="C3: sixteen maps of 10 x 10")

# %%
maps(s4[0], "s4-maps.png", columns=8, title="S4: 5 x 5 points are left")

# %% [markdown]
# Each step knows less about *where* and more about *what*. The 400 numbers of S4 are all that the fully connected layers get.
#
# What does a filter of C3 want? We ask the test set: here are, for four of its sixteen channels, the patches that excite it
# most. A
# point of C3 sees 14 x 14 pixels: 5 of C1, doubled by pooling, and 4 taps of 2 pixels more.

# %%
with torch.no_grad():
    answers = model.c3(model.s2(model.c1(x_test).relu()))
patches = []
for channel in range(4):
    # One patch a digit: the best place in each of the images that answer most.
    value, place = answers[:, channel].flatten(1).max(1)
    for image in value.argsort(descending=True)[:8]:
        r, c = divmod(int(place[image]), 10)
        patches.append(x_test[image, :, 2 * r : 2 * r + 14, 2 * c : 2 * c + 14])
Image(viz.images(patches, out / "patches.png", columns=8, title="a row a channel: what excites it most"))

# %% [markdown]
# **Exercise.** Say in words what each row has in common. Do it for the other twelve channels, too.

# %% [markdown]
# ## Which pixels matter?
#
# Cover a part of the digit with a grey square and watch by how much the right class is ahead of the best other one (Zeiler
# and Fergus,
# 2014). Where the lead drops most, the picture is dark.


# %%
@torch.no_grad()
def occlusion(image, label, side=7, step=2):
    places = range(0, 32 - side + 1, step)
    covered = []
    for r in places:
        for c in places:
            hidden = image.clone()
            hidden[:, r : r + side, c : c + side] = 0.5
            covered.append(hidden)
    score = model(torch.stack(covered))
    other = score.clone()
    other[:, label] = -torch.inf
    lead = score[:, label] - other.amax(1)
    return ((lead - lead.min()) / (lead.max() - lead.min())).view(1, len(places), len(places))


shown = []
for label in (0, 3, 4, 7):
    image = x_test[y_test == label][0]
    drop = occlusion(image, label)
    shown += [image, F.interpolate(drop[None], size=(32, 32))[0]]
Image(viz.images(shown, out / "occlusion.png", columns=8))

# %% [markdown]
# ## Where it errs

# %%
with torch.no_grad():
    guess = model(x_test).argmax(1)
wrong = (guess != y_test).nonzero().flatten()
titles = [f"{int(y_test[i])}, not {int(guess[i])}" for i in wrong[:12]]
Image(viz.images(x_test[wrong[:12]], out / "wrong.png", columns=6, titles=titles))

# %% [markdown]
# **Exercise.** `LeNet5(variant="1998")` is the network as it was published, with tanh, learned pooling and a table that
# says which maps
# C3 reads. Train it, and compare. **Question.** Why did people of 1998 not connect everything?
#
# ## Papers
#
# - LeCun, Boser, Denker, Henderson, Howard, Hubbard, Jackel, "Backpropagation applied to handwritten zip code recognition", 1989.
# - LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998.
# - Zeiler, Fergus, "Visualizing and understanding convolutional networks", 2014.
