"""Collections: maps that agree stay, maps that do not are outvoted."""

from itertools import permutations

import pytest
import torch
from torch import Tensor

from geodl.data import Mesh, UnitArea
from geodl.datasets import Puppets
from geodl.geometry import spectrum
from geodl.matching import (
    MatchedPair,
    consistent_zoomout,
    cycle_error,
    evaluate,
    fmap_to_p2p,
    p2p_to_fmap,
    synchronize,
)


def rotations(count: int, size: int) -> list[Tensor]:
    return [torch.linalg.qr(torch.randn(size, size, dtype=torch.float64)).Q for _ in range(count)]


def between(bases: list[Tensor]) -> dict[tuple[int, int], Tensor]:
    return {(i, j): bases[j] @ bases[i].mT for i, j in permutations(range(len(bases)), 2)}


@pytest.mark.parametrize("robust", [False, True])
def test_maps_that_agree_stay_as_they_are(robust: bool) -> None:
    maps = between(rotations(5, 12))
    made, weights = synchronize(maps, robust)
    assert made.keys() == maps.keys()
    for pair, c in maps.items():
        assert torch.allclose(made[pair], c, atol=1e-8)
    assert min(weights.values()) > 0.2


def test_maps_that_are_missing_follow_from_the_others() -> None:
    maps = between(rotations(5, 8))
    chain = {pair: c for pair, c in maps.items() if pair in ((0, 1), (2, 1), (2, 3), (4, 3))}
    made, _ = synchronize(chain)
    assert all(torch.allclose(made[pair], c, atol=1e-6) for pair, c in maps.items())


def test_noise_is_averaged_and_cycles_close() -> None:
    true = between(rotations(6, 10))
    noisy = {pair: c + 0.1 * torch.randn_like(c) for pair, c in true.items()}
    made, _ = synchronize(noisy)
    assert cycle_error(made) < 1e-8 < 0.1 < cycle_error(noisy)

    def off(maps: dict[tuple[int, int], Tensor]) -> float:
        return float(torch.stack([(maps[pair] - c).norm() for pair, c in true.items()]).mean())

    assert off(made) < 0.75 * off(noisy)


def test_wrong_maps_are_outvoted() -> None:
    true = between(rotations(6, 10))
    wrong = [(0, 1), (3, 2), (4, 5), (5, 1)]
    given = {pair: rotations(1, 10)[0] if pair in wrong else c for pair, c in true.items()}
    made, weights = synchronize(given)
    plain, _ = synchronize(given, robust=False)
    for pair, c in true.items():
        assert float((made[pair] - c).norm()) < 0.02
    assert max(weights[pair] for pair in wrong) < 0.01
    assert float((plain[0, 1] - true[0, 1]).norm()) > 10 * float((made[0, 1] - true[0, 1]).norm())


@pytest.fixture(scope="module")
def people() -> list[Mesh]:
    shapes = Puppets(4, 2, num_vertices=1500)
    return [UnitArea()(shapes[k]) for k in range(4)]


def test_bodies_of_which_one_map_is_mirrored(people: list[Mesh]) -> None:
    """Errors of point maps fall, those of the mirrored pair most."""
    spectra = [spectrum(mesh, 60) for mesh in people]
    every = torch.arange(people[0].pos.shape[0])
    # The vertex nearest to the mirror image at rest: left and right swapped.
    rest = Puppets(num_vertices=1500).reference.pos
    swap = torch.cdist(rest * torch.tensor([-1.0, 1, 1]), rest).argmin(1)
    maps = {
        (i, j): p2p_to_fmap(
            swap if (i, j) in ((0, 1), (1, 0)) else every, spectra[i].evecs[:, :20], spectra[j].evecs[:, :20], spectra[j].mass
        )
        for i, j in permutations(range(4), 2)
    }  # fmt: skip
    made = consistent_zoomout(maps, spectra, 60, 20)

    def error(c: Tensor) -> float:
        p2p = fmap_to_p2p(c, spectra[0].evecs, spectra[1].evecs)
        return evaluate([MatchedPair(people[0], p2p, every)], "dijkstra").mean_error

    assert made[0, 1].shape == (60, 60)
    assert error(made[0, 1]) < 2 < 10 < error(maps[0, 1])
    assert cycle_error(made) < 0.3 * cycle_error(maps)


def test_bad_input_is_named() -> None:
    maps = between(rotations(3, 4))
    with pytest.raises(ValueError, match="no maps"):
        synchronize({})
    with pytest.raises(ValueError, match="must all be"):
        synchronize({**maps, (0, 1): torch.eye(5)})
    with pytest.raises(ValueError, match="not finite"):
        synchronize({**maps, (0, 1): torch.eye(4) * torch.nan})
    with pytest.raises(ValueError, match="to itself"):
        synchronize({(0, 0): torch.eye(4)})
    with pytest.raises(ValueError, match="no maps join shape 0"):
        synchronize({(0, 1): torch.eye(4), (2, 3): torch.eye(4)})
    with pytest.raises(ValueError, match="lead round"):
        cycle_error({(0, 1): torch.eye(4)})
