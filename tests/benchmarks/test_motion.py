"""The benchmark of motions: what is measured is what it says, and the whole of it, briefly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.motion import locomotion, retarget
from benchmarks.motion.__main__ import arguments, main
from benchmarks.motion.action import Scores, Windows, judged, ridge
from benchmarks.motion.data import GAITS, mirrored_labels, random_windows, windows
from benchmarks.motion.training import size, widest
from benchmarks.tables import motion_tables
from geodl.datasets.gaits import body_skeleton
from geodl.geometry import matrix_to_rotation_6d


def test_ridge_tells_apart_what_a_line_does_and_motions_are_counted_not_windows() -> None:
    torch.manual_seed(0)
    y = torch.tensor([0, 1, 0, 1])
    motion = torch.arange(4).repeat_interleave(10)
    x = torch.randn(40, 1, 1, 3) + 3 * y[motion][:, None, None, None]
    cut = {split: Windows(x, motion, y[motion]) for split in ("train", "val", "test")}
    assert ridge(cut, lambda x: x.flatten(1)) == Scores(1, 1)
    scores = torch.tensor([[1.0, 0.9], [0.0, 0.9], [1.0, 0.0]])
    part = Windows(torch.zeros(3, 1), torch.tensor([0, 0, 1]), torch.tensor([1, 1, 1]))
    assert judged(scores, part) == pytest.approx((1 / 3, 0.5))


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
