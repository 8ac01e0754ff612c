"""The benchmark of generative networks from end to end, briefly, and the samples that they are compared with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gan, mnist
from benchmarks.tables import samples_table

pytest.importorskip("sklearn")


@pytest.mark.slow
@pytest.mark.parametrize(("domain", "model"), [("grid", "style"), ("grid", "dc"), ("sphere", "style")])
def test_makes_up_something_and_writes_it_down(
    domain: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [tensor[:200] for tensor in mnist.images(None, "train")]
    monkeypatch.setattr(mnist, "images", lambda root, split: few)
    monkeypatch.setattr(gan, "STEPS_AN_EPOCH", 2)
    monkeypatch.setitem(mnist.EPOCHS, "digits", 2)
    command = ["--domain", domain, "--model", model, "--steps", "3", "--seeds", "1", "--threads", "1"]
    for _ in range(2 if model == "dc" else 1):  # the second finds all there is
        gan.main([*command, "--out", str(tmp_path)])
    result = json.loads((tmp_path / "result.json").read_text())
    metrics = result["metrics"]
    assert 0 <= metrics["precision"] <= 1 and metrics["lenet_frechet_distance"] > 0
    half = next(row for name, row in metrics["baselines"].items() if "half" in name)
    assert half["recall"] > 0.5 and str(tmp_path) not in json.dumps(result)
    drawn = {"samples.png", "real.png"}
    drawn |= {"truncation.png", "mixing.png"} if model == "style" else set()
    drawn |= {"sphere.png"} if domain == "sphere" else set()
    assert drawn == {path.name for path in (tmp_path / "seed0").glob("*.png")}
    assert (tmp_path / "seed0" / "walk.gif").stat().st_size > 0
    table = samples_table([result])
    assert table.count("\n") == 1 + len(metrics["baselines"]) + (
        1 + len(gan.TRUNCATIONS) if model == "style" else 1
    )


def test_baselines_have_the_moments_of_the_images() -> None:
    torch.manual_seed(0)
    train = 0.2 * torch.randn(500, 1, 3, 4).cumsum(3)
    white, normal = gan.noise(train, 20000), gan.gaussian(train, 20000)
    assert white.shape == normal.shape == (20000, 1, 3, 4)
    for drawn in (white, normal):
        torch.testing.assert_close(drawn.mean(0), train.mean(0), rtol=0, atol=0.03)
        torch.testing.assert_close(drawn.std(0), train.std(0), rtol=0.1, atol=0)
    correlation = [float(torch.corrcoef(x.flatten(1).t())[0, 1]) for x in (train, normal, white)]
    assert abs(correlation[0] - correlation[1]) < 0.05 and abs(correlation[2]) < 0.05


def test_pictures_of_the_sphere_are_the_digits_again() -> None:
    x, _ = mnist.images(None, "train")
    _, project, _ = mnist.domain("sphere")
    digits = 2 * (0.3081 * x[:20] + 0.1307) - 1
    seen = gan.pictures(2 * (0.3081 * project(x[:20]) + 0.1307) - 1)
    assert seen.shape == (20, 1, 56, 56)
    small = torch.nn.functional.avg_pool2d(seen, 2)
    alike = torch.corrcoef(torch.cat([small.flatten(1), gan.pictures(digits).flatten(1)]))[:20, 20:]
    assert float(alike.diagonal().min()) > 0.8
