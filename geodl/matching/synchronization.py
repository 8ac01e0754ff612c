"""Collections of shapes: maps between them that are consistent, however one goes round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from geodl.geometry import Spectrum
from geodl.matching.point_map import fit, nearest

__all__ = ["consistent_zoomout", "cycle_error", "synchronize"]

Pair = tuple[int, int]
_ROUNDS = 20
# Maps between people differ from consistent ones by about this share: beyond it, or the median if that is more, they count little.
_USUAL = 0.2
# Directions of a canonical basis that a shape hardly has, over the strongest, are left out of its inverse.
_WEAK = 0.3


def synchronize(
    maps: Mapping[Pair, Tensor], robust: bool = True
) -> tuple[dict[Pair, Tensor], dict[Pair, float]]:
    r"""Functional maps between all shapes of a collection that compose to one another, nearest to those given.

    .. math:: \min_{Y} \sum_{ij} w_{ij} \| C_{ij} Y_i - Y_j \|^2 \quad \text{with } \sum_i Y_i^\top Y_i = n I,
              \qquad C_{ij} \leftarrow Y_j Y_i^{+}

    with a canonical basis :math:`Y_i` of every shape. It is found from the smallest eigenvectors of a matrix of n x n blocks;
    then, with ``robust``, maps that disagree with the others count less, :math:`w_{ij} = 1 / (1 + r_{ij}^2 / \sigma^2)^2`, and so
    on until nothing changes: a map that swaps left and right is outvoted.

    Args:
        maps: :math:`C_{ij}` ``[K, K]``, which carry functions of shape i to shape j, by (i, j). Not all pairs need be there, but
            they must join all shapes. In units in which shapes have one area, as those of :class:`Match`.
        robust: whether maps are weighted by how well they agree with the others.

    Returns:
        The maps of all ordered pairs of shapes, by (i, j); and the weights of those given, 1 for the best.

    Raises:
        ValueError: no maps, maps that are not square and of one size, not finite, or that leave shapes apart.

    Huang, Wang & Guibas, "Functional map networks for analyzing and exploring large shape collections", SIGGRAPH 2014; Chatterjee &
    Govindu, "Efficient and robust large-scale rotation averaging", ICCV 2013, for the weights.
    """
    shapes, size = _checked(maps)
    place = {shape: number for number, shape in enumerate(shapes)}
    pairs = list(maps)
    given = torch.stack([maps[pair].cpu().double() for pair in pairs])
    ends = torch.tensor([[place[i], place[j]] for i, j in pairs])
    weight = torch.ones(len(pairs), dtype=torch.float64)
    bases = _latent(given, ends, weight, len(shapes))
    for _ in range(_ROUNDS if robust else 0):
        off = torch.linalg.matrix_norm(given @ bases[ends[:, 0]] - bases[ends[:, 1]]) / size**0.5
        scale = max(float(off.median()), _USUAL)
        before, weight = weight, (1 + (off / scale).square()).pow(-2)
        # Where all agree alike no map is worth less than another.
        weight = weight / weight.max()
        bases = _latent(given, ends, weight, len(shapes))
        if float((weight - before).abs().max()) < 1e-4:
            break
    inverse = torch.linalg.pinv(bases, rtol=_WEAK)
    like = maps[pairs[0]]
    made = {(i, j): (bases[place[j]] @ inverse[place[i]]).to(like) for i in shapes for j in shapes if i != j}
    return made, dict(zip(pairs, (weight / weight.max()).tolist(), strict=True))


def _latent(given: Tensor, ends: Tensor, weight: Tensor, shapes: int) -> Tensor:
    """The canonical bases ``[n, K, K]``."""
    size = given.shape[-1]
    blocks = given.new_zeros(shapes, shapes, size, size)
    eye = torch.eye(size, dtype=given.dtype)
    for c, (i, j), w in zip(given, ends.tolist(), weight.tolist(), strict=True):
        blocks[i, i] += w * c.mT @ c
        blocks[j, j] += w * eye
        blocks[i, j] -= w * c.mT
        blocks[j, i] -= w * c
    matrix = blocks.permute(0, 2, 1, 3).reshape(shapes * size, shapes * size)
    vectors = torch.linalg.eigh(matrix)[1][:, :size]
    bases: Tensor = vectors.view(shapes, size, size) * shapes**0.5
    return bases


def _checked(maps: Mapping[Pair, Tensor]) -> tuple[list[int], int]:
    if not maps:
        raise ValueError("there are no maps to synchronise")
    size = next(iter(maps.values())).shape[-1]
    for pair, c in maps.items():
        if c.shape != (size, size):
            raise ValueError(f"map {pair} has shape {list(c.shape)}, they must all be [{size}, {size}]")
        if not bool(torch.isfinite(c).all()):
            raise ValueError(f"map {pair} holds values that are not finite")
        if pair[0] == pair[1]:
            raise ValueError(f"map {pair} is of a shape to itself")
    shapes = sorted({shape for pair in maps for shape in pair})
    reached, border = {shapes[0]}, [shapes[0]]
    while border:
        here = border.pop()
        for i, j in maps:
            for one, other in ((i, j), (j, i)):
                if one == here and other not in reached:
                    reached.add(other)
                    border.append(other)
    if apart := [shape for shape in shapes if shape not in reached]:
        raise ValueError(f"no maps join shape {shapes[0]} to shapes {apart}")
    return shapes, size


def cycle_error(maps: Mapping[Pair, Tensor]) -> float:
    r"""How far three maps round are from the identity, root mean square over all triples that are there.

    .. math:: \| C_{ki} C_{jk} C_{ij} - I \|_F / \sqrt K

    Raises:
        ValueError: there is no triple.
    """
    shapes = sorted({shape for pair in maps for shape in pair})
    found = []
    for i in shapes:
        for j in shapes:
            for k in shapes:
                if i < min(j, k) and j != k and {(i, j), (j, k), (k, i)} <= maps.keys():
                    way = maps[k, i] @ maps[j, k] @ maps[i, j]
                    found.append((way - torch.eye(way.shape[0]).to(way)).square().sum() / way.shape[0])
    if not found:
        raise ValueError("there are no three maps that lead round")
    return float(torch.stack(found).mean().sqrt())


def consistent_zoomout(
    maps: Mapping[Pair, Tensor],
    spectra: Sequence[Spectrum] | Mapping[int, Spectrum],
    k: int | None = None,
    step: int = 10,
    samples: Mapping[int, Tensor] | Sequence[Tensor] | None = None,
) -> dict[Pair, Tensor]:
    r"""ZoomOut of a whole collection: maps grow together and are made consistent at every size.

    Args:
        maps: as of :func:`synchronize`.
        spectra: of every shape, by number, of one area.
        k: size of the maps in the end; all eigenpairs that every spectrum has if not given.
        step: eigenvectors that are added at a turn.
        samples: vertices of every shape that the turns look at, int64; all if not given.

    Returns:
        The maps ``[k, k]`` of all ordered pairs, by (i, j).

    Raises:
        ValueError: as :func:`synchronize`; a size beyond the spectra, or a step that is not positive.

    Huang, Ren, Wonka & Ovsjanikov, "Consistent ZoomOut: efficient spectral map synchronization", SGP 2020.
    """
    shapes, size = _checked(maps)
    most = min(spectra[shape].evecs.shape[1] for shape in shapes)
    k = most if k is None else k
    if not size <= k <= most:
        raise ValueError(
            f"k must lie between {size}, the maps' size, and {most}, that of the spectra, got {k}"
        )
    if step < 1:
        raise ValueError(f"step must be positive, got {step}")
    current, _ = synchronize(maps)
    while True:
        grown, now = {}, size
        size = min(size + step, k)
        for i, j in current:
            source, target = spectra[i].evecs, spectra[j].evecs
            if samples is not None:
                target = target[samples[j]]
            target = target.to(source.dtype)
            p2p = nearest(source[:, :now], target[:, :now] @ current[i, j].to(source.dtype))
            grown[i, j] = fit(target[:, :size], source[p2p, :size])
        current, _ = synchronize(grown)
        if now == k:
            return current
