"""synthesize: near the exemplar on grids and surfaces, and the same run when it stops and goes on."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.texture import seam, unrolled
from geodl.data import Mesh
from geodl.datasets import broken_meshes
from geodl.synthesis import Synthesis, as_image, sliced_wasserstein, surface_levels, synthesize
from tests.synthesis.shapes import blobs, sheet, sphere


def test_a_texture_on_the_grid_is_near_the_exemplar() -> None:
    image = blobs(48)
    found = synthesize(image, (48, 40), steps=20)
    assert found.x.shape == (3, 48, 40) and float(found.x.min()) >= 0 and float(found.x.max()) <= 1
    assert found.step == found.steps == len(found.errors)
    noise = torch.rand(3, 48, 48)
    assert sliced_wasserstein(image, found.x) < 0.2 * sliced_wasserstein(image, noise)
    assert sliced_wasserstein(image, found.x) < 1.5 * sliced_wasserstein(image, blobs(48, seed=1))


def test_a_tile_has_no_seam() -> None:
    found = synthesize(blobs(48), (32, 48), steps=20, tileable=True).x
    for axis in (1, 2):
        step = (found - found.roll(1, axis)).abs().mean((0, 3 - axis))
        assert float(step[0]) < float(step[1:].max()) * 1.2


def test_a_grey_exemplar_stays_grey_and_has_one_channel() -> None:
    grey = blobs(48, channels=1)
    assert synthesize(grey, (32, 32), steps=3).x.shape == (1, 32, 32)
    found = synthesize(grey.expand(3, -1, -1), (32, 32), steps=3).x
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_it_stops_and_goes_on_bit_for_bit(optimizer: str) -> None:
    image, domain = blobs(48), (32, 32)
    options = {"steps": 4, "optimizer": optimizer, "seed": 3}
    whole = synthesize(image, domain, **options)
    for stop in (3, 4):
        part = synthesize(image, domain, progress=lambda found, stop=stop: found.step == stop, **options)
        assert part.step == stop and part.x.shape == whole.x.shape
        kept = io.BytesIO()
        torch.save(part.state, kept)
        kept.seek(0)
        rest = synthesize(image, domain, state=torch.load(kept, weights_only=True), **options)
        assert torch.equal(rest.x, whole.x) and rest.errors == whole.errors
    with pytest.raises(ValueError, match="nothing to go on"):
        synthesize(image, domain, state=whole.state, **options)


def test_octaves_at_which_an_exemplar_is_flat_are_left_out() -> None:
    row = torch.arange(64)
    fine = ((row[:, None] // 2 + row // 2) % 2).float().expand(3, -1, -1)  # squares of 2 pixels
    found = synthesize(fine, (64, 64), steps=30)
    assert found.steps == 30 and found.errors[-1] < 0.05
    assert float(found.x.std()) > 0.8 * float(fine.std())


def test_seeds_and_progress(capsys: pytest.CaptureFixture[str]) -> None:
    image = blobs(48)
    one, same, other = (synthesize(image, (24, 24), steps=3, seed=seed).x for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
    pictures: list[Synthesis] = []
    synthesize(image, (24, 24), steps=2, progress=pictures.append)
    assert [found.step for found in pictures] == list(range(1, pictures[0].steps + 1))
    assert all(found.x.shape == (3, 24, 24) for found in pictures)
    synthesize(image, (24, 24), steps=2, progress=True)
    assert "error" in capsys.readouterr().err


def test_a_texture_on_a_sphere_is_near_the_exemplar_and_has_no_seam() -> None:
    image, mesh = blobs(48), sphere(4)
    level = surface_levels(mesh, 3)
    found = synthesize(image, level, steps=12)
    assert found.x.shape == (2562, 3)
    noise = torch.rand(2562, 3)
    distance = sliced_wasserstein(image, found.x, None, level)
    assert distance < 0.3 * sliced_wasserstein(image, noise, None, level)
    assert distance < 2 * sliced_wasserstein(image, blobs(48, seed=1))
    # Where a parametrisation has one.
    assert seam(mesh, found.x) < 1.2
    assert seam(mesh, unrolled(image, mesh)) > 1.5  # the measure sees one


def test_boundaries_and_components() -> None:
    image, mesh = blobs(48), sheet(24)
    two = Mesh(torch.cat([mesh.pos, mesh.pos + 100]), torch.cat([mesh.face, mesh.face + 576], 1))
    holed = Mesh(sphere(3).pos, sphere(3).face[:, 100:])
    for domain in (mesh, two, holed):
        found = synthesize(image, domain, steps=1).x
        assert found.shape == (domain.pos.shape[0], 3) and bool(found.isfinite().all())


@pytest.mark.parametrize("name", sorted(broken_meshes()))
def test_every_broken_mesh_gets_a_texture_or_a_reason(name: str) -> None:
    mesh = broken_meshes(2)[name]
    try:
        found = synthesize(blobs(24), mesh, steps=1).x
    except (ValueError, IndexError) as error:
        assert len(str(error)) > 20
    else:
        assert name not in ("NaN", "no faces", "one point")
        assert found.shape == (mesh.pos.shape[0], 3) and bool(found.isfinite().all())


def test_surfaces_that_hold_no_texture() -> None:
    mesh = sphere(1)  # 42 vertices
    with pytest.raises(ValueError, match="42 vertices, but 1 octaves of 5 x 5 taps need 64"):
        synthesize(blobs(), mesh)
    with pytest.raises(ValueError, match="2562 vertices, but 5 octaves"):
        surface_levels(sphere(4), 5)
    flat = Mesh(sphere(2).pos * torch.tensor([1.0, 0, 0]), sphere(2).face)
    with pytest.raises(ValueError, match="area"):
        synthesize(blobs(), flat)
    for domain in ("here", 5, (3, 4, 5)):
        with pytest.raises(ValueError, match=r"a domain is \(H, W\), a mesh or a Level"):
            synthesize(blobs(), domain)
    with pytest.raises(ValueError, match="too small"):
        synthesize(blobs(), (7, 30))
    with pytest.raises(ValueError, match="sides that 2 divides, not 17 x 20"):
        synthesize(blobs(), (17, 20), tileable=True)
    with pytest.raises(ValueError, match="steps"):
        synthesize(blobs(), (24, 24), steps=0)
    with pytest.raises(ValueError, match="lbfgs"):
        synthesize(blobs(), (24, 24), optimizer="sgd")  # type: ignore[arg-type]


def test_pictures_of_every_kind_are_read_alike(tmp_path: Path) -> None:
    bytes_ = (blobs(20) * 255).round().to(torch.uint8)
    wanted = bytes_.float() / 255
    array = bytes_.permute(1, 2, 0).numpy()
    picture = Image.fromarray(array)
    picture.save(tmp_path / "picture.png")
    opaque = np.concatenate([array, np.full((20, 20, 1), 255, np.uint8)], 2)
    for given in (
        bytes_,
        wanted,
        array,
        array / 255,
        picture,
        tmp_path / "picture.png",
        opaque,
        Image.fromarray(opaque),
    ):
        torch.testing.assert_close(as_image(given), wanted, rtol=0, atol=1e-6)
    deep = array[:, :, 0].astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    for grey in (deep, array[:, :, 0], Image.fromarray(array[:, :, 0]), tmp_path / "deep.png"):
        torch.testing.assert_close(as_image(grey), wanted[:1], rtol=0, atol=1e-5)


def test_pictures_that_are_refused() -> None:
    image = blobs(20)
    clear = torch.cat([image, torch.rand(1, 20, 20)])
    for bad, message in (
        (clear, "transparent in 100 %"),
        (image / 0 * 0, "NaN"),
        (image * 300, "0..1, but goes"),
        (torch.rand(5, 9, 9), "1 to 4 channels"),
        (torch.zeros(3, 0, 9), "1 to 4 channels"),
        (torch.rand(3, 9, 9).long(), "integers of 8 or 16 bits"),
        (np.zeros(4), r"\[H, W\]"),
        (torch.full((3, 20, 20), 0.5), "constant"),
        (image[:, :6], "too small"),
    ):
        with pytest.raises(ValueError, match=message):
            synthesize(bad, (24, 24))
    with pytest.raises(FileNotFoundError):
        synthesize("nowhere.png", (24, 24))
