"""Gradients are exact where they can be, and do not depend on the frames that they are written in."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from geodl.geometry import Gradient, gradient, tangent_frames

from .shapes import Shape, bumpy, flat_random, icosphere


def in_space(mesh: Shape, x: torch.Tensor) -> torch.Tensor:
    return torch.einsum("vcd,vdk->vck", gradient(mesh)(x), tangent_frames(mesh)[:, :2])


def test_frames_are_orthonormal_and_right_handed() -> None:
    frames = tangent_frames(bumpy())
    torch.testing.assert_close(frames @ frames.transpose(1, 2), torch.eye(3).double().expand_as(frames))
    torch.testing.assert_close(torch.linalg.det(frames), torch.ones(len(frames)).double())


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_linear_functions_on_a_tilted_plane(scale) -> None:
    flat = flat_random()
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    mesh = flat.with_pos(scale * flat.pos @ turn.T)
    slope = torch.randn(3, dtype=torch.float64)
    normal = turn[:, 2]
    expected = slope - (slope @ normal) * normal
    found = in_space(mesh, (mesh.pos @ slope)[:, None])[:, 0]
    torch.testing.assert_close(found, expected.expand_as(found), atol=1e-8, rtol=0)


def test_sphere() -> None:
    """The gradient of z is the tangential part of the axis."""
    mesh = icosphere(4)
    z = mesh.pos[:, 2:]
    expected = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64) - z * mesh.pos
    assert float((in_space(mesh, z)[:, 0] - expected).norm(dim=1).max()) < 0.02


def test_constants_have_none_and_isolated_vertices_too() -> None:
    mesh = icosphere(1)
    lonely = Shape(torch.cat([mesh.pos, torch.zeros(1, 3).double()]), mesh.face)
    assert float(gradient(lonely)(torch.ones(43, 1).double()).abs().max()) < 1e-12
    assert not gradient(lonely)(torch.randn(43, 2).double())[42].any()


def test_rotate_turns_vectors_and_cat_packs() -> None:
    mesh = bumpy()
    operator, angle = gradient(mesh), torch.rand(mesh.size, dtype=torch.float64) * 6
    x = torch.randn(mesh.size, 3, dtype=torch.float64)
    before = torch.view_as_complex(operator(x))
    after = torch.view_as_complex(operator.rotate(angle)(x))
    torch.testing.assert_close(after, before * torch.polar(torch.ones_like(angle), angle)[:, None])
    both = Gradient.cat([operator, operator])
    torch.testing.assert_close(both(torch.cat([x, 2 * x])), torch.cat([operator(x), 2 * operator(x)]))
    with pytest.raises(ValueError, match="one a frame"):
        operator.rotate(angle[1:])


def test_point_clouds() -> None:
    """Linear functions on a flat cloud are exact; on a sphere the gradient of z is the tangential part of the axis."""
    flat = SimpleNamespace(pos=flat_random(300).pos)
    slope = torch.tensor([1.5, -0.7, 0.0], dtype=torch.float64)
    found = torch.einsum(
        "vcd,vdk->vck", gradient(flat)((flat.pos @ slope)[:, None]), tangent_frames(flat)[:, :2]
    )
    torch.testing.assert_close(found[:, 0], slope.expand_as(found[:, 0]), atol=1e-8, rtol=0)
    ball = SimpleNamespace(pos=icosphere(4).pos)
    z = ball.pos[:, 2:]
    expected = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64) - z * ball.pos
    found = torch.einsum("vcd,vdk->vck", gradient(ball)(z), tangent_frames(ball)[:, :2])
    assert float((found[:, 0] - expected).norm(dim=1).max()) < 0.05
    with pytest.warns(RuntimeWarning, match="1 of 1 points"), pytest.raises(ValueError, match="no gradient"):
        gradient(SimpleNamespace(pos=torch.zeros(1, 3)))
