"""Measures of motions: closed forms, scipy's Procrustes, and that the truth is best."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation
from torch import Tensor

from geodl.data import Skeleton, bone_length_error, contact_f1, foot_contact, foot_skate, mpjpe
from geodl.datasets import Gaits


def test_mpjpe_is_a_mean_of_distances() -> None:
    target = torch.randn(4, 5, 3)
    moved = target.clone()
    moved[1, 2] += torch.tensor([3.0, 0, 4])
    torch.testing.assert_close(mpjpe(moved, target), torch.tensor([0.0, 1, 0, 0]))
    assert mpjpe(moved[0, :1], target[0, :1]).shape == ()


def test_after_alignment_only_the_form_counts() -> None:
    target = torch.randn(6, 8, 3, dtype=torch.float64)
    turn = torch.tensor(Rotation.random(6, random_state=0).as_matrix())
    moved = 0.3 * target @ turn.mT + torch.randn(6, 1, 3, dtype=torch.float64)
    torch.testing.assert_close(mpjpe(moved, target, align=True), torch.zeros(6).double(), atol=1e-12, rtol=0)
    mirrored = target * torch.tensor([-1.0, 1, 1])
    assert float(mpjpe(mirrored, target, align=True).min()) > 0.1  # a mirror image is no motion


def test_alignment_is_that_of_scipy() -> None:
    target, predicted = torch.randn(2, 9, 3, dtype=torch.float64), torch.randn(2, 9, 3, dtype=torch.float64)
    for frame in range(2):
        one, two = predicted[frame].numpy(), target[frame].numpy()
        one, middle = one - one.mean(0), two.mean(0)
        turn, _ = Rotation.align_vectors(two - middle, one)
        turned = turn.apply(one)
        scale = (turned * (two - middle)).sum() / np.square(one).sum()
        told = np.linalg.norm(scale * turned + middle - two, axis=1).mean()
        assert float(mpjpe(predicted, target, align=True)[frame]) == pytest.approx(told)


def test_joints_that_coincide_are_only_moved() -> None:
    target = torch.randn(3, 4, 3)
    flat = torch.zeros(3, 4, 3)
    expected = (target - target.mean(1, keepdim=True)).norm(dim=-1).mean(-1)
    torch.testing.assert_close(mpjpe(flat, target, align=True), expected)


def test_bones_that_keep_their_length() -> None:
    skeleton = Skeleton(
        ("a", "b", "c"), torch.tensor([-1, 0, 0]), torch.tensor([[9.0, 9, 9], [0, 2, 0], [1, 0, 0]])
    )
    position = torch.tensor([[[0.0, 0, 0], [0, 0, 2], [0, 1, 0]], [[1, 1, 1], [1, 1, 1], [1, 1, 2.5]]])
    torch.testing.assert_close(bone_length_error(position, skeleton), torch.tensor([0.0, (2 + 0.5) / 2]))
    with pytest.raises(ValueError, match="no bones"):
        bone_length_error(torch.zeros(1, 1, 3), Skeleton(("a",), torch.tensor([-1]), torch.zeros(1, 3)))


def test_contacts_are_those_of_the_plan() -> None:
    walks = Gaits(num_identities=2, num_clips=1)
    agree = []
    for number in range(len(walks)):
        m = walks[number]
        joints = [m.skeleton.number(name) for name in Gaits.contact_joints]
        agree.append(float(contact_f1(foot_contact(m.positions(), joints, m.frame_time), m.contact)))
    assert min(agree) > 0.75 and float(np.mean(agree)) > 0.85, agree


def test_agreement_of_contacts() -> None:
    target = torch.tensor([[1, 1, 0, 0]])
    assert contact_f1(target, target) == 1
    assert float(contact_f1(torch.tensor([[1, 0, 0, 0]]), target)) == pytest.approx(2 / 3)
    assert contact_f1(1 - target, target) == 0
    assert contact_f1(torch.zeros(2, 2), torch.zeros(2, 2)) == 1


def worse(position: Tensor, frame_time: float) -> dict[str, Tensor]:
    """What a network makes of a true motion: too rough, too smooth, too few key frames, too far, feet too late, on the spot."""

    def smooth(deviation: float) -> Tensor:
        return torch.tensor(gaussian_filter1d(position.numpy(), deviation, axis=0, mode="nearest"))

    frames = np.arange(len(position))
    keys = np.unique(np.r_[frames[::6], len(position) - 1])
    flat = position.numpy().reshape(len(position), -1)
    between = np.stack([np.interp(frames, keys, column[keys]) for column in flat.T], 1)
    drift = 0.1 * frame_time * torch.tensor([0.0, 0, 1]) * torch.arange(len(position))[:, None, None]
    root = position[:, :1]
    return {
        "rough": position + 0.002 * torch.randn_like(position),
        "rougher": position + 0.01 * torch.randn_like(position),
        "smooth": smooth(1),
        "smoother": smooth(2),
        "smoothest": smooth(5),
        "key frames": torch.tensor(between).float().view(position.shape),
        "drift": position + drift,
        "late": root + (position - root).roll(3, 0),
        "on the spot": position - root + root[:1],
    }


def test_the_truth_is_best() -> None:
    walks = Gaits(num_identities=3, num_clips=1, seed=5)
    for number in range(0, len(walks), 2):
        m = walks[number]
        joints = [m.skeleton.number(name) for name in Gaits.contact_joints]
        position, seconds = m.positions(), m.frame_time
        found = foot_contact(position, joints, seconds)
        measures = {
            "contacts of the data": lambda p, m=m, j=joints, s=seconds: foot_skate(p, j, s, m.contact),
            "contacts found": lambda p, c=found, j=joints, s=seconds: foot_skate(p, j, s, c),
            "no contacts": lambda p, j=joints, s=seconds: foot_skate(p, j, s),
            "agreement": lambda p, c=found, j=joints, s=seconds: 1 - contact_f1(foot_contact(p, j, s), c),
        }
        for told, measure in measures.items():
            truth = float(measure(position))
            for name, variant in worse(position, seconds).items():
                assert float(measure(variant)) >= truth, (m.name, told, name)
                assert told == "agreement" or float(measure(variant)) > truth, (m.name, told, name)
        assert float(foot_skate(position, joints, seconds, m.contact)) < 1e-3
        statue = position[:1].expand_as(position)  # which does not skate, but is told by its contacts
        assert foot_skate(statue, joints, seconds) == 0
        assert float(contact_f1(foot_contact(statue, joints, seconds), found)) < 0.8


def test_one_frame_and_nothing_that_stands() -> None:
    position = torch.randn(1, 4, 3)
    assert foot_contact(position, [2, 3], 0.1).tolist() == [[True, True]]
    assert bool(foot_skate(position, [2, 3], 0.1).isnan())
    assert bool(foot_skate(torch.randn(5, 4, 3), [2], 0.1, torch.zeros(5, 1)).isnan())


def test_what_does_not_fit_is_named() -> None:
    position = torch.zeros(5, 4, 3)
    with pytest.raises(ValueError, match=r"not \[5, 4, 3\] and \[4, 4, 3\]"):
        mpjpe(position, position[:4])
    with pytest.raises(ValueError, match=r"positions must have shape \[F, J, 3\], not \[4, 3\]"):
        foot_skate(position[0], [0], 0.1)
    with pytest.raises(ValueError, match=r"contact must have shape \[5, 2\].*not \[5, 3\]"):
        foot_skate(position, [0, 1], 0.1, torch.zeros(5, 3))
    with pytest.raises(ValueError, match="frame_time must be positive"):
        foot_contact(position, [0], 0.0)
    with pytest.raises(ValueError, match="speed and height must be positive"):
        foot_contact(position, [0], 0.1, speed=0.0)
    with pytest.raises(ValueError, match="height must be positive"):
        foot_skate(position, [0], 0.1, height=-1.0)
    with pytest.raises(ValueError, match=r"predicted has shape \[2\] but target has \[3\]"):
        contact_f1(torch.zeros(2), torch.zeros(3))
    with pytest.raises(ValueError, match=r"positions must have shape \[..., 1, 3\]"):
        bone_length_error(position, Skeleton(("a",), torch.tensor([-1]), torch.zeros(1, 3)))
