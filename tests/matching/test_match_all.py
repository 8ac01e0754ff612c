"""One shape to many: in processes or here, resumed, with shapes that fail."""

from pathlib import Path

import pytest
import torch

from geodl.data import Mesh
from geodl.datasets import Puppets
from geodl.matching import Match, MatchAllReport, SpectralShape, match, match_all
from tests.geometry.shapes import bumpy


@pytest.fixture(scope="module")
def bodies() -> list[Mesh]:
    shapes = Puppets(3, 2, num_vertices=1500)
    return [shapes[k] for k in range(3)]


def test_as_each_alone_and_resumed(bodies: list[Mesh], tmp_path: Path) -> None:
    one, *others = bodies
    broken = Mesh(torch.zeros(3, 3), torch.tensor([[0], [1], [2]]))
    named = {"b": others[0], "bad": broken, "c": others[1]}
    report = match_all(one, named, tmp_path, 40, workers=0)
    assert isinstance(report, MatchAllReport)
    assert (report.names, report.computed, list(report), len(report)) == (("b", "c"), 2, ["b", "c"], 2)
    assert "surface area 0" in report.failed["bad"] and "FAILED" in str(report)
    alone = match(SpectralShape.of(one, 40), others[1], 40)
    assert torch.equal(report["c"].p2p_21, alone.p2p_21) and report["c"].shapes is None
    with pytest.raises(KeyError, match="surface area 0"):
        report["bad"]
    # What is there is left alone; what was damaged is done again.
    kept = (tmp_path / "b.safetensors").stat().st_mtime_ns
    (tmp_path / "c.safetensors").write_bytes(b"half")
    again = match_all(one, {name: named[name] for name in "bc"}, tmp_path, 40, workers=0)
    assert again.computed == 1 and (tmp_path / "b.safetensors").stat().st_mtime_ns == kept
    # Unless shapes are asked for that it does not hold.
    full = match_all(one, {"b": named["b"]}, tmp_path, 40, workers=0, keep_shapes=True)
    assert full.computed == 1 and Match.load(tmp_path / "b.safetensors").shapes is not None


@pytest.mark.slow
def test_in_processes(tmp_path: Path) -> None:
    balls = [bumpy(2) for _ in range(3)]
    small = [
        Mesh(ball.pos * torch.tensor([1.0, 1.2, 1.5 + 0.1 * k]), ball.face) for k, ball in enumerate(balls)
    ]
    here = match_all(small[0], small[1:], tmp_path / "here", 20, workers=0)
    there = match_all(small[0], small[1:], tmp_path / "there", 20, workers=2)
    assert there.names == ("0", "1") and not there.failed
    for name in there:
        # Other numbers of threads round otherwise.
        assert float((here[name].p2p_21 == there[name].p2p_21).double().mean()) > 0.99


def test_bad_input_is_named(bodies: list[Mesh], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no file name"):
        match_all(bodies[0], {"../x": bodies[1]}, tmp_path)
    with pytest.raises(ValueError, match=r"not 'b\.ply' alone"):
        match_all(bodies[0], "b.ply", tmp_path)
    with pytest.raises(ValueError, match="two shapes have one name"):
        match_all(bodies[0], {1: bodies[1], "1": bodies[2]}, tmp_path)  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="must not be negative"):
        match_all(bodies[0], bodies[1:], tmp_path, workers=-1)
