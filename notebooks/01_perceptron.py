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
# # 1. The perceptron, and what it cannot do
#
# A neuron adds up its inputs and fires or does not. We let one learn, find a problem that it cannot learn, and solve that
# problem with
# two layers.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from IPython.display import Image
from torch.nn import functional as F

from geodl import viz
from geodl.datasets import Digits
from geodl.models import MultilayerPerceptron, Perceptron

torch.manual_seed(0)
out = Path(tempfile.mkdtemp())  # pictures are written here


def row(paths, titles=None):
    """Several pictures side by side."""
    pictures = [torch.from_numpy(plt.imread(path)[..., :3]).permute(2, 0, 1) for path in paths]
    name = "-".join(path.stem for path in paths) + "-row.png"
    return Image(viz.images(pictures, out / name, columns=len(paths), titles=titles))


# %% [markdown]
# ## A neuron with fixed weights
#
# McCulloch and Pitts (1943) described a neuron by
#
# $$ y = \operatorname{sign}(w_1 x_1 + w_2 x_2 + b) . $$
#
# With the right weights it is a logical gate. Here are *and* and *or*. The line is where the sum is zero; on one side the
# neuron fires.

# %%
corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


def neuron(w1, w2, b):
    return lambda x: w1 * x[:, 0] + w2 * x[:, 1] + b


both, either = torch.tensor([-1, -1, -1, 1]), torch.tensor([-1, 1, 1, 1])
row(
    [
        viz.decision_boundary(neuron(1, 1, -1.5), corners, both, out / "and.png", title="and"),
        viz.decision_boundary(neuron(1, 1, -0.5), corners, either, out / "or.png", title="or"),
    ]
)

# %% [markdown]
# **Exercise.** Find weights for *not* (of $x_1$) and for *neither ... nor*. Draw both.

# %% [markdown]
# ## A neuron that learns
#
# Rosenblatt (1958) let the neuron find its weights. It looks at one example after the other. When it is wrong, it moves:
#
# $$ w \leftarrow w + y\,x, \qquad b \leftarrow b + y, \qquad y = \pm 1 . $$
#
# When it is right, it does nothing.

# %%
true = torch.tensor([1.0, 0.6, -1.5])  # the line that divides the classes: w1, w2 and b
points = torch.tensor([1.0, 0.8]) + torch.randn(80, 2)
side = points @ true[:2] + true[2]
points, side = points[side.abs() > 0.1], side[side.abs() > 0.1]  # nothing lies close to the line
label = side.sign().long()

steps = []
for epochs in (1, 3, 200):
    model = Perceptron(2)
    mistakes, separated = model.learn(points, label, epochs)
    title = f"{epochs} passes at most: {mistakes} corrections"
    steps.append(viz.decision_boundary(model, points, label, out / f"learn{epochs}.png", title=title))
print("separated:", separated)
row(steps)

# %% [markdown]
# Crosses are examples that it gets wrong.
#
# Does it always end? Novikoff (1962) proved: if *some* line separates the examples with a margin $\gamma$, and no example
# is longer
# than $R$, there are at most $(R / \gamma)^2$ corrections. It does not matter in which order the examples come.

# %%
augmented = torch.cat([points, torch.ones(len(points), 1)], 1)  # a 1 for b
margin = float((augmented @ (true / true.norm())).abs().min())
longest = float(augmented.norm(dim=1).max())
print(
    f"margin {margin:.2f}, longest {longest:.2f}: at most {(longest / margin) ** 2:.0f} corrections, there were {mistakes}"
)

# %% [markdown]
# **Question.** The bound is far above what happened. Which line would give the best bound?

# %% [markdown]
# ## XOR
#
# *Either one or the other, but not both.* Let it try for 100 passes.

# %%
xor = torch.tensor([-1, 1, 1, -1])
model = Perceptron(2)
mistakes, separated = model.learn(corners, xor, epochs=100)
print(f"{mistakes} corrections in 100 passes, separated: {separated}")
Image(viz.decision_boundary(model, corners, xor, out / "xor.png", title="xor, one neuron"))

# %% [markdown]
# It can't. Suppose that it could. Then
#
# $$ b < 0, \qquad w_1 + b > 0, \qquad w_2 + b > 0, \qquad w_1 + w_2 + b < 0 . $$
#
# Add the second and the third: $w_1 + w_2 + 2b > 0$. Add the first and the fourth: $w_1 + w_2 + 2b < 0$. That is a
# contradiction, for
# every choice of weights. No line separates XOR. (Minsky and Papert made a book of such arguments in 1969.)

# %% [markdown]
# ## Two layers
#
# XOR is *or* but not *and*. Both are neurons that we have. So two neurons first, and a third that reads their answers:


# %%
def hidden(x):
    return torch.stack([neuron(1, 1, -0.5)(x), neuron(1, 1, -1.5)(x)], 1).sign()


def last(h):
    return h[:, 0] - h[:, 1] - 1


