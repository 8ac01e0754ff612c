"""edge_conv against every message computed: by PyTorch and by PyG; hard numbers, memory, special values, errors."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.autograd import grad, gradcheck, gradgradcheck
from torch.library import opcheck
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from geodl.ops import BatchNorm, Neighbors, backends, edge_conv, use_backend

from .cases.graphs import neighbors_of
from .devices import device_of

IN, OUT = 5, 19
every_backend = pytest.mark.parametrize("backend", ["reference", "native", "triton"])


def dense(x, neighbors, weight, bias, norm, negative_slope, x_dst=None):
    """The equation, with a message an edge; every row must have an edge."""
    x_dst = x if x_dst is None else x_dst
    row, col = neighbors.row, neighbors.col
    h = functional.linear(torch.cat([x_dst[row], x[col] - x_dst[row]], dim=1), weight.T, bias)
    if norm is not None:
        h = functional.batch_norm(h, **norm._asdict())
    h = functional.leaky_relu(h, negative_slope)
    return torch.stack([part.max(dim=0).values for part in h.split(neighbors.degree().tolist())])


def random_inputs(dtype=torch.float64):
    """Rows of different length, and a norm whose scale has both signs."""
    neighbors = neighbors_of([3, 1, 7, 4, 2, 5] * 5, 30)
    x = torch.randn(30, IN, dtype=dtype)
    weight, bias = torch.randn(2 * IN, OUT, dtype=dtype), torch.randn(OUT, dtype=dtype)
    gamma, beta = torch.randn(OUT, dtype=dtype), torch.randn(OUT, dtype=dtype)
    return neighbors, [tensor.requires_grad_() for tensor in (x, weight, bias, gamma, beta)]


def running_statistics(dtype=torch.float64):
    return torch.linspace(-1, 1, OUT, dtype=dtype), torch.linspace(0.5, 2, OUT, dtype=dtype)


@every_backend
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("negative_slope", [0.0, 0.2, 1.0])
def test_is_batch_norm_of_all_messages(negative_slope, training, backend):
    neighbors, (x, weight, bias, gamma, beta) = random_inputs()
    leaves = x, weight, bias, gamma, beta
    results = []
    for function in (edge_conv, dense):
        mean, variance = running_statistics()
        norm = BatchNorm(mean, variance, gamma, beta, training, momentum=0.3, eps=1e-3)
        with use_backend(backend):
            out = function(x, neighbors, weight, bias, norm, negative_slope)
            results.append([out, mean, variance, *grad(out.sin().sum(), leaves)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@every_backend
def test_second_derivatives_are_those_of_all_messages(backend):
    neighbors, (x, weight, bias, gamma, beta) = random_inputs()
    leaves = x, weight, gamma, beta
    results = []
    for function in (edge_conv, dense):
        with use_backend(backend):
            out = function(x, neighbors, weight, bias, BatchNorm(weight=gamma, bias=beta, training=True), 0.2)
            first = grad(out.sin().sum(), leaves, create_graph=True)
            results.append(grad(sum(part.square().sum() for part in first), leaves))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8 * float(theirs.abs().max()))


def test_third_derivative():
    neighbors, (x, weight, bias, gamma, beta) = random_inputs()
    norm = BatchNorm(weight=gamma, bias=beta, training=True)
    results = []
    for function in (edge_conv, dense):
        value = function(x, neighbors, weight, bias, norm, 0.2).sin().sum()
        for _ in range(3):
            (derivative,) = grad(value, gamma, create_graph=True)
            value = derivative.sin().sum()
        results.append(derivative)
    torch.testing.assert_close(*results, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("normalised", [True, False])
def test_equals_torch_geometric(normalised, training):
    geometric = pytest.importorskip("torch_geometric.nn")
    neighbors, (x, *_) = random_inputs()
    linear, norm = nn.Linear(2 * IN, OUT).double(), nn.BatchNorm1d(OUT).double().train(training)
    nn.init.normal_(norm.weight)
    layers = [linear, *([norm] if normalised else []), nn.LeakyReLU(0.2)]
    theirs = geometric.EdgeConv(nn.Sequential(*layers), aggr="max")(x, neighbors.to_edge_index())
    leaves = [x, *nn.Sequential(*layers).parameters()]
    theirs = [theirs, norm.running_mean.clone(), norm.running_var.clone(), *grad(theirs.sin().sum(), leaves)]
    norm.reset_running_stats()
    given = BatchNorm(
        norm.running_mean, norm.running_var, norm.weight, norm.bias, training, norm.momentum, norm.eps
    )
    ours = edge_conv(x, neighbors, linear.weight.T, linear.bias, given if normalised else None)
    ours = [ours, norm.running_mean, norm.running_var, *grad(ours.sin().sum(), leaves)]
    for mine, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-10, atol=1e-10)


@every_backend
def test_points_far_from_the_origin(backend):
    """u is nearly -v, and both are ten thousand times the messages: sums of squares would have no digit left."""
    neighbors = neighbors_of([6] * 40, 40)
    x = (torch.randn(40, 3, dtype=torch.float64) + 1e4).float()
    weight = torch.cat([1e-5 * torch.randn(3, OUT), torch.randn(3, OUT)])
    gamma, beta = torch.randn(OUT), torch.randn(OUT)

    def results(dtype):
        leaves = [tensor.to(dtype).requires_grad_() for tensor in (x, weight, gamma, beta)]
        mean, variance = torch.zeros(OUT, dtype=dtype), torch.ones(OUT, dtype=dtype)
        norm = BatchNorm(mean, variance, leaves[2], leaves[3], training=True, momentum=1.0)
        with use_backend(backend if dtype == torch.float32 else "reference"):
            out = edge_conv(leaves[0], neighbors, leaves[1], None, norm)
            weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).to(dtype).view(out.shape)
            return [out, mean, variance, *grad(out, leaves, weights)]

    for single, double in zip(results(torch.float32), results(torch.float64), strict=True):
        torch.testing.assert_close(single.double(), double, rtol=0, atol=2e-5 * float(1 + double.abs().max()))


class Largest(TorchDispatchMode):
    """The size of the largest tensor that any operator returns."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        results = func(*args, **(kwargs or {}))
        for result in results if isinstance(results, (tuple, list)) else [results]:
            if isinstance(result, torch.Tensor):
                self.numbers = max(self.numbers, result.numel())
        return results


