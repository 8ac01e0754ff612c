"""Skeletons and motions: forward kinematics against a joint by joint one of scipy, batches, selections."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from geodl.data import DataLoader, Motion, Skeleton, collate, forward_kinematics, global_rotations

# Two trees; joint 4 hangs on joint 0 although others stand between.
PARENTS = (-1, 0, 1, -1, 0, 3, 2)


def rotations(*shape: int, seed: int = 0) -> Tensor:
    count = int(np.prod(shape))
    made = Rotation.random(count, random_state=np.random.RandomState(seed)).as_matrix()
    return torch.tensor(made).view(*shape, 3, 3)


def skeleton(seed: int = 0) -> Skeleton:
    offsets = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return Skeleton(tuple("abcdefg"), torch.tensor(PARENTS), offsets)


def motion(frames: int = 5, seed: int = 0, **attributes: object) -> Motion:
    place = torch.randn(frames, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return Motion(skeleton(seed), rotations(frames, 7, seed=seed), place, 0.01, **attributes)


def walked(rotation: Tensor, translation: Tensor, offsets: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Positions and turns of one frame, down from the roots."""
    roots = iter(translation.numpy())
    place, turned = [], []
    for joint, parent in enumerate(PARENTS):
        own = Rotation.from_matrix(rotation[joint].numpy())
        if parent < 0:
            place.append(next(roots))
            turned.append(own)
        else:
            place.append(place[parent] + turned[parent].apply(offsets[joint].numpy()))
            turned.append(turned[parent] * own)
    return np.stack(place), np.stack([turn.as_matrix() for turn in turned])


def test_forward_kinematics_goes_down_the_tree() -> None:
    m = motion()
    position, turned = m.positions(), m.global_rotations()
    for frame in range(5):
        told, turns = walked(m.rotation[frame], m.translation[frame], m.skeleton.offsets)
        np.testing.assert_allclose(position[frame].numpy(), told, atol=1e-12)
        np.testing.assert_allclose(turned[frame].numpy(), turns, atol=1e-12)


def test_leading_dimensions_broadcast() -> None:
    bones = skeleton()
    rotation, place = rotations(2, 3, 7), torch.randn(3, 2, 3, dtype=torch.float64)
    many = forward_kinematics(rotation, place, bones)
    assert many.shape == (2, 3, 7, 3)
    torch.testing.assert_close(many[1, 2], forward_kinematics(rotation[1, 2], place[2], bones))
    assert global_rotations(rotation, bones).shape == (2, 3, 7, 3, 3)
    moved = torch.randn(2, 3, 7, 3, dtype=torch.float64)
    with_offsets = forward_kinematics(rotation, place, bones, moved)
    told, _ = walked(rotation[0, 1], place[1], moved[0, 1])
    np.testing.assert_allclose(with_offsets[0, 1].numpy(), told, atol=1e-12)


def test_forward_kinematics_is_differentiable() -> None:
    bones = skeleton()
    rotation, place = (
        rotations(2, 7).requires_grad_(),
        torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True),
    )
    assert torch.autograd.gradcheck(lambda r, t: forward_kinematics(r, t, bones), (rotation, place))


def test_forward_kinematics_compiles_into_one_graph() -> None:
    bones, rotation = skeleton(), rotations(2, 3, 7)
    place = torch.randn(3, 2, 3, dtype=torch.float64)
    compiled = torch.compile(
        lambda r, t: (forward_kinematics(r, t, bones), global_rotations(r, bones)),
        backend="eager",
        fullgraph=True,
    )
    torch.testing.assert_close(compiled(rotation, place)[0], forward_kinematics(rotation, place, bones))
    torch.testing.assert_close(compiled(rotation, place)[1], global_rotations(rotation, bones))


def test_what_moves_with_the_root_keeps_its_form() -> None:
    m = motion()
    turn = rotations(1)[0]
    rotation, place = m.rotation.clone(), m.translation @ turn.T
    rotation[:, m.skeleton.roots] = turn @ rotation[:, m.skeleton.roots]
    torch.testing.assert_close(forward_kinematics(rotation, place, m.skeleton), m.positions() @ turn.T)


def test_a_skeleton_says_what_hangs_on_what() -> None:
    bones = skeleton()
    assert bones.num_joints == 7 and bones.roots.tolist() == [0, 3] and bones.number("d") == 3
    assert {tuple(edge) for edge in bones.edge_index.T.tolist()} == {
        edge
        for joint, parent in enumerate(PARENTS)
        if parent >= 0
        for edge in ((joint, parent), (parent, joint))
    }
    torch.testing.assert_close(bones.bone_lengths[1:3], bones.offsets[1:3].norm(dim=1))
    assert bones.bone_lengths[3] == 0
    assert bones.same_tree(skeleton(1)) and not bones.same_tree(Skeleton.cat([bones, bones]))
    with pytest.raises(KeyError, match="no joint 'x' among a, b"):
        bones.number("x")
    back = Skeleton.from_tensors(bones.to_tensors())
    assert back.names == bones.names and torch.equal(back.parents, bones.parents)
    assert pickle.loads(pickle.dumps(bones)).same_tree(bones)


def test_packed_motions_are_where_they_are_alone() -> None:
    parts = [
        motion(5, 0, y=torch.tensor([2])),
        motion(3, 1, y=torch.tensor([0])),
        motion(1, 2, y=torch.tensor([1])),
    ]
    batch = next(iter(DataLoader(parts, batch_size=3)))
    assert batch.num_nodes == 9 and batch.ptr.tolist() == [0, 5, 8, 9] and batch.y.tolist() == [2, 0, 1]
    torch.testing.assert_close(batch.positions(), torch.cat([part.positions() for part in parts]))
    assert batch.skeleton.parents[7:14].tolist() == [-1 if p < 0 else p + 7 for p in PARENTS]
    for number, part in enumerate(parts):
        again = batch[number]
        assert again.skeleton.same_tree(part.skeleton) and again.num_frames == part.num_frames
        torch.testing.assert_close(again.positions(), part.positions())


