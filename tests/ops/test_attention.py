"""attention beyond the conformance suite: PyG's layers, a dense softmax, special values, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch.library import opcheck
from torch_geometric.nn import GATConv, GATv2Conv

from geodl.ops import Neighbors, attention, attention_weights, use_backend
from geodl.ops.attention import attend, attend_backward, edge_scores, edge_scores_adjoint
from geodl.ops.core import CSR

from .derivatives import check_derivatives
from .devices import BACKENDS, FAST, device_of

NAN, INF = math.nan, math.inf

every_backend = pytest.mark.parametrize("backend", BACKENDS)


def random_graph(points: int, edges: int) -> tuple[torch.Tensor, Neighbors]:
    """An edge_index with duplicates and points that read nothing, and the same as Neighbors."""
    edge_index = torch.randint(points, (2, edges))
    edge_index[1] = edge_index[1] // 2 * 2
    return edge_index, Neighbors.from_edge_index(edge_index, points)


def assert_same_gradients(ours, theirs, leaves, tolerance=1e-12):
    g = torch.randn_like(ours)
    for mine, other in zip(
        torch.autograd.grad(ours, leaves, g), torch.autograd.grad(theirs, leaves, g), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("channels", [5, 8, 16])
@pytest.mark.parametrize("backend", FAST)
def test_agrees_with_pyg_gat(backend, channels):
    edge_index, neighbors = random_graph(40, 200)
    conv = GATConv(6, channels, heads=8, add_self_loops=False, bias=False).double()
    x = torch.randn(40, 6, dtype=torch.float64, requires_grad=True)
    theirs, (_, weights) = conv(x, edge_index, return_attention_weights=True)
    projected = conv.lin(x).view(40, 8, channels)
    scores = (projected * conv.att_src).sum(-1), (projected * conv.att_dst).sum(-1)
    with use_backend(backend):
        ours = attention(projected, neighbors, *scores).flatten(1)
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(attention_weights(neighbors, *scores), weights[neighbors.order])
        assert_same_gradients(ours, theirs, (x, conv.lin.weight, conv.att_src, conv.att_dst))


@pytest.mark.parametrize("channels", [5, 8, 16])
@pytest.mark.parametrize("backend", FAST)
def test_agrees_with_pyg_gatv2(backend, channels):
    edge_index, neighbors = random_graph(40, 200)
    conv = GATv2Conv(6, channels, heads=8, add_self_loops=False, bias=False).double()
    x = torch.randn(40, 6, dtype=torch.float64, requires_grad=True)
    theirs, (_, weights) = conv(x, edge_index, return_attention_weights=True)
    source, target = conv.lin_l(x).view(40, 8, channels), conv.lin_r(x).view(40, 8, channels)
    scores = source, target, conv.att[0]
    with use_backend(backend):
        ours = attention(source, neighbors, *scores).flatten(1)
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(attention_weights(neighbors, *scores), weights[neighbors.order])
        assert_same_gradients(ours, theirs, (x, conv.lin_l.weight, conv.lin_r.weight, conv.att))


@every_backend
def test_agrees_with_a_dense_softmax(backend):
    """On the complete graph, attention is a dense layer."""
    neighbors = Neighbors(torch.arange(0, 43, 7), torch.arange(7).repeat(6), 7)
    x, source, target = torch.randn(7, 2, 3), torch.randn(7, 2), torch.randn(6, 2)
    scores = torch.nn.functional.leaky_relu((source + target[:, None]).double(), 0.2)
    expected = torch.einsum("ijh,jhc->ihc", scores.softmax(1), x.double())
    with use_backend(backend):
        torch.testing.assert_close(
            attention(x, neighbors, source, target).double(), expected, rtol=0, atol=1e-6
        )
        weights = attention_weights(neighbors, source, target).view(6, 7, 2)
    torch.testing.assert_close(weights.double(), scores.softmax(1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("degree", [63, 64, 65, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ascending", [True, False])
def test_rows_longer_than_a_block(degree, dtype, ascending):
    """The maximum grows from block to block, or not, and sums formed so far are corrected; forward and backward."""
    neighbors = Neighbors(torch.tensor([0, degree]), torch.zeros(degree, dtype=torch.int64), 1)
    source = torch.randn(degree, 2, dtype=dtype).mul(30).sort(0, descending=not ascending).values
    spread = Neighbors(torch.tensor([0, degree]), torch.arange(degree), degree)
    x = torch.randn(degree, 2, 9, dtype=dtype)
    leaves = [x.requires_grad_(), source.requires_grad_()]
    out = attention(x, spread, source, torch.zeros(1, 2, dtype=dtype), negative_slope=1)
    expected = torch.einsum("jh,jhc->hc", source.softmax(0), x)[None]
    torch.testing.assert_close(out, expected)
    assert_same_gradients(out, expected, leaves, 1e-4 if dtype == torch.float32 else 1e-11)
    repeated = attention(x[:1], neighbors, source[:1], torch.zeros(1, 2, dtype=dtype))
    torch.testing.assert_close(
        repeated, x[:1]
    )  # one point read many times, and by all edges of its transpose
    assert_same_gradients(repeated, x[:1] * 1, [x], 1e-4)


@every_backend
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_huge_scores(backend, dtype):
    neighbors = Neighbors(torch.tensor([0, 3, 5]), torch.tensor([0, 1, 2, 0, 2]), 3)
    source = torch.tensor([[1e4], [-1e4], [1e4]], dtype=dtype, requires_grad=True)
    x = torch.tensor([[[1.0]], [[2.0]], [[5.0]]], dtype=dtype, requires_grad=True)
    with use_backend(backend):
        out = attention(x, neighbors, source, torch.zeros(2, 1, dtype=dtype), negative_slope=1)
        by_x, by_source = torch.autograd.grad(out.sum(), (x, source))
    assert out.flatten().tolist() == [3, 3]
    assert by_x.flatten().tolist() == [1, 0, 1] and by_source.flatten().tolist() == [-2, 0, 2]


@every_backend
def test_special_scores(backend):
    """Row 0 reads a masked point too, row 1 masked points alone, row 2 none, row 3 NaN, row 4 +inf; head 1 is plain."""
    source = torch.tensor([[0.0, 0.0], [-INF, 0.0], [NAN, 0.0], [INF, 0.0], [0.0, 0.0]], requires_grad=True)
    neighbors = Neighbors(torch.tensor([0, 2, 4, 4, 6, 8]), torch.tensor([0, 1, 1, 1, 4, 2, 4, 3]), 5)
    x = torch.tensor([1.0, 3.0, 5.0, 7.0, 9.0])[:, None, None].repeat(1, 2, 1).requires_grad_()
    with use_backend(backend):
        out = attention(x, neighbors, source, torch.zeros(5, 2))[:, :, 0]
        weights = attention_weights(neighbors, source, torch.zeros(5, 2))
        by_x, by_source = torch.autograd.grad(out[:3, 0].sum(), (x, source))
    assert out[:3, 0].tolist() == [1, 0, 0] and out[3:, 0].isnan().all()
    assert out[:, 1].tolist() == [2, 3, 0, 7, 8]
    assert weights[:4, 0].tolist() == [1, 0, 0, 0] and weights[4:, 0].isnan().all()
    assert weights[:, 1].tolist() == [0.5] * 8
    assert by_x[:2, 0, 0].tolist() == [1, 0] and by_source[:2, 0].tolist() == [0, 0]


@every_backend
def test_one_neighbour_is_copied(backend):
    x = torch.randn(4, 3, 5, requires_grad=True)
    neighbors = Neighbors(torch.arange(5), torch.tensor([2, 0, 3, 3]), 4)
    with use_backend(backend):
        out = attention(x, neighbors, torch.randn(4, 3), torch.randn(4, 3))
    torch.testing.assert_close(out, x[neighbors.col], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("v2", [False, True])
def test_equivariant_under_permutations(backend, v2):
    edge_index, neighbors = random_graph(30, 150)
    size = (4, 8) if v2 else (4,)
    x, source, target = torch.randn(30, 4, 8), torch.randn(30, *size), torch.randn(30, *size)
    vector = torch.randn(4, 8) if v2 else None
    order = torch.randperm(30)
    moved = Neighbors.from_edge_index(order.argsort()[edge_index], 30)
    with use_backend(backend):
        out = attention(x, neighbors, source, target, vector)
        again = attention(x[order], moved, source[order], target[order], vector)
    torch.testing.assert_close(again, out[order], rtol=1e-5, atol=1e-6)


@every_backend
def test_linear_scores_do_not_see_the_target(backend):
    neighbors = Neighbors(torch.tensor([0, 2, 5]), torch.tensor([0, 1, 1, 0, 2]), 3)
    x, source, target = torch.randn(3, 2, 4), torch.randn(3, 2), torch.randn(2, 2)
    with use_backend(backend):
        out = attention(x, neighbors, source, target, negative_slope=1)
        without = attention(x, neighbors, source, torch.zeros(2, 2), negative_slope=1)
    torch.testing.assert_close(out, without, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif("triton" not in BACKENDS, reason="needs Triton")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_in_triton(dtype):
    device = device_of("triton")
    neighbors = Neighbors(torch.tensor([0, 2, 5]), torch.tensor([0, 1, 1, 0, 2]), 3).to(device)
    inputs = [
        torch.randn(*size).to(device, dtype) for size in ((3, 2, 4), (3, 2, 3), (2, 2, 3), (2, 3), (5, 2))
    ]

    def run(backend, tensors):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        x, source, target, vector, scale = leaves
        with use_backend(backend):
            out = attention(x, neighbors, source, target, vector, scale)
            return [out, *torch.autograd.grad(out.sum(), leaves)]

    exact = run("reference", [tensor.double() for tensor in inputs])
    for actual, expected in zip(run("triton", inputs), exact, strict=True):
        assert actual.dtype == dtype
        torch.testing.assert_close(actual.double(), expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_are_exact_to_rounding(dtype):
    """Two scores: the smaller weight is exp(s) / (1 + exp(s)), over all of the range of exp."""
    low = -85.0 if dtype == torch.float32 else -700.0
    scores = torch.linspace(low, 0, 5001, dtype=dtype)
    source = torch.stack([scores, torch.zeros_like(scores)])
    x = torch.tensor([1.0, 0.0], dtype=dtype)[:, None, None].expand(2, 5001, 1)
    neighbors = Neighbors(torch.tensor([0, 2]), torch.tensor([0, 1]), 2)
    with use_backend("native"):
        out = attention(x, neighbors, source, torch.zeros(1, 5001, dtype=dtype), negative_slope=1).flatten()
    power = scores.double().exp()
    relative = (out.double() / (power / (1 + power)) - 1).abs().max()
    assert relative < 4 * torch.finfo(dtype).eps


NEIGHBORS = Neighbors(torch.tensor([0, 2]), torch.tensor([0, 1]), 2)
X, S, T = torch.zeros(2, 3, 4), torch.zeros(2, 3), torch.zeros(1, 3)
S2, T2, V = torch.zeros(2, 3, 5), torch.zeros(1, 3, 5), torch.zeros(3, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X[:, 0], NEIGHBORS, S, T), r"x must have shape \[S, H, C\] = \[2, H, C\], not \[2, 4\]"),
        ((X[:, :2], NEIGHBORS, S, T), r"source must have shape \[S, H, ...\] = \[2, 2, \], not \[2, 3\]"),
        ((X.double(), NEIGHBORS, S, T), "x is torch.float64 but source is torch.float32"),
        ((X, NEIGHBORS, S.long(), T), "source must be floating point, not torch.int64"),
        ((X, NEIGHBORS, S.to("meta"), T), "source is on meta but neighbors are on cpu"),
        ((X, NEIGHBORS, S[:1], T), r"neighbors have 2 sources but source has shape \[1, 3\]"),
        ((X, NEIGHBORS, S2, T2), r"source must have shape \[S, H\] without a vector, not \[2, 3, 5\]"),
        ((X, NEIGHBORS, S, T, V), r"source must have shape \[S, H, D\] with a vector, not \[2, 3\]"),
        (
            (X[:, :0], NEIGHBORS, S[:, :0], T[:, :0]),
            r"source must have at least one head, not shape \[2, 0\]",
        ),
        ((X, NEIGHBORS, S, S), r"neighbors have 1 destinations but target has shape \[2, 3\]"),
        ((X, NEIGHBORS, S, T.double()), "x is torch.float32 but target is torch.float64"),
        ((X, NEIGHBORS, S2, T2, V[:, :2]), r"vector must have shape \[H, ...\] = \[3, 5\], not \[3, 2\]"),
        ((X, NEIGHBORS, S2, T2, V.double()), "x is torch.float32 but vector is torch.float64"),
        (
            (X, NEIGHBORS, S, T, None, torch.ones(2)),
            r"edge_scale must have shape \[E, H\] = \[2, 3\], not \[2\]",
        ),
        (
            (X, NEIGHBORS, S, T, None, torch.ones(2, 3).to("meta")),
            "edge_scale is on meta but neighbors are on cpu",
        ),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        attention(*arguments)


@pytest.mark.parametrize("backend", BACKENDS)
def test_scores_without_terms_weigh_all_neighbours_alike(backend):
    x, neighbors = torch.randn(5, 2, 3), Neighbors(torch.tensor([0, 3, 4]), torch.tensor([0, 4, 2, 1]), 5)
    empty = [torch.randn(n, 2, 0, requires_grad=True) for n in (5, 2)]
    with use_backend(backend):
        out = attention(x, neighbors, *empty, torch.randn(2, 0))
        gradients = torch.autograd.grad(out.sum(), empty)
    torch.testing.assert_close(out, torch.stack([x[[0, 4, 2]].mean(0), x[1]]))
    assert [list(gradient.shape) for gradient in gradients] == [[5, 2, 0], [2, 2, 0]]


AWKWARD = CSR(
    torch.tensor([0, 3, 3, 5, 6]), torch.tensor([0, 2, 2, 1, 3, 0]), 4
)  # an empty row, an edge that is there twice


def numbers(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("v2", [False, True])
def test_every_operator_has_all_its_derivatives(v2, scaled):
    size = (2, 3) if v2 else (2,)
    x, source, target = numbers(4, 2, 2), numbers(4, *size), numbers(4, *size)
    vector, scale = numbers(*size) if v2 else None, numbers(6, 2) if scaled else None
    given = (x, source, target, vector, scale)
    fixed = source.detach(), target.detach(), AWKWARD, 0.2

    def backward(grad, *leaves):
        out, *statistics = attend(*leaves, AWKWARD, 0.2)
        found = attend_backward(grad, *leaves, out.detach(), *statistics, AWKWARD, 0.2)
        return found if scaled else found[:-1]

    check_derivatives(lambda *leaves: attend(*leaves, AWKWARD, 0.2)[0], given)
    check_derivatives(backward, (numbers(4, 2, 2), *given))
    check_derivatives(lambda a, b: edge_scores(a, b, *fixed), (numbers(4, *size), numbers(4, *size)))
    check_derivatives(lambda u: edge_scores_adjoint(u, *fixed), (numbers(6, 2),))
    flat = (*AWKWARD, 0.2)
    opcheck(torch.ops.geodl.attend.default, (*given, *flat))
    out, *statistics = (part.detach() for part in attend(*given, AWKWARD, 0.2))
    opcheck(torch.ops.geodl.attend_backward.default, (numbers(4, 2, 2), *given, out, *statistics, *flat))
    opcheck(torch.ops.geodl.edge_scores.default, (source, target, *fixed[:2], *flat))
    opcheck(torch.ops.geodl.edge_scores_adjoint.default, (numbers(6, 2), *fixed[:2], *flat))
