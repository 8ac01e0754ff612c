"""Motions as a character sees them, phases of steps, and markers lost and filled."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import PchipInterpolator

from geodl.data import (
    CharacterMotion,
    Motion,
    character_motion,
    contact_phase,
    fill_markers,
    heading,
    lose_markers,
)
from geodl.data.locomotion import about_y
from geodl.datasets import Gaits


@pytest.fixture(scope="module")
def walk() -> Motion:
    return Gaits(1, 1, 60)[0]


def seen_by_itself(motion: Motion) -> CharacterMotion:
    return character_motion(motion, ("left thigh", "right thigh"), motion.contact)


def test_a_motion_comes_back(walk: Motion) -> None:
    character = seen_by_itself(walk)
    again = character.motion(walk.skeleton, walk.frame_time)
    torch.testing.assert_close(again.rotation, walk.rotation, rtol=0, atol=1e-5)
    torch.testing.assert_close(character.positions(walk.skeleton), walk.positions(), rtol=0, atol=1e-5)
    on_spot = character.on_spot()
    facing = heading(on_spot.positions(walk.skeleton), 11, 14)
    torch.testing.assert_close(facing, torch.zeros_like(facing), rtol=0, atol=1e-5)


def test_turning_and_moving_a_motion_changes_where_it_is_and_nothing_else(walk: Motion) -> None:
    turn = about_y(torch.tensor(2.5))
    rotation = torch.cat([turn @ walk.rotation[:, :1], walk.rotation[:, 1:]], 1)
    place = walk.translation @ turn.T + torch.tensor([3.0, 0.0, -1.0])
    other = seen_by_itself(Motion(walk.skeleton, rotation, place, walk.frame_time, contact=walk.contact))
    one = seen_by_itself(walk)
    torch.testing.assert_close(other.rotation, one.rotation, rtol=0, atol=1e-5)
    turned = (other.heading - one.heading - 2.5).remainder(2 * math.pi)
    assert float((turned - math.pi).abs().max()) > math.pi - 1e-4


def test_headings_go_on_over_a_full_turn() -> None:
    angle = torch.linspace(0, 15, 100)
    across = torch.stack([angle.cos(), torch.zeros(100), -angle.sin()], -1)
    positions = torch.stack([across, -across], 1)
    torch.testing.assert_close(heading(positions, 0, 1), angle, rtol=0, atol=1e-4)


def test_the_phase_of_steps() -> None:
    contact = torch.zeros(60, 2)
    for frame in (10, 30, 50):
        contact[frame : frame + 8, 0] = 1
    for frame in (22, 42):
        contact[frame : frame + 8, 1] = 1
    phase = contact_phase(contact) / math.pi
    torch.testing.assert_close(phase[[10, 22, 30, 42, 50]], torch.arange(5.0))
    torch.testing.assert_close(phase[16], torch.tensor(0.5))
    assert bool((phase.diff() > 0).all())
    torch.testing.assert_close(phase[[0, 59]], torch.tensor([-1.0, 4.9]))  # a turn in 20 frames on the whole
    hops = contact.clone()
    hops[:, 1] = hops[:, 0]  # on both feet at once
    assert bool((contact_phase(hops).diff() > 0).all())
    one_leg = torch.stack([contact[:, 0], torch.zeros(60)], 1)
    torch.testing.assert_close(contact_phase(one_leg)[[10, 30]] / math.pi, torch.tensor([0.0, 2.0]))
    with pytest.raises(ValueError, match="two touchdowns, but there are 0"):
        contact_phase(torch.zeros(9, 2))
    with pytest.raises(ValueError, match=r"\[F, 2\]"):
        contact_phase(torch.zeros(9, 3))


def test_characters_stack_and_move(walk: Motion) -> None:
    one = seen_by_itself(walk)
    both = CharacterMotion.stack([one, one[:60]])
    assert both.to(torch.float64).rotation.dtype == torch.float64
    torch.testing.assert_close(both[1, 5:9].place, one.place[5:9])
    with pytest.raises(ValueError, match="left and right"):
        character_motion(walk, ("left thigh", "right thigh"), walk.contact[:, :1])


def test_markers_are_lost_for_one_gap() -> None:
    seen = lose_markers(50, 40, 20, 0.3, 15, torch.Generator().manual_seed(0))
    assert seen.shape == (50, 40, 20)
    assert bool(((~seen).sum(1).count_nonzero(1) == 6).all())
    assert bool(((~seen).any(2).sum(1) == 15).all())
    assert bool(seen[:, [0, -1]].all())
    assert bool(lose_markers(2, 5, 3, 0.0, 3).all())
    with pytest.raises(ValueError, match="0 to 3, not 4"):
        lose_markers(1, 5, 3, 0.3, 4)
    with pytest.raises(ValueError, match="share"):
        lose_markers(1, 5, 3, 1.5, 2)


@pytest.mark.parametrize("kind", ["linear", "pchip", "cubic"])
def test_lost_markers_are_interpolated(kind: str) -> None:
    time = torch.arange(30, dtype=torch.float64)
    line = (time[:, None, None] * torch.tensor([1.0, -2.0, 0.5]).double() + 3).expand(2, 30, 4, 3)
    seen = lose_markers(2, 30, 4, 0.5, 10, torch.Generator().manual_seed(1))
    hidden = torch.where(seen[..., None], line, torch.nan)
    torch.testing.assert_close(fill_markers(hidden, seen, kind), line)  # type: ignore[arg-type]
    cut = seen.clone()
    cut[:, :3] = False
    filled = fill_markers(hidden, cut, kind)  # type: ignore[arg-type]
    first = cut[0, :, 0].nonzero()[0, 0]
    torch.testing.assert_close(filled[0, 0, 0], line[0, first, 0])


def test_splines_are_scipys_and_smoothing_takes_noise_away() -> None:
    generator = torch.Generator().manual_seed(0)
    wave = (torch.arange(40)[:, None, None] / 6 + torch.arange(9.0).view(3, 3)).sin()[None].double()
    seen = torch.ones(1, 40, 3, dtype=torch.bool)
    seen[:, 10:25, 1] = False
    here = seen[0, :, 1].numpy()
    spline = PchipInterpolator(np.flatnonzero(here), wave[0, :, 1].numpy()[here])(np.arange(40))
    torch.testing.assert_close(fill_markers(wave, seen, "pchip")[0, :, 1], torch.from_numpy(spline))
    noisy = wave + 0.2 * torch.randn(wave.shape, generator=generator, dtype=torch.float64)
    errors = [
        float((fill_markers(noisy, seen, "linear", s) - wave)[:, :, 0].abs().mean()) for s in (0.0, 1.5)
    ]
    assert errors[1] < 0.7 * errors[0]
    with pytest.raises(ValueError, match="marker 1 is never seen in clip 0"):
        fill_markers(wave, seen & (torch.arange(3) != 1))
    with pytest.raises(ValueError, match="kind must be"):
        fill_markers(wave, seen, "quintic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not be negative"):
        fill_markers(wave, seen, smoothing=-1.0)
