"""Colours by position: smooth, and different wherever a person would call the place another."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh

from geodl import viz
from geodl.matching import MatchedPair, evaluate
from geodl.viz import color_transfer, match_lines
from geodl.viz.scene import View


def sphere():
    shape = trimesh.creation.icosphere(subdivisions=3)
    return SimpleNamespace(
        pos=torch.tensor(np.array(shape.vertices)), face=torch.tensor(np.array(shape.faces).T.copy())
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_opposite_sides_differ(axis):
    mesh = sphere()
    color = viz.position_colors(mesh)
    ends = color[mesh.pos[:, axis].argmax()] - color[mesh.pos[:, axis].argmin()]
    assert float(ends.abs().max()) > 0.3
    assert bool((color >= 0).all()) and bool((color <= 1).all())


def test_smooth_and_without_regard_to_scale_and_place():
    mesh = sphere()
    color = viz.position_colors(mesh)
    edge = torch.cat([mesh.face[:2], mesh.face[1:]], dim=1)
    assert float((color[edge[0]] - color[edge[1]]).abs().max()) < 0.2
    mesh.pos = mesh.pos * 1e6 + 3
    torch.testing.assert_close(viz.position_colors(mesh), color, rtol=0, atol=1e-6)


def test_flat_shapes_have_colors_too():
    pos = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    color = viz.position_colors(SimpleNamespace(pos=pos, face=torch.tensor([[0], [1], [2]])))
    assert bool(torch.isfinite(color).all()) and color.unique(dim=0).shape[0] == 3


def test_matched_vertices_wear_the_color_of_their_match(monkeypatch, tmp_path):
    scenes = []
    monkeypatch.setattr(color_transfer, "write_picture", lambda scene, *_: scenes.append(scene))
    mesh = sphere()
    count = mesh.pos.shape[0]
    permuted = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    for p2p in (torch.arange(count), permuted):
        viz.correspondence(mesh, mesh, p2p, tmp_path / "a.png", true=torch.arange(count))
        reference, truth, prediction = (body.color for body in scenes[-1].bodies)
        assert np.array_equal(truth, reference)
        assert np.array_equal(prediction, reference[p2p.numpy()])
    assert not np.array_equal(prediction, reference)


def test_pictures_say_how_many_vertices_are_unmatched(monkeypatch, tmp_path):
    scenes = []
    for module in (color_transfer, match_lines):
        monkeypatch.setattr(module, "write_picture", lambda scene, *_: scenes.append(scene))
    mesh = sphere()
    p2p = torch.arange(mesh.pos.shape[0])
    p2p[:7] = -1
    viz.correspondence(mesh, mesh, p2p, tmp_path / "a.png", true=torch.arange(len(p2p)))
    assert [body.label for body in scenes[-1].bodies] == [
        "reference",
        "ground truth",
        "prediction (7 unmatched)",
    ]
    grey = scenes[-1].bodies[2].color[:7]
    assert np.array_equal(grey, np.broadcast_to(grey[:1], grey.shape)) and np.ptp(grey[0]) < 0.05
    viz.lines(mesh, mesh, p2p, tmp_path / "b.png", count=900)
    assert scenes[-1].bodies[1].label == "shape (7 unmatched)"
    assert len(scenes[-1].line_ends) == len(p2p) - 7
    with pytest.raises(ValueError, match="-1 everywhere"):
        viz.lines(mesh, mesh, torch.full_like(p2p, -1), tmp_path / "b.png")


def test_the_report_says_how_many_vertices_are_unmatched():
    mesh = sphere()
    predicted = torch.arange(mesh.pos.shape[0])
    predicted[:7] = -1
    report = evaluate([MatchedPair(mesh, predicted, torch.arange(len(predicted)))])
    assert (report.unmatched, report.points, report.mean_error) == (7, len(predicted) - 7, 0)
    assert report.to_dict()["unmatched"] == 7 and "7 points have no prediction (-1)" in str(report)


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_views_are_right_handed_and_upright(up):
    for front in [sign + axis for axis in "xyz" if axis != up for sign in "+-"]:
        view = View.of(up, front)
        assert np.linalg.det(view.axes) == pytest.approx(1) and view.axes[1]["xyz".index(up)] == 1
        assert np.array_equal(view.behind().axes[2], -view.axes[2])
        assert np.linalg.det(view.behind().axes) == pytest.approx(1)


def test_the_front_does_not_depend_on_the_shape():
    assert View.of("y").axes[2].tolist() == [0, 0, 1] and View.of("z").axes[2].tolist() == [0, -1, 0]


def test_cameras_of_any_direction():
    view = View.of("z", (1, 1, 0.5))
    assert np.allclose(view.axes @ view.axes.T, np.eye(3)) and np.linalg.det(view.axes) == pytest.approx(1)
    assert np.allclose(view.axes[2], np.array([1, 1, 0.5]) / 1.5)
    assert view.axes[1, 2] > 0 and view.axes[0, 2] == 0  # upright
    assert np.allclose(View.of((0, 2.0, 0), "z").axes, np.eye(3))
    assert View.of("-y", "+z").axes[1].tolist() == [0, -1, 0]
    for up, front, message in (
        ("y", (0, 0, 0), "front must be a direction"),
        ("y", (0, 1e9, 0), "must not be parallel"),
        ((0, float("nan"), 1), None, "up must be a direction"),
        ((1, 1, 0), None, "front is needed"),
        ("y", "+w", "front must be x, y, z"),
    ):
        with pytest.raises(ValueError, match=message):
            View.of(up, front)
