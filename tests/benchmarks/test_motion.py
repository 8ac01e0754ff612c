"""The benchmark of motions: what is measured is what it says, and the whole of it, briefly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

from benchmarks.motion import locomotion, retarget
from benchmarks.motion.__main__ import arguments, main
from benchmarks.motion.action import AmongSeen, Scores, better, judged, seen
from benchmarks.motion.clips import Take, Windows, from_every_frame, joined
from benchmarks.motion.data import GAITS, mirrored_labels, random_windows, windows
from benchmarks.motion.linear import ridge, solved
from benchmarks.motion.training import size, widest
from benchmarks.tables import motion_tables
from geodl.data import heading
from geodl.data.locomotion import about_y
from geodl.datasets import Gaits
from geodl.datasets.gaits import body_skeleton
from geodl.geometry import matrix_to_rotation_6d


def test_ridge_tells_apart_what_a_line_does_and_motions_are_counted_not_windows() -> None:
    torch.manual_seed(0)
    y = torch.tensor([0, 1, 0, 1])
    motion = torch.arange(4).repeat_interleave(10)
    x = torch.randn(40, 1, 1, 3) + 3 * y[motion][:, None, None, None]
    cut = {split: Windows(x, motion, y[motion], 0 * motion) for split in ("train", "val", "test")}
    for among in (False, True):
        assert judged(ridge(cut, lambda x: x.flatten(1), among), cut["test"]) == Scores(1, 1)
    scores = torch.tensor([[1.0, 0.9], [0.0, 0.9], [1.0, 0.0]])
    part = Windows(torch.zeros(3, 1), torch.tensor([0, 0, 1]), torch.tensor([1, 1, 1]), torch.zeros(3).long())
    assert judged(scores, part) == pytest.approx((1 / 3, 0.5))
    assert joined(part, part).motion.tolist() == [0, 0, 1, 2, 2, 3]


def test_a_difference_is_as_sure_as_its_takes_are_many() -> None:
    part = Windows(
        torch.zeros(6, 1), torch.tensor([0, 0, 0, 1, 1, 1]), torch.zeros(6).long(), torch.zeros(6).long()
    )
    right, wrong = torch.ones(6).bool(), torch.tensor([0, 0, 0, 1, 1, 1]).bool()
    assert better([right], [wrong], [part]) == pytest.approx((0.5, 0.125**0.5))
    assert better([right] * 8, [wrong] * 8, [part] * 8) == pytest.approx((0.5, (0.125 / 8) ** 0.5))


def test_a_class_is_told_from_others_by_what_it_could_be() -> None:
    # Style 1 is seen in action 0 alone: that it never was in action 1 says nothing of it.
    torch.manual_seed(0)
    beside, y = (torch.tensor([0, 0, 1]).repeat(200), torch.tensor([0, 1, 0]).repeat(200))
    x = torch.stack([beside + 0.3 * torch.randn(600), y + 0.3 * torch.randn(600)], 1)
    part = Windows(x, torch.arange(600), y, beside)
    new = torch.tensor([[1.0, 1.0]])
    wrong, right = (solved(x, part, new, 1e-4, among)[0].tolist() for among in (False, True))
    assert right[1] == pytest.approx(1, abs=0.2) and wrong[1] < right[1] - 0.1


def test_a_network_hears_nothing_of_classes_that_were_not_seen_beside() -> None:
    found = [Take(None, torch.zeros(0), y, z) for y, z in ((0, 0), (1, 0), (2, 1), (0, 1))]  # type: ignore[arg-type]
    pairs = seen(found)
    assert pairs.tolist() == [[True, True, False], [True, False, True]]
    scores = torch.randn(2, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    batch = Data(x=scores, y=torch.tensor([1, 2]), beside=torch.tensor([0, 1]))
    module = AmongSeen(torch.nn.Identity(), pairs, 1e-3, 0.0, 0.1)
    module.training_scores = lambda batch: (batch, batch.x, 0.0)  # type: ignore[method-assign]
    loss = module.training_step(batch, 0)
    expected = torch.nn.functional.cross_entropy(
        torch.stack([scores[0, [0, 1]], scores[1, [0, 2]]]), torch.tensor([1, 1]), label_smoothing=0.1
    )
    torch.testing.assert_close(loss, expected)
    (slope,) = torch.autograd.grad(loss, scores)
    assert slope[0, 2] == slope[1, 1] == 0 and (slope != 0).sum() == 4


def test_what_is_seen_from_every_frame_knows_no_north() -> None:
    motion = Gaits(1, 1, 40, seed=3)[0]
    p = motion.positions().double()
    hips = [motion.skeleton.number(name) for name in GAITS.hips]
    x = from_every_frame(p, *hips)
    assert x.shape == (10, p.shape[1], 40)
    turned = p @ about_y(torch.tensor(0.7).double()).T + torch.tensor([3.0, 0.0, -2.0])
    torch.testing.assert_close(from_every_frame(turned, *hips), x)
    ahead = torch.arange(40.0).double()[:, None, None] * torch.tensor([0.0, 0.0, 0.02]) + p[:1]
    ahead = ahead @ about_y(-heading(p, *hips)[0]).T
    straight = from_every_frame(ahead, *hips)
    torch.testing.assert_close(straight[6:, 0], straight[6:, 0, :1].expand(-1, 40))
    assert straight[6:9, 0, 0].norm() == pytest.approx(0.2) and float(straight[3:6].abs().max()) < 1e-12


def test_a_mirror_changes_the_names_of_classes() -> None:
    assert mirrored_labels(["walk", "walk-left", "walk-right"]) == [0, 2, 1]
    assert mirrored_labels(["gallop-right", "lead", "gallop-left"]) == [2, 1, 0]


def test_the_truth_is_the_best_walk_and_a_statue_no_walk() -> None:
    test = locomotion.characters("test", 1, locomotion.START + locomotion.RUN + locomotion.BEYOND)[:2]
    true, still = (locomotion.judged(make(test), test) for make in (locomotion.truth, locomotion.standing))
    assert true["mpjpe"] == true["pose_aligned"] == true["drift_largest"] == 0 and true["contact_f1"] == 1
    assert still["pose"] > 0.05 and still["contact_f1"] < 0.3 and still["skate"] > 2 * true["skate"]


def test_the_other_skeleton_has_other_bones_on_the_same_branches() -> None:
    skeleton = body_skeleton()
    target, moved = retarget.changed(skeleton, GAITS)
    assert target.num_joints == skeleton.num_joints + 5
    thigh, shin = (skeleton.bone_lengths[skeleton.number(f"left {name}")] for name in ("shin", "foot"))
    limb = retarget.Limbs.of(target, [("left thigh", "left foot")]).length[0]
    torch.testing.assert_close(limb, 0.8 * thigh + 1.15 * shin)
    rest = matrix_to_rotation_6d(torch.eye(3)).expand(1, 22, 6)
    there = retarget.placed(retarget.copied(rest, target, moved), target)
    foot = there[0, moved[skeleton.number("left foot")]] - there[0, moved[skeleton.number("left thigh")]]
    torch.testing.assert_close(foot.norm(), limb, rtol=0.05, atol=0)


def test_networks_are_made_of_as_many_parameters() -> None:
    made = widest(lambda width: torch.nn.Linear(7, width), 1000)
    assert abs(size(made) - 1000) <= 4
    clips = [torch.arange(9.0), torch.arange(3.0)]
    assert windows(clips, 4, 2).tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]
    assert random_windows(clips, 4, 5).shape == (5, 4)
    with pytest.raises(SystemExit):
        arguments(["--task", "locomotion", "--root", "somewhere"])


@pytest.mark.slow
@pytest.mark.parametrize("task", ["action", "locomotion", "denoise", "retarget"])
def test_the_whole_of_it(task: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    main(["--task", task, "--steps", "4", "--seeds", "1", "--threads", "1", "--out", str(tmp_path)])
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["benchmark"] == f"motion-{task}" and str(tmp_path) not in json.dumps(result)
    assert motion_tables([result])[0].count("\n") > 2