@pytest.mark.parametrize("backend", ["native", "triton"])
def test_stores_nothing_an_edge_and_channel(backend):
    neighbors = neighbors_of([80] * 40, 40)  # more edges than points have numbers
    x = torch.randn(40, IN, requires_grad=True)
    weight = torch.randn(2 * IN, OUT, requires_grad=True)
    gamma, beta = torch.ones(OUT, requires_grad=True), torch.zeros(OUT, requires_grad=True)
    with use_backend(backend), Largest() as largest:
        out = edge_conv(x, neighbors, weight, None, BatchNorm(weight=gamma, bias=beta, training=True))
        first = grad(out.sin().sum(), (x, weight, gamma), create_graph=True)
        grad(sum(part.square().sum() for part in first), (x, weight, gamma))
    assert 40 * OUT <= largest.numbers <= neighbors.num_edges  # the graph itself has as many


@every_backend
def test_destinations_that_are_the_sources_need_no_name(backend):
    neighbors, (x, weight, bias, gamma, beta) = random_inputs()
    for norm in (None, BatchNorm(weight=gamma, bias=beta, training=True)):
        results = []
        for x_dst in (None, x):
            with use_backend(backend):
                out = edge_conv(x, neighbors, weight, bias, norm, x_dst=x_dst)
                results.append([out, *grad(out.sin().sum(), (x, weight))])
        for actual, expected in zip(*results, strict=True):
            torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@every_backend
