"""The kernels in Python: what the compiled ones compute, and what runs where no compiler was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from geodl.geometry import geodesic_distance, reference, spectrum
from geodl.geometry import native as room
from geodl.geometry.frames import precise_frames
from geodl.geometry.native import native
from geodl.geometry.shot import points_within
from geodl.geometry.surface import surface_arrays
from geodl.ops.core import dispatch

from .shapes import Shape, book, bumpy, flat_random, join, moebius


def shaken(mesh: Shape) -> Shape:
    return mesh.with_pos(
        mesh.pos + 0.02 * torch.randn(mesh.pos.shape, generator=torch.Generator().manual_seed(1))
    )


def degenerate() -> Shape:
    """A face without area, two vertices in one place, and a corner named twice."""
    mesh = shaken(bumpy(1))
    (a, b, c), *face = mesh.face.T.tolist()
    middle, twin = mesh.size, mesh.size + 1
    pos = torch.cat([mesh.pos, (mesh.pos[[a]] + mesh.pos[[b]]) / 2, mesh.pos[[c]]])
    face += [[a, middle, c], [middle, b, c], [a, b, middle], [c, a, a], [a, c, twin]]
    return Shape(pos, torch.tensor(face).T.contiguous())


# Shapes on which no two shortest paths of different directions are equally long: there rounding chooses.
SHAPES = {
    "closed": bumpy(2),
    "open": flat_random(40),
    "three faces at an edge": shaken(book()),
    "not orientable": moebius(),
    "degenerate": degenerate(),
    "two parts": join(bumpy(1), flat_random(20)),
}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


@pytest.fixture(autouse=True)
def compiled() -> None:
    if room._native is None:
        pytest.skip("the C++ extension is not built")


def turns(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(np.exp(1j * found) - np.exp(1j * expected)).max(initial=0))


@every_shape
@pytest.mark.parametrize("size", [0, 9])
def test_charts(shape: Shape, size: int) -> None:
    pos, face = surface_arrays(shape)
    frames, around = precise_frames(shape).numpy(), np.arange(len(pos))
    radius = np.full(len(pos), 0.9)
    found = reference.geodesic_charts(pos, face, frames, around, radius, size, 1)
    expected = native().geodesic_charts(pos, face, frames, around, radius, size, 1)
    for mine, theirs in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_allclose(found[2][0::2], expected[2][0::2], rtol=1e-9, atol=1e-12)
    assert turns(found[2][1::2], expected[2][1::2]) < 1e-6
    assert turns(found[3], expected[3]) < 1e-6 and turns(found[4], expected[4]) < 1e-6
    np.testing.assert_allclose(found[5], expected[5], rtol=1e-9)
    assert {**found[6], "windows": 0} == {**expected[6], "windows": 0}
    coords = expected[2].reshape(-1, 2)
    template = (pos, face, *expected[:2], coords, 0.75 * expected[5], 2, 4, 1)
    vertex, weight, inside = reference.polar_template(*template)
    places, shares, count = native().polar_template(*template)
    np.testing.assert_array_equal(inside, count)
    # Where a point lies on an edge, either face may hold it: what it reads is the same.
    read, wanted = (
        (pos[v] * w[:, None]).reshape(-1, 3, 3).sum(1) for v, w in ((vertex, weight), (places, shares))
    )
    assert (np.abs(read - wanted).max(axis=1) < 1e-6).mean() > 0.98


@every_shape
def test_distances_angles_and_orientation(shape: Shape) -> None:
    pos, face = surface_arrays(shape)
    every, frames = np.arange(len(pos)), precise_frames(shape).numpy()
    pairs = (pos, face, np.array([0, len(pos) - 1]), np.array([0, len(pos), 2 * len(pos)]), np.tile(every, 2))
    found, expected = (
        reference.geodesic_distance(*pairs, np.inf, 1),
        native().geodesic_distance(*pairs, np.inf, 1),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(reference.oriented(pos, face), native().oriented(pos, face))
    (angle, half), (turn, cotangent) = (
        kernels.edge_angles(pos, face, frames) for kernels in (reference, native())
    )
    assert turns(angle, turn) < 1e-9
    np.testing.assert_allclose(half, cotangent, rtol=1e-5, atol=1e-12)


def test_descriptors() -> None:
    generator = torch.Generator().manual_seed(0)
    pos = torch.randn(80, 3, generator=generator, dtype=torch.float64)
    normal = torch.nn.functional.normalize(torch.randn(80, 3, generator=generator, dtype=torch.float64))
    normal[7] = 0
    near = points_within(pos, 1.1, loop=False)
    given = (pos.numpy(), normal.numpy(), near.rowptr.numpy(), near.col.numpy(), 1.1, 1)
    for found, expected in zip(reference.shot(*given), native().shot(*given), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_without_the_extension_one_warning_and_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = bumpy(3)
    ends = torch.arange(5), torch.arange(5) + 100
    expected = spectrum(mesh, 12), geodesic_distance(mesh, *ends)
    monkeypatch.setattr(room, "_native", None)
    monkeypatch.setattr(dispatch, "_warned", False)
    with pytest.warns(RuntimeWarning, match="the C\\+\\+ extension is not built .*pip install") as caught:
        found = spectrum(mesh, 12), geodesic_distance(mesh, *ends)
    assert len(caught) == 1
    torch.testing.assert_close(found[0].evals, expected[0].evals, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(found[1], expected[1])


def test_remeshing_alone_needs_a_compiler() -> None:
    with pytest.raises(RuntimeError, match=r"geodl\.geometry\._native.*pip install"):
        reference.remesh()


README_EXAMPLES = r"""
import re, sys, warnings
# An editable installation finds its own geodl before that of the folder.
sys.meta_path[:] = [finder for finder in sys.meta_path if "Redirecting" not in type(finder).__name__]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for example in re.findall(r"```python\n(.*?)```", open(sys.argv[1]).read(), re.DOTALL)[:3]:
        exec(compile(example, "README", "exec"), {})
print([str(w.message) for w in caught if "slow reference operators" in str(w.message)])
"""


@pytest.mark.slow
def test_the_examples_of_the_readme_run_without_the_extension(tmp_path: Path) -> None:
    source = Path(room.__file__).parents[1]
    shutil.copytree(source, tmp_path / "geodl", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    readme = Path(__file__).parents[2] / "README.md"
    done = subprocess.run(
        [sys.executable, "-c", README_EXAMPLES, str(readme)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("is not built") == 1
