"""The digits benchmark from end to end, briefly, and the projection onto the sphere."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from benchmarks import mnist
from benchmarks.tables import digits_table

pytest.importorskip("sklearn")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["grid", "graph", "sphere"])
def test_learns_something_and_writes_it_down(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = mnist.images(None, "train")[0][:400], mnist.images(None, "train")[1][:400]
    monkeypatch.setattr(mnist, "images", lambda root, split: few)
    mnist.main(["--model", model, "--epochs", "6", "--seeds", "2", "--threads", "1", "--out", str(tmp_path)])
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["metrics"]["test_accuracy"] > 0.5 and len(result["metrics"]["accuracies"]) == 2
    assert result["seeds"] == [0, 1] and str(tmp_path) not in json.dumps(result)
    table = digits_table([result])
    assert table.count("\n") == 2 and f"| LeNet5 on the {mnist.NAMES[model]} |" in table


def test_the_sphere_sees_the_picture_the_right_way_round() -> None:
    sphere = mnist.icosphere(3)
    where = mnist.projection(sphere.pos)[0]
    inside = where.norm(dim=1) < 1
    # Equal areas: the fraction of the sphere that is seen is that of the cap.
    assert abs(float(inside.float().mean()) - (1 - math.cos(math.radians(mnist.CAP))) / 2) < 0.02
    # Nothing beyond the cap is, not even the point opposite to its middle.
    beyond = sphere.pos[:, 0] < math.cos(math.radians(mnist.CAP)) - 1e-4
    assert bool(beyond.any()) and not bool((beyond & inside).any())
    down = mnist.carried_down(sphere.pos)
    torch.testing.assert_close(down.norm(dim=1), torch.ones(len(down)), rtol=1e-4, atol=1e-4)
    assert float((down * sphere.pos).sum(1).abs().max()) < 1e-4  # tangent
    # Near the middle a step along it goes down in the picture, and one to its left, seen from outside, to the right.
    near = sphere.pos[:, 0] > 0.9
    for direction, expected in (
        (down, (0.0, 1.0)),
        (torch.linalg.cross(sphere.pos, down, dim=1), (1.0, 0.0)),
    ):
        step = torch.nn.functional.normalize(sphere.pos + 1e-3 * direction, dim=1)
        moved = torch.nn.functional.normalize(mnist.projection(step)[0] - where, dim=1)[near]
        assert float((moved @ torch.tensor(expected)).min()) > 0.9
