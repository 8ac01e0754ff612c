"""The corruptions of ModelNet-C: what a sensor, an occlusion or a careless alignment does to a cloud."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Generator, Tensor

from geodl.data.augment import normal_numbers, uniform
from geodl.geometry.cloud import check_cloud

__all__ = ["CORRUPTIONS", "corrupt"]

_SCALES = (1.6, 1.7, 1.8, 1.9, 2.0)
_DROPPED = (0.25, 0.375, 0.5, 0.625, 0.75)
_CLUSTERS = 7  # at most
_POINTS = 1024  # of the clouds for which the published numbers of points are meant


def corrupt(pos: Tensor, kind: str, severity: int, generator: Generator | None = None) -> Tensor:
    r"""A corrupted copy of a cloud, with the parameters of ModelNet-C for severities s = 1 to 5.

    ================ ==========================================================================================
    scale            every axis by a factor from :math:`U(1/a, a)`, a = 1.6, 1.7, 1.8, 1.9, 2.0; then moved to the mean
                     and scaled into the unit ball
    jitter           every coordinate by :math:`N(0, (0.01 s)^2)`
    rotate           by :math:`R_z R_y R_x` with angles from :math:`U(-6 s, 6 s)` degrees
    dropout_global   a random 25, 37.5, 50, 62.5, 75 % of the points are left out
    dropout_local    100 s points are left out, in 1 to 7 balls about points of the cloud
    add_global       10 s points evenly in the unit ball
    add_local        100 s points, in 1 to 7 Gaussian clusters of deviation :math:`U(0.075, 0.125)` about points of the cloud; one
                     that falls outside the unit ball is inverted in its sphere, :math:`p / |p|^2`, as the authors' code has it
    ================ ==========================================================================================

    The numbers 100 s and 10 s are for the 1024 points of ModelNet-C; other clouds lose or gain in proportion, and none loses its
    last point. Where points are left out or clusters added, they come in another order.

    Args:
        pos: ``[N, 3]``, a cloud in the unit ball.
        kind: one of ``CORRUPTIONS``.
        severity: 1 to 5 (their levels 0 to 4).
        generator: source of randomness, torch's own if not given; the same state gives the same cloud.

    Returns:
        ``[N', 3]`` in the dtype of ``pos``.

    Raises:
        ValueError: no such kind or severity, or a ``pos`` that is no finite ``[N, 3]`` with at least one point.

    Ren, Pan, Liu: Benchmarking and analyzing point cloud classification under corruptions, ICML 2022.
    """
    if kind not in CORRUPTIONS:
        raise ValueError(f"kind must be one of {', '.join(CORRUPTIONS)}, not {kind!r}")
    if severity not in range(1, 6):
        raise ValueError(f"severity must be 1 to 5, got {severity}")
    check_cloud(SimpleNamespace(pos=pos))
    return _KINDS[kind](pos, int(severity), generator)


def _scale(pos: Tensor, severity: int, generator: Generator | None) -> Tensor:
    most = _SCALES[severity - 1]
    pos = pos * uniform(1 / most, most, (3,), pos, generator)
    pos = pos - pos.mean(0)
    farthest = torch.linalg.vector_norm(pos, dim=1).max()
    return pos / torch.where(farthest > 0, farthest, 1.0)


def _jitter(pos: Tensor, severity: int, generator: Generator | None) -> Tensor:
    return pos + 0.01 * severity * normal_numbers(pos.shape, pos, generator)


def _rotate(pos: Tensor, severity: int, generator: Generator | None) -> Tensor:
    most = math.pi / 30 * severity
    turn = torch.eye(3, dtype=pos.dtype, device=pos.device)
    for axis, angle in enumerate(uniform(-most, most, (3,), pos, generator)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        about = torch.eye(3, dtype=pos.dtype, device=pos.device)
        about[i, i] = about[j, j] = angle.cos()
        about[j, i] = angle.sin()
        about[i, j] = -angle.sin()
        turn = about @ turn
    return pos @ turn


def _dropout_global(pos: Tensor, severity: int, generator: Generator | None) -> Tensor:
    kept = max(1, int(len(pos) * (1 - _DROPPED[severity - 1])))
    return _shuffled(pos, generator)[:kept]


def _dropout_local(pos: Tensor, severity: int, generator: Generator | None) -> Tensor:
    total = min(_in_proportion(100 * severity, pos), len(pos) - 1)
    for count in _cluster_sizes(total, pos, generator):
        pos = _shuffled(pos, generator)
        distance = (pos - pos[0]).square().sum(1)
        pos = pos[distance.argsort(descending=True, stable=True)][: len(pos) - count]
    return pos


def _add_global(pos: Tensor, severity: int, generator: Generator | None) -> Tensor:
    count = _in_proportion(10 * severity, pos)
    direction = torch.nn.functional.normalize(normal_numbers((count, 3), pos, generator), dim=1)
    radius = uniform(0, 1, (count, 1), pos, generator) ** (1 / 3)
    return torch.cat([pos, radius * direction])


def _add_local(pos: Tensor, severity: int, generator: Generator | None) -> Tensor:
    sizes = _cluster_sizes(_in_proportion(100 * severity, pos), pos, generator)
    pos = _shuffled(pos, generator)
    clusters = []
    for number, count in enumerate(sizes):
        sigma = uniform(0.075, 0.125, (1,), pos, generator)
        clusters.append(pos[number % len(pos)] + sigma * normal_numbers((count, 3), pos, generator))
    added = torch.cat(clusters)
    squared = added.square().sum(1, keepdim=True)
    return torch.cat([pos, torch.where(squared > 1, added / squared, added)])


def _in_proportion(count: int, pos: Tensor) -> int:
    """A number of points of 1024, for a cloud of any size."""
    return round(count * len(pos) / _POINTS)


def _cluster_sizes(total: int, pos: Tensor, generator: Generator | None) -> list[int]:
    """Of 1 to 7 clusters that share ``total`` points at random."""
    device = pos.device if generator is None else generator.device
    clusters = int(torch.randint(1, _CLUSTERS + 1, (1,), generator=generator, device=device))
    owner = torch.randint(clusters, (total,), generator=generator, device=device)
    sizes: list[int] = torch.bincount(owner, minlength=clusters).tolist()
    return sizes


def _shuffled(pos: Tensor, generator: Generator | None) -> Tensor:
    return pos[uniform(0, 1, (len(pos),), pos, generator).argsort(stable=True)]


_KINDS: dict[str, Callable[[Tensor, int, Generator | None], Tensor]] = {
    "scale": _scale,
    "jitter": _jitter,
    "rotate": _rotate,
    "dropout_global": _dropout_global,
    "dropout_local": _dropout_local,
    "add_global": _add_global,
    "add_local": _add_local,
}
CORRUPTIONS = tuple(_KINDS)