def test_a_norm_without_scale_and_shift(backend):
    neighbors, (x, weight, bias, _, _) = random_inputs()
    norm = BatchNorm(training=True)
    with use_backend(backend):
        out = edge_conv(x, neighbors, weight, bias, norm)
    torch.testing.assert_close(out, dense(x, neighbors, weight, bias, norm, 0.2))


@every_backend
def test_empty_rows_are_zero_and_nan_is_not_lost(backend):
    neighbors = Neighbors(torch.tensor([0, 0, 2, 4]), torch.tensor([0, 2, 1, 1]), 3)
    x = torch.tensor([[1.0], [2.0], [torch.nan]], requires_grad=True)
    weight, bias = torch.tensor([[1.0], [1.0]]), torch.tensor([5.0])
    with use_backend(backend):
        out = edge_conv(x, neighbors, weight, bias)
    assert out[0].item() == 0 and out[1].isnan() and out[2].isnan()
    with use_backend(backend):
        out = edge_conv(x[:2], Neighbors(torch.tensor([0, 0, 2]), torch.tensor([0, 1]), 2), weight, bias)
        (by_x,) = grad(out.sum(), x)
    assert out.flatten().tolist() == [0, 7] and by_x.flatten().tolist() == [0, 1, 0]


@every_backend
def test_points_without_edges_do_not_matter(backend):
    """Not to statistics, outputs and gradients, even if they are not finite (found by the fuzzer)."""
    _, (x, weight, bias, gamma, beta) = random_inputs()
    x, x_dst = x[:6], x[6:10]
    results = []
    for unread in (1.0, float("nan")):
        sources = x.detach().clone().index_fill_(0, torch.tensor([1, 5]), unread).requires_grad_()
        rows = x_dst.detach().clone().index_fill_(0, torch.tensor([2]), unread).requires_grad_()
        neighbors = Neighbors(torch.tensor([0, 2, 3, 3, 7]), torch.tensor([0, 3, 2, 4, 4, 0, 3]), 6)
        mean, variance = running_statistics()
        norm = BatchNorm(mean, variance, gamma, beta, training=True)
        with use_backend(backend):
            out = edge_conv(sources, neighbors, weight, bias, norm, x_dst=rows)
            results.append(
                [out, mean, variance, *grad(out.sin().sum(), (sources, rows, weight, gamma, beta))]
            )
    for one, nan in zip(*results, strict=True):
        assert torch.equal(one, nan)


@every_backend
@pytest.mark.parametrize("training", [True, False])
def test_no_input_channels(training, backend):
    neighbors = neighbors_of([2, 0, 3], 3)
    norm = BatchNorm(torch.zeros(2), torch.ones(2), bias=torch.tensor([1.0, -1.0]), training=training)
    with use_backend(backend):
        out = edge_conv(torch.zeros(3, 0), neighbors, torch.zeros(0, 2), None, norm)
    torch.testing.assert_close(out, torch.tensor([[1, -0.2], [0, 0], [1, -0.2]]))


def test_running_statistics_under_compile():
    neighbors, (x, weight, bias, gamma, beta) = random_inputs()
    results = []
    for wrap in (lambda f: f, lambda f: torch.compile(f, fullgraph=True, backend="aot_eager")):
        mean, variance = running_statistics()
        norm = BatchNorm(mean, variance, gamma, beta, training=True)
        out = wrap(edge_conv)(x, neighbors, weight, bias, norm)
        results.append([out, mean, variance])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected)


AWKWARD = Neighbors(
    torch.tensor([0, 0, 3, 4, 7]), torch.tensor([1, 3, 3, 0, 2, 2, 1]), 4
)  # an empty row, twins
BIPARTITE = Neighbors(AWKWARD.rowptr, AWKWARD.col, 5)


