"""DiffusionNet's block: diffusion in both ways, gradient features in any frame."""

import math
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import scipy.sparse
import torch
import trimesh
from torch import Tensor

from geodl.geometry import Gradient, Spectrum, gradient, laplacian, spectrum
from geodl.nn import DiffusionBlock, LearnedTimeDiffusion, SpatialGradientFeatures, implicit_diffuse
from geodl.nn.diffusion_features import Variant
from geodl.ops import Neighbors, gradient_products, use_backend
from geodl.testing import assert_invariant

DTYPES = [torch.float32, torch.float64]


def ball(subdivisions: int = 2) -> SimpleNamespace:
    """A closed surface without symmetry."""
    made = trimesh.creation.icosphere(subdivisions)
    x, y, z = torch.from_numpy(made.vertices.copy()).unbind(1)
    radius = 1 + 0.25 * torch.sin(3 * x + 1) * torch.cos(4 * y + 0.7) + 0.15 * torch.sin(5 * z + 2 * x)
    pos = torch.stack([1.4 * x, y, 0.8 * z], dim=1) * radius[:, None]
    return SimpleNamespace(pos=pos, face=torch.from_numpy(made.faces.copy()).long().t())


def turned(grad: Gradient) -> Gradient:
    return grad.rotate(2 * math.pi * torch.rand(grad.neighbors.num_dst, dtype=torch.float64))


