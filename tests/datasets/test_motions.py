"""Sets of motions: the published layout and its splits; gaits that differ in the order of limbs and in nothing else."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from scipy.spatial.transform import Rotation

from geodl.data import DataLoader, Motion, Skeleton, bone_length_error
from geodl.datasets import BandaiNamco, Gaits, Puppets, body_skeleton

ACTIONS, STYLES = ("bow", "dash", "run", "walk", "wave"), ("active", "calm", "old", "sad", "tired")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 takes in the layout of the repository, two of one action in one style alone."""
    root = tmp_path_factory.mktemp("bandai")
    folder = root / "dataset" / "Bandai-Namco-Research-Motiondataset-1" / "data"
    folder.mkdir(parents=True)
    skeleton = Skeleton(
        ("joint_Root", "Hips", "Foot", "Foot End Site"),
        torch.tensor([-1, 0, 1, 2]),
        torch.tensor([[0.0, 0, 0], [0, 90, 0], [0, -80, 0], [0, 0, 0]]).double(),
    )
    takes = [(a, s, 1) for a in ACTIONS for s in STYLES] + [
        ("kick", "calm", 1),
        ("kick", "calm", 2),
        ("walk", "sad", 2),
    ]
    for number, (action, style, take) in enumerate(takes):
        frames = 10 + number
        rotation = torch.eye(3).double().repeat(frames, 4, 1, 1)
        turns = Rotation.random(2 * frames, random_state=number).as_matrix()
        rotation[:, 1:3] = torch.tensor(turns).view(frames, 2, 3, 3)
        offsets = skeleton.offsets.repeat(frames, 1, 1)
        offsets[:, 1] = torch.tensor([10.0, 95, 0]) + torch.arange(frames)[:, None]
        name = f"dataset-1_{action}_{style}_{take:03d}.bvh"
        Motion(skeleton, rotation, torch.zeros(frames, 1, 3).double(), 1 / 30, offsets=offsets).save(
            folder / name
        )
    return root


def test_takes_are_read_in_metres_from_the_hips_on(published: Path) -> None:
    takes = BandaiNamco(published)
    assert len(takes) == 26 and takes.classes == list(ACTIONS)
    first = takes[0]
    assert (first.name, first.action, first.style, first.y.tolist()) == (
        "bow_active_001/0",
        "bow",
        "active",
        [0],
    )
    assert first.skeleton.names == ("Hips", "Foot") and first.rotation.dtype == torch.float32
    assert "offsets" not in first and first.num_frames == 10
    torch.testing.assert_close(first.positions()[3, 0], torch.tensor([0.13, 0.98, 0.03]))
    torch.testing.assert_close(
        bone_length_error(first.positions(), first.skeleton), torch.zeros(10), atol=1e-6, rtol=0
    )
    assert first.skeleton.bone_lengths.tolist() == pytest.approx([0, 0.8])
    assert len(pickle.loads(pickle.dumps(takes))) == 26


@pytest.mark.parametrize("target", ["action", "style"])
@pytest.mark.parametrize("fold", [0, 3])
def test_what_is_tested_was_never_performed_in_training(published: Path, target: str, fold: int) -> None:
    sets = {split: BandaiNamco(published, target, split, fold=fold) for split in ("train", "val", "test")}
    shown = {split: {(m.action, m.style) for m in data} for split, data in sets.items()}
    assert (
        not shown["train"] & shown["val"]
        and not shown["train"] & shown["test"]
        and not shown["val"] & shown["test"]
    )
    assert {split: len(pairs) for split, pairs in shown.items()} == {"train": 15, "val": 5, "test": 5}
    for split, data in sets.items():
        assert set(data.labels.tolist()) == set(range(5)), split
    assert sum(map(len, sets.values())) == 26
    others = BandaiNamco(published, target, "test", fold=(fold + 1) % 5)
    assert not shown["test"] & {(m.action, m.style) for m in others}


