"""Puppets: closed bodies of one piece, the same for the same seed, in exact correspondence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from geodl.data import DataLoader, Mesh
from geodl.datasets import Puppets
from geodl.geometry import edges, face_areas, mean_edge_length, validate

VARIANTS = ["registrations", "remeshed"]


@pytest.fixture(scope="module")
def registered() -> Puppets:
    return Puppets(num_identities=4, num_poses=6, seed=3)


@pytest.fixture(scope="module")
def remeshed() -> Puppets:
    return Puppets(num_identities=4, num_poses=6, seed=3, variant="remeshed")


@pytest.fixture(scope="module")
def shapes(registered: Puppets, remeshed: Puppets) -> list[Mesh]:
    return [registered.reference, *registered, *(remeshed[k] for k in (0, 5, 9, 14, 21))]


def volume(mesh: Mesh) -> float:
    a, b, c = mesh.pos.double()[mesh.face]
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


@pytest.mark.slow
def test_closed_manifold_of_genus_0(shapes: list[Mesh]) -> None:
    for mesh in shapes:
        report = validate(mesh)
        assert report.components == 1 and report.euler_characteristic == 2, mesh.name
        assert report.boundary_edges == report.non_manifold_edges == report.non_manifold_vertices == 0
        assert report.inconsistent_edges == report.isolated_vertices == report.degenerate_faces == 0
        assert report.duplicate_vertices == report.duplicate_faces == 0


def test_human_size(shapes: list[Mesh]) -> None:
    for mesh in shapes:
        size = mesh.pos.max(0).values - mesh.pos.min(0).values
        assert 1.1 < size[1] < 2.4, mesh.name  # crouching, or with an arm up
        assert 0.03 < volume(mesh) < 0.14, mesh.name  # cubic metres, faces outwards
        assert 1.2 < face_areas(mesh).sum() < 2.6, mesh.name
    standing = shapes[1]  # pose 0
    assert 1.45 < standing.pos[:, 1].max() < 2.1 and abs(standing.pos[:, 1].min()) < 1e-6


def test_triangles_are_of_even_size_and_shape(shapes: list[Mesh]) -> None:
    for mesh in shapes:
        a, b = mesh.pos.double()[edges(mesh)]
        lengths = (a - b).norm(dim=1)
        assert lengths.std() / lengths.mean() < 0.4, mesh.name  # 0.61 for FAUST
        corners = mesh.pos.double()[mesh.face]
        sides = sum(((corners[k] - corners[k - 1]) ** 2).sum(1) for k in range(3))
        quality = 4 * 3**0.5 * face_areas(mesh).double() / sides  # 1 for an equilateral triangle
        assert quality.mean() > 0.75 and (quality < 0.1).double().mean() < 0.01, mesh.name


def test_faces_do_not_turn_over(registered: Puppets) -> None:
    """Bending may fold skin in a groin or an elbow, nowhere else: neighbouring faces look the same way."""
    for mesh in registered:
        corners = mesh.pos.double()[mesh.face]
        normals = torch.linalg.cross(corners[1] - corners[0], corners[2] - corners[0])
        normals = normals / normals.norm(dim=1, keepdim=True)
        around = torch.zeros(mesh.num_nodes, 3, dtype=torch.float64)
        around.index_add_(0, mesh.face.reshape(-1), normals.repeat(3, 1))
        turned = (normals * around[mesh.face].sum(0)).sum(1) < 0
        assert turned.double().mean() < 0.01, mesh.name


def test_registrations_share_faces_and_labels(registered: Puppets) -> None:
    reference = registered.reference
    assert registered.num_classes == reference.num_nodes
    assert abs(registered.num_classes - 2500) < 150
    for mesh in registered:
        assert torch.equal(mesh.face, reference.face)
        assert torch.equal(mesh.y, torch.arange(reference.num_nodes))


def test_remeshed_shapes_have_meshes_of_their_own(remeshed: Puppets) -> None:
    counts = {remeshed[k].num_nodes for k in range(8)}
    assert len(counts) >= 6
    assert all(abs(count - 2500) < 400 for count in counts)


@pytest.mark.parametrize("index", [0, 5, 9, 14, 21])
def test_remeshed_ground_truth_lies_on_the_registration(
    registered: Puppets, remeshed: Puppets, index: int
) -> None:
    """The same person in the same pose, sampled twice: a point and what it is carried to are one place."""
    theirs, ours = registered[index], remeshed[index]
    step = float(mean_edge_length(theirs))
    weights, corners = ours.barycentric_weights, ours.barycentric_vertices
    assert (weights >= 0).all() and torch.allclose(weights.sum(1), torch.ones(ours.num_nodes))
    apart = ours.pos - (weights[..., None] * theirs.pos[corners]).sum(1)
    apart = (apart - apart.median(0).values).norm(dim=1)  # each stands on its own lowest vertex
    # Each mesh cuts off the tips of fingers and toes in its own way.
    assert apart.mean() < 0.1 * step and apart.quantile(0.99) < 0.4 * step and apart.max() < step
    labels = ours.pos - theirs.pos[ours.y]
    labels = (labels - labels.median(0).values).norm(dim=1)
    assert labels.mean() < 0.6 * step and labels.max() < 2 * step
    assert torch.equal(ours.y, corners.gather(1, weights.argmax(1, keepdim=True))[:, 0])
    # Nothing is left out: every point of the reference is some point's neighbour.
    assert len(torch.unique(corners)) > 0.95 * registered.num_classes


def test_rest_pose_labels_are_nearest_in_space() -> None:
    """Where nothing is bent, the carried-over label is the nearest vertex, or its neighbour by a hair."""
    from geodl.datasets import bodies
    from geodl.datasets.body import BODY

    template = bodies.template(BODY, 2500)
    points, _ = BODY.mesh(np.random.default_rng(11), 0.031)
    corners, weights = bodies.locate(template, points)
    reached = (weights[..., None] * template.vertices[corners]).sum(1)
    nearest, _ = KDTree(template.vertices).query(points)
    label = template.vertices[corners[range(len(points)), weights.argmax(1)]]
    distance = ((points - label) ** 2).sum(1) ** 0.5
    off = ((points - reached) ** 2).sum(1) ** 0.5
    assert off.mean() < 0.002 and np.quantile(off, 0.99) < 0.01 and off.max() < 0.025
    assert (distance - nearest).max() < 0.02 and (distance - nearest).mean() < 0.001


def test_left_and_right_front_and_back(registered: Puppets) -> None:
    """The body mirrors left to right, but left is not right: labels differ, and its front is not its back."""
    pos = registered.reference.pos.double()
    step = float(mean_edge_length(registered.reference))
    mirrored = pos * torch.tensor([-1.0, 1, 1], dtype=torch.float64)
    distance, other = KDTree(pos.numpy()).query(mirrored.numpy())
    assert (
        distance.max() < 1.6 * step and distance.mean() < 0.5 * step
    )  # mirrored, the surface lies on itself
    far = pos[:, 0].abs() > 0.05
    assert (torch.from_numpy(other)[far] != torch.arange(len(pos))[far]).all()
    assert (pos[:, 0] > 0.05).sum() == pytest.approx(int((pos[:, 0] < -0.05).sum()), rel=0.05)
    reversed_, _ = KDTree(pos.numpy()).query((pos * torch.tensor([1.0, 1, -1], dtype=torch.float64)).numpy())
    assert reversed_.max() > 0.08  # the feet point forwards
    feet = pos[pos[:, 1] < 0.08]
    assert feet[:, 2].max() > 0.12 and feet[:, 2].min() > -0.12


def test_people_and_poses_differ(registered: Puppets) -> None:
    heights = [float(registered[subject * 6].pos[:, 1].max()) for subject in range(4)]
    assert max(heights) - min(heights) > 0.02
    same_person = (registered[1].pos - registered[2].pos).norm(dim=1).mean()
    same_pose = (registered[1].pos - registered[1 + 6].pos).norm(dim=1).mean()
    assert same_person > 0.05 and same_pose > 0.01
    assert [mesh.subject for mesh in registered] == [k // 6 for k in range(24)]
    assert [mesh.pose for mesh in registered] == [k % 6 for k in range(24)]
    assert registered[13].name == "puppet_002_001"


FINGERPRINTS = """
import hashlib
from geodl.datasets import Puppets

