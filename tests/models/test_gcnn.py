"""GCNN: structure, batches, and weights on disk."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from geodl.geometry import geodesic_charts, polar_template
from geodl.models import GCNN, load_weights, save_weights
from geodl.ops import PolarWindows
from geodl.testing import assert_invariant


def windows_of(subdivisions: int) -> PolarWindows:
    trimesh = pytest.importorskip("trimesh")
    made = trimesh.creation.icosphere(subdivisions)
    mesh = SimpleNamespace(
        pos=torch.from_numpy(made.vertices.copy()).float(),
        face=torch.from_numpy(made.faces.copy()).long().t(),
    )
    return polar_template(mesh, geodesic_charts(mesh, 0.8), 2, 4)


def test_parameters_are_those_of_the_paper() -> None:
    model = GCNN(150, 6890, rings=5, rays=16)
    linear = 150 * 16 + 16 + 128 * 256 + 256 + 256 * 6890 + 6890
    geodesic = (5 * 16 + 1) * (16 * 32 + 32 * 64 + 64 * 128)  # the centre tap beside rings x rays
    norms = 2 * (16 + 32 + 64 + 128 + 256)
    assert sum(parameter.numel() for parameter in model.parameters()) == linear + geodesic + norms


def test_a_batch_of_two_shapes_equals_each_alone() -> None:
    parts = [windows_of(1), windows_of(2)]
    model = GCNN(3, 10, 2, 4, widths=(8, 8, 12), hidden=16).eval()
    calls = [(torch.randn(part.neighbors.num_src, 3), part) for part in parts]
    assert_invariant(model, *calls, under="batch")


def test_chosen_vertices_are_rows_of_the_whole() -> None:
    windows = windows_of(1)
    model = GCNN(3, 10, 2, 4, widths=(8,), hidden=16).eval()
    x, chosen = torch.randn(42, 3), torch.tensor([7, 0, 41, 7])
    torch.testing.assert_close(model(x, windows, chosen), model(x, windows)[chosen])


def test_training_reaches_every_parameter() -> None:
    windows = windows_of(1)
    model = GCNN(3, 10, 2, 4, widths=(8, 8), hidden=16)
    model(torch.randn(42, 3), windows).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name


def test_weights_survive_the_disk(tmp_path: Path) -> None:
    model, other = GCNN(3, 10, 2, 4, widths=(8,)), GCNN(3, 10, 2, 4, widths=(8,))
    path = save_weights(model, tmp_path / "run" / "weights.safetensors")
    load_weights(other, path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    assert [entry.name for entry in path.parent.iterdir()] == ["weights.safetensors"]


def test_bad_weights_are_named(tmp_path: Path) -> None:
    model = GCNN(3, 10, 2, 4, widths=(8,))
    with pytest.raises(FileNotFoundError, match="no weights at"):
        load_weights(model, tmp_path / "none.safetensors")
    path = save_weights(model, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="does not hold weights of GCNN"):
        load_weights(GCNN(3, 11, 2, 4, widths=(8,)), path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="does not hold weights of GCNN"):
        load_weights(model, path)


def test_whole_shapes_are_the_mean_of_their_vertices_by_area() -> None:
    parts = [windows_of(1), windows_of(2), windows_of(0)]
    model = GCNN(3, 5, 2, 4, widths=(8, 12), hidden=16, outputs="global").eval()
    xs = [torch.randn(part.neighbors.num_src, 3) for part in parts]
    areas = [0.1 + torch.rand(len(x)) for x in xs]
    ptr = torch.tensor([0, *(len(x) for x in xs)]).cumsum(0)
    together = model(torch.cat(xs), PolarWindows.cat(parts), area=torch.cat(areas), ptr=ptr)
    alone = [model(x, part, area=a) for x, part, a in zip(xs, parts, areas, strict=True)]
    assert together.shape == (3, 5)
    torch.testing.assert_close(together, torch.cat(alone))
    # With the last layers taken away, what is left is the mean.
    model.hidden, model.head = torch.nn.Identity(), torch.nn.Identity()
    pooled = model(xs[1], parts[1], area=areas[1])
    model.outputs = "vertices"
    expected = (areas[1][:, None] * model(xs[1], parts[1])).sum(0) / areas[1].sum()
    torch.testing.assert_close(pooled[0], expected)


def test_classifier_trains_and_says_what_does_not_fit() -> None:
    windows = PolarWindows.cat([windows_of(1), windows_of(0)])
    model = GCNN(3, 5, 2, 4, widths=(8, 8), hidden=16, outputs="global")
    x, ptr = torch.randn(54, 3), torch.tensor([0, 42, 54])
    model(x, windows, ptr=ptr).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
    with pytest.raises(ValueError, match="outputs must be one of"):
        GCNN(3, 5, outputs="faces")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no scores of vertices"):
        model(x, windows, torch.tensor([0]), ptr=ptr)
    with pytest.raises(ValueError, match="ptr must end at the 54 rows of x, not at 42"):
        model(x, windows, ptr=ptr[:2])
    with pytest.raises(ValueError, match=r"area must have shape \[54\]"):
        model(x, windows, area=torch.ones(42), ptr=ptr)
