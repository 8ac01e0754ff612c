"""synthesize: a texture like an exemplar, on a grid or on a surface."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from geodl.nn import Level
from geodl.synthesis.descent import Objective, Optimizer
from geodl.synthesis.domain import SIDE, Domain, fitting_octaves
from geodl.synthesis.filter_bank import Features, FilterBank
from geodl.synthesis.gram import GramStatistics
from geodl.synthesis.image import as_image
from geodl.synthesis.palette import Palette
from geodl.synthesis.stages import Progress, Stages, Synthesis
from geodl.synthesis.stencil import halve

__all__ = ["BEYOND", "Bank", "beyond", "fitted_bank", "octave_of", "shown", "synthesize"]

_OCTAVES = 4

# How much colours outside of 0..1 count, against the relative error.
BEYOND = 10.0

# Octaves at which an exemplar has less than this share of its contrast are left out: any contrast there would outweigh all else,
# and a weave would become a blur (measured).
_FLAT = 0.1

# Deviation of the noise that it starts with, against that of the exemplar's colours: what no filter sees stays as it was.
_NOISE = 0.1


class Bank(Protocol):
    """What features of a picture statistics are taken of: :class:`FilterBank`, :class:`NetworkFeatures`."""

    octaves: int

    def __call__(
        self, x: Tensor, level: Level | None = None, circular: bool = False, first: int = 0
    ) -> list[Features]: ...


def synthesize(
    exemplar: Any,
    domain: Any,
    bank: Bank | None = None,
    *,
    steps: int = 100,
    optimizer: Optimizer = "lbfgs",
    tileable: bool = False,
    direction: Tensor | None = None,
    seed: int = 0,
    progress: Progress = False,
    state: dict[str, Any] | None = None,
) -> Synthesis:
    r"""A texture like an exemplar, on a grid or on a surface. No part of the exemplar is copied.

    Noise is changed until the statistics of its features are those of the exemplar,

    .. math:: \min_x \frac{1}{L} \sum_l \| S_l(x) - S_l(e) \|^2 / \| S_l(e) \|^2 ,

    see :class:`GramStatistics`; first at a coarse octave, then at the next finer one. On a surface one vertex stands for one pixel,
    the signal is smoothed by one tap (else specks stay that windows cannot see), and points whose window reaches beyond a boundary
    are left out of the statistics.

    Args:
        exemplar: a tensor ``[C, H, W]``, an array ``[H, W, C]``, a PIL image or a path, see :func:`as_image`.
        domain: ``(H, W)``, a mesh with ``pos`` and ``face``, or what :func:`surface_levels` made of one.
        bank: whose features; a :class:`FilterBank` fitted to the exemplar if not given, with as many octaves as the exemplar and
            the domain have room for, at most 4, and at which the exemplar is not flat.
        steps: at every octave.
        optimizer: "lbfgs" or "adam".
        tileable: the grid goes on at its other side.
        direction: what is up in the exemplar lies along it on a mesh, see :func:`surface_levels`.
        seed: of the noise and of the filters.
        progress: True draws a bar; a function is given a :class:`Synthesis` after every step, whose ``x`` is the picture so far,
            and stops by returning True.
        state: of a synthesis with the same arguments that stopped: it goes on from there.

    Raises:
        ValueError: an exemplar that is constant, too small, not finite or transparent; a grid that is too small, or tileable with
            sides that the octaves don't halve; a mesh without area, with too few vertices, or too uneven.
        IndexError: a face of the mesh names a vertex that is not there.

    Gatys, Ecker, Bethge, "Texture synthesis using convolutional neural networks", 2015.
    """
    image = as_image(exemplar, "the exemplar")
    palette = Palette.of(image, "the exemplar")
    room = fitting_octaves(min(image.shape[1:]), SIDE)
    place = Domain.of(
        domain, min(_OCTAVES, room) if bank is None else bank.octaves, bank is None, tileable, direction
    )
    bank = fitted_bank(image, place, seed) if bank is None else bank
    image, palette = image.to(place.device), palette.to(place.device)
    octaves = place.widened(bank.octaves).octaves(bank.octaves)
    first = max(bank.octaves - 2, 0)
    draw = torch.Generator().manual_seed(seed)
    noise = _NOISE * torch.randn(octaves[first].shape(palette.channels), generator=draw)

    def objective(octave: int) -> Objective:
        there = octaves[octave]
        with torch.no_grad():
            target = GramStatistics.of(bank(octave_of(image[None], octave), first=octave))

        def measure(z: Tensor) -> tuple[Tensor, Tensor]:
            x = palette.decode(there.smoothed(z))
            error = target.error(GramStatistics.of(bank(x, there.level, there.circular, octave))).sum()
            return error + BEYOND * beyond(x), error

        return measure

    def start(octave: int, z: Tensor | None) -> Tensor:
        return noise.to(place.device) if z is None else octaves[octave].spread(z)

    def picture(octave: int, z: Tensor) -> Tensor:
        return shown(octaves, palette, octave, z)

    return Stages(first + 1, objective, start, picture, steps, optimizer).run(progress, state)


def fitted_bank(image: Tensor, place: Domain, seed: int) -> FilterBank:
    """The filters for an exemplar on a domain: as many octaves as both have room for, and at which the exemplar shows something.

    Raises:
        ValueError: an exemplar that is too small for one.
    """
    room = max(min(_OCTAVES, fitting_octaves(min(image.shape[1:]), SIDE), place.room()), 1)
    contrast = [float(octave_of(image[None], octave).std((2, 3)).norm()) for octave in range(room)]
    octaves = max(octave + 1 for octave in range(room) if contrast[octave] >= _FLAT * contrast[0])
    return FilterBank(image.shape[0], kernel_size=SIDE, octaves=octaves, seed=seed).fit(image)


def octave_of(x: Tensor, octave: int) -> Tensor:
    """An image ``[B, C, H, W]`` at an octave."""
    for _ in range(octave):
        x = halve(x)
    return x


def shown(octaves: list[Domain], palette: Palette, octave: int, z: Tensor) -> Tensor:
    """The picture of a signal at an octave, at the finest: ``[C, H, W]`` or ``[V, C]``."""
    z = octaves[octave].smoothed(z)
    for finer in reversed(octaves[:octave]):
        z = finer.spread(z)
    x = palette.decode(z).clamp(0, 1)
    if octaves[0].level is not None:
        return x
    margin = octaves[0].margin
    return x[0, :, margin : x.shape[2] - margin, margin : x.shape[3] - margin].contiguous()


def beyond(x: Tensor) -> Tensor:
    """By how much colours lie outside of 0..1: the mean square."""
    return (x - x.clamp(0, 1)).square().mean()