def fingerprint(variant, people, poses, index):
    mesh = Puppets(people, poses, seed=5, variant=variant)[index]
    return hashlib.sha256(b"".join(mesh[k].numpy().tobytes() for k in ("pos", "face", "y"))).hexdigest()
"""


@pytest.mark.slow
def test_same_seed_same_bits() -> None:
    """Within a process, from another process, and however many people and poses are asked for."""
    here: dict[str, Any] = {}
    exec(FINGERPRINTS, here)
    told = [here["fingerprint"](variant, 3, 3, 4) for variant in VARIANTS]
    assert told == [here["fingerprint"](variant, 5, 2, 3) for variant in VARIANTS]
    show = f"print(*(fingerprint(variant, 3, 3, 4) for variant in {VARIANTS}))"
    command = [sys.executable, "-c", FINGERPRINTS + show]
    run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    assert run.stdout.split() == told
    mesh, other = Puppets(2, 2, seed=5)[1], Puppets(2, 2, seed=6)[1]
    assert torch.equal(mesh.face, other.face) and not torch.equal(mesh.pos, other.pos)


def test_splits_are_by_person() -> None:
    train, test, everyone = (Puppets(5, 2, split=split) for split in ("train", "test", None))  # type: ignore[arg-type]
    assert (len(train), len(test), len(everyone)) == (8, 2, 10)
    assert {mesh.subject for mesh in train} == {0, 1, 2, 3} and {mesh.subject for mesh in test} == {4}
    assert torch.equal(test[1].pos, everyone[9].pos)
    assert torch.equal(train.reference.pos, test.reference.pos)
    with pytest.raises(IndexError):
        test[2]


def test_transform_and_batches() -> None:
    def lift(mesh: Mesh) -> Mesh:
        mesh.pos = mesh.pos + 1
        return mesh

    lifted = Puppets(2, 2, transform=lift, variant="remeshed")
    assert torch.equal(lifted[1].pos, lifted[1].pos)
    batch = next(iter(DataLoader(lifted, batch_size=2)))
    assert batch.pos.shape[0] == lifted[0].num_nodes + lifted[1].num_nodes
    assert torch.equal(batch.y, torch.cat([lifted[0].y, lifted[1].y]))
    assert (
        int(batch.barycentric_vertices.max()) < lifted.num_classes
    )  # names reference vertices: not counted on


@pytest.mark.parametrize("num_vertices", [1500, 6000])
def test_resolution(num_vertices: int) -> None:
    puppets = Puppets(1, 1, num_vertices=num_vertices)
    assert puppets.num_classes == pytest.approx(num_vertices, rel=0.07)
    assert validate(puppets[0]).euler_characteristic == 2


@pytest.mark.parametrize(
    ("arguments", "trouble"),
    [
        ({"variant": "scans"}, "variant must be one of 'registrations', 'remeshed', not 'scans'"),
        ({"split": "all"}, "split must be 'train', 'test' or None, not 'all'"),
        ({"num_identities": 0}, "num_identities must be at least 1"),
        (
            {"num_identities": 1, "split": "test"},
            "num_identities must be at least 2 with split='test', got 1",
        ),
        ({"num_poses": 0}, "num_poses must be at least 1, got 0"),
        ({"num_vertices": 100}, "num_vertices must be at least 1500, got 100"),
        ({"seed": -1}, "seed must not be negative, got -1"),
    ],
)
def test_arguments(arguments: dict[str, object], trouble: str) -> None:
    with pytest.raises(ValueError, match=trouble):
        Puppets(**arguments)  # type: ignore[arg-type]


def test_pairs_lead_to_the_same_points_of_the_body() -> None:
    """The vertices that stand for the reference's lie where its own would, had they been bent with the same skeleton."""
    bent, remeshed = (Puppets(2, 2, variant=variant) for variant in ("registrations", "remeshed"))  # type: ignore[arg-type]
    pairs = remeshed.pairs()
    assert len(pairs) == 12 and pairs[1].name == "puppet_000_000-puppet_001_000"
    for pair, exact in zip(pairs[:4], bent.pairs()[:4], strict=True):
        assert torch.equal(exact.source_vertices, torch.arange(bent.num_classes))
        for mesh, vertices, true in (
            (pair.source, pair.source_vertices, exact.source.pos),
            (pair.target, pair.target_vertices, exact.target.pos),
        ):
            error = torch.linalg.vector_norm(mesh.pos[vertices] - true, dim=1) / mean_edge_length(mesh)
            assert float(error.median()) < 0.7 and float(error.max()) < 2


