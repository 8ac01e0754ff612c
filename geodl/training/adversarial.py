"""Generative adversarial training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.models import StyleGenerator
from geodl.nn import Level

__all__ = ["AdversarialModule"]


class AdversarialModule(L.LightningModule):
    r"""A generator G against a discriminator D, which is to tell its images from real ones.

    .. math:: L_D = \mathbb E f(D(G(z))) + \mathbb E f(-D(x)) + \tfrac{\gamma}{2} \mathbb E \|\nabla_x D(x)\|^2, \qquad
              L_G = \mathbb E g(-D(G(z))) + \lambda \, \mathbb E \bigl( \|J_w^\top y\| - a \bigr)^2

    with :math:`f = g = \operatorname{softplus}` ("non-saturating") or :math:`f(t) = \max(0, 1 + t)` and :math:`g(t) = t`
    ("hinge"). The R1 penalty and that of the path length (of images y of white noise, with the running mean a) are lazy: every so
    many steps, and so many times as large. Of a :class:`~geodl.models.StyleGenerator` a part of the images mixes two styles.

    ``average`` is the exponential moving average of the generator's weights, from which to take images.

    Whatever is random in a step follows from the seed and the step, and both are in the checkpoint, with both optimisers, the
    average and, with :class:`ImageData`, the order of the data: a run that was killed goes on to the same weights, bit for bit.

    Args:
        generator: ``generator(z, level)``, with the length of z as ``latent_channels``.
        discriminator: ``discriminator(x, level) -> [B]``.
        level: where the images live; None for grids.
        loss: "non-saturating" or "hinge".
        learning_rate: of Adam with betas (0, 0.99), of both networks.
        r1: gamma, 0 for none.
        r1_every: steps from one penalty to the next.
        path_length: lambda, 0 for none.
        path_every: steps from one penalty to the next.
        mixing: probability that an image mixes two styles.
        half_life: images until the average has forgotten half; less at the start, a twentieth of the images so far.
        augment: what real images and those of the generator go through before the discriminator sees them, differentiable.

    A batch is a tensor of images.

    Raises:
        ValueError: no such loss, or intervals below 1.

    Goodfellow et al., "Generative adversarial nets", 2014; Lim, Ye, "Geometric GAN", 2017; Mescheder, Geiger, Nowozin, "Which
    training methods for GANs do actually converge?", 2018; Karras et al. 2019, 2020; Zhao et al., "Differentiable augmentation
    for data-efficient GAN training", 2020.
    """

    steps: Tensor
    seed: Tensor
    mean_length: Tensor

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        level: Level | None = None,
        loss: Literal["non-saturating", "hinge"] = "non-saturating",
        learning_rate: float = 2e-3,
        r1: float = 1.0,
        r1_every: int = 16,
        path_length: float = 2.0,
        path_every: int = 8,
        mixing: float = 0.9,
        half_life: float = 10_000,
        augment: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if loss not in ("non-saturating", "hinge"):
            raise ValueError(f'loss must be "non-saturating" or "hinge", not {loss!r}')
        if r1_every < 1 or path_every < 1:
            raise ValueError(f"penalties come every 1 or more steps, not {r1_every} and {path_every}")
        self.automatic_optimization = False
        self.generator, self.discriminator, self.level = generator, discriminator, level
        self.average = copy.deepcopy(generator).requires_grad_(False).eval()
        self.loss, self.learning_rate = loss, learning_rate
        self.r1, self.r1_every = r1, r1_every
        self.path_length, self.path_every = path_length, path_every
        self.mixing, self.half_life = mixing, half_life
        self.augment = augment or (lambda x: x)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("seed", torch.tensor(torch.initial_seed() % 2**62))
        self.register_buffer("mean_length", torch.zeros(()))

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [
            torch.optim.Adam(network.parameters(), self.learning_rate, betas=(0.0, 0.99), fused=True)
            for network in (self.discriminator, self.generator)
        ]

    def training_step(self, batch: Tensor, _: int) -> None:
        step = int(self.steps)
        optimizers: Any = self.optimizers()
        found: dict[str, Tensor] = {}
        with self._drawn_at(step):
            for network, optimizer in zip(("discriminator", "generator"), optimizers, strict=True):
                self.toggle_optimizer(optimizer)
                optimizer.zero_grad()
                losses = getattr(self, f"_{network}_losses")(batch, step)
                self.manual_backward(torch.stack(list(losses.values())).sum())
                optimizer.step()
                self.untoggle_optimizer(optimizer)
                found |= {name: loss.detach() for name, loss in losses.items()}
        self.steps += 1
        self._move_average(len(batch))
        self.log_dict(found, batch_size=len(batch))

    def images(self, latent: Tensor) -> Tensor:
        """Images in training, some of two styles."""
        if not isinstance(self.generator, StyleGenerator):
            made: Tensor = self.generator(latent, self.level)
            return made
        return self.generator.synthesis(self._styles(latent), self.level)

    def _discriminator_losses(self, real: Tensor, step: int) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = self.images(self._latent(real))
        penalized = self.r1 > 0 and step % self.r1_every == 0
        real = real.detach().requires_grad_(penalized)
        on_fake, on_real = self._score(fake), self._score(real)
        bound = F.softplus if self.loss == "non-saturating" else _hinge
        losses = {"discriminator": (bound(on_fake) + bound(-on_real)).mean()}
        if penalized:
            [slope] = torch.autograd.grad(on_real.sum(), real, create_graph=True)
            penalty = slope.square().flatten(1).sum(1).mean()
            losses["r1"] = self.r1 / 2 * self.r1_every * penalty
        return losses

    def _generator_losses(self, real: Tensor, step: int) -> dict[str, Tensor]:
        score = self._score(self.images(self._latent(real)))
        losses = {"generator": (F.softplus(-score) if self.loss == "non-saturating" else -score).mean()}
        lengthened = isinstance(self.generator, StyleGenerator) and self.path_length > 0
        if lengthened and step % self.path_every == 0:
            losses["path"] = self._path_penalty(self._latent(real)[: max(len(real) // 2, 1)])
        return losses

    def _path_penalty(self, latent: Tensor) -> Tensor:
        """By how much the images' change with w differs from its mean, on half of a batch."""
        assert isinstance(self.generator, StyleGenerator)
        styles = self._styles(latent)
        image = self.generator.synthesis(styles, self.level)
        noise = torch.randn_like(image) / image[0, 0].numel() ** 0.5
        [slope] = torch.autograd.grad((image * noise).sum(), styles, create_graph=True)
        length = slope.square().sum(2).mean(1).sqrt()
        self.mean_length.lerp_(length.detach().mean(), 0.01)
        return self.path_length * self.path_every * (length - self.mean_length).square().mean()

    def _styles(self, latent: Tensor) -> Tensor:
        assert isinstance(self.generator, StyleGenerator)
        w = self.generator.mapping(latent)
        self.generator.track(w)
        other = self.generator.mapping(torch.randn_like(latent))
        layers, device = self.generator.layers, latent.device
        crossover = torch.randint(1, max(layers, 2), (len(latent),), device=device)
        mixed = torch.rand(len(latent), device=device) < self.mixing
        return self.generator.styles(w, other, crossover.masked_fill(~mixed, layers))

    def _latent(self, real: Tensor) -> Tensor:
        length = self.generator.latent_channels
        assert isinstance(length, int)
        return torch.randn(len(real), length, dtype=real.dtype, device=real.device)

    def _score(self, image: Tensor) -> Tensor:
        score: Tensor = self.discriminator(self.augment(image), self.level)
        return score

    @contextmanager
    def _drawn_at(self, step: int) -> Iterator[None]:
        """Random numbers that follow from the run's seed and the step alone."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(int(self.seed) + step)
            yield

    @torch.no_grad()
    def _move_average(self, images: int) -> None:
        half_life = min(self.half_life, int(self.steps) * images / 20)
        kept = 0.5 ** (images / half_life)
        for average, weight in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            average.lerp_(weight, 1 - kept)
        for held, now in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            held.copy_(now)


def _hinge(x: Tensor) -> Tensor:
    return F.relu(1 + x)