def dense(grad: Gradient) -> Tensor:
    """``[2, V, V]``"""
    out = grad.values.new_zeros(2, grad.neighbors.num_dst, grad.neighbors.num_src)
    out[:, grad.neighbors.row, grad.neighbors.col] = grad.values.t()
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", get_args(Variant))
def test_features_are_those_of_the_published_formulas(variant: Variant, dtype: torch.dtype) -> None:
    shape = ball()
    grad = gradient(shape)
    layer = SpatialGradientFeatures(5, variant).to(dtype)
    x = torch.randn(shape.pos.shape[0], 5, dtype=dtype)
    to_x, to_y = (matrix @ x.double() for matrix in dense(grad))
    real = layer.real.detach().double().t()
    re, im = to_x @ real, to_y @ real
    if layer.imag is not None:
        imag = layer.imag.detach().double().t()
        # The first published version has A_re x + A_im y for the imaginary part.
        im = to_x @ real + to_y @ imag if variant == "frame-dependent" else to_y @ real + to_x @ imag
        re = re - to_y @ imag
    expected = torch.tanh(to_x * re + to_y * im)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(layer(x, grad).double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", get_args(Variant))
def test_turning_every_tangent_frame_changes_the_old_variant_alone(
    variant: Variant, dtype: torch.dtype
) -> None:
    shape = ball()
    grad = gradient(shape)
    layer = SpatialGradientFeatures(6, variant).to(dtype)
    call = torch.randn(shape.pos.shape[0], 6, dtype=dtype), grad
    if variant == "frame-dependent":
        with pytest.raises(AssertionError, match="SpatialGradientFeatures is not invariant under frames"):
            assert_invariant(layer, call, under="frames", tolerance=0.1)
    else:
        assert_invariant(layer, call, under="frames", tolerance=1e-4 if dtype == torch.float32 else 1e-11)


def test_only_complex_features_tell_left_from_right() -> None:
    shape = ball()
    grad = gradient(shape)
    mirrored = Gradient(grad.neighbors, grad.values * torch.tensor([1.0, -1.0]))
    x = torch.randn(shape.pos.shape[0], 6, dtype=torch.float64)
    for variant, tells in (("complex", True), ("real", False)):
        layer = SpatialGradientFeatures(6, variant).double()
        assert bool((layer(x, mirrored) - layer(x, grad)).abs().max() > 0.1) == tells


@pytest.mark.parametrize("variant", get_args(Variant))
def test_derivatives_of_features(variant: Variant) -> None:
    shape = ball(1)
    grad = gradient(shape)
    layer = SpatialGradientFeatures(2, variant).double()
    x = torch.randn(shape.pos.shape[0], 2, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in layer.named_parameters()]

    def features(x: Tensor, *weights: Tensor) -> Tensor:
        given = dict(zip(names, weights, strict=True))
        out: Tensor = torch.func.functional_call(layer, given, (x, grad))
        return out

    inputs = (x, *(weight.detach().requires_grad_() for weight in layer.parameters()))
    assert torch.autograd.gradcheck(features, inputs)
    assert torch.autograd.gradgradcheck(features, inputs)


def test_direct_diffusion_solves_the_implicit_step() -> None:
    shapes = [ball(1), ball(2)]
    operators = [laplacian(shape) for shape in shapes]
    time = torch.tensor([0.0, 0.3, 0.02, 0.3], dtype=torch.float64)
    xs = [torch.randn(shape.pos.shape[0], 4, dtype=torch.float64) for shape in shapes]
    found = implicit_diffuse(torch.cat(xs), time, operators).split([len(x) for x in xs])
    for x, operator, out in zip(xs, operators, found, strict=True):
        mass = scipy.sparse.diags_array(operator.mass.numpy())
        for channel, t in enumerate(time.tolist()):
            expected = scipy.sparse.linalg.spsolve(
                (mass + t * operator.matrix()).tocsc(), (mass @ x.numpy())[:, channel]
            )
            torch.testing.assert_close(out[:, channel], torch.from_numpy(expected), rtol=1e-9, atol=1e-9)


def test_direct_diffusion_keeps_the_mean_and_leaves_unreferenced_points_zero() -> None:
    shape = ball()
    shape.pos = torch.cat([shape.pos, torch.ones(1, 3, dtype=torch.float64)])
    operator = laplacian(shape)
    x = torch.randn(shape.pos.shape[0], 3)
    out = implicit_diffuse(x, torch.tensor([0.1, 1.0, 1e5]), [operator])
    mass = operator.mass.float()
    assert out.dtype == torch.float32 and (out[-1] == 0).all()
    torch.testing.assert_close(mass @ out, mass @ x)
    mean = (mass @ x / mass.sum())[2]
    torch.testing.assert_close(out[:-1, 2], mean.expand(len(x) - 1), rtol=1e-3, atol=1e-4)


def test_derivatives_of_direct_diffusion() -> None:
    shape = ball(0)
    operator = laplacian(shape)
    x = torch.randn(shape.pos.shape[0], 3, dtype=torch.float64, requires_grad=True)
    time = torch.tensor([0.05, 0.4, 0.2], dtype=torch.float64, requires_grad=True)

    def diffuse(x: Tensor, time: Tensor) -> Tensor:
        return implicit_diffuse(x, time, [operator])

    assert torch.autograd.gradcheck(diffuse, (x, time))
    assert torch.autograd.gradgradcheck(diffuse, (x, time))


def test_both_diffusions_agree_for_short_times() -> None:
    shape = ball(2)
    operator = laplacian(shape)
    everything = spectrum(operator, shape.pos.shape[0])
    x = torch.randn(shape.pos.shape[0], 2, dtype=torch.float64)
    time = torch.full((2,), 1e-3 / float(everything.evals[-1]), dtype=torch.float64)
    layers = [LearnedTimeDiffusion(2, method).double().eval() for method in ("spectral", "direct")]
    for layer in layers:
        layer.time.data = time
    spectral, direct = layers[0](x, everything), layers[1](x, [operator])
    assert (spectral - direct).abs().max() < 1e-5 < (spectral - x).abs().max()


@pytest.mark.parametrize("training", [True, False])
def test_times_are_kept_positive_and_still_learned(training: bool) -> None:
    shape = ball(1)
    here = spectrum(shape, 10).to(torch.float32)
    layer = LearnedTimeDiffusion(2).train(training)
    layer.time.data = torch.tensor([-1.0, 0.5])
    x = torch.randn(shape.pos.shape[0], 2)
    # Two shapes of one step, as siamese networks take it: the projection must not spoil the first one's derivative.
    (layer(x, here) + layer(2 * x, here)).square().sum().backward()
    assert torch.isfinite(layer(x, here)).all() and layer.time.grad is not None
    assert layer.time.tolist() == (pytest.approx([1e-8, 0.5]) if training else [-1.0, 0.5])
    if training:
        assert (layer.time.grad != 0).all()


@pytest.mark.parametrize("method", ["spectral", "direct"])
def test_a_ragged_batch_equals_each_shape_alone(method: Any) -> None:
    shapes = [ball(1), ball(2), ball(0)]
    operators: Any = [spectrum(shape, 8) if method == "spectral" else [laplacian(shape)] for shape in shapes]
    block = DiffusionBlock(4, method=method).double().eval()
    block.diffusion.time.data = torch.tensor([0.01, 0.1, 0.5, 0.02]).double()
    xs = [torch.randn(shape.pos.shape[0], 4, dtype=torch.float64) for shape in shapes]
    assert_invariant(block, *zip(xs, operators, map(gradient, shapes), strict=True), under="batch")


def derivatives(block: DiffusionBlock, x: Tensor, here: Spectrum, grad: Gradient) -> list[Tensor]:
    """The block's result and its derivatives by x and by every parameter."""
    x = x.clone().requires_grad_()
    torch.manual_seed(1)  # for dropout
    out = block(x, here, grad)
    by = torch.autograd.grad(out, [x, *block.parameters()], torch.ones_like(out).cumsum(0) / len(out))
    return [out, *by]


class DropoutByUniformDraw(torch.nn.Dropout):
    """The masks that the fused block draws."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.rand_like(x) >= self.p) / (1 - self.p)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("channels, hidden", [(3, None), (19, [17])])
def test_the_fused_block_is_the_block(
    channels: int, hidden: list[int] | None, dropout: float, dtype: torch.dtype
) -> None:
    # The masks of dropout are drawn shape by shape, so they are the same for one shape only.
    shapes = [ball(1)] if dropout else [ball(1), ball(2), ball(0)]
    here = Spectrum.cat([spectrum(shape, 12) for shape in shapes]).to(dtype)
    grad = Gradient.cat([gradient(shape) for shape in shapes])
    block = DiffusionBlock(channels, hidden, dropout).to(dtype)
    block.diffusion.time.data = 0.2 * torch.rand(channels, dtype=dtype)
    x = torch.randn(here.evecs.shape[0], channels, dtype=dtype)
    assert block._runs_fused(x, here, grad)
    fused = derivatives(block, x, here, grad)
    with use_backend("reference"):
        assert not block._runs_fused(x, here, grad)
        block.dropout = DropoutByUniformDraw(dropout)
        plain = derivatives(block, x, here, grad)
    for found, expected in zip(fused, plain, strict=True):
        scale = float(expected.abs().max())
        tolerance = (2e-4 if dtype == torch.float32 else 1e-10) * scale
        torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def test_memory_of_the_fused_block_is_not_used_again_before_its_derivatives_are_done() -> None:
    shape = ball(1)
    here, grad = spectrum(shape, 8).to(torch.float32), gradient(shape)
    block = DiffusionBlock(4, dropout=0.0)
    xs = [torch.randn(here.evecs.shape[0], 4, requires_grad=True) for _ in range(3)]
    alone = [torch.autograd.grad(block(x, here, grad).square().sum(), x)[0] for x in xs]
    losses = [block(x, here, grad).square().sum() for x in xs[:2]]
    first = torch.autograd.grad(losses[0], xs[0], retain_graph=True)[0]
    third = torch.autograd.grad(block(xs[2], here, grad).square().sum(), xs[2])[0]
    again = torch.autograd.grad(losses[0], xs[0])[0]
    second = torch.autograd.grad(losses[1], xs[1])[0]
    for found, expected in zip((first, second, third, again), (*alone, alone[0]), strict=True):
        assert torch.equal(found, expected)


def test_second_derivatives_of_the_fused_block() -> None:
    shape = ball(0)
    here, grad = spectrum(shape, 5), gradient(shape)
    block = DiffusionBlock(2, [3], dropout=0.3).double()
    block.diffusion.time.data.fill_(0.1)
    names = [name for name, _ in block.named_parameters()]

    def run(x: Tensor, *weights: Tensor) -> Tensor:
        torch.manual_seed(0)
        given = dict(zip(names, weights, strict=True))
        out: Tensor = torch.func.functional_call(block, given, (x, here, grad))
        return out

    x = torch.randn(shape.pos.shape[0], 2, dtype=torch.float64, requires_grad=True)
    inputs = (x, *(weight.detach().requires_grad_() for weight in block.parameters()))
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 16, 37])
def test_gradient_products_are_those_of_dense_matrices(channels: int, dtype: torch.dtype) -> None:
    neighbors = gradient(ball(1)).neighbors
    weight = 0.3 * torch.randn(neighbors.num_edges, 2, dtype=dtype)  # tanh shall not be at its ends
    signals = torch.randn(neighbors.num_src, 3, channels, dtype=dtype, requires_grad=True)
    to_x, to_y = dense(Gradient(neighbors, weight))
    p, r, m = signals.unbind(1)
    expected = torch.stack([to_x @ p, to_x @ r - to_y @ m, to_y @ p, to_y @ r + to_x @ m], dim=1)
    before_tanh = expected[:, 0] * expected[:, 1] + expected[:, 2] * expected[:, 3]
    tanh = before_tanh.tanh()
    inner, out, again = torch.empty_like(expected), torch.empty_like(tanh), torch.empty_like(tanh)
    gradient_products.write_products(signals.detach(), neighbors, weight, out)
    torch.testing.assert_close(out, tanh.detach())
    grad = torch.randn_like(tanh)
    by_sum, by_signals = torch.autograd.grad(tanh, (before_tanh, signals), grad)
    gradient_products.write_derivative(signals.detach(), neighbors, weight, grad, inner, again)
    assert torch.equal(again, out)
    torch.testing.assert_close(inner, expected.detach() * by_sum[:, None])
    transposed, perm = neighbors.t()
    back = torch.empty_like(by_signals)
    gradient_products.write_adjoint(inner, transposed, weight[perm], back)
    torch.testing.assert_close(back, by_signals)
    with pytest.raises(ValueError, match=r"neighbors have 42 destinations but out has shape \[41, 3, "):
        gradient_products.write_adjoint(inner, transposed, weight[perm], back[1:])
    strided = back.repeat_interleave(2, 0)[::2]
    with pytest.raises(ValueError, match="contiguous memory alone"):
        gradient_products.write_adjoint(inner, transposed, weight[perm], strided)


def test_dropout_acts_on_the_hidden_layers_in_training() -> None:
    shape = ball(1)
    here, grad = spectrum(shape, 8).to(torch.float32), gradient(shape)
    x = torch.randn(shape.pos.shape[0], 4)
    block = DiffusionBlock(4, dropout=0.5)
    assert not torch.equal(block(x, here, grad), block(x, here, grad))
    block.eval()
    assert torch.equal(block(x, here, grad), block(x, here, grad))


def test_errors_name_what_does_not_fit() -> None:
    shape = ball(1)
    here, grad, operator = spectrum(shape, 8).to(torch.float32), gradient(shape), laplacian(shape)
    block, x = DiffusionBlock(4), torch.randn(42, 4)
    with pytest.raises(ValueError, match="spectrum has 42 vertices but x has 41 rows"):
        block(x[1:], here, grad)
    with pytest.raises(ValueError, match=r"x must have shape \[V, 4\], not \[42, 3\]"):
        block(x[:, 1:], here, grad)
    with pytest.raises(ValueError, match="need a gradient"):
        block(x, here)
    with pytest.raises(ValueError, match="gradient has 42 vertices but x has 41 rows"):
        SpatialGradientFeatures(4)(x[1:], grad)
    with pytest.raises(TypeError, match="needs a Spectrum, not list"):
        block(x, [operator], grad)
    with pytest.raises(TypeError, match="needs the Laplacians"):
        DiffusionBlock(4, method="direct")(x, here, grad)
    with pytest.raises(ValueError, match=r"laplacians have 42 points but x has shape \[41, 4\]"):
        implicit_diffuse(x[1:], torch.ones(4), [operator])
    with pytest.raises(ValueError, match=r"x has 4 channels but time has shape \[3\]"):
        implicit_diffuse(x, torch.ones(3), [operator])
    with pytest.raises(ValueError, match="not negative"):
        implicit_diffuse(x, -torch.ones(4), [operator])
    with pytest.raises(ValueError, match="not negative"):
        implicit_diffuse(x, torch.full((4,), float("nan")), [operator])
    with pytest.raises(ValueError, match="method must be"):
        LearnedTimeDiffusion(4, "implicit")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="variant must be"):
        SpatialGradientFeatures(4, "old")  # type: ignore[arg-type]


def test_operators_that_were_changed_give_the_new_answer() -> None:
    """The fused block keeps what it made of a spectrum and a gradient, until these are changed."""
    points = 60
    neighbors = Neighbors.from_edge_index(torch.randint(points, (2, 5 * points)), points)
    spectrum = Spectrum(torch.rand(8).sort().values, torch.randn(points, 8), torch.rand(points))
    gradient = Gradient(neighbors, 0.01 * torch.randn(5 * points, 2))
    block = DiffusionBlock(16)
    x = torch.randn(points, 16, requires_grad=True)

    def run(spectrum: Spectrum, gradient: Gradient) -> tuple[Tensor, Tensor]:
        torch.manual_seed(0)
        y = block(x, spectrum, gradient)
        return y.detach(), torch.autograd.grad(y.square().sum(), x)[0]

    before = run(spectrum, gradient)
    for change in (
        lambda: spectrum.evecs.mul_(0.5),
        lambda: spectrum.mass.add_(1),
        lambda: gradient.values.mul_(0.5),
        lambda: neighbors.col.copy_(neighbors.col.flip(0)),
        lambda: setattr(neighbors, "col", neighbors.col.roll(3)),
    ):
        change()
        fresh = Neighbors(neighbors.rowptr.clone(), neighbors.col.clone(), points)
        again = run(spectrum.clone(), Gradient(fresh, gradient.values.clone()))
        after = run(spectrum, gradient)
        assert all(torch.equal(a, b) for a, b in zip(after, again, strict=True))
        assert not torch.equal(after[0], before[0])
        before = after