def test_a_split_whose_people_and_poses_are_new() -> None:
    train, test = (Puppets(5, 10, split=split, new_poses=True) for split in ("train", "test"))
    assert len(train) == 4 * 8 and len(test) == 1 * 2
    seen = [{name.split("_")[k] for name in train.names} for k in (1, 2)]
    assert not any(name.split("_")[1] in seen[0] or name.split("_")[2] in seen[1] for name in test.names)
    assert len(Puppets(5, 10, new_poses=True)) == 50
    with pytest.raises(ValueError, match="at least 2 with poses that are new in the test, got 1"):
        Puppets(5, 1, split="train", new_poses=True)


def test_parts_and_joints() -> None:
    registered, remeshed = (
        Puppets(2, 2, variant=v, num_vertices=1500) for v in ("registrations", "remeshed")
    )  # type: ignore[arg-type]
    parts = Puppets.parts
    for bodies in (registered, remeshed):
        for body in bodies:
            assert body.part.shape == (body.num_nodes,) and body.part.dtype == torch.int64
            assert body.joints.shape == (17, 3) and len(body.part.unique()) == 17
            # A hand is at the end of an arm: its vertices are nearer to its joint than to the elbow.
            for side in ("left", "right"):
                hand = body.pos[body.part == parts.index(f"{side} hand")]
                wrist, elbow = (body.joints[parts.index(f"{side} {name}")] for name in ("hand", "forearm"))
                assert bool(((hand - wrist).norm(dim=1) < (hand - elbow).norm(dim=1)).all())
    # The same body on another mesh: the same joints, and the same part at the same point but at borders.
    one, two = registered[1], remeshed[1]
    shift = two.joints[0] - one.joints[0]
    torch.testing.assert_close(two.joints, one.joints + shift, rtol=0, atol=1e-5)
    assert float(shift.norm()) < 0.01
    assert float((one.part == two.part[two.corres]).float().mean()) > 0.95
    assert torch.equal(registered.reference.part, one.part)


def test_the_skeleton_holds_the_bodies() -> None:
    bodies = Puppets(1, 2, num_vertices=1500)
    assert bodies.skeleton().names[:17] == Puppets.parts
    # Bones of a posed person have the lengths that they have in the person's skeleton.
    skeleton = bodies.skeleton(0)
    parents = skeleton.parents[1:17]
    rest = skeleton.offsets[1:17].norm(dim=1)
    for body in bodies:
        lengths = (body.joints[1:] - body.joints[parents]).norm(dim=1)
        torch.testing.assert_close(lengths, rest, rtol=1e-4, atol=1e-5)
