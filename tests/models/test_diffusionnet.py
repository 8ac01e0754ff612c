"""DiffusionNet against the published layers, in turned frames, on ragged batches, with three heads."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import trimesh
from torch import Tensor

from geodl.geometry import Gradient, Spectrum, gradient, laplacian, spectrum
from geodl.models import DiffusionNet
from geodl.testing import assert_invariant

WIDTH = 6


def ball(subdivisions: int = 2) -> SimpleNamespace:
    """A closed surface without symmetry."""
    made = trimesh.creation.icosphere(subdivisions)
    x, y, z = torch.from_numpy(made.vertices.copy()).unbind(1)
    radius = 1 + 0.25 * torch.sin(3 * x + 1) * torch.cos(4 * y + 0.7) + 0.15 * torch.sin(5 * z + 2 * x)
    pos = torch.stack([1.4 * x, y, 0.8 * z], dim=1) * radius[:, None]
    return SimpleNamespace(pos=pos, face=torch.from_numpy(made.faces.copy()).long().t())


def learned(net: DiffusionNet) -> DiffusionNet:
    """With times that are not those of the start."""
    for block in net.blocks:
        block.diffusion.time.data = 0.3 * torch.rand_like(block.diffusion.time)
    return net.eval()


def batch(
    dtype: torch.dtype = torch.float64,
) -> tuple[list[Tensor], list[Spectrum], list[Gradient], list[Tensor]]:
    shapes = [ball(1), ball(2), ball(0)]
    return (
        [torch.randn(shape.pos.shape[0], 3, dtype=dtype) for shape in shapes],
        [spectrum(shape, 10).to(dtype) for shape in shapes],
        [gradient(shape) for shape in shapes],
        [shape.face for shape in shapes],
    )


def published(weights: dict[str, Tensor], x: Tensor, here: Spectrum, grad: Gradient, old: bool) -> Tensor:
    """The authors' layers, from the names and formulas of their implementation; one shape, the old slip or not."""
    size = grad.neighbors.num_dst
    matrices = [
        torch.sparse_coo_tensor(torch.stack([grad.neighbors.row, grad.neighbors.col]), values, (size, size))
        for values in grad.values.to(x.dtype).t()
    ]

    def linear(name: str, x: Tensor) -> Tensor:
        y = x @ weights[f"{name}.weight"].t()
        return y + weights[f"{name}.bias"] if f"{name}.bias" in weights else y

    x = linear("first_lin", x)
    for block in sorted({name.split(".")[0] for name in weights if name.startswith("block_")}):
        coefficients = torch.exp(
            -here.evals.unsqueeze(-1) * weights[f"{block}.diffusion.diffusion_time"].unsqueeze(0)
        ) * (here.evecs.t() @ (x * here.mass.unsqueeze(-1)))
        diffused = here.evecs @ coefficients
        v = torch.stack([torch.sparse.mm(matrix, diffused) for matrix in matrices], dim=-1)
        name = f"{block}.gradient_features"
        real = linear(f"{name}.A_re", v[..., 0]) - linear(f"{name}.A_im", v[..., 1])
        if old:
            imag = linear(f"{name}.A_re", v[..., 0]) + linear(f"{name}.A_im", v[..., 1])
        else:
            imag = linear(f"{name}.A_re", v[..., 1]) + linear(f"{name}.A_im", v[..., 0])
        features = torch.tanh(v[..., 0] * real + v[..., 1] * imag)
        y = torch.cat((x, diffused, features), dim=-1)
        for layer in range(3):
            y = linear(f"{block}.mlp.miniMLP_mlp_layer_{layer:03d}", torch.relu(y) if layer else y)
        x = y + x
    return linear("last_lin", x)


