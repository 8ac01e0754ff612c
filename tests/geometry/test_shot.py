"""SHOT beside a loop written from the paper, and what turning and mirroring do to it."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from geodl.geometry import point_normals, shot, vertex_normals

from .shapes import Shape, bumpy, icosphere


def naive(pos: Tensor, normals: Tensor, radius: float) -> Tensor:
    out = torch.zeros(len(pos), 8, 2, 2, 11, dtype=torch.float64)
    for i in range(len(pos)):
        offset = pos - pos[i]
        d = offset.norm(dim=1)
        near = ((d <= radius) & (d > 0)).nonzero().flatten()
        u, d = offset[near], d[near]
        weight = (radius - d) / (radius - d).sum()
        axes = torch.linalg.eigh((weight[:, None, None] * u[:, :, None] * u[:, None, :]).sum(0)).eigenvectors
        x, z = axes[:, 2], axes[:, 0]
        x = x if int(((u @ x) >= 0).sum()) >= int(((u @ x) < 0).sum()) else -x
        z = z if int(((u @ z) >= 0).sum()) >= int(((u @ z) < 0).sum()) else -z
        y = torch.linalg.cross(z, x)
        for k, j in enumerate(near.tolist()):
            local = torch.stack([u[k] @ x, u[k] @ y, u[k] @ z])
            at = [
                (math.atan2(local[1], local[0]) + math.pi) / (math.pi / 4) - 0.5,
                math.acos(max(-1, min(1, float(local[2] / d[k])))) / (math.pi / 2) - 0.5,
                float(d[k]) / (radius / 2) - 0.5,
                (float(z @ normals[j]) + 1) / 0.2,
            ]
            for corner in range(16):
                place, share = [], 1.0
                for axis, count in enumerate((8, 2, 2, 11)):
                    low = math.floor(at[axis])
                    upper = corner >> axis & 1
                    share *= at[axis] - low if upper else 1 - (at[axis] - low)
                    bin_ = low + upper
                    place.append(bin_ % 8 if axis == 0 else max(0, min(count - 1, bin_)))
                out[i, place[0], place[1], place[2], place[3]] += share
    flat = out.flatten(1)
    return flat / flat.norm(dim=1, keepdim=True)


def turned(mesh: Shape, mirror: bool = False) -> Shape:
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    turn = turn * turn.det().sign() * (-1 if mirror else 1)
    face = mesh.face.flip(0) if mirror else mesh.face
    return Shape(mesh.pos @ turn.T + torch.tensor([3.0, -1.0, 2.0]), face)


def test_agrees_with_a_loop_from_the_paper() -> None:
    mesh = bumpy(2)
    found = shot(mesh, 0.6)
    expected = naive(mesh.pos, vertex_normals(mesh), 0.6)
    # Where as many neighbours lie on one side as on the other, the paper's count of zeros decides; ours leans.
    same = (found - expected).norm(dim=1) < 1e-8
    assert found.shape == (162, 352) and float(same.double().mean()) > 0.85
    torch.testing.assert_close(found.norm(dim=1), torch.ones(162, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_turning_changes_nothing_and_mirroring_does(dtype) -> None:
    mesh = bumpy(3)
    before, frames = shot(mesh.with_pos(mesh.pos.to(dtype)), 0.5, return_frames=True)
    assert before.dtype == dtype
    torch.testing.assert_close(torch.linalg.det(frames), torch.ones(642, dtype=dtype))
    other = turned(mesh)
    after = shot(other.with_pos(other.pos.to(dtype)), 0.5)
    off = (after - before).norm(dim=1)
    assert float((off < (1e-2 if dtype == torch.float32 else 1e-6)).double().mean()) > 0.99
    mirrored = shot(turned(mesh, mirror=True), 0.5).to(dtype)
    assert float((mirrored - before).norm(dim=1).median()) > 0.05


@pytest.mark.parametrize("scale", [1e-4, 1e5])
def test_the_unit_of_length_does_not_matter(scale) -> None:
    mesh = bumpy(2)
    torch.testing.assert_close(shot(mesh.with_pos(mesh.pos * scale), 0.6 * scale), shot(mesh, 0.6))


def test_point_clouds() -> None:
    mesh = bumpy(3)
    normal = vertex_normals(mesh)
    with_normals = shot(SimpleNamespace(pos=mesh.pos, face=None, normal=normal), 0.5)
    torch.testing.assert_close(with_normals, shot(mesh, 0.5))
    assert torch.isfinite(shot(SimpleNamespace(pos=mesh.pos), 0.5)).all()
    ball = icosphere(4)
    cosine = (point_normals(SimpleNamespace(pos=ball.pos)) * ball.pos).sum(1)
    assert float(cosine.min()) > 0.99
    line = torch.linspace(0, 1, 40, dtype=torch.float64)[:, None] * torch.tensor([1.0, 2.0, 3.0])
    with pytest.warns(RuntimeWarning, match="40 of 40 points have their neighbours on a line"):
        assert not point_normals(SimpleNamespace(pos=line)).any()


def test_lonely_points_are_counted() -> None:
    mesh = icosphere(2)
    lonely = Shape(torch.cat([mesh.pos, mesh.pos[:2] * 9]), mesh.face)
    with pytest.warns(RuntimeWarning, match="2 of 164 points have fewer than 5 neighbours"):
        found = shot(lonely, 0.5)
    assert not found[-2:].any() and found[:-2].any(dim=1).all()
    with pytest.raises(ValueError, match="radius must be positive"):
        shot(mesh, 0.0)
    with pytest.raises(ValueError, match="normal must be a finite tensor"):
        shot(SimpleNamespace(pos=mesh.pos, face=None, normal=mesh.pos[:3]), 0.5)
