"""Matching two meshes without training: bodies in two poses, mirrored, inverted, broken; and how far the result is trusted."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from geodl.data import Mesh, PointCloud
from geodl.datasets import Puppets
from geodl.geometry import vertex_normals
from geodl.matching import Match, MatchedPair, SpectralShape, Trust, evaluate, match, orientation, trust
from geodl.matching.hints import as_hints
from geodl.matching.match import _notes
from geodl.matching.search import Pair, first_fmaps


@pytest.fixture(scope="module")
def bodies() -> tuple[Mesh, Mesh]:
    """Two poses of a body, vertex v of one being vertex v of the other."""
    shapes = Puppets(2, 3, split="train", num_vertices=1500)
    return shapes[0], shapes[1]


def error(target: Mesh, found: Tensor, true: Tensor) -> float:
    return evaluate([MatchedPair(target, found, true)]).mean_error


def test_two_poses(bodies: tuple[Mesh, Mesh]) -> None:
    one, two = bodies
    found = match(one, two, 80)
    every = torch.arange(one.pos.shape[0])
    assert error(one, found.p2p_21, every) < 5
    assert error(two, found.p2p_12, every) < 5
    assert found.trust.orientation > 0.8
    assert found.trust.verdict == "good", found.trust


@pytest.mark.slow
def test_limbs_that_a_first_map_swaps_are_put_right() -> None:
    """Without maps of few eigenfunctions the search ends with the limbs half swapped: an error of 5."""
    people = Puppets(10, 10, seed=31, variant="remeshed", num_vertices=1500)
    one, two = (SpectralShape.of(people[k]) for k in (78, 6))
    at_1, at_2 = people.common_points(78, 6)
    found = match(one, two)
    assert error(one.mesh, found.p2p_21[at_2], at_1) < 3.5
    pair = Pair(one, two, 120)
    stuck = pair.improved(pair.bent(pair.grown(first_fmaps(one, two)[1], 80, 500)))
    assert pair.cost(pair.loosened(stuck)) < 0.6 * pair.cost(stuck)


def test_place_size_and_order_of_vertices_do_not_matter(bodies: tuple[Mesh, Mesh]) -> None:
    one, two = bodies
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    turn = turn * torch.linalg.det(turn).sign()  # no mirror image
    order = torch.randperm(two.pos.shape[0])
    place = torch.empty_like(order)
    place[order] = torch.arange(order.numel())
    moved = Mesh((1000 * two.pos.double() @ turn.T + 5)[order], place[two.face])
    every = torch.arange(one.pos.shape[0])
    assert error(one, match(one, moved, 80).p2p_21, every[order]) < 5


def test_left_stays_left(bodies: tuple[Mesh, Mesh]) -> None:
    one, two = bodies
    mirrored = Mesh(two.pos * torch.tensor([-1.0, 1.0, 1.0]), two.face.flip(0))
    found = match(one, mirrored, 80)
    # A mirrored body is a body whose left arm was its right one: the same vertex lies on the other side.
    assert error(one, found.p2p_21, torch.arange(one.pos.shape[0])) > 10
    assert found.trust.orientation > 0.8
    shapes = SpectralShape.of(one, 40), SpectralShape.of(mirrored, 40)
    same_vertex = shapes[1].spectrum.evecs.mT * shapes[1].spectrum.mass @ shapes[0].spectrum.evecs
    turned = orientation(
        same_vertex, shapes[0].spectrum, shapes[1].spectrum, shapes[0].gradient, shapes[1].gradient
    )
    assert turned < -0.8


def test_faces_that_look_inward_are_turned(bodies: tuple[Mesh, Mesh]) -> None:
    one, two = bodies
    found = match(one, Mesh(two.pos, two.face.flip(0)), 80)
    assert error(one, found.p2p_21, torch.arange(one.pos.shape[0])) < 5
    assert "the faces of shape 2 looked inward and were turned" in found.notes


def test_vertices_of_no_face_are_matched_to_nothing(bodies: tuple[Mesh, Mesh]) -> None:
    one, two = bodies
    count = two.pos.shape[0]
    stray = Mesh(torch.cat([two.pos, torch.full((2, 3), 9.0)]), two.face)
    found = match(one, stray, 80)
    assert found.p2p_21[count:].tolist() == [-1, -1]
    assert bool((found.p2p_21[:count] >= 0).all()) and bool((found.p2p_12 < count).all())
    assert "2 vertices of shape 2 belong to no face: they are matched to -1" in found.notes


def test_notes_of_the_inverse_name_the_shapes_the_other_way(bodies: tuple[Mesh, Mesh]) -> None:
    one, two = (SpectralShape.of(mesh, 4) for mesh in bodies)
    note = "Euler characteristics 2 of shape 1 and 0 of shape 2"
    found = Match(
        torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64), torch.eye(4),
        Trust(0.0, 1.0, 1.0, 1.0, 0.0, 0.0), (note,), (0.0, 0.0), (one, two),
    )  # fmt: skip
    assert found.inverse().notes == ("Euler characteristics 2 of shape 2 and 0 of shape 1",)
    open_mesh = Mesh(bodies[1].pos, bodies[1].face[:, 1:])
    told = _notes(one, SpectralShape.of(open_mesh, 4))
    assert any("Euler characteristics 2 of shape 1 and 1 of shape 2" in said for said in told)


def test_features_of_a_network_make_the_first_map(bodies: tuple[Mesh, Mesh]) -> None:
    one, two = bodies
    code = torch.randn(one.pos.shape[0], 16)
    found = match(one, two, 80, features=lambda _: code)
    assert error(one, found.p2p_21, torch.arange(one.pos.shape[0])) < 5


def test_a_smaller_map_of_shapes_prepared_for_a_larger_one(bodies: tuple[Mesh, Mesh]) -> None:
    shape = SpectralShape.of(bodies[0], 60)
    code = torch.randn(bodies[0].pos.shape[0], 16)
    found = match(shape, shape, 30, features=lambda _: code)
    assert found.c_12.shape == (30, 30)
    assert error(bodies[0], found.p2p_21, torch.arange(code.shape[0])) < 1


def test_trust_of_good_and_bad_maps(bodies: tuple[Mesh, Mesh]) -> None:
    one, two = bodies
    every = torch.arange(one.pos.shape[0])
    best = trust(one, two, every, every, 1.0)
    assert (best.bijectivity, best.coverage) == (0, 1)
    assert best.smoothness > 0.99 and best.verdict == "good"
    constant = trust(one, two, torch.zeros_like(every), torch.zeros_like(every), 0.0)
    assert constant.coverage < 0.02 and constant.bijectivity > 0.1
    shuffled = every[torch.randperm(every.numel())]
    assert trust(one, two, shuffled, every, 0.0).smoothness < 0.3
    assert "mirrored" in Trust(0.0, 1.0, 1.0, -0.9, 0.03, 0.02).verdict
    # Half mirrored, or a third of shape 1.
    for turned, coverage in ((-0.4, 1.0), (0.9, 0.3)):
        assert "doubtful" in Trust(0.0, coverage, 1.0, turned, 0.03, 0.02).verdict
    assert Trust(0.0, 1.0, 1.0, 0.9, 0.03, 0.02).verdict == "good"
    assert "not to be trusted" in str(constant)


def test_unmatched_vertices_say_nothing_of_their_neighbours(bodies: tuple[Mesh, Mesh]) -> None:
    one, two = bodies
    every = torch.arange(one.pos.shape[0])
    some = every.masked_fill(torch.rand(every.shape) < 0.2, -1)
    whole, part = (trust(one, two, p2p, every, 1.0).error for p2p in (every, some))
    assert whole is not None and part is not None
    assert bool(part[some < 0].isnan().all())
    assert float(part.nanmean()) < 1.5 * float(whole.mean()) and float(whole.min()) >= 0


def test_a_small_or_broken_mesh_is_answered_or_named() -> None:
    tetrahedron = Mesh(
        torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        torch.tensor([[0, 0, 0, 1], [2, 1, 3, 2], [1, 3, 2, 3]]),
    )
    found = match(tetrahedron, tetrahedron)
    assert found.p2p_21.shape == (4,) and bool(((found.p2p_21 >= 0) & (found.p2p_21 < 4)).all())
    with pytest.raises(ValueError, match="surface area 0"):
        match(tetrahedron, SimpleNamespace(pos=torch.zeros(3, 3), face=torch.tensor([[0], [1], [2]])))
    with pytest.raises(ValueError, match="the cloud has 3 points: too few for a surface, which takes 100"):
        match(tetrahedron, SimpleNamespace(pos=tetrahedron.pos[:3], face=None))
    with pytest.raises(ValueError, match="finite"):
        match(tetrahedron, SimpleNamespace(pos=tetrahedron.pos * torch.nan, face=tetrahedron.face))


@pytest.mark.parametrize("normals", [False, True])
def test_clouds_with_thin_limbs(normals: bool) -> None:
    """Arms as thick as a few points are apart: their sides must be told apart. Of meshes the error is 1.3."""
    one, two = (Puppets(num_vertices=1500, num_identities=1)[k] for k in (0, 3))
    clouds = [PointCloud(p.pos, **({"normal": vertex_normals(p)} if normals else {})) for p in (one, two)]
    found = match(*clouds)
    assert error(one, found.p2p_21, torch.arange(one.pos.shape[0])) < 5
    assert found.trust.verdict == "good"


def test_landmarks_break_a_symmetry(bodies: tuple[Mesh, Mesh]) -> None:
    """A mirrored body is matched as it is told: side to other side by itself, vertex to same vertex by six landmarks."""
    one, two = bodies
    mirrored = Mesh(two.pos * torch.tensor([-1.0, 1.0, 1.0]), two.face.flip(0))
    every = torch.arange(one.pos.shape[0])
    ends = [
        int((one.part == Puppets.parts.index(part)).nonzero()[0])
        for part in ("head", "left hand", "right hand")
    ]
    ends += [
        int((one.part == Puppets.parts.index(part)).nonzero()[0]) for part in ("left foot", "right foot")
    ]
    found = match(one, mirrored, 60, landmarks=[(v, v) for v in ends])
    told = error(one, found.p2p_21[torch.tensor(ends)], torch.tensor(ends))
    assert told < 6 and error(one, found.p2p_21, every) < 12


def test_regions_agree(bodies: tuple[Mesh, Mesh]) -> None:
    one, two = bodies
    arm = [
        part for part, name in enumerate(Puppets.parts) if name.startswith("left") and "hand" in name + "arm"
    ]
    mask_1, mask_2 = (torch.isin(mesh.part, torch.tensor(arm)) for mesh in (one, two))
    by_masks = match(one, two, 60, regions=[(mask_1, mask_2)])
    assert torch.equal(mask_1[by_masks.p2p_21], mask_2)
    by_labels = match(one, two, 60, regions=(one.part, two.part))
    assert torch.equal(one.part[by_labels.p2p_21], two.part)
    for found in (by_masks, by_labels):
        assert error(one, found.p2p_21, torch.arange(one.pos.shape[0])) < 4


def test_an_initial_map_is_kept_where_it_is_good_and_mended_where_not(bodies: tuple[Mesh, Mesh]) -> None:
    one, two = bodies
    every = torch.arange(one.pos.shape[0])
    shapes = SpectralShape.of(one, 60), SpectralShape.of(two, 60)
    told: list[tuple[str, float]] = []
    kept = match(*shapes, 60, initial=every, progress=lambda stage, share: told.append((stage, share)))
    assert error(one, kept.p2p_21, every) < 0.1
    assert told[-1] == ("judgement", 1.0) and [share for _, share in told] == sorted(
        share for _, share in told
    )
    noisy = torch.where(torch.rand(every.shape) < 0.1, torch.randint(every.numel(), every.shape), every)
    before = error(one, noisy, every)
    after = match(*shapes, 60, initial=noisy)
    assert error(one, after.p2p_21, every) < 0.3 * before
    again = match(*shapes, 60, initial=after)
    assert error(one, again.p2p_21, every) <= 1.02 * error(one, after.p2p_21, every)


def test_an_initial_map_gives_way_to_landmarks_and_regions(bodies: tuple[Mesh, Mesh]) -> None:
    one, two = (SpectralShape.of(mesh, 30) for mesh in bodies)
    every = torch.arange(bodies[0].pos.shape[0])
    wrong = torch.where(torch.rand(every.shape) < 0.05, torch.randint(every.numel(), every.shape), every)
    near = bodies[0].face[:2, 0].tolist()
    part = bodies[0].part
    found = match(one, two, 30, initial=wrong, regions=(part, part), landmarks=[(near[1], near[0])])
    assert int(found.p2p_21[near[0]]) == near[1] and int(found.p2p_12[near[1]]) == near[0]
    others = every != near[0]
    assert torch.equal(part[found.p2p_21][others], part[others])


def test_regions_in_every_form(bodies: tuple[Mesh, Mesh]) -> None:
    """Large labels, one pair of masks without a list, more than 64 masks, of which a whole number has too few bits."""
    one, two = (SpectralShape.of(mesh, 4) for mesh in bodies)
    part = bodies[0].part
    large = as_hints(one, two, None, (part * 10**9 + 7, part * 10**9 + 7))
    assert large is not None and large.labels_1 is not None
    assert set(large.labels_1.tolist()) == set(range(len(part.unique())))
    mask = part == 0
    forms = [
        as_hints(one, two, None, form)
        for form in ((mask, mask), [mask, mask], [(mask, mask)], ((mask, mask), (mask, mask)))
    ]
    for found in forms:
        assert found is not None and found.labels_2 is not None
        assert (found.labels_2 == mask.long().numpy()).all()
    places = torch.arange(part.shape[0])
    many = as_hints(one, two, None, [(places % 70 == k, places % 70 == k) for k in range(70)])
    assert many is not None and many.labels_1 is not None and len(set(many.labels_1.tolist())) == 70
    with pytest.raises(ValueError, match=r"shape 2 has none that is in masks \[0, 1\] alone"):
        as_hints(one, two, None, [(mask, mask), (mask, places < 0)])
    with pytest.raises(ValueError, match="shape 1 have shape"):
        as_hints(one, two, None, [(mask[:3], mask)])
    with pytest.raises(ValueError, match="regions are empty"):
        as_hints(one, two, None, [])


@pytest.mark.parametrize(
    ("arguments", "trouble"),
    [
        ({"landmarks": [(0, 99999)]}, "landmarks hold vertices 99999..99999 of shape 2"),
        ({"landmarks": [0, 1, 2]}, r"landmarks must be pairs of vertices \[L, 2\]"),
        (
            {"regions": (torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.int64))},
            "regions of shape 1",
        ),
        ({"initial": torch.zeros(3, dtype=torch.int64)}, r"initial has shape \[3\] but shape 2 has"),
        ({"initial": torch.zeros(1558, dtype=torch.int64), "features": lambda s: s}, "give one of them"),
    ],
)
def test_hints_that_do_not_fit(bodies: tuple[Mesh, Mesh], arguments: dict[str, object], trouble: str) -> None:
    with pytest.raises((ValueError, IndexError), match=trouble):
        match(*bodies, 10, **arguments)  # type: ignore[arg-type]


def test_a_cloud_of_few_points_is_refused() -> None:
    with pytest.raises(ValueError, match="the cloud has 50 points: too few for a surface, which takes 100"):
        SpectralShape.of(PointCloud(torch.rand(50, 3)))
