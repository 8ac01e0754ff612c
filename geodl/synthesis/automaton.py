"""NeuralAutomaton: a texture that grows, and heals, by what every point sees of its neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from geodl.nn import Level
from geodl.synthesis.domain import SIDE, fitting_octaves
from geodl.synthesis.filter_bank import Features, FilterBank
from geodl.synthesis.gram import GramStatistics
from geodl.synthesis.image import as_image
from geodl.synthesis.palette import Palette
from geodl.synthesis.stencil import stencil
from geodl.synthesis.synthesize import beyond

__all__ = ["NeuralAutomaton"]

# Along axis 0 and axis 1 of a kernel, and the Laplacian.
_SOBEL = torch.tensor([[-1.0, -2.0, -1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]])
_SEEN = torch.stack([_SOBEL, _SOBEL.T, torch.tensor([[1.0, 2.0, 1.0], [2.0, -12.0, 2.0], [1.0, 2.0, 1.0]])])

_POOL = 16  # states that training goes on from
_BATCH = 2
_SHORTEST, _LONGEST = 12, 24  # steps between two looks at the picture
_UNSEEN = 64  # steps at most before those, without gradients
_BOUND = 1.5  # of every state's channels
_DIRECTIONS = 256  # along which features are compared in training,
_AT_ONCE = 32  # and how many of them at each look
_FRESH = 24  # one look in so many begins at the seed
_RATE = 1e-3
_WARM = 50  # looks until steps have their full length
_GRAM = 1.0  # how much the relative error counts beside the features' order
_REACH = 2.5  # deviations of the exemplar's colours that a state of 1 shows
_AVERAGED = 0.7  # of training, after which all weights are averaged
_OVERFLOW = 10.0  # how much states beyond -1..1 count


class NeuralAutomaton(nn.Module):
    r"""A texture as a cellular automaton: every point changes by what it sees of its neighbours, and all by the same rule,

    .. math:: s_i \leftarrow s_i + m_i \, W_2 \max(0, W_1 [s, \partial_1 s, \partial_2 s, \Delta s]_i + b_1),

    where m is 1 at a random half of the points, and states are held within -1.5..1.5: a rule that grows cannot run away. The first
    channels of the state are the colours. The rule is learned on a grid (:meth:`fit`), also from states that it was left alone with
    for long, and runs with the same weights on every :class:`~geodl.nn.Level`; a state that is damaged heals.

    Args:
        out_channels: colours.
        channels: of the state.
        hidden: width of the rule.
        fire_rate: the share of points that change at a step.

    Shapes:
        ``[B, channels, H, W]`` on a grid, which goes on at its other side; ``[V, channels]`` with a level -> the same.

    Niklasson, Mordvintsev, Randazzo, Levin, "Self-organising textures", Distill 2021; Pajouheshgar, Xu, Mordvintsev, Niklasson,
    Zhang, Susstrunk, "Mesh neural cellular automata", 2024.
    """

    mean: Tensor
    basis: Tensor

    def __init__(
        self, out_channels: int = 3, channels: int = 12, hidden: int = 64, fire_rate: float = 0.5
    ) -> None:
        super().__init__()
        if not 0 < fire_rate <= 1:
            raise ValueError(f"fire_rate must lie in 0..1, got {fire_rate}")
        if not 1 <= out_channels <= channels:
            raise ValueError(f"a state of {channels} channels holds no {out_channels} colours")
        self.out_channels, self.channels, self.fire_rate = out_channels, channels, fire_rate
        self.rule = nn.Sequential(
            nn.Linear((1 + len(_SEEN)) * channels, hidden), nn.ReLU(), nn.Linear(hidden, channels, bias=False)
        )
        nn.init.zeros_(self.rule[2].weight)  # type: ignore[arg-type]
        # Colours are counted from the mean of the exemplar's, along the directions in which those differ: filters that are fitted
        # to it are blind to all others, and colours would drift there.
        self.register_buffer("mean", torch.full((out_channels,), 0.5))
        self.register_buffer("basis", torch.eye(out_channels))

    def seed(self, domain: Level | tuple[int, int], batch: int = 1) -> Tensor:
        """The state that everything grows from: zero."""
        like = self.mean
        if isinstance(domain, Level):
            return like.new_zeros(domain.num_nodes, self.channels)
        return like.new_zeros(batch, self.channels, *domain)

    def colors(self, state: Tensor) -> Tensor:
        """The picture of a state, ``[B, C, H, W]`` or ``[V, C]``."""
        return Palette(self.mean, self.basis).decode(state[:, : self.out_channels])

    def forward(
        self, state: Tensor, level: Level | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """One step."""
        if state.dim() != (4 if level is None else 2) or state.shape[1] != self.channels:
            shape = f"[B, {self.channels}, H, W]" if level is None else f"[V, {self.channels}]"
            raise ValueError(f"the state must have shape {shape}, not {list(state.shape)}")
        first, second = self.rule[0], self.rule[2]
        assert isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
        if level is None:
            seen = _seen(state).flatten(2)
            hidden = torch.baddbmm(first.bias[:, None], first.weight.expand(len(seen), -1, -1), seen)
            change = (second.weight @ hidden.relu_()).view_as(state)
        else:
            hidden = torch.addmm(first.bias, state, first.weight[:, : self.channels].t())
            hidden = hidden.addmm_(stencil(state, _SEEN, level), first.weight[:, self.channels :].t())
            change = hidden.relu_() @ second.weight.t()
        if self.fire_rate < 1:
            at = (len(state), 1, *state.shape[2:])
            fires = torch.rand(at, generator=generator, device=state.device) < self.fire_rate
            change = change * fires.to(state.dtype)
        return _bounded(state + change)

    @torch.no_grad()
    def run(
        self, state: Tensor, steps: int, level: Level | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Many steps, without gradients."""
        for _ in range(steps):
            state = self(state, level, generator)
        return state

    def fit(
        self,
        exemplar: Any,
        iterations: int = 2000,
        size: int = 40,
        seed: int = 0,
        progress: Callable[[int, float], object] | None = None,
    ) -> list[float]:
        """Learns to grow a texture like an exemplar, on a grid, where it is damaged in half of the trials.

        Args:
            exemplar: a picture as of :func:`as_image`.
            iterations: looks at the picture, each after 12 to 24 steps of 2 states, and up to 64 before that nobody follows.
            size: side of the grid.
            seed: of all that is drawn.
            progress: told the iteration and the relative error, see :meth:`GramStatistics.error`.

        Returns:
            The error of every iteration.

        Raises:
            ValueError: an exemplar with other channels, or that :func:`synthesize` would refuse too.
        """
        image = as_image(exemplar, "the exemplar")
        if image.shape[0] != self.out_channels:
            raise ValueError(f"the exemplar has {image.shape[0]} channels, the automaton {self.out_channels}")
        palette = Palette.of(image, "the exemplar")
        octaves = min(3, fitting_octaves(min(*image.shape[1:], size), SIDE))
        if not octaves:
            raise ValueError(
                f"an exemplar of {list(image.shape[1:])} on a grid of {size} is too small for {SIDE} x {SIDE} taps"
            )
        device = self.mean.device
        bank = FilterBank(image.shape[0], kernel_size=SIDE, octaves=octaves, seed=seed).fit(image).to(device)
        self.mean.copy_(palette.mean)
        self.basis.zero_()[: palette.channels] = _REACH * palette.basis
        with torch.no_grad():
            wanted = bank(image[None].to(device))
        draw = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            return self._learn(bank, wanted, iterations, size, draw, progress)

    def _learn(
        self,
        bank: FilterBank,
        wanted: list[Features],
        iterations: int,
        size: int,
        draw: torch.Generator,
        progress: Callable[[int, float], object] | None,
    ) -> list[float]:
        target = GramStatistics.of(wanted)
        sides = [-(-size // 2**octave) for octave in range(len(wanted))]
        seeing = [_Slices(layer.x[0], side**2, draw) for layer, side in zip(wanted, sides, strict=True)]
        pool = self.seed((size, size), _POOL)
        with torch.no_grad():  # a state that is worse than the seed begins again
            worst = target.error(GramStatistics.of(bank(self.colors(pool[:1]), circular=True)))
        optimizer = torch.optim.Adam(self.parameters(), _RATE)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda i: min(1, (i + 1) / _WARM) * (0.525 + 0.475 * math.cos(math.pi * i / iterations)),
        )
        average = torch.optim.swa_utils.AveragedModel(self.rule)
        errors = []
        for iteration in range(iterations):
            chosen = torch.randperm(_POOL, generator=draw)[:_BATCH]
            state = pool[chosen]
            # States that training has not followed are what a long run consists of.
            state = self.run(state, int(torch.randint(_UNSEEN + 1, (1,), generator=draw)))
            if iteration % _FRESH == 0:
                state[:1] = 0
            if iteration % 2:
                state[-1:] = cut(state[-1:], draw)
            for _ in range(int(torch.randint(_SHORTEST, _LONGEST + 1, (1,), generator=draw))):
                state = self(state)
            picture = self.colors(state)
            layers = bank(picture, circular=True)
            error = target.error(GramStatistics.of(layers))
            apart = torch.stack(
                [slices.apart(layer.x, draw) for slices, layer in zip(seeing, layers, strict=True)]
            )
            overflow = (state - state.clamp(-1, 1)).abs().mean()
            optimizer.zero_grad()
            (apart.mean() + _GRAM * error.log1p().mean() + _OVERFLOW * overflow + beyond(picture)).backward()
            for (
                parameter
            ) in self.parameters():  # steps differ in number, and gradients by orders of magnitude
                assert parameter.grad is not None
                parameter.grad /= parameter.grad.norm() + 1e-8
            optimizer.step()
            schedule.step()
            if iteration >= int(_AVERAGED * iterations):
                average.update_parameters(self.rule)
            pool[chosen] = state.detach().masked_fill((error.detach() > worst)[:, None, None, None], 0)
            errors.append(float(error.detach().mean()))
            if progress is not None:
                progress(iteration, errors[-1])
        self.rule.load_state_dict(average.module.state_dict())
        return errors


def _bounded(state: Tensor) -> Tensor:
    """Held between bounds, while gradients pass: no rule can diverge, and one that tries is told."""
    return state + (state.detach().clamp(-_BOUND, _BOUND) - state.detach())


class _Slices:
    """The features of an exemplar ``[M, C]``, in order along random directions, at ``points`` shares of them."""

    def __init__(self, features: Tensor, points: int, draw: torch.Generator) -> None:
        direction = torch.randn(features.shape[1], _DIRECTIONS, generator=draw).to(features)
        # Every feature counts alike.
        direction = direction / (features.std(0) + 0.2 * features.std())[:, None]
        ordered = (features @ direction).sort(0).values
        at = ((torch.arange(points, device=features.device) + 0.5) / points * len(ordered)).long()
        spread = ordered.std(0)
        self.direction, self.ordered = direction / spread, (ordered[at] / spread)

    def apart(self, found: Tensor, draw: torch.Generator) -> Tensor:
        """How far features ``[B, points, C]`` are from those.

        The gradient of Gram matrices vanishes where nothing has begun to form; this one does not.
        """
        some = torch.randperm(_DIRECTIONS, generator=draw)[:_AT_ONCE].to(found.device)
        return ((found @ self.direction[:, some]).sort(1).values - self.ordered[:, some]).square().mean()


def _seen(state: Tensor) -> Tensor:
    """A state ``[B, C, H, W]`` and its three filters, ``[B, 4 C, H, W]``: the filters are separable, sums of shifted copies."""
    left, right = state.roll(1, 3), state.roll(-1, 3)
    smooth, along = left + right + 2 * state, right - left
    above, below = smooth.roll(1, 2), smooth.roll(-1, 2)
    down = below - above
    across = along.roll(1, 2) + along.roll(-1, 2) + 2 * along
    return torch.cat([state, down, across, above + below + 2 * smooth - 16 * state], 1)


def cut(state: Tensor, draw: torch.Generator) -> Tensor:
    """States ``[B, C, H, W]`` with a disc set to zero."""
    height, width = state.shape[2:]
    centre = torch.rand(2, generator=draw)
    row = (torch.arange(height) / height - centre[0] + 0.5) % 1 - 0.5
    column = (torch.arange(width) / width - centre[1] + 0.5) % 1 - 0.5
    inside = row[:, None] ** 2 + column**2 < (0.1 + 0.2 * float(torch.rand(1, generator=draw))) ** 2
    return state.masked_fill(inside.to(state.device), 0)