def test_packed_motions_of_other_trees_are_refused() -> None:
    m = motion(2)
    other = Skeleton(m.skeleton.names, torch.tensor([-1, 0, 0, -1, 0, 3, 2]), m.skeleton.offsets)
    with pytest.raises(ValueError, match="different trees"):
        collate([m, Motion(other, m.rotation, m.translation)]).positions()


def test_a_clip_is_cut_with_all_that_belongs_to_its_frames() -> None:
    m = motion(6, contact=torch.arange(6), y=torch.tensor([4]))
    clip = m.clip(2, 5)
    assert (
        clip.num_frames == clip.num_nodes == 3
        and clip.contact.tolist() == [2, 3, 4]
        and clip.y.tolist() == [4]
    )
    torch.testing.assert_close(clip.positions(), m.positions()[2:5])
    with pytest.raises(ValueError, match=r"within frames 0..6, not 4..8"):
        m.clip(4, 8)


def test_a_selection_leaves_joints_where_they_are() -> None:
    m = motion()
    some = m.select(["a", "c", "d", "g"])  # b turns, so that c moves from its place on a
    kept = [0, 2, 3, 6]
    assert some.skeleton.parents.tolist() == [-1, 0, -1, 1] and "offsets" in some
    torch.testing.assert_close(some.positions(), m.positions()[:, kept])
    torch.testing.assert_close(some.global_rotations(), m.global_rotations()[:, kept])
    leaves = m.select([0, 1, 2, 3])
    assert "offsets" not in leaves
    torch.testing.assert_close(leaves.skeleton.offsets[1:3], m.skeleton.offsets[1:3])
    limbs = m.select([1, 2, 6])  # a new root
    torch.testing.assert_close(limbs.positions(), m.positions()[:, [1, 2, 6]])
    again = some.select(["c", "g"])
    torch.testing.assert_close(again.positions(), m.positions()[:, [2, 6]])
    for wrong in ([], [0, 0]):
        with pytest.raises(ValueError, match="at least one joint and none twice"):
            m.select(wrong)
    with pytest.raises(ValueError, match="parents stand before their children"):
        m.select(["b", "a"])
    with pytest.raises(IndexError):
        m.select([9])


def test_scale_and_precision() -> None:
    m = motion()
    torch.testing.assert_close(m.scaled(0.01).positions(), m.positions() / 100)
    single = m.as_float32()
    assert single.rotation.dtype == single.skeleton.offsets.dtype == single.positions().dtype == torch.float32
    torch.testing.assert_close(single.positions().double(), m.positions(), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="factor must be positive"):
        m.scaled(0)
    assert copy.copy(m).num_frames == 5


def test_bones_without_length_and_single_joints() -> None:
    point = Motion(
        Skeleton(("only",), torch.tensor([-1]), torch.zeros(1, 3)),
        torch.eye(3).expand(1, 1, 3, 3),
        torch.ones(1, 1, 3),
    )
    assert point.positions().tolist() == [[[1.0, 1.0, 1.0]]]
    bones = Skeleton(("a", "b"), torch.tensor([-1, 0]), torch.zeros(2, 3))
    placed = forward_kinematics(rotations(4, 2).float(), torch.randn(4, 1, 3), bones)
    torch.testing.assert_close(placed[:, 0], placed[:, 1])


def test_what_does_not_fit_is_named() -> None:
    m = motion()
    with pytest.raises(ValueError, match=r"joint 1 \(b\) has the parent 2"):
        Skeleton(("a", "b", "c"), torch.tensor([-1, 2, 0]), torch.zeros(3, 3))
    with pytest.raises(ValueError, match="names is empty"):
        Skeleton((), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3))
    with pytest.raises(ValueError, match=r"parents must be int64 \[1\]"):
        Skeleton(("a",), torch.tensor([-1.0]), torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"offsets must be floating point \[1, 3\]"):
        Skeleton(("a",), torch.tensor([-1]), torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"rotation must have shape \[F, 7, 3, 3\], not \[5, 6, 3, 3\]"):
        Motion(m.skeleton, m.rotation[:, :6], m.translation)
    with pytest.raises(ValueError, match=r"translation must have shape \[5, 2, 3\], not \[5, 1, 3\]"):
        Motion(m.skeleton, m.rotation, m.translation[:, :1])
    with pytest.raises(ValueError, match="no frames"):
        Motion(m.skeleton, m.rotation[:0], m.translation[:0])
    with pytest.raises(ValueError, match="frame_time must be positive"):
        Motion(m.skeleton, m.rotation, m.translation, float("nan"))
    with pytest.raises(ValueError, match=r"translation is torch.float32 but the skeleton is torch.float64"):
        Motion(m.skeleton, m.rotation, m.translation.float())
    with pytest.raises(ValueError, match=r"one row a root"):
        forward_kinematics(m.rotation, m.translation[:, :1], m.skeleton)
    with pytest.raises(ValueError, match=r"one matrix a joint"):
        forward_kinematics(m.rotation[:, :3], m.translation, m.skeleton)
    with pytest.raises(ValueError, match=r"offsets must have shape \[..., 7, 3\]"):
        forward_kinematics(m.rotation, m.translation, m.skeleton, m.skeleton.offsets[:3])
