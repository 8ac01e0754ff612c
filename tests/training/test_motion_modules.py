"""Modules of motions: a step of each, what they promise of bones and paths, and what they refuse."""

from __future__ import annotations

import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from geodl.data import CharacterMotion, bone_length_error, character_motion, fill_markers, forward_kinematics
from geodl.datasets import Gaits
from geodl.datasets.gaits import body_skeleton
from geodl.geometry import matrix_to_rotation_6d, rotation_6d_to_matrix
from geodl.models import PhaseFunctionedNetwork, RetargetingNetwork, SkeletonUNet
from geodl.training import Limbs, LocomotionModule, MarkerModule, RetargetingModule

SKELETON = body_skeleton()


@pytest.fixture(scope="module")
def walks() -> list[tuple[CharacterMotion, torch.Tensor]]:
    return [
        (
            character_motion(motion, ("left thigh", "right thigh"), motion.contact),
            motion.skeleton.bone_lengths,
        )
        for motion in Gaits(1, 1, 70)
    ]


def fitted(module: L.LightningModule, batch: object, steps: int = 3) -> L.LightningModule:
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    before = [weight.detach().clone() for weight in module.parameters()]
    trainer.fit(module, DataLoader([batch] * steps, batch_size=None))
    changed = [not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True)]
    assert all(changed) and all(bool(weight.isfinite().all()) for weight in module.parameters())
    return module


def test_locomotion_learns_and_goes_on(walks: list[tuple[CharacterMotion, torch.Tensor]]) -> None:
    read, written, gate = LocomotionModule.channels(22, 4, 22)
    torch.manual_seed(0)
    network = PhaseFunctionedNetwork(read, written, width=8)
    module = LocomotionModule(network, 22, 4, 22, rollout=3)
    whole = CharacterMotion.stack([walk for walk, _ in walks])
    module.normalize(whole, torch.stack([bones for _, bones in walks]))
    assert gate < read
    batch = (
        CharacterMotion.stack([walk[:43] for walk, _ in walks]),
        torch.stack([bones for _, bones in walks]),
    )
    fitted(module, batch)
    made = module.run(whole, batch[1], 5, 90)  # beyond the end of the path
    assert made.rotation.shape == (len(walks), 90, 22, 6)
    assert float(bone_length_error(made.positions(SKELETON), SKELETON).max()) < 1e-5
    # However badly it walks, a step is at most 5 deviations long.
    assert float(made.place.diff(dim=1).norm(dim=-1).max()) < 1


def test_a_network_that_says_the_mean_step_walks_at_the_mean_pace(
    walks: list[tuple[CharacterMotion, torch.Tensor]],
) -> None:
    read, written, _ = LocomotionModule.channels(22, 4, 22)
    network = nn.Linear(read, written)
    for weight in network.parameters():
        nn.init.zeros_(weight)
    module = LocomotionModule(network, 22, 4, 22)
    walk, bones = walks[0][0][None], walks[0][1][None]
    module.normalize(walk, bones)
    made = module.run(walk, bones, 5, 10)
    pace = module.step_mean[-4:-2].norm()
    torch.testing.assert_close(
        made.place[0].diff(dim=0)[:, [0, 2]].norm(dim=1), pace.expand(9), rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(made.phase[0].diff(), module.step_mean[-1].expand(9), rtol=1e-3, atol=1e-4)


def test_markers_are_interpolation_where_the_network_says_nothing() -> None:
    motion = Gaits(1, 1, 24)[0]
    network = SkeletonUNet(10, 3, SKELETON, widths=(4, 6), pooling=("both",), kernel_size=3)
    module = MarkerModule(network, (11, 14), 0.9, 0.01, gap=8, fill=fill_markers)
    positions = motion.positions()[None].repeat(2, 1, 1, 1)
    fitted(module, positions)
    seen = torch.ones(2, 24, 22, dtype=torch.bool)
    seen[:, 5:12, 3] = False
    for weight in network.output.parameters():
        nn.init.zeros_(weight)
    torch.testing.assert_close(module(positions, seen), fill_markers(positions, seen))
    # A motion that is turned and moved is filled the same.
    turn = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    nn.init.normal_(network.output.weight)
    network.eval()
    moved = positions @ turn.T + torch.tensor([2.0, 0, 1])
    torch.testing.assert_close(
        module(moved, seen),
        module(positions, seen) @ turn.T + torch.tensor([2.0, 0, 1]),
        rtol=1e-3,
        atol=1e-4,
    )


def test_retargeted_motions_keep_the_bones() -> None:
    limbs = Limbs.of(SKELETON, [("left thigh", "left foot"), ("right upper arm", "right hand")])
    shins = SKELETON.bone_lengths[12] + SKELETON.bone_lengths[13]
    torch.testing.assert_close(limbs.length[0], shins)
    rest = forward_kinematics(torch.eye(3).expand(22, 3, 3), torch.zeros(1, 3), SKELETON)
    assert bool((limbs.ends(rest).norm(dim=1) <= 1 + 1e-5).all())
    with pytest.raises(ValueError, match="is not above"):
        Limbs.of(SKELETON, [("left foot", "left thigh")])
    with pytest.raises(ValueError, match="has no length"):
        Limbs.of(SKELETON, [("left foot", "left foot")])
    with pytest.raises(KeyError, match="tail"):
        Limbs.of(SKELETON, [("left foot", "tail")])
    other = type(SKELETON)(SKELETON.names, SKELETON.parents, SKELETON.offsets * 1.3)
    torch.manual_seed(0)
    network = RetargetingNetwork([SKELETON, other], width=6, channels=4, kernel_size=3)
    module = RetargetingModule(
        network,
        [SKELETON, other],
        [limbs, Limbs.of(other, [("left thigh", "left foot"), ("right upper arm", "right hand")])],
    )
    x = matrix_to_rotation_6d(Gaits(1, 1, 12)[0].rotation)[None]
    fitted(module, [x, x])
    with torch.no_grad():
        made = forward_kinematics(rotation_6d_to_matrix(module(x, 0, 1)), torch.zeros(1, 12, 1, 3), other)
    assert float(bone_length_error(made, other).max()) < 1e-5
    wanted = limbs.ends(forward_kinematics(rotation_6d_to_matrix(x), torch.zeros(1, 12, 1, 3), SKELETON))
    near = forward_kinematics(
        rotation_6d_to_matrix(module.reach(module(x, 0, 1), x, 0, 1, steps=80)),
        torch.zeros(1, 12, 1, 3),
        other,
    )
    off = [float((module.limbs[1].ends(p) - wanted).norm(dim=-1).mean()) for p in (made, near)]
    assert off[1] < 0.05 < off[0] and float(bone_length_error(near, other).max()) < 1e-5
