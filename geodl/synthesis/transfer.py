"""transfer: what one picture shows, in the manner of another, on a grid or on a surface."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from geodl.geometry import vertex_normals
from geodl.synthesis.descent import Objective, Optimizer
from geodl.synthesis.domain import SIDE, Domain, fitting_octaves
from geodl.synthesis.gram import GramStatistics
from geodl.synthesis.image import as_image
from geodl.synthesis.palette import Palette
from geodl.synthesis.stages import Progress, Stages, Synthesis
from geodl.synthesis.stencil import halve
from geodl.synthesis.synthesize import BEYOND, Bank, beyond, fitted_bank, octave_of, shown

__all__ = ["displace", "transfer"]

_GREY = (0.299, 0.587, 0.114)


def transfer(
    content: Any,
    style: Any,
    domain: Any = None,
    bank: Bank | None = None,
    content_bank: Bank | None = None,
    *,
    weight: float = 1.0,
    octave: int = 2,
    steps: int = 60,
    optimizer: Optimizer = "lbfgs",
    direction: Tensor | None = None,
    seed: int = 0,
    progress: Progress = False,
    state: dict[str, Any] | None = None,
) -> Synthesis:
    r"""What ``content`` shows, in the manner of ``style``: an image, the colours of a surface, or a function on it.

    .. math:: \min_x \frac{1}{L} \sum_l \| S_l(x) - S_l(\text{style}) \|^2 / \| S_l(\text{style}) \|^2 + w \, E(x, \text{content})

    with the statistics of :class:`GramStatistics`. Without trained weights E compares the grey levels at a coarse octave, those of
    the content given the distribution of the style's; with weights it compares the features of ``content_bank``. Either is the mean
    square difference over the variance of the content's.

    Args:
        content: an image as of :func:`as_image`; with a mesh its colours ``[V, C]`` in 0..1, or any function ``[V]``.
        style: an image. A grey one gives one channel, for :func:`displace`: the style of a relief.
        domain: a mesh, or what :func:`surface_levels` made of one; None for an image.
        bank: whose features are the style; a :class:`FilterBank` fitted to the style if not given.
        content_bank: whose features are the content, such as :class:`NetworkFeatures` of a deep layer.
        weight: w; more shows more of the content.
        octave: at which grey levels are compared: the resolution of the picture by two to this power; at the coarsest level
            of a surface that has fewer.
        steps, optimizer, direction, seed, progress, state: as of :func:`synthesize`.

    Raises:
        ValueError: a content that is constant or does not fit the domain; what :func:`synthesize` raises about the style as its
            exemplar and about the domain.

    Gatys, Ecker, Bethge, "Image style transfer using convolutional neural networks", 2016.
    """
    image = as_image(style, "the style")
    palette = Palette.of(image, "the style")
    place, given = _placed(content, domain, image, bank, direction)
    bank = fitted_bank(image, place, seed) if bank is None else bank
    image, palette, given = image.to(place.device), palette.to(place.device), given.to(place.device)
    if place.level is not None:
        octave = min(octave, place.room() - 1)
    place = place.widened(bank.octaves)
    if place.margin:
        given = F.pad(given, (place.margin,) * 4, mode="reflect")
    octaves = place.octaves(max(bank.octaves, octave + 1))
    signals = [_like(_grey(given), _grey(image[None]))]
    originals = [given]
    for there in octaves[:-1]:
        signals.append(halve(signals[-1], there.level))
        originals.append(halve(originals[-1], there.level))
    first = max(bank.octaves - 2, 0)

    def objective(at: int) -> Objective:
        there, wanted = octaves[at], signals[max(octave, at)]
        spread = _variance(wanted)
        with torch.no_grad():
            target = GramStatistics.of(bank(octave_of(image[None], at), first=at))
            features = None if content_bank is None else content_bank(originals[at], there.level, first=at)

        def measure(z: Tensor) -> tuple[Tensor, Tensor]:
            x = palette.decode(there.smoothed(z))
            error = target.error(GramStatistics.of(bank(x, there.level, first=at))).sum()
            if features is None:
                seen = _grey(x)
                for finer in octaves[at : max(octave, at)]:
                    seen = halve(seen, finer.level)
                apart = (seen - wanted).square().mean() / spread
            else:
                assert content_bank is not None
                pairs = zip(content_bank(x, there.level, first=at), features, strict=True)
                parts = [(one.x - two.x).square().mean() / _variance(two.x) for one, two in pairs]
                apart = torch.stack(parts).mean()
            return error + weight * apart + BEYOND * beyond(x), error

        return measure

    def start(at: int, z: Tensor | None) -> Tensor:
        if z is not None:
            return octaves[at].spread(z)
        return palette.encode(_colored(signals[at], image))

    def picture(at: int, z: Tensor) -> Tensor:
        return shown(octaves, palette, at, z)

    return Stages(first + 1, objective, start, picture, steps, optimizer).run(progress, state)


def displace(mesh: Any, height: Tensor, scale: float) -> Any:
    """A copy of a mesh whose vertices are moved along their normals: a relief.

    Args:
        mesh: ``pos [V, 3]``, ``face [3, F]``.
        height: ``[V]`` or ``[V, 1]``, such as the ``x`` of a grey :func:`synthesize` or :func:`transfer`.
        scale: by how much height 1 lies above height 0, in the unit of the mesh; the mean height stays where it is.

    Raises:
        ValueError: heights that are not one a vertex, or not finite.
    """
    height = height.reshape(len(height), -1)
    if height.shape != (mesh.pos.shape[0], 1) or not bool(height.isfinite().all()):
        raise ValueError(f"height must be finite and [{mesh.pos.shape[0]}], not {list(height.shape)}")
    moved = mesh.clone()
    normal = vertex_normals(mesh).to(mesh.pos)
    moved.pos = mesh.pos + scale * (height - height.mean()).to(mesh.pos) * normal
    return moved


def _placed(
    content: Any, domain: Any, style: Tensor, bank: Bank | None, direction: Tensor | None
) -> tuple[Domain, Tensor]:
    """The domain, and the content on it: ``[1, C, H, W]`` or ``[V, C]``."""
    room = fitting_octaves(min(style.shape[1:]), SIDE)
    octaves = min(4, room) if bank is None else bank.octaves
    if domain is None:
        picture = as_image(content, "the content")
        size = (picture.shape[1], picture.shape[2])
        return Domain.of(size, octaves, bank is None), picture[None]
    place = Domain.of(domain, octaves, bank is None, direction=direction)
    if place.level is None:
        raise ValueError("a domain is a mesh or a Level; an image is transferred at its own size")
    values = torch.as_tensor(content).detach()
    values = values[:, None] if values.dim() == 1 else values
    points = place.level.num_nodes
    if values.dim() != 2 or values.shape[0] != points or values.shape[1] not in (1, 3):
        raise ValueError(
            f"the content must have shape [{points}], or [{points}, 3], not {list(values.shape)}"
        )
    if not bool(values.isfinite().all()):
        raise ValueError(f"the content: {int((~values.isfinite()).sum())} values are NaN or infinite")
    values = values.float() / (255 if values.dtype == torch.uint8 else 1)
    return place, values


def _grey(x: Tensor) -> Tensor:
    """``[B, C, ...]`` -> ``[B, 1, ...]``."""
    if x.shape[1] == 1:
        return x
    luma = x.new_tensor(_GREY)
    return (x.movedim(1, -1) @ luma).unsqueeze(1)


def _colored(grey: Tensor, style: Tensor) -> Tensor:
    """``[B, 1, ...]`` -> ``[B, C, ...]``, the colours that go with a grey in the style, by a straight line."""
    colors, greys = style.flatten(1), _grey(style[None]).flatten()
    mean, middle = colors.mean(1), greys.mean()
    slope = (colors - mean[:, None]) @ (greys - middle) / (greys - middle).square().sum().clamp(min=1e-8)
    return ((grey.movedim(1, -1) - middle) * slope + mean).movedim(-1, 1)


def _like(values: Tensor, others: Tensor) -> Tensor:
    """Values with the distribution of others, in the order that they have.

    Raises:
        ValueError: values that are all the same.
    """
    flat = values.flatten()
    if float(flat.max() - flat.min()) < 1e-6:
        raise ValueError("the content is constant: it shows nothing; synthesize makes the style alone")
    grades, place = flat.unique(return_inverse=True)  # equal values stay equal
    count = torch.bincount(place, minlength=len(grades)).to(flat)
    share = (count.cumsum(0) - count / 2) / len(flat)
    ordered = others.flatten().sort().values
    index = (share * len(ordered)).long().clamp(max=len(ordered) - 1)
    return ordered[index][place].view_as(values)


def _variance(x: Tensor) -> Tensor:
    return (x - x.mean()).square().mean().clamp(min=1e-8)