def awkward(normalised, bipartite):
    """The operator as a function of tensors that ask for gradients, and these."""
    neighbors = BIPARTITE if bipartite else AWKWARD

    def call(x, weight, gamma, beta, x_dst=None):
        norm = BatchNorm(weight=gamma, bias=beta, training=True) if normalised else None
        return edge_conv(x, neighbors, weight, None if normalised else beta, norm, x_dst=x_dst)

    sizes = [(neighbors.num_src, 2), (4, 3), (3,), (3,), *([(4, 2)] if bipartite else [])]
    leaves = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes]
    if not normalised:
        leaves[2].requires_grad_(False)
    return call, leaves


every_kind = pytest.mark.parametrize(
    ("normalised", "bipartite"), [(False, False), (False, True), (True, False), (True, True)]
)


@every_kind
def test_derivatives_of_all_kinds(normalised, bipartite):
    call, leaves = awkward(normalised, bipartite)
    assert gradcheck(call, leaves, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(call, leaves, check_fwd_over_rev=True, check_batched_grad=True)


@every_kind
def test_torch_func_agrees_with_autograd(normalised, bipartite):
    call, leaves = awkward(normalised, bipartite)
    primals = tuple(leaf.detach() for leaf in leaves)
    numbers = tuple(range(len(leaves)))

    def loss(*leaves):
        return call(*leaves).sin().sum()

    expected = torch.autograd.functional.hessian(loss, primals)
    func = torch.func
    for found in (
        func.hessian(loss, numbers)(*primals),
        func.jacrev(func.jacfwd(loss, numbers), numbers)(*primals),
    ):
        torch.testing.assert_close(found, expected)
    _, tangent = func.jvp(loss, primals, primals)
    gradients = func.grad(loss, numbers)(*primals)
    torch.testing.assert_close(tangent, sum((p * g).sum() for p, g in zip(primals, gradients, strict=True)))


@every_kind
def test_operators_are_registered_correctly(normalised, bipartite):
    _, (x, weight, gamma, beta, *x_dst) = awkward(normalised, bipartite)
    neighbors = BIPARTITE if bipartite else AWKWARD
    transposed, perm = neighbors.t()
    graph = neighbors.rowptr, neighbors.col, neighbors.num_src, transposed.rowptr, transposed.col, perm
    destinations, gamma = x_dst[0] if x_dst else None, gamma if normalised else None
    given = (x, destinations, weight, beta, gamma, beta if normalised else None, *graph, 0.2, 1e-5)
    opcheck(torch.ops.geodl.edge_max.default, given)
    out, *kept = (None if part.shape == (0,) else part.detach() for part in torch.ops.geodl.edge_max(*given))
    grad = torch.randn_like(out, requires_grad=True)
    given = (grad, x, destinations, weight, gamma, *graph, 0.2, 1e-5, out, *kept, True)
    opcheck(torch.ops.geodl.edge_max_backward.default, given)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_has_statistics_in_float32(dtype):
    """On the CPU, as it is and under autocast: 20,000 messages around 3."""
    neighbors = neighbors_of([20] * 1000, 1000)
    x, weight = 1 + torch.rand(1000, 4), torch.rand(8, 3)
    half = x.to(dtype), weight.to(dtype)
    results = []
    for tensors in ((half[0].double(), half[1].double()), half):
        mean, variance = torch.zeros(3), torch.ones(3)
        norm = BatchNorm(mean, variance, training=True, momentum=1.0)
        results.append([edge_conv(tensors[0], neighbors, tensors[1], None, norm).double(), mean, variance])
    assert mean.dtype == torch.float32
    (exact, *statistics), (out, *ours) = results
    torch.testing.assert_close(ours, statistics, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out, exact, rtol=1e-2, atol=1e-2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = edge_conv(half[0], neighbors, half[1].float(), None, BatchNorm(training=True))
    torch.testing.assert_close(mixed.double(), exact, rtol=1e-4, atol=1e-4)


def test_errors_name_the_argument():
    neighbors = neighbors_of([2, 3], 2)
    x, weight = torch.randn(2, 3), torch.randn(6, 4)
    with pytest.raises(ValueError, match=r"neighbors have 2 sources but x has shape \[3, 3\]"):
        edge_conv(torch.randn(3, 3), neighbors, weight)
    with pytest.raises(ValueError, match=r"x must be floating point, not torch\.int64"):
        edge_conv(x.long(), neighbors, weight)
    with pytest.raises(ValueError, match=r"weight must have shape \[C\*2, D\] = \[6, 4\], not \[3, 4\]"):
        edge_conv(x, neighbors, torch.randn(3, 4))
    with pytest.raises(ValueError, match=r"bias must have shape \[D\] = \[4\], not \[3\]"):
        edge_conv(x, neighbors, weight, torch.randn(3))
    with pytest.raises(ValueError, match=r"x is torch\.float32 but weight is torch\.float64"):
        edge_conv(x, neighbors, weight.double())
    with pytest.raises(ValueError, match=r"negative_slope must not be negative, got -0\.1"):
        edge_conv(x, neighbors, weight, negative_slope=-0.1)
    with pytest.raises(ValueError, match=r"2 destinations and 5 sources: x_dst must give"):
        edge_conv(torch.randn(5, 3), neighbors_of([2, 3], 5), weight)
    with pytest.raises(ValueError, match=r"neighbors have 2 destinations but x_dst has shape \[5, 3\]"):
        edge_conv(torch.randn(5, 3), neighbors_of([2, 3], 5), weight, x_dst=torch.randn(5, 3))
    with pytest.raises(ValueError, match="norm out of training needs its running_mean"):
        edge_conv(x, neighbors, weight, norm=BatchNorm())
    with pytest.raises(ValueError, match=r"running_var of norm must have shape \[4\] on cpu, not \[5\]"):
        edge_conv(x, neighbors, weight, norm=BatchNorm(torch.zeros(4), torch.ones(5)))
    with pytest.raises(ValueError, match=r"norm_weight must have shape \[D\] = \[4\], not \[1\]"):
        edge_conv(x, neighbors, weight, norm=BatchNorm(weight=torch.ones(1), training=True))
    with pytest.raises(ValueError, match=r"norm_bias must have shape \[D\] = \[4\], not \[1\]"):
        edge_conv(x, neighbors, weight, norm=BatchNorm(torch.zeros(4), torch.ones(4), bias=torch.ones(1)))
    with pytest.raises(ValueError, match="needs at least 2 edges for its statistics, but neighbors have 1"):
        edge_conv(x, neighbors_of([0, 1], 2), weight, norm=BatchNorm(training=True))


@pytest.mark.skipif(backends()["triton"] != "available", reason="needs Triton")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("normalised", [True, False])
def test_half_precision_in_triton(normalised, dtype):
    device = device_of("triton")
    neighbors = Neighbors(torch.tensor([0, 2, 5, 6]), torch.tensor([0, 1, 1, 0, 2, 2]), 3).to(device)
    inputs = [torch.randn(*size).to(device, dtype) for size in ((3, 2), (4, 3), (3,), (3,))]

    def run(backend, tensors):
        x, weight, gamma, beta = leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        norm = BatchNorm(weight=gamma, bias=beta, training=True) if normalised else None
        with use_backend(backend):
            out = edge_conv(x, neighbors, weight, beta, norm)
            return [out, *torch.autograd.grad(out.sum() + gamma.sum(), leaves)]

    exact = run("reference", [tensor.double() for tensor in inputs])
    for actual, expected in zip(run("triton", inputs), exact, strict=True):
        assert actual.dtype == dtype
        torch.testing.assert_close(
            actual.double(), expected, rtol=0.05, atol=0.05 * expected.abs().max().item()
        )