def published_weights(blocks: int = 3) -> dict[str, Tensor]:
    sizes = {"first_lin": (WIDTH, 3), "last_lin": (5, WIDTH)}
    for b in range(blocks):
        for layer, inputs in enumerate([3 * WIDTH, WIDTH, WIDTH]):
            sizes[f"block_{b}.mlp.miniMLP_mlp_layer_{layer:03d}"] = (WIDTH, inputs)
    weights = {f"{name}.weight": torch.randn(size) / size[1] ** 0.5 for name, size in sizes.items()}
    weights |= {f"{name}.bias": torch.randn(size[0]) for name, size in sizes.items()}
    for b in range(blocks):
        weights[f"block_{b}.diffusion.diffusion_time"] = 0.3 * torch.rand(WIDTH)
        for part in ("re", "im"):
            weights[f"block_{b}.gradient_features.A_{part}.weight"] = torch.randn(WIDTH, WIDTH) / WIDTH**0.5
    return weights


@pytest.mark.parametrize("old", [False, True])
def test_published_weights_give_the_published_numbers(old: bool, tmp_path: Path) -> None:
    weights = published_weights()
    torch.save(weights, tmp_path / "weights.pth")
    net = DiffusionNet.from_published(
        tmp_path / "weights.pth", features="frame-dependent" if old else "complex"
    )
    shape = ball()
    here, grad = spectrum(shape, 20).to(torch.float32), gradient(shape)
    x = torch.randn(shape.pos.shape[0], 3)
    expected = published(weights, x, here, grad, old)
    other = published(weights, x, here, grad, not old)
    found = net.eval()(x, here, grad)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert (other - expected).abs().max() > 1e-2 * expected.abs().max()


def test_published_networks_without_rotations_or_features_are_recognised() -> None:
    weights = {name.replace("A_re", "A"): w for name, w in published_weights().items() if "A_im" not in name}
    assert DiffusionNet.from_published(weights).blocks[0].features.variant == "real"
    for name in [name for name in weights if "gradient_features" in name]:
        del weights[name]
    for name in [name for name in weights if name.endswith("layer_000.weight")]:
        weights[name] = weights[name][:, : 2 * WIDTH]
    assert DiffusionNet.from_published(weights).blocks[0].features is None


def test_what_are_no_published_weights_is_refused(tmp_path: Path) -> None:
    weights = published_weights()
    del weights["block_1.mlp.miniMLP_mlp_layer_001.bias"]
    with pytest.raises(
        ValueError, match=r"no weights of a published DiffusionNet(?s:.*)blocks\.1\.layers\.1\.bias"
    ):
        DiffusionNet.from_published(weights)
    with pytest.raises(ValueError, match="no weights of a published DiffusionNet"):
        DiffusionNet.from_published({"weight": torch.zeros(3)})
    with pytest.raises(FileNotFoundError, match="no weights at"):
        DiffusionNet.from_published(tmp_path / "weights.pth")
    torch.save([1, 2], tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="holds no state dict"):
        DiffusionNet.from_published(tmp_path / "weights.pth")
    torch.save(SimpleNamespace(run="me"), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="cannot be read"):
        DiffusionNet.from_published(tmp_path / "weights.pth")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("features", ["complex", "real", "frame-dependent"])
def test_turned_frames_change_the_old_variant_alone(features: Any, dtype: torch.dtype) -> None:
    shape = ball()
    here, grad = spectrum(shape, 30), gradient(shape)
    net = learned(DiffusionNet(3, 8, width=16, features=features)).to(dtype)
    call, tolerance = (shape.pos.to(dtype), here, grad), 1e-4 if dtype == torch.float32 else 1e-10
    if features == "frame-dependent":
        with pytest.raises(AssertionError, match="DiffusionNet is not invariant under frames"):
            assert_invariant(net, call, under="frames", tolerance=1e-2)
    else:
        assert_invariant(net, call, under="frames", tolerance=tolerance)


@pytest.mark.parametrize("outputs", ["vertices", "faces", "global"])
@pytest.mark.parametrize("method", ["spectral", "direct"])
def test_a_ragged_batch_equals_each_shape_alone(outputs: Any, method: Any) -> None:
    xs, spectra, grads, faces = batch()
    operators: list[Any] = [[laplacian(ball(n))] for n in (1, 2, 0)] if method == "direct" else spectra
    net = learned(DiffusionNet(3, 5, WIDTH, blocks=2, outputs=outputs, method=method)).double()
    assert_invariant(net, *zip(xs, operators, grads, faces, strict=True), under="batch")


