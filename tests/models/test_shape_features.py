"""Features of trained networks in `match`."""

import pytest
import torch

from geodl.data import Mesh, PointCloud
from geodl.datasets import Puppets
from geodl.geometry import Gradient
from geodl.matching import MatchedPair, SpectralShape, evaluate, match, match_descriptors
from geodl.models import FunctionalMapNet, pretrained_features, shape_features


@pytest.fixture(scope="module")
def bodies() -> list[SpectralShape]:
    people = Puppets(2, 2, seed=9, variant="remeshed", num_vertices=1500)
    return [SpectralShape.of(Mesh(people[k].pos, people[k].face)) for k in (0, 3)]


def test_pretrained_features_are_of_unit_length_and_do_not_change_with_pose_scale_or_order(
    bodies: list[SpectralShape],
) -> None:
    body, features = bodies[0], pretrained_features()
    found = features(body)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(found.shape[0]))
    order = torch.randperm(found.shape[0], generator=torch.Generator().manual_seed(0))
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]
    turn = turn * turn.det().sign()
    place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
    other = SpectralShape.of(Mesh(7 * (body.mesh.pos @ turn.T)[order] + 3, place[body.mesh.face]))
    torch.testing.assert_close(features(other), found[order], atol=0.02, rtol=0)


def test_features_tell_the_points_of_other_people_in_other_poses(bodies: list[SpectralShape]) -> None:
    people = Puppets(2, 2, seed=9, variant="remeshed", num_vertices=1500)
    one, two = (pretrained_features()(body) for body in bodies)
    at_one, at_two = people.common_points(0, 3)
    found = match_descriptors(one, two)[at_two]
    error = evaluate([MatchedPair(bodies[0].mesh, found[::5], at_one[::5])]).mean_error
    assert error < 4


def test_a_name_is_the_function(bodies: list[SpectralShape]) -> None:
    one, two = bodies
    named = match(one, two, features="pretrained")
    assert torch.equal(named.p2p_21, match(one, two, features=pretrained_features()).p2p_21)
    with pytest.raises(
        ValueError, match="features must be a function of a shape or 'pretrained', not 'best'"
    ):
        match(one, two, features="best")  # type: ignore[arg-type]


def test_clouds_have_features(bodies: list[SpectralShape]) -> None:
    found = pretrained_features()(SpectralShape.of(PointCloud(bodies[0].mesh.pos[:1000])))
    assert found.shape == (1000, 256) and bool(found.isfinite().all())


def test_eigenpairs_are_cut_to_those_of_training(bodies: list[SpectralShape]) -> None:
    torch.manual_seed(0)
    network = FunctionalMapNet(532, 8, 8, 1)
    few = SpectralShape.of(bodies[0].mesh, 40)
    assert isinstance(few.gradient, Gradient)
    torch.testing.assert_close(
        shape_features(network, 40)(bodies[0]), shape_features(network)(few), atol=1e-3, rtol=0
    )
    assert not network.training


def test_features_of_several_numbers_of_eigenpairs_are_averaged(bodies: list[SpectralShape]) -> None:
    torch.manual_seed(0)
    network = FunctionalMapNet(532, 8, 8, 1)
    both = sum(shape_features(network, k)(bodies[0]) for k in (40, 60))
    assert isinstance(both, torch.Tensor)
    torch.testing.assert_close(
        shape_features(network, (40, 60))(bodies[0]), torch.nn.functional.normalize(both, dim=1)
    )
    # More than the shape has are all of its own.
    few = SpectralShape.of(bodies[0].mesh, 40)
    torch.testing.assert_close(shape_features(network, (40, 60))(few), shape_features(network)(few))


def test_a_soup_of_many_components_has_features() -> None:
    torch.manual_seed(0)
    soup = SpectralShape.of(Mesh(torch.randn(300, 3), torch.arange(300).view(3, 100)))
    found = shape_features(FunctionalMapNet(532, 8, 8, 1), (70, 90, 110))(soup)
    assert found.shape == (300, 8) and bool(found.isfinite().all())
