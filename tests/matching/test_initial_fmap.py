"""The first functional map of a matching, and what a matching returns."""

from __future__ import annotations

import torch

from geodl.datasets import Puppets
from geodl.matching import (
    PROTOCOLS,
    CorrespondenceReport,
    Match,
    MatchedPair,
    SpectralShape,
    evaluate,
    initial_fmap,
    match,
)


def test_the_first_map_of_a_shape_to_itself_is_the_identity() -> None:
    shape = SpectralShape.of(Puppets(2, 3, split="train", num_vertices=1500)[0], 60)
    found = initial_fmap(shape, shape)
    assert found.shape == (60, 60) and found.dtype == torch.float32
    torch.testing.assert_close(found[:30, :30], torch.eye(30), atol=1e-2, rtol=0)


def test_the_first_map_leads_near_the_truth_and_matching_ends_nearer() -> None:
    one, two = (Puppets(2, 3, split="train", num_vertices=1500)[number] for number in (0, 1))
    shapes = [SpectralShape.of(mesh, 60) for mesh in (one, two)]
    c_12 = initial_fmap(*shapes)
    phi_1, phi_2 = (shape.spectrum.evecs for shape in shapes)
    truth = phi_2.mT @ (shapes[1].spectrum.mass[:, None] * phi_1)  # vertex v is vertex v
    assert float((c_12 - truth).norm() / truth.norm()) < 0.7
    found = match(*shapes, k=60)
    assert isinstance(found, Match) and found.p2p_21.shape == (len(two.pos),)
    every = torch.arange(len(one.pos))
    for protocol in PROTOCOLS:
        report = evaluate([MatchedPair(one, found.p2p_21, every)], protocol)
        assert isinstance(report, CorrespondenceReport) and report.protocol == protocol
        assert report.mean_error < 8 and PROTOCOLS[protocol] in str(report)


def test_a_shape_with_few_vertices_has_a_small_map() -> None:
    import trimesh

    from geodl.data import Mesh

    made = trimesh.creation.icosphere(1)
    pos = torch.tensor(made.vertices).float() * torch.tensor([1.0, 1.3, 0.7])
    shape = SpectralShape.of(Mesh(pos, torch.tensor(made.faces).long().t().contiguous()), 30)
    assert initial_fmap(shape, shape).shape == (30, 30)
