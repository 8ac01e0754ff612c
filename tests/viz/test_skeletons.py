"""Strips and films of skeletons, and of a mesh that moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from geodl.data import Mesh, Motion, Skeleton
from geodl.datasets import Gaits
from geodl.viz import mesh_film, skeleton_film, skeleton_strip, use_renderer

image = pytest.importorskip("PIL.Image")
pytest.importorskip("matplotlib")

RED, BLUE = np.array([0xC8, 0x50, 0x1E]), np.array([0x2B, 0x6C, 0xB0])


def walk(frames: int = 8) -> Motion:
    return Gaits(num_identities=1, num_clips=1, frames=frames)[0]


def pixels(path: Path, frame: int = 0) -> np.ndarray:
    with image.open(path) as opened:
        opened.seek(frame)
        return np.asarray(opened.convert("RGB")).astype(int)


def painted(picture: np.ndarray, color: np.ndarray) -> np.ndarray:
    return (np.abs(picture - color).max(2) < 40).nonzero()[1]


def test_a_strip_shows_every_motion_and_both_sides(tmp_path: Path) -> None:
    m = walk()
    path = skeleton_strip(
        {"truth": m, "made": (m.positions(), m.skeleton)}, tmp_path / "a.png", poses=5, title="a walk"
    )
    drawn = pixels(path)
    rows = len(drawn) // 2
    for half in (drawn[:rows], drawn[rows:]):
        for color in (RED, BLUE):
            columns = painted(half, color)
            assert len(columns) > 100 and np.ptp(columns) > 0.7 * drawn.shape[1]  # poses lie side by side
    half = skeleton_strip({"one": m.clip(0, 1)}, tmp_path / "b.png", poses=1)
    assert pixels(half).min() < 128


def test_left_is_red_however_it_is_named(tmp_path: Path) -> None:
    for names in (
        ("hips", "LeftHand"),
        ("hips", "hand_l"),
        ("hips", "lHand"),
        ("hips", "left foot End Site"),
    ):
        skeleton = Skeleton(names, torch.tensor([-1, 0]), torch.tensor([[0.0, 0, 0], [0, 1, 0]]))
        position = torch.tensor([[[0.0, 0, 0], [0, 1, 0]]])
        drawn = pixels(skeleton_strip({"x": (position, skeleton)}, tmp_path / "a.png", poses=1))
        assert len(painted(drawn, RED)) > 20 and not len(painted(drawn, BLUE)), names


def test_a_film_has_all_frames_and_moves(tmp_path: Path) -> None:
    path = skeleton_film({"walk": walk(9), "short": walk(4)}, tmp_path / "a.gif")
    with image.open(path) as opened:
        assert (
            opened.n_frames == 9
            and opened.size == (600, 340)
            and opened.info["duration"] == pytest.approx(30, abs=5)
        )
    assert np.abs(pixels(path, 0) - pixels(path, 8)).max() > 100
    slow = skeleton_film({"walk": walk(3)}, tmp_path / "b.gif", fps=5)
    with image.open(slow) as opened:
        assert opened.info["duration"] == 200


def test_a_mesh_moves_over_the_ground(tmp_path: Path) -> None:
    import trimesh

    made = trimesh.creation.icosphere(1)
    face = torch.tensor(made.faces).long().t().contiguous()
    ball = torch.tensor(made.vertices).float() + torch.tensor([0.0, 1, 0])
    frames = [Mesh(ball + torch.tensor([0.0, 0, 0.3 * step]), face) for step in range(3)]
    with use_renderer("matplotlib"):
        path = mesh_film(
            frames, tmp_path / "a.gif", color=torch.tensor([[1.0, 0.3, 0.2]]).expand(42, 3), fps=10
        )
    with image.open(path) as opened:
        assert opened.n_frames == 3 and opened.size[1] == 420
    first, last = pixels(path, 0), pixels(path, 2)
    red = [int((p[..., 0] > p[..., 2] + 60).sum()) for p in (first, last)]
    assert min(red) > 10_000 and abs(red[0] - red[1]) < 0.02 * red[0]  # the camera follows
    assert np.abs(first - last).max() > 20  # and the ground goes by


def test_what_cannot_be_drawn_is_named(tmp_path: Path) -> None:
    m = walk(2)
    with pytest.raises(ValueError, match="motions is empty"):
        skeleton_strip({}, tmp_path / "a.png")
    with pytest.raises(ValueError, match="poses must be positive"):
        skeleton_strip({"m": m}, tmp_path / "a.png", poses=0)
    with pytest.raises(ValueError, match=r"m: positions must have shape \[F, 22, 3\], not \[2, 5, 3\]"):
        skeleton_film({"m": (m.positions()[:, :5], m.skeleton)}, tmp_path / "a.gif")
    with pytest.raises(ValueError, match="m: positions hold NaN"):
        skeleton_film({"m": (m.positions() * float("nan"), m.skeleton)}, tmp_path / "a.gif")
    with pytest.raises(ValueError, match=r"must end in \.png"):
        skeleton_strip({"m": m}, tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"must end in \.gif or \.mp4"):
        skeleton_film({"m": m}, tmp_path / "a.avi")
    with pytest.raises(ValueError, match="meshes is empty"):
        mesh_film([], tmp_path / "a.gif")
    flat = Mesh(torch.tensor([[0.0, 0, 0], [0, 0, 0], [0, 0, 0]]), torch.tensor([[0], [1], [2]]))
    with pytest.raises(ValueError, match="no height"):
        mesh_film([flat], tmp_path / "a.gif")
    with pytest.raises(ValueError, match=r"color must have shape \[3, 3\]"):
        mesh_film([flat], tmp_path / "a.gif", color=torch.zeros(4, 3))
    assert not list(tmp_path.iterdir())
