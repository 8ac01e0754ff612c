"""Evaluation of correspondences: closed forms, brute force, averages, protocols and errors."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh

from geodl.matching import MatchedPair, evaluate, evaluation


def grid(count=9, size=1.0, dtype=torch.float64):
    """Flat square of count x count vertices: geodesics are straight lines, the area is size^2."""
    line = torch.linspace(0, size, count, dtype=dtype)
    pos = torch.stack(
        [line.repeat_interleave(count), line.repeat(count), torch.zeros(count**2, dtype=dtype)], dim=1
    )
    corner = (torch.arange(count - 1)[:, None] * count + torch.arange(count - 1)).flatten()
    face = torch.cat(
        [
            torch.stack([corner, corner + count, corner + 1]),
            torch.stack([corner + 1, corner + count, corner + count + 1]),
        ],
        dim=1,
    )
    return SimpleNamespace(pos=pos, face=face)


def from_trimesh(shape):
    return SimpleNamespace(
        pos=torch.tensor(np.array(shape.vertices)), face=torch.tensor(np.array(shape.faces).T.copy())
    )


def random_pair(mesh, seed=0, points=200, name=""):
    generator = torch.Generator().manual_seed(seed)
    predicted, true = torch.randint(mesh.pos.shape[0], (2, points), generator=generator)
    return MatchedPair(mesh, predicted, true, name)


def test_perfect_match():
    mesh = grid()
    label = torch.arange(81)
    report = evaluate([MatchedPair(mesh, label, label)])
    assert (report.mean_error, report.median_error, report.worst_error) == (0, 0, 0)
    assert report.accuracy == report.auc == 1
    assert torch.equal(report.curve, torch.ones(101, dtype=torch.float64))


def test_equal_indices_need_no_solver(monkeypatch):
    def refuse(*_):
        raise AssertionError("the solver was called")

    monkeypatch.setattr(evaluation, "geodesic_distance", refuse)
    label = torch.arange(81)
    assert evaluate([MatchedPair(grid(), label, label)]).mean_error == 0


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_flat_grid_has_straight_distances_at_any_scale(scale, dtype):
    mesh = grid(size=scale, dtype=dtype)
    pair = random_pair(mesh)
    straight = (mesh.pos[pair.predicted] - mesh.pos[pair.true]).double().norm(dim=1) / scale
    report = evaluate([pair])
    torch.testing.assert_close(report.errors[0], straight, rtol=1e-5, atol=1e-7)
    assert report.mean_error == pytest.approx(100 * float(straight.mean()), rel=1e-5)
    assert report.median_error == pytest.approx(100 * float(np.median(straight)), rel=1e-5)
    assert report.worst_error == pytest.approx(100 * float(straight.max()), rel=1e-5)
    assert report.accuracy == pytest.approx(float((pair.predicted == pair.true).double().mean()))


def test_sphere_has_great_circles():
    mesh = from_trimesh(trimesh.creation.icosphere(subdivisions=3))
    pair = random_pair(mesh)
    cosine = (mesh.pos[pair.predicted] * mesh.pos[pair.true]).sum(1).clamp(-1, 1)
    great_circle = torch.acos(cosine) / math.sqrt(4 * math.pi)
    error = evaluate([pair]).errors[0]  # of an inscribed mesh: a little less
    torch.testing.assert_close(error, great_circle, rtol=0.02, atol=1e-7)


def test_equals_brute_force_of_an_exact_solver():
    geodesic = pytest.importorskip("pygeodesic.geodesic", reason="needs pygeodesic, an independent solver")
    shape = trimesh.creation.capsule(height=2.0, radius=0.5, count=[10, 10])
    mesh = from_trimesh(shape)
    pair = random_pair(mesh, points=150)
    solver = geodesic.PyGeodesicAlgorithmExact(np.array(shape.vertices), np.array(shape.faces))
    truth = torch.tensor(
        [solver.geodesicDistance(int(a), int(b))[0] for a, b in zip(pair.predicted, pair.true, strict=True)]
    )
    report = evaluate([pair])
    torch.testing.assert_close(report.errors[0], truth.double() / math.sqrt(shape.area), rtol=1e-5, atol=1e-9)


def test_every_pair_counts_not_only_the_last():
    """The known defect: a curve that keeps only the last test pair."""
    mesh = grid()
    corner, far = torch.zeros(30, dtype=torch.int64), torch.full((30,), 80)
    bad, good = MatchedPair(mesh, far, corner, "bad"), MatchedPair(mesh, corner[:10], corner[:10], "good")
    for pairs in ([bad, good], [good, bad]):
        report = evaluate(iter(pairs))
        assert report.mean_error == pytest.approx(100 * math.sqrt(2) * 30 / 40)
        assert report.accuracy == 10 / 40 and report.points == 40
        assert report.curve.tolist() == [0.25] * 101
        assert report.auc == pytest.approx(0.25)
        assert dict(zip(report.names, report.pair_means, strict=True)) == pytest.approx(
            {"bad": 100 * math.sqrt(2), "good": 0}
        )
        assert report.hit_rate(1.5) == 1


@pytest.mark.parametrize("protocol", ["exact", "dijkstra", "per-pair"])
def test_protocols(protocol):
    """Across a grid whose diagonals run the other way, edges take two sides and geodesics the diagonal."""
    mesh = grid()
    corner, far = torch.zeros(30, dtype=torch.int64), torch.full((30,), 80)
    pairs = [MatchedPair(mesh, far, corner), MatchedPair(mesh, corner[:10], corner[:10])]
    expected = {"exact": math.sqrt(2) * 30 / 40, "dijkstra": 2 * 30 / 40, "per-pair": math.sqrt(2) / 2}
    report = evaluate(pairs, protocol=protocol)
    assert report.mean_error == pytest.approx(100 * expected[protocol])
    assert report.protocol == protocol == report.to_dict()["protocol"]


def test_couples_are_solved_once_in_either_direction_and_across_pairs(monkeypatch):
    asked = []
    solve = evaluation.geodesic_distance

    def record(mesh, sources, targets):
        asked.extend(zip(sources.tolist(), targets.tolist(), strict=True))
        return solve(mesh, sources, targets)

    monkeypatch.setattr(evaluation, "geodesic_distance", record)
    predicted, true = torch.tensor([0, 5, 5, 7, 3]), torch.tensor([5, 0, 0, 7, 40])
    # The two grids are equal, not identical.
    report = evaluate([MatchedPair(grid(), predicted, true), MatchedPair(grid(), true, predicted)])
    assert sorted(sorted(couple) for couple in asked) == [[0, 5], [3, 40]]
    assert torch.equal(report.errors[0], report.errors[1])


def test_a_constant_prediction_is_one_search(monkeypatch):
    searches = []
    solve = evaluation.geodesic_distance

    def record(mesh, sources, targets):
        searches.append(sources.unique())
        return solve(mesh, sources, targets)

    monkeypatch.setattr(evaluation, "geodesic_distance", record)
    evaluate([MatchedPair(grid(), torch.full((81,), 40), torch.arange(81))])
    assert [search.tolist() for search in searches] == [[40]]


def test_pairs_on_different_meshes_use_their_own_area():
    small, large = grid(size=1.0), grid(size=7.0)
    corner, far = torch.tensor([0]), torch.tensor([80])
    report = evaluate([MatchedPair(small, far, corner), MatchedPair(large, far, corner)])
    assert report.pair_means == pytest.approx([100 * math.sqrt(2)] * 2)


@pytest.mark.parametrize("protocol", ["exact", "dijkstra", "per-pair"])
def test_unreachable_points_are_reported_not_dropped(protocol):
    one, far = grid(count=3), grid(count=3)
    mesh = SimpleNamespace(
        pos=torch.cat([one.pos, far.pos + 10]), face=torch.cat([one.face, far.face + 9], dim=1)
    )
    pair = MatchedPair(mesh, torch.tensor([0, 1, 9]), torch.tensor([0, 0, 0]), "torn")
    with pytest.warns(RuntimeWarning, match="1 of 3 points are predicted on another component.*torn"):
        report = evaluate([pair], protocol=protocol)
    assert report.unreachable == 1 and report.mean_error == math.inf and report.errors[0][2] == math.inf
    assert report.mean_error_reachable == pytest.approx(100 * 0.25 / math.sqrt(2))
    assert float(report.curve[-1]) == pytest.approx(1 / 3) and report.hit_rate(1e9) == pytest.approx(2 / 3)
    stored = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert stored["mean_error_x100"] is None and stored["unreachable"] == 1
    assert "UNREACHABLE" in str(report)


def test_curve_and_area_of_a_known_distribution():
    """Errors 0, 1/8, ..., 1 of a straight line: F is a staircase, and its area is known."""
    mesh = grid()
    predicted = torch.arange(9)
    report = evaluate(
        [MatchedPair(mesh, predicted, torch.zeros(9, dtype=torch.int64))], thresholds=[0, 0.125, 0.3, 1.0]
    )
    assert report.curve.tolist() == pytest.approx([1 / 9, 2 / 9, 3 / 9, 1])
    assert report.auc == pytest.approx(sum(1 - k / 8 for k in range(9)) / 9)


def test_curve_ascends_and_its_area_is_the_integral():
    report = evaluate(
        [random_pair(grid(), seed) for seed in range(3)], thresholds=torch.linspace(0, 0.5, 20001)
    )
    assert bool((report.curve.diff() >= 0).all())
    assert report.auc == pytest.approx(
        float(torch.trapezoid(report.curve, report.thresholds)) / 0.5, abs=1e-4
    )


def test_report_as_json_and_as_text():
    report = evaluate([random_pair(grid(), seed, name=f"shape {seed}") for seed in range(12)])
    stored = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert stored["pairs"] == 12 and stored["points"] == 2400 and len(stored["curve"]) == 101
    assert stored["mean_error_x100"] == report.mean_error
    text = str(report)
    assert f"{report.mean_error:.3f}" in text and "12 pairs" in text and "2 pairs with smaller errors" in text


def test_gradients_and_inputs_are_left_alone():
    mesh = grid()
    mesh.pos.requires_grad_()
    pair = random_pair(mesh)
    before = pair.predicted.clone()
    assert not evaluate([pair]).errors[0].requires_grad
    assert torch.equal(pair.predicted, before)


LABEL = torch.arange(4)


@pytest.mark.parametrize(
    ("predicted", "true", "error", "message"),
    [
        (LABEL, LABEL[:3], ValueError, "scan: predicted has 4 points but true has 3"),
        (LABEL[None], LABEL, ValueError, r"scan: predicted must have shape \[V\], not \[1, 4\]"),
        (LABEL, LABEL.double(), ValueError, "scan: true must hold integers, not torch.float64"),
        (LABEL[:0], LABEL[:0], ValueError, "scan: predicted holds no points"),
        (LABEL + 78, LABEL, IndexError, r"scan: predicted holds 78\.\.81, but mesh has 81 vertices"),
        (LABEL, LABEL - 1, IndexError, r"scan: true holds -1\.\.2, but mesh has 81 vertices"),
    ],
)
def test_errors_name_pair_and_argument(predicted, true, error, message):
    with pytest.raises(error, match=message):
        evaluate([MatchedPair(grid(), predicted, true, "scan")])


def test_other_errors():
    pair = random_pair(grid())
    with pytest.raises(ValueError, match="pairs is empty"):
        evaluate([])
    with pytest.raises(
        ValueError, match="protocol must be one of exact, dijkstra, per-pair, not 'euclidean'"
    ):
        evaluate([pair], protocol="euclidean")
    for thresholds in ([], [0.2, 0.1], [0.1, float("nan")], [-1.0, 1.0], [0.0]):
        with pytest.raises(ValueError, match="thresholds must"):
            evaluate([pair], thresholds=thresholds)
    with pytest.raises(ValueError, match="pair 0: mesh must carry pos and face, it is a Tensor"):
        evaluate([MatchedPair(torch.zeros(3, 3), pair.predicted, pair.true)])
    flat = SimpleNamespace(pos=torch.zeros(81, 3), face=grid().face)
    with pytest.raises(ValueError, match="pair 0: mesh has surface area 0"):
        evaluate([MatchedPair(flat, pair.predicted, pair.true)])