row(
    [
        viz.decision_boundary(lambda x: last(hidden(x)), corners, xor, out / "two.png", title="input space"),
        viz.decision_boundary(
            last, hidden(corners), xor, out / "inside.png", title="space of the two hidden neurons"
        ),
    ]
)

# %% [markdown]
# Look at the right picture. The first layer has moved the four corners: two of them now lie at the same place. After that
# one line is
# enough. **A layer bends the space until the classes can be separated.**

# %% [markdown]
# ## Two layers that learn
#
# $\operatorname{sign}$ has no slope, so there is nothing to descend. We replace it by $\tanh$ and minimise the cross entropy with
# gradients (Rumelhart, Hinton, Williams, 1986).

# %%
model = MultilayerPerceptron([2, 4, 2], torch.nn.Tanh)
classes = (xor > 0).long()
optimizer = torch.optim.Adam(model.parameters(), 0.05)
losses, drawn = [], []
for step in range(201):
    loss = F.cross_entropy(model(corners), classes)
    if step in (0, 30, 200):
        title = f"step {step}"
        drawn.append(viz.decision_boundary(model, corners, classes, out / f"step{step}.png", title=title))
    losses.append(loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
row(drawn)

# %%
plt.figure(figsize=(5, 2.5))
plt.plot(losses)
plt.xlabel("step")
plt.ylabel("cross entropy")
# %% [markdown]
# **Exercise.** Try two hidden neurons instead of four, with ten different seeds. How often does it get stuck? Why does the network
# with four get stuck less often?

# %% [markdown]
# ## Bending the space
#
# A disc inside a ring. Again no line separates them. This network has a hidden layer with two neurons before the last one, so that
# we can draw what it sees there.

# %%
angle = 2 * torch.pi * torch.rand(200)
radius = torch.cat([torch.rand(100).sqrt(), 1.6 + 0.6 * torch.rand(100)])
rings = radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
inside = (torch.arange(200) >= 100).long()

model = MultilayerPerceptron([2, 16, 2, 2], torch.nn.Tanh)
optimizer = torch.optim.Adam(model.parameters(), 0.02)
for _ in range(400):
    loss = F.cross_entropy(model(rings), inside)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

bent = model[:4](rings).detach()  # up to the activation of the second hidden layer
row(
    [
        viz.decision_boundary(model, rings, inside, out / "rings.png", title="input space"),
        viz.decision_boundary(model[4:], bent, inside, out / "bent.png", title="last hidden layer"),
    ]
)

# %% [markdown]
# On the right the boundary is a straight line, as the last layer is linear. The layers before have done the bending.

# %% [markdown]
# ## Digits
#
# Now 64 inputs, the pixels of an image of 8 x 8, and ten outputs. The data come with scikit-learn. The test images are by other
# writers than the training images.

# %%
train, test = Digits("train"), Digits("test")
Image(viz.images(train.x[:20], out / "digits.png", columns=10, titles=[str(int(y)) for y in train.y[:20]]))


# %%
def fit(model, steps=300):
    optimizer = torch.optim.Adam(model.parameters(), 0.01, weight_decay=1e-4)
    for _ in range(steps):
        loss = F.cross_entropy(model(train.x.flatten(1)), train.y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float((model(test.x.flatten(1)).argmax(1) == test.y).double().mean())


one, two = MultilayerPerceptron([64, 10]), MultilayerPerceptron([64, 64, 10])
print(f"one layer:  {100 * fit(one):.1f} % of the test digits")
print(f"two layers: {100 * fit(two):.1f} %")

# %% [markdown]
# What has it learned? The weights of a neuron of the first layer have the form of an image. Red pixels speak for it, blue
# ones against
# it. First the single layer: one picture for every digit.

# %%
Image(viz.filters(one[0].weight.view(10, 1, 8, 8), out / "one.png", title="weights of the ten outputs"))

# %%
Image(
    viz.filters(
        two[0].weight[:32].view(32, 1, 8, 8), out / "hidden.png", title="weights of 32 hidden neurons"
    )
)

# %% [markdown]
# They are noisy, and each neuron looks at the whole image. If a digit moves by a pixel, everything must be learned again:

# %%
for shift in range(3):
    moved = test.x.roll(shift, 3).flatten(1)
    right = [float((model(moved).argmax(1) == test.y).double().mean()) for model in (one, two)]
    print(f"moved by {shift} pixels: one layer {100 * right[0]:.0f} %, two layers {100 * right[1]:.0f} %")

# %% [markdown]
# **Question.** How would you build a network that does not care where a digit is? The next lab has an answer.
#
# ## Papers
#
# - McCulloch, Pitts, "A logical calculus of the ideas immanent in nervous activity", 1943.
# - Rosenblatt, "The perceptron: a probabilistic model for information storage and organization in the brain", 1958.
# - Novikoff, "On convergence proofs on perceptrons", 1962.
# - Minsky, Papert, "Perceptrons", 1969.
# - Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors", 1986.
