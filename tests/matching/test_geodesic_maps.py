"""First maps by distances: a body's symmetries are all among them."""

import torch
from scipy.spatial import KDTree

from geodl.data import Mesh
from geodl.datasets import Puppets
from geodl.matching import MatchedPair, SpectralShape, evaluate, fmap_to_p2p
from geodl.matching.geodesic_maps import geodesic_fmaps


def test_the_right_map_and_the_mirrored_one_are_found() -> None:
    people = Puppets(2, 3, split="train", num_vertices=1500)
    one, two = (SpectralShape.of(people[k], 60) for k in (0, 1))
    rest = people.reference.pos.double().numpy()
    mirrored = torch.from_numpy(KDTree(rest).query(rest * [-1, 1, 1])[1])
    maps = geodesic_fmaps(one, two)
    assert len(maps) > 1
    right, wrong = (
        [
            evaluate([MatchedPair(one.mesh, fmap_to_p2p(c, one.spectrum.evecs, two.spectrum.evecs), true)])
            for c in maps
        ]
        for true in (torch.arange(len(rest)), mirrored)
    )
    assert min(found.mean_error for found in right) < 10
    assert min(found.mean_error for found in wrong) < 10


def test_numbers_of_vertices_and_size_do_not_matter() -> None:
    body = Puppets(1, 1, num_vertices=1500)[0]
    order = torch.randperm(len(body.pos), generator=torch.Generator().manual_seed(0))
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    other = Mesh(30 * body.pos[order], place[body.face])
    one, two = SpectralShape.of(body, 60), SpectralShape.of(other, 60)
    errors = [
        evaluate(
            [MatchedPair(one.mesh, fmap_to_p2p(c, one.spectrum.evecs, two.spectrum.evecs), order)]
        ).mean_error
        for c in geodesic_fmaps(one, two)
    ]
    assert min(errors) < 10


def test_a_shape_of_few_vertices_has_none() -> None:
    corners = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    face = [[a, b, c] for a in (0, 1) for b in (2, 3) for c in (4, 5)]
    shape = SpectralShape.of(Mesh(corners, torch.tensor(face).T))
    assert geodesic_fmaps(shape, shape) == []