def test_clips_cover_their_take(published: Path) -> None:
    whole = BandaiNamco(published)
    clips = BandaiNamco(published, frames=12, hop=5)
    names = [name for name in clips.names if name.startswith("walk_sad_002/")]
    assert names == [f"walk_sad_002/{start}" for start in (0, 5, 10, 15, 20, 25)]  # 37 frames
    number, take = clips.names.index("walk_sad_002/10"), whole.names.index("walk_sad_002/0")
    torch.testing.assert_close(clips[number].positions(), whole[take].positions()[10:22])
    assert clips[0].num_frames == 10  # a take that is shorter
    batch = next(iter(DataLoader(clips, batch_size=4)))
    assert batch.y.shape == (4,) and batch.positions().shape == (10 + 11 + 12 + 12, 2, 3)


def test_missing_and_strange_files_are_named(published: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no data/dataset-1_\*\.bvh.\nThe Bandai-Namco"):
        BandaiNamco(tmp_path)
    with pytest.raises(FileNotFoundError, match="is no folder"):
        BandaiNamco(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="dataset-2_"):
        BandaiNamco(published, collection=2)
    for wrong in (
        {"target": "mood"},
        {"split": "all"},
        {"fold": 5},
        {"collection": 3},
        {"frames": 0},
        {"hop": -1},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            BandaiNamco(published, **wrong)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset-1_walk.bvh").write_text("")
    with pytest.raises(ValueError, match=r"the name is not dataset-1_ACTION_STYLE_NUMBER"):
        BandaiNamco(tmp_path)
    (tmp_path / "data" / "dataset-1_walk.bvh").unlink()
    for style in ("old", "sad"):
        (tmp_path / "data" / f"dataset-1_walk_{style}_001.bvh").write_text("HIERARCHY ROOT a")
    with pytest.raises(ValueError, match=r"dataset-1_walk_old_001.bvh: .*cut short"):
        BandaiNamco(tmp_path)[0]
    with pytest.raises(ValueError, match=r"does not say how many frames"):
        BandaiNamco(tmp_path, frames=4)


def test_the_real_set(shared_data: Path) -> None:
    root = shared_data / "BandaiNamco"
    if not root.is_dir():
        pytest.skip("needs Bandai-Namco's motions")
    tested = BandaiNamco(root, split="test")
    assert len(tested) == 33 and len(tested.classes) == 10
    assert len(BandaiNamco(root, "style").classes) == 15
    take = tested[0]
    assert take.skeleton.num_joints == 21 and take.skeleton.roots.tolist() == [0]
    assert 0.7 < float(take.positions()[..., 1].max(1).values.mean()) < 2.2


# --- gaits


def test_gaits_walk_on_the_ground_without_sliding() -> None:
    walks = Gaits(num_identities=3, num_clips=1, frames=90)
    assert len(walks) == 18 and walks.classes == [
        "walk",
        "pace",
        "lead",
        "lag",
        "gallop-left",
        "gallop-right",
    ]
    for m in walks:
        position = m.positions()
        joints = [m.skeleton.number(name) for name in Gaits.contact_joints]
        feet = position[:, joints]
        stands = (m.contact[1:] * m.contact[:-1]).bool()
        assert float(((feet[1:] - feet[:-1]).norm(dim=-1)[stands]).max()) < 1e-5
        assert 0.3 < float(m.contact[:, 1::2].mean()) < 0.75
        lowest = feet[..., 1].amin(0)
        assert float((feet[..., 1] - lowest)[m.contact.bool()].max()) < 1e-5  # what stands is at its lowest
        assert float(position[..., 1].min()) > 0.02
        assert float(bone_length_error(position, m.skeleton).max()) < 1e-6
        torch.testing.assert_close(
            m.rotation.mT @ m.rotation, torch.eye(3).expand_as(m.rotation), atol=1e-5, rtol=0
        )
        assert float((position[1:] - position[:-1]).norm(dim=-1).max()) < 0.5  # nothing jumps
        assert float(m.phase.min()) >= 0 and float(m.phase.max()) < 1
        went = float((m.translation[-1, 0] - m.translation[0, 0]).norm())
        assert 0.3 < went < 2.2 * 3


def test_limbs_come_in_the_order_of_the_gait() -> None:
    """How far the right leg and the left arm are behind the left leg, by the angle of their first harmonic at its frequency."""
    limbs = {"walk": (0.5, 0.5), "pace": (0.5, 0.0), "lead": (0.5, 0.75), "lag": (0.5, 0.25)}
    limbs |= {"gallop-left": (0.3, 0.5), "gallop-right": (0.7, 0.5)}
    for m in Gaits(num_identities=1, num_clips=4, frames=300, treadmill=True, seed=3):
        turn = torch.exp(2j * torch.pi * m.phase.double())
        place = (m.positions() - m.positions()[:, :1])[..., 2].double()
        names = ("left foot", "right foot", "left hand")
        angles = [
            ((x - x.mean()) * turn.conj()).mean().angle()
            for x in (place[:, m.skeleton.number(n)] for n in names)
        ]
        for angle, wanted in zip(angles[1:], limbs[m.name.rsplit("_", 2)[0]], strict=True):
            behind = float((angles[0] - angle) / (2 * torch.pi)) - wanted
            assert abs((behind + 0.5) % 1 - 0.5) < 0.13, m.name


def test_on_a_treadmill_people_stay_in_place() -> None:
    for m in Gaits(num_identities=1, num_clips=2, treadmill=True):
        assert float(m.translation[..., [0, 2]].abs().max()) < 0.05
        assert float(m.global_rotations()[:, 0, 2, 2].min()) > 0.95


def test_people_have_proportions_of_their_own_and_are_in_one_split() -> None:
    sets = {split: Gaits(num_identities=10, num_clips=1, split=split) for split in ("train", "val", "test")}
    people = {split: {int(name.split("_")[-2]) for name in data.names} for split, data in sets.items()}
    assert people == {"train": set(range(6)), "val": {6, 7}, "test": {8, 9}}
    all_of_them = Gaits(num_identities=10, num_clips=1)
    again = all_of_them[all_of_them.names.index("gallop-left_008_000")]
    torch.testing.assert_close(again.rotation, sets["test"][4].rotation, atol=0, rtol=0)
    assert not torch.equal(sets["test"][0].skeleton.offsets, sets["test"][6].skeleton.offsets)
    assert not torch.equal(Gaits(num_identities=1, seed=1)[0].rotation, Gaits(num_identities=1)[0].rotation)


def test_statistics_of_a_clip_say_little_and_the_order_says_all() -> None:
    """A linear classifier of means, deviations and extremes of places and velocities is near chance; phases, which need the order,
    tell the gaits apart."""
    sets = [
        Gaits(num_identities=15, num_clips=3, frames=90, treadmill=True, split=split)
        for split in ("train", "test")
    ]
    numbers, orders, labels = [], [], []
    for data in sets:
        position = torch.stack([m.positions() for m in data])
        velocity = position.diff(dim=1)
        both = torch.cat([position[:, :-1] - position[:, :-1, :1], velocity], 3)
        statistics = [both.mean(1), both.std(1), both.amin(1), both.amax(1)]
        numbers.append(torch.cat(statistics, 1).flatten(1).double())
        orders.append(torch.stack([_order(m) for m in data]).double())
        labels.append(data.labels)
    blind, seeing = (_linear(x[0], labels[0], x[1], labels[1]) for x in (numbers, orders))
    assert blind < 0.35, blind  # one of six is 0.17
    assert seeing > 0.9, seeing


def _order(m: Motion) -> torch.Tensor:
    """How much each of right leg, left arm and heel goes ahead of the left leg: products of one signal with another's change."""
    names = m.skeleton.names
    place = m.positions() - m.positions()[:, :1]
    leg, other, arm = (place[:, names.index(n), 2] for n in ("left foot", "right foot", "left hand"))
    height = place[:, names.index("left foot"), 1]
    signals = [(s - s.mean()) / s.std() for s in (leg, other, arm, height)]
    change = (signals[0][2:] - signals[0][:-2]) / (signals[0][2:] - signals[0][:-2]).std()
    first = signals[0][1:-1]
    found = [torch.stack([(first * s[1:-1]).mean(), (change * s[1:-1]).mean()]) for s in signals[1:]]
    both = torch.cat(found)
    return torch.cat([both, both.abs(), both.square(), torch.outer(both, both).flatten()])


def _linear(x: torch.Tensor, y: torch.Tensor, tested: torch.Tensor, truth: torch.Tensor) -> float:
    mean, std = x.mean(0), x.std(0) + 1e-9
    x, tested = (torch.cat([(v - mean) / std, torch.ones(len(v), 1).double()], 1) for v in (x, tested))
    target = torch.nn.functional.one_hot(y, 6).double()
    weight = torch.linalg.solve(x.T @ x + 3 * torch.eye(x.shape[1]).double(), x.T @ target)
    return float(((tested @ weight).argmax(1) == truth).double().mean())


def test_numbers_that_are_too_small_are_named() -> None:
    for wrong, message in (
        ({"num_identities": 0}, "at least 1"),
        ({"num_identities": 2, "split": "val"}, "at least 3"),
        ({"num_clips": 0}, "positive"),
        ({"frames": 0}, "positive"),
        ({"frame_time": 0.0}, "frame_time"),
        ({"seed": -1}, "seed"),
        ({"split": "rest"}, "split"),
    ):
        with pytest.raises(ValueError, match=message):
            Gaits(**wrong)
    assert Gaits(num_identities=1, frames=1)[0].num_frames == 1


# --- puppets that walk


def test_a_puppet_performs_the_walk_of_its_person() -> None:
    puppets, walks = (
        Puppets(num_identities=2, num_vertices=1500),
        Gaits(num_identities=2, num_clips=1, frames=24),
    )
    walk = walks[walks.names.index("walk_001_000")]
    skeleton = puppets.skeleton(1)
    assert skeleton.same_tree(walk.skeleton) and skeleton.same_tree(body_skeleton())
    torch.testing.assert_close(skeleton.offsets, walk.skeleton.offsets)
    bodies = puppets.perform(1, walk)
    assert len(bodies) == 24 and torch.equal(bodies[3].face, puppets.reference.face)
    soles = torch.stack([body.pos[:, 1].min() for body in bodies])
    assert float(soles.min()) > -0.03 and float(soles[walk.contact[:, 1::2].sum(1) > 0].max()) < 0.03
    head = walk.positions()[:, walk.skeleton.number("head End Site")]
    top = torch.stack([body.pos[body.pos[:, 1].argmax()] for body in bodies])
    assert float((top - head).norm(dim=1).max()) < 0.2


def test_a_puppet_at_rest_stands_as_its_skeleton_does() -> None:
    puppets = Puppets(num_identities=1, num_vertices=1500)
    rest = body_skeleton()
    still = Motion(rest, torch.eye(3).repeat(1, rest.num_joints, 1, 1), rest.offsets[None, :1])
    body = puppets.perform(0, still)[0]
    own = Motion(puppets.skeleton(0), still.rotation, still.translation).positions()[0]
    for name in ("left hand", "right foot", "head"):
        nearest = (body.pos - own[puppets.skeleton(0).number(name)]).norm(dim=1).min()
        assert float(nearest) < 0.12, name
    point = Skeleton(("a",), torch.tensor([-1]), torch.zeros(1, 3))
    with pytest.raises(ValueError, match="body's skeleton"):
        puppets.perform(0, Motion(point, torch.eye(3).view(1, 1, 3, 3), torch.zeros(1, 1, 3)))
