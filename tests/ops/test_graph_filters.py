"""chebyshev, bernstein, cayley and arma beyond the conformance suite: eigendecompositions, PyG, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.library import opcheck
from torch_geometric.nn import ARMAConv, ChebConv
from torch_geometric.utils import get_laplacian, to_undirected

from geodl.ops import Neighbors, arma, backends, bernstein, cayley, chebyshev, use_backend
from geodl.ops.chebyshev import polynomial
from geodl.ops.core import CSR
from geodl.ops.graph_filter import filter_step, matmul, matmul_nt, matmul_tn, recurrence

from .derivatives import check_derivatives
from .devices import device_of

POINTS = 12


def undirected(points, edges):
    return to_undirected(torch.randint(points, (2, edges)), num_nodes=points)


def normalised(points, edges, shift):
    """Normalised Laplacian plus shift times 1, in CSR order, and as a dense matrix."""
    edge_index, values = get_laplacian(
        undirected(points, edges), normalization="sym", num_nodes=points, dtype=torch.float64
    )
    neighbors = Neighbors.from_edge_index(edge_index, points)
    values = (values + shift * (edge_index[0] == edge_index[1]))[neighbors.order]
    dense = torch.zeros(points, points, dtype=torch.float64)
    dense.index_put_((neighbors.row, neighbors.col), values, accumulate=True)
    return neighbors, values, dense


def filtered(dense, x, filters, response):
    """Filters applied to frequencies, by the eigendecomposition."""
    evals, evecs = np.linalg.eigh(dense.numpy())
    total = 0
    for k, weight in enumerate(filters.numpy()):
        total = total + (evecs * response(k, evals)) @ evecs.T @ x.numpy() @ weight
    return torch.from_numpy(total)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("powers", [1, 2, 3, 8])
@pytest.mark.parametrize("out_channels", [2, 7])
def test_polynomials_act_on_frequencies(out_channels, powers, symmetric):
    neighbors, laplacian, dense = normalised(POINTS, 30, -1)
    x = torch.randn(POINTS, 3, dtype=torch.float64)
    filters = torch.randn(powers, 3, out_channels, dtype=torch.float64)
    expected = filtered(dense, x, filters, lambda k, evals: np.cos(k * np.arccos(np.clip(evals, -1, 1))))
    torch.testing.assert_close(chebyshev(x, neighbors, laplacian, filters, symmetric), expected)

    def basis(k, evals):
        n = powers - 1
        return math.comb(n, k) * ((1 - evals) / 2) ** (n - k) * ((1 + evals) / 2) ** k

    expected = filtered(dense, x, filters, basis)
    torch.testing.assert_close(bernstein(x, neighbors, laplacian, filters, symmetric), expected)


def test_bernstein_is_a_partition_of_unity():
    neighbors, laplacian, _ = normalised(POINTS, 30, -1)
    x = torch.randn(POINTS, 3, dtype=torch.float64)
    filters = torch.eye(3, dtype=torch.float64).expand(11, 3, 3)
    torch.testing.assert_close(bernstein(x, neighbors, laplacian, filters), x)


@pytest.mark.parametrize("iterations", [0, 2, 10, 60])
def test_cayley_converges_to_the_rational_filter(iterations):
    """||Q~ - Q|| <= |J|^(iterations + 1), since Q is unitary; the powers of Q follow."""
    neighbors, laplacian, dense = normalised(POINTS, 30, 0)
    zoom = torch.tensor(0.8, dtype=torch.float64)
    filters = torch.randn(5, 1, 1, dtype=torch.float64)
    evals, evecs = np.linalg.eigh(dense.numpy())
    diagonal = 0.8 * np.diag(np.diag(dense)) + 1j * np.eye(POINTS)
    jacobi = np.linalg.solve(diagonal, 0.8 * dense.numpy() + 1j * np.eye(POINTS) - diagonal)
    error = np.linalg.norm(jacobi, 2) ** (iterations + 1)
    x = torch.randn(POINTS, 1, dtype=torch.float64)
    weights = filters.flatten().numpy()
    waves = (0.8 * evals - 1j) / (0.8 * evals + 1j)
    response = weights[0] + 2 * sum(
        ((weights[2 * j - 1] + 1j * weights[2 * j]) * waves**j).real for j in (1, 2)
    )
    exact = (evecs * response) @ evecs.T @ x.numpy()
    bound = sum(
        2 * np.hypot(weights[2 * j - 1], weights[2 * j]) * j * error * (1 + error) ** (j - 1) for j in (1, 2)
    ) * np.linalg.norm(x)
    found = cayley(x, neighbors, laplacian, filters, zoom, iterations)
    assert np.linalg.norm(found.numpy() - exact) <= bound + 1e-12


def test_arma_converges_to_the_rational_filter():
    neighbors, laplacian, dense = normalised(POINTS, 30, -1)
    x = torch.randn(POINTS, 1, dtype=torch.float64)
    a, b = torch.tensor([0.5, -0.3]).double().view(2, 1, 1), torch.tensor([1.0, 2.0]).double().view(2, 1, 1)
    expected = filtered(
        dense,
        x,
        torch.ones(1, 1, 1).double(),
        lambda k, evals: 0.5 / (1 - 0.5 * evals) + 1 / (1 + 0.3 * evals),
    )
    torch.testing.assert_close(arma(x, neighbors, laplacian, b, a, b, 60), expected)


@pytest.mark.parametrize("out_channels", [3, 9])
def test_chebyshev_agrees_with_pyg(out_channels):
    edge_index = undirected(60, 200)
    conv = ChebConv(5, out_channels, K=4, normalization="sym", bias=False)
    x = torch.randn(60, 5, requires_grad=True)
    looped, norm = conv.__norm__(edge_index, 60, None, "sym", torch.tensor(2.0), dtype=x.dtype)
    neighbors = Neighbors.from_edge_index(looped, 60)
    theirs = conv(x, edge_index)
    weights = [lin.weight for lin in conv.lins]
    ours = chebyshev(
        x, neighbors, norm[neighbors.order], torch.stack([w.t() for w in weights]), symmetric=True
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    g = torch.randn_like(ours)
    for mine, other in zip(
        torch.autograd.grad(ours, (x, *weights), g),
        torch.autograd.grad(theirs, (x, *weights), g),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


def test_arma_agrees_with_pyg():
    edge_index = undirected(60, 200)
    conv = ARMAConv(5, 4, num_stacks=2, num_layers=3, shared_weights=True, act=torch.nn.ReLU(), bias=False)
    x = torch.randn(60, 5)
    neighbors = Neighbors.from_edge_index(edge_index, 60)
    scale = torch.bincount(edge_index[1], minlength=60).clamp(min=1).rsqrt()
    laplacian = scale[neighbors.row] * scale[neighbors.col]
    ours = arma(x, neighbors, laplacian, conv.init_weight, conv.weight[0], conv.root_weight[0], 3, torch.relu)
    torch.testing.assert_close(ours, conv(x, edge_index), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [0, 1, 7, 64, 130])
@pytest.mark.parametrize("depth", [0, 1, 255, 600])
@pytest.mark.parametrize("columns", [0, 1, 16, 33])
def test_matmul(rows, depth, columns, dtype):
    a, b = torch.randn(rows, depth, dtype=dtype), torch.randn(depth, columns, dtype=dtype)
    for left in (a, a.t().contiguous().t(), torch.stack([a, a], -1)[..., 0]):
        for right in (b, b.t().contiguous().t()):
            torch.testing.assert_close(matmul(left, right), a @ b, rtol=1e-4, atol=1e-4)


NEIGHBORS = Neighbors(torch.tensor([0, 1, 2]), torch.tensor([0, 1]), 2)
X, L, W = torch.zeros(2, 3), torch.zeros(2), torch.zeros(3, 3, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: chebyshev(torch.zeros(3, 3), NEIGHBORS, L, W),
            r"neighbors have 2 sources but x has shape \[3, 3\]",
        ),
        (lambda: chebyshev(X.long(), NEIGHBORS, L, W), "x must be floating point, not torch.int64"),
        (
            lambda: chebyshev(X, NEIGHBORS, torch.zeros(3), W),
            r"neighbors have 2 edges but laplacian has shape \[3\]",
        ),
        (lambda: chebyshev(X, NEIGHBORS, L.double(), W), "x is torch.float32 but laplacian is torch.float64"),
        (
            lambda: chebyshev(X, NEIGHBORS, L, W[:, :2]),
            r"filters must have shape \[K, C, D\] = \[3, 3, 4\], not \[3, 2, 4\]",
        ),
        (lambda: chebyshev(X, NEIGHBORS, L, W[:0]), "filters must have at least one matrix, not 0"),
        (
            lambda: bernstein(X, NEIGHBORS, L, W[0]),
            r"filters must have shape \[K, C, C'\], not \[3, 4\]",
        ),
        (
            lambda: cayley(X, NEIGHBORS, L, W[:2], torch.tensor(1.0)),
            "filters must have 2 r \\+ 1 matrices, an odd number",
        ),
        (lambda: cayley(X, NEIGHBORS, L, W, torch.ones(1)), r"zoom must have shape \[\], not \[1\]"),
        (
            lambda: cayley(X, NEIGHBORS, L, W, torch.tensor(1.0), -1),
            "iterations must not be negative, got -1",
        ),
        (
            lambda: arma(X, NEIGHBORS, L, W, W, W, 2),
            r"recurrent must have shape \[M, D, D\] = \[3, 4, 4\], not \[3, 3, 4\]",
        ),
        (lambda: arma(X, NEIGHBORS, L, W, torch.zeros(3, 4, 4), W, 0), "steps must be at least 1, got 0"),
        (
            lambda: chebyshev(X, Neighbors(torch.tensor([0, 2]), torch.tensor([0, 1]), 2), L, W),
            "a Laplacian is square but neighbors have 1 destinations and 2 sources",
        ),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.skipif(backends()["triton"] != "available", reason="needs Triton")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_in_triton(dtype):
    device = device_of("triton")
    neighbors = Neighbors(torch.tensor([0, 2, 5, 6]), torch.tensor([0, 1, 1, 0, 2, 2]), 3).to(device)
    inputs = torch.randn(3, 2), torch.randn(6) / 4, torch.randn(3, 2, 3)
    inputs = [tensor.to(device, dtype) for tensor in inputs]

    def run(backend, tensors):
        x, laplacian, filters = leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        with use_backend(backend):
            out = chebyshev(x, neighbors, laplacian, filters)
            return [out, *torch.autograd.grad(out.sum(), leaves)]

    exact = run("reference", [tensor.double() for tensor in inputs])
    for actual, expected in zip(run("triton", inputs), exact, strict=True):
        assert actual.dtype == dtype
        torch.testing.assert_close(
            actual.double(), expected, rtol=0.05, atol=0.05 * expected.abs().max().item()
        )


AWKWARD = CSR(
    torch.tensor([0, 3, 3, 5, 6]), torch.tensor([0, 2, 2, 1, 3, 0]), 4
)  # an empty row, an edge that is there twice


def numbers(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def check_operator(operator, leaves, *rest):
    """Derivatives of every kind by the leaves, and what torch.library asks for, of an operator on the awkward graph."""

    def call(*given):
        out = operator(*given, *rest)
        return out if isinstance(out, torch.Tensor) else out[0]

    check_derivatives(call, leaves)
    flat = [part for value in rest for part in (value if isinstance(value, CSR) else (value,))]
    opcheck(getattr(torch.ops.geodl, operator.name).default, (*leaves, *flat))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    ("alpha", "beta", "sources", "keep"),
    [([], [], 1, 1), ([1.5, 2.0], [-1.0], 1, 3), ([1.5, 2.0], [-1.0], 3, 1), ([1.0, 2.0, 0.5], [-1.0, 0.3], 2, 2)],
)  # fmt: skip
def test_recurrence_has_all_its_derivatives(alpha, beta, sources, keep, backwards, transposed):
    rest = AWKWARD, False, transposed, alpha, beta, sources, keep, backwards
    check_operator(recurrence, (numbers(4, sources, 2), numbers(6)), *rest)


@pytest.mark.parametrize("transposed", [False, True])
def test_operators_have_all_their_derivatives(transposed):
    rest = AWKWARD, False, transposed
    check_operator(filter_step, (numbers(4, 2), numbers(4, 2), numbers(6)), *rest, 1.5)
    check_operator(filter_step, (numbers(4, 2), None, numbers(6)), *rest, 1.5)
    for terms in (0, 3):
        check_operator(polynomial, (numbers(4, 2), numbers(3, 2, 3), numbers(6)), *rest, terms)


@pytest.mark.parametrize(
    ("operator", "left", "right"), [(matmul, (3, 2), (2, 4)), (matmul_nt, (3, 2), (4, 2)), (matmul_tn, (2, 3), (2, 4))]
)  # fmt: skip
def test_products_have_all_their_derivatives(operator, left, right):
    check_operator(operator, (numbers(*left), numbers(*right)))


def test_products_whose_result_has_the_shape_of_a_transposed_factor():
    """Once the result lay in memory as that factor does."""
    a, b = torch.randn(3, 5), torch.randn(3, 3)
    torch.testing.assert_close(matmul_tn(a, b), a.t() @ b)
    torch.testing.assert_close(matmul_nt(b, b[:, :3]), b @ b.t())
