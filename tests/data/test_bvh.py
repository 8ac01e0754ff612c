"""BVH files: every order of channels, roots, end sites and spelling, against a few lines of scipy; what is no motion is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from geodl.data import Motion, Skeleton, collate

FILE = """HIERARCHY
ROOT Hips
{
  OFFSET 1 2 3
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Left Leg
  {
    OFFSET 0.5 -1 0
    CHANNELS 3 Yrotation Zrotation Xrotation
    JOINT Foot
    {
      OFFSET 0 -1.5 0
      CHANNELS 6 Zrotation Yposition Xrotation Zposition Xposition Yrotation
      End Site
      {
        OFFSET 0 0 0.4
      }
    }
  }
  JOINT Stiff
  {
    OFFSET 0 1 0
    CHANNELS 0
    JOINT Head
    {
      OFFSET 0 0 0
      CHANNELS 2 Yrotation Xrotation
    }
  }
}
ROOT Prop
{
  OFFSET 7 8 9
  CHANNELS 4 Yposition Xrotation Yrotation Xrotation
}
MOTION
Frames: 3
Frame Time: 0.008
"""
CHANNELS = 6 + 3 + 6 + 0 + 2 + 4


def rows(frames: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(-170, 170, (frames, CHANNELS)).round(4)


def written(path: Path, text: str = FILE, numbers: np.ndarray | None = None) -> Path:
    lines = [" ".join(f"{number:.4f}" for number in row) for row in (rows() if numbers is None else numbers)]
    path.write_bytes((text + "\n".join(lines) + "\n").encode())
    return path


def told(row: np.ndarray) -> dict[str, Any]:
    """Places of the joints of FILE in one frame, written down by hand."""

    def turn(order: str, degrees: np.ndarray) -> Rotation:
        made = Rotation.identity()
        for letter, angle in zip(order, degrees, strict=True):
            made = made * Rotation.from_euler(letter, angle, degrees=True)
        return made

    hips, place = turn("ZXY", row[3:6]), row[:3]
    leg, at_leg = hips * turn("YZX", row[6:9]), place + hips.apply([0.5, -1, 0])
    foot, at_foot = leg * turn("ZXY", row[[9, 11, 14]]), at_leg + leg.apply(row[[13, 10, 12]])
    stiff = place + hips.apply([0, 1, 0])
    return {
        "Hips": place,
        "Left Leg": at_leg,
        "Foot": at_foot,
        "Foot End Site": at_foot + foot.apply([0, 0, 0.4]),
        "Stiff": stiff,
        "Head": stiff,
        "Prop": np.array([7, row[17], 9]),
    }


def check(motion: Motion) -> None:
    position = motion.positions()
    for frame, row in enumerate(rows()):
        for name, place in told(row).items():
            found = position[frame, motion.skeleton.number(name)].numpy()
            np.testing.assert_allclose(found, place, atol=1e-9, err_msg=name)
        spun = Rotation.from_euler("X", row[18], degrees=True) * Rotation.from_euler(
            "Y", row[19], degrees=True
        )
        spun = spun * Rotation.from_euler("X", row[20], degrees=True)
        found = motion.rotation[frame, motion.skeleton.number("Prop")].numpy()
        np.testing.assert_allclose(found, spun.as_matrix(), atol=1e-12)


def test_any_order_of_channels_several_roots_and_positions_of_any_joint(tmp_path: Path) -> None:
    motion = Motion.load(written(tmp_path / "a.bvh"))
    assert motion.skeleton.names == tuple(told(rows()[0]))
    assert motion.skeleton.parents.tolist() == [-1, 0, 1, 2, 0, 4, -1]
    assert motion.skeleton.offsets[2].tolist() == [0, -1.5, 0]
    assert motion.frame_time == 0.008 and motion.rotation.dtype == torch.float64
    check(motion)


@pytest.mark.parametrize(
    "spell",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace(" ", "\t"),
        lambda text: text.replace("Left\tLeg", "Left Leg").upper().replace("LEFT LEG", "Left Leg"),
        lambda text: "\ufeff" + text.replace(" {", "{"),
        lambda text: re.sub(r"\n\s*\{", " {", text),
        lambda text: text.replace("Frames:", "frames :").replace("Frame Time", "FRAME TIME"),
        lambda text: text.replace("Xrotation", "xRotation").replace("position", "POSITION").replace("End Site", "end site"),
        lambda text: text.replace("HIERARCHY\n", "\n\n Hierarchy \n\n"),
    ],
    ids=["crlf", "tabs", "upper", "bom", "braces", "frames", "channels", "blank"],
)  # fmt: skip
def test_spelling_does_not_matter(tmp_path: Path, spell: Any) -> None:
    path = written(tmp_path / "a.bvh")
    text = spell(path.read_text())
    path.write_bytes(text.encode())
    motion = Motion.load(path)
    names = {
        "HIPS": "Hips",
        "FOOT": "Foot",
        "STIFF": "Stiff",
        "HEAD": "Head",
        "PROP": "Prop",
        "FOOT End Site": "Foot End Site",
    }
    skeleton = motion.skeleton
    motion.skeleton = Skeleton(
        tuple(names.get(n, n) for n in skeleton.names), skeleton.parents, skeleton.offsets
    )
    check(motion)


def test_a_written_file_comes_back(tmp_path: Path) -> None:
    motion = Motion.load(written(tmp_path / "a.bvh"))
    motion.save(tmp_path / "b.bvh")
    again = Motion.load(tmp_path / "b.bvh")
    assert again.skeleton.same_tree(motion.skeleton) and again.frame_time == motion.frame_time
    for name in ("rotation", "translation", "offsets"):
        torch.testing.assert_close(again[name], motion[name], atol=1e-9, rtol=0)
    torch.testing.assert_close(again.skeleton.offsets, motion.skeleton.offsets)
    text = (tmp_path / "b.bvh").read_text()
    assert text.count("End Site") == 1 and text.count("ROOT") == 2 and "JOINT Left Leg" in text
    check(again)


def test_bones_stay_rigid_where_positions_only_repeat_their_offsets(tmp_path: Path) -> None:
    numbers = rows()
    numbers[:, [13, 10, 12]] = (0, -1.5, 0)
    motion = Motion.load(written(tmp_path / "a.bvh", numbers=numbers))
    assert "offsets" not in motion
    motion.save(tmp_path / "b.bvh")
    again = Motion.load(tmp_path / "b.bvh")
    assert "offsets" not in again
    torch.testing.assert_close(again.positions(), motion.positions())


def test_half_turns_gimbal_lock_and_one_frame_come_back(tmp_path: Path) -> None:
    skeleton = Skeleton(("a", "b", "b End Site"), torch.tensor([-1, 0, 1]), torch.randn(3, 3).double())
    turns = Rotation.from_euler(
        "ZXY",
        [[10, 90, 20], [180, 0, 0], [0, -90, 0], [0, 180, 90], [0, 0, 0], [1e-5, 90 - 1e-5, 3]],
        degrees=True,
    )
    rotation = torch.tensor(turns.as_matrix()).view(2, 3, 3, 3)
    rotation[:, 2] = torch.eye(3)
    for frames in (2, 1):
        motion = Motion(skeleton, rotation[:frames], 1000 * torch.randn(frames, 1, 3).double(), 1 / 120)
        motion.save(tmp_path / "a.bvh")
        again = Motion.load(tmp_path / "a.bvh")
        torch.testing.assert_close(again.rotation, motion.rotation, atol=1e-9, rtol=0)
        torch.testing.assert_close(again.positions(), motion.positions(), atol=1e-6, rtol=0)
        assert again.frame_time == pytest.approx(1 / 120)


def test_an_end_that_turns_is_written_as_a_joint(tmp_path: Path) -> None:
    skeleton = Skeleton(("a", "a End Site"), torch.tensor([-1, 0]), torch.ones(2, 3).double())
    rotation = torch.tensor(Rotation.random(4, random_state=0).as_matrix()).view(2, 2, 3, 3)
    Motion(skeleton, rotation, torch.zeros(2, 1, 3).double()).save(tmp_path / "a.bvh")
    again = Motion.load(tmp_path / "a.bvh")
    assert again.skeleton.names == skeleton.names
    torch.testing.assert_close(again.rotation, rotation, atol=1e-9, rtol=0)


def test_joints_come_back_in_the_order_of_the_tree(tmp_path: Path) -> None:
    skeleton = Skeleton(tuple("abcd"), torch.tensor([-1, 0, 0, 1]), torch.randn(4, 3).double())
    rotation = torch.tensor(Rotation.random(8, random_state=1).as_matrix()).view(2, 4, 3, 3)
    motion = Motion(skeleton, rotation, torch.zeros(2, 1, 3).double())
    motion.save(tmp_path / "a.bvh")
    again = Motion.load(tmp_path / "a.bvh")
    assert again.skeleton.names == ("a", "b", "d", "c")
    torch.testing.assert_close(again.positions()[:, [0, 1, 3, 2]], motion.positions(), atol=1e-9, rtol=0)


def test_a_file_that_is_cut_short_anywhere_is_named(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole.bvh").read_bytes()
    numbers_from = whole.index(b"0.008") + 5
    last = len(whole.rstrip()) - len(whole.split()[-1])  # within the last number nobody can tell
    for end in [*range(0, numbers_from, 7), *range(numbers_from, last, 11), last]:
        path = tmp_path / "cut.bvh"
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"cut\.bvh: .*(cut short|not a BVH file|damaged|no joints)"):
            Motion.load(path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ((FILE, "solid cube\nfacet normal 0 0 1\n"), "not a BVH file: it does not begin with HIERARCHY"),
        (("OFFSET 0 1 0", "OFFSET 0 nan 0"), "the offset of joint Stiff is NaN or infinite"),
        (("OFFSET 0 1 0", "OFFSET 0 one 0"), "the offset of joint Stiff holds 'one'"),
        (("OFFSET 0 1 0", "OFFSET 0 1"), "the offset of joint Stiff holds 'CHANNELS'"),
        (("CHANNELS 0", "CHANNELS many"), "joint Stiff has 'many' channels"),
        (("CHANNELS 2 Yrotation", "CHANNELS 2 Wrotation"), "joint Head has the unknown channel 'Wrotation'"),
        (("CHANNELS 2 Yrotation", "CHANNELS 2 Yscale"), "joint Head has the unknown channel 'Yscale'"),
        (("4 Yposition Xrotation", "4 Yposition Yposition"), "joint Prop has two positions along one axis"),
        (("JOINT Head\n    {", "JOINT Head\n    }"), "joint 'Head' is closed before it is opened"),
        (("JOINT Stiff", "JOIN Stiff"), "joint Hips holds 'JOIN'"),
        (("ROOT Prop", "JOINT Prop"), "JOINT outside of every ROOT"),
        (("JOINT Stiff", "ROOT Stiff"), "ROOT within joint Hips"),
        (("Frames: 3", "Frames: three"), "MOTION must be followed by"),
        (("Frames: 3", "Frames: 0"), "the motion has no frames"),
        (("Frames: 3", "Frames: 4"), "cut short: 4 frames of 21 channels are announced, which is 84 numbers, but there are 63"),
        (("Frames: 3", "Frames: 2"), "damaged: 2 frames of 21 channels are announced"),
        (("OFFSET 0 1 0", "OFFSET 0 1_0 0"), "the offset of joint Stiff holds '1_0'"),
        (("CHANNELS 0", "CHANNELS 0\nCHANNELS 0"), "joint Stiff has two lists of channels"),
        (("Time: 0.008", "Time: 0"), "the frame time must be positive"),
        (("Time: 0.008", "Time: soon"), "damaged"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, wrong: tuple[str, str], message: str) -> None:
    assert wrong[0] in FILE
    path = written(tmp_path / "wrong.bvh", FILE.replace(*wrong))
    with pytest.raises(ValueError, match=r"wrong\.bvh: .*" + re.escape(message)):
        Motion.load(path)


@pytest.mark.parametrize("bad", ["nan", "-inf", "1.#IND", "abc", "1_0"])
def test_numbers_that_are_none_are_named(tmp_path: Path, bad: str) -> None:
    path = written(tmp_path / "a.bvh")
    lines = path.read_text().splitlines()
    lines[-1] = " ".join([bad, *lines[-1].split()[1:]])
    path.write_text("\n".join(lines))
    with pytest.raises(
        ValueError, match=r"a\.bvh: (1 frames hold NaN or infinite numbers, first frame 2|damaged)"
    ):
        Motion.load(path)


def test_no_file_a_binary_one_and_deep_ones(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such BVH file"):
        Motion.load(tmp_path / "none.bvh")
    (tmp_path / "binary.bvh").write_bytes(bytes(range(256)) * 8)
    with pytest.raises(ValueError, match="not a BVH file"):
        Motion.load(tmp_path / "binary.bvh")
    deep = 3000  # more than Python nests calls
    joints = "".join(f"JOINT j{k} {{ OFFSET 0 1 0 CHANNELS 0 " for k in range(deep))
    (tmp_path / "deep.bvh").write_text(
        f"HIERARCHY ROOT r {{ OFFSET 0 0 0 CHANNELS 1 Zrotation {joints} {'} ' * (deep + 1)} MOTION Frames: 1 Frame Time: 1 90"
    )
    chain = Motion.load(tmp_path / "deep.bvh")
    torch.testing.assert_close(chain.positions()[0, -1], torch.tensor([-3000.0, 0, 0]).double())
    chain.save(tmp_path / "again.bvh")
    assert Motion.load(tmp_path / "again.bvh").skeleton.same_tree(chain.skeleton)


def test_frames_in_which_nothing_can_move_are_no_motion(tmp_path: Path) -> None:
    still = "HIERARCHY ROOT a { OFFSET 0 0 0 } MOTION Frames: 1000000000000 Frame Time: 1"
    with pytest.raises(ValueError, match="the motion has no channels: no joint moves"):
        Motion.load(written(tmp_path / "still.bvh", still))


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    motion = Motion.load(written(tmp_path / "a.bvh"))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        motion.save(tmp_path / "none" / "a.bvh")
    with pytest.raises(ValueError, match="packed batch"):
        collate([motion, motion]).save(tmp_path / "b.bvh")
    skewed = motion.clone()
    skewed.rotation[1, 2] *= 1.1
    with pytest.raises(ValueError, match="matrices of joint Foot are no rotations"):
        skewed.save(tmp_path / "b.bvh")
    skewed.rotation[1, 2, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="rotation holds NaN"):
        skewed.save(tmp_path / "b.bvh")
    named = Skeleton(("a\nb",), torch.tensor([-1]), torch.zeros(1, 3))
    with pytest.raises(ValueError, match="no braces and one line"):
        Motion(named, torch.eye(3).view(1, 1, 3, 3), torch.zeros(1, 1, 3)).save(tmp_path / "b.bvh")
    assert not (tmp_path / "b.bvh").exists()


def test_real_files_come_back(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "BandaiNamco" / "data").glob("*.bvh"))
    if not files:
        pytest.skip("needs Bandai-Namco's motions")
    for path in files[::30]:
        motion = Motion.load(path)
        motion.save(tmp_path / "a.bvh")
        again = Motion.load(tmp_path / "a.bvh")
        assert again.skeleton.same_tree(motion.skeleton)
        torch.testing.assert_close(again.positions(), motion.positions(), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "change, trouble", [("", "has no offset"), ("OFFSET 1 2 3\nOFFSET 1 2 3\n", "has two offsets")]
)
def test_every_joint_has_one_offset(tmp_path: Path, change: str, trouble: str) -> None:
    text = (
        "HIERARCHY\nROOT a\n{\n"
        + change
        + "CHANNELS 3 Xrotation Yrotation Zrotation\n}\nMOTION\nFrames: 1\nFrame Time: 0.1\n0 0 0\n"
    )
    (tmp_path / "a.bvh").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.bvh: damaged skeleton: joint a {trouble}"):
        Motion.load(tmp_path / "a.bvh")