def test_heads_are_means_over_vertices() -> None:
    shape = ball()
    here, grad = spectrum(shape, 10), gradient(shape)
    nets = {
        outputs: DiffusionNet(3, 5, WIDTH, outputs=outputs).double().eval()
        for outputs in ("vertices", "faces", "global")
    }
    for net in nets.values():
        net.load_state_dict(nets["vertices"].state_dict())
    vertices = nets["vertices"](shape.pos, here, grad)
    faces = nets["faces"](shape.pos, here, grad, shape.face)
    torch.testing.assert_close(faces, vertices[shape.face].mean(dim=0))
    mean = (here.mass @ vertices / here.mass.sum())[None]
    torch.testing.assert_close(nets["global"](shape.pos, here, grad), mean)


@pytest.mark.parametrize("outputs", ["vertices", "global"])
def test_the_order_of_vertices_does_not_matter(outputs: Any) -> None:
    shape = ball()
    order = torch.randperm(shape.pos.shape[0])
    moved = SimpleNamespace(pos=shape.pos[order], face=order.argsort()[shape.face])
    net = learned(DiffusionNet(3, 5, WIDTH, outputs=outputs)).double()
    first, second = (net(mesh.pos, spectrum(mesh, 12), gradient(mesh)) for mesh in (shape, moved))
    expected = first if outputs == "global" else first[order]
    torch.testing.assert_close(second, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", ["spectral", "direct"])
@pytest.mark.parametrize("outputs", ["vertices", "faces", "global"])
def test_training_reaches_every_parameter(method: Any, outputs: Any) -> None:
    shape = ball(1)
    operator: Any = laplacian(shape) if method == "direct" else spectrum(shape, 10)
    net = DiffusionNet(3, 5, WIDTH, blocks=2, outputs=outputs, method=method)
    net(shape.pos.float(), operator, gradient(shape), shape.face).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name


def test_without_features_no_gradient_is_needed() -> None:
    shape = ball(1)
    net = DiffusionNet(3, 5, WIDTH, features=None)
    assert net(shape.pos.float(), spectrum(shape, 10)).shape == (42, 5)


def test_mixed_precision_keeps_operators_whole() -> None:
    shape = ball()
    here, grad = spectrum(shape, 10).to(torch.float32), gradient(shape)
    net = learned(DiffusionNet(3, 5, WIDTH))
    x = shape.pos.float()
    with torch.autocast("cpu", torch.bfloat16):
        low = net(x, here, grad)
    assert low.dtype == torch.bfloat16
    full = net(x, here, grad)
    assert (low - full).abs().max() < 0.1 * full.abs().max()


def test_errors_name_what_does_not_fit() -> None:
    shape = ball(1)
    here, grad, x = spectrum(shape, 10), gradient(shape), shape.pos.float()
    net = DiffusionNet(3, 5, WIDTH, outputs="faces")
    with pytest.raises(ValueError, match="spectrum has 42 vertices but x has 40 rows"):
        net(x[2:], here, grad, shape.face)
    with pytest.raises(ValueError, match=r"x must have shape \[V, 3\], not \[42, 2\]"):
        net(x[:, 1:], here, grad, shape.face)
    with pytest.raises(ValueError, match='outputs="faces" needs face'):
        net(x, here, grad)
    with pytest.raises(ValueError, match=r"face must have shape \[3, F\], not \[80, 3\]"):
        net(x, here, grad, shape.face.t())
    with pytest.raises(IndexError, match=r"face holds 1\.\.42, but x has 42 rows"):
        net(x, here, grad, shape.face + 1)
    with pytest.raises(ValueError, match="gradient features need a gradient"):
        net(x, here, face=shape.face)
    with pytest.raises(ValueError, match="outputs must be one of"):
        DiffusionNet(3, 5, outputs="edges")  # type: ignore[arg-type]
