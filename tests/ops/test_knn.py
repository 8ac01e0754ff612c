"""knn against its definition on clouds that are hard to search, against scipy and torch_cluster, and its errors."""

from __future__ import annotations

import importlib
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from geodl.ops import knn, use_backend

from .devices import BACKENDS, FAST, INTERPRETED, device_of
from .point_clouds import CLOUDS, assert_found, pointer, rows_by_definition, rows_of, threads

every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_cloud = pytest.mark.parametrize("cloud", CLOUDS)
NATIVE = pytest.mark.skipif("native" not in BACKENDS, reason="needs the C++ extension")


def interpreted(test):
    """A test of Triton's kernels in its interpreter, which takes its time."""
    missing = "triton" not in BACKENDS or not INTERPRETED
    return pytest.mark.slow(pytest.mark.skipif(missing, reason="needs the interpreter")(test))


def definition(x, k, ptr, queries=None, query_ptr=None, loop=True):
    return rows_by_definition(x, queries, ptr, ptr if query_ptr is None else query_ptr, k, math.inf, loop)


@every_cloud
@pytest.mark.parametrize("dims", [1, 2, 3, 8, 64, 130])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ragged_batch(cloud, dims, dtype):
    """Empty clouds and clouds of fewer than k points among others."""
    ptr = pointer([0, 1, 30, 0, 70, 3])
    x = CLOUDS[cloud](104, dims).to(dtype)
    for k, loop in ((1, True), (9, False), (60, True)):
        expected = definition(x, k, ptr.tolist(), loop=loop)
        for backend in FAST:
            device = device_of(backend)
            with use_backend(backend):
                found = knn(x.to(device), k, ptr.to(device), loop=loop, return_distance=True)
            assert_found(found, expected)


@interpreted
@every_cloud
@pytest.mark.parametrize("dims", [1, 3, 20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ragged_batch_on_triton(cloud, dims, dtype):
    ptr = pointer([0, 1, 19, 0, 3])
    x = CLOUDS[cloud](23, dims).to(dtype)
    with use_backend("triton"):
        for k, loop in ((1, True), (5, False)):
            assert_found(
                knn(x, k, ptr, loop=loop, return_distance=True), definition(x, k, ptr.tolist(), loop=loop)
            )


@interpreted
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tiles_of_a_gpu(monkeypatch, dtype):
    """Several blocks of queries and of points, and more neighbours than a block has points."""
    module = importlib.import_module("geodl.ops.triton.knn")
    monkeypatch.setattr(module, "is_small", lambda *_: False)
    choose, on_gpu = module.tile, SimpleNamespace(is_cuda=True)
    monkeypatch.setattr(module, "tile", lambda table, x, *sizes: choose(table, on_gpu, *sizes))
    x, ptr = CLOUDS["lattice"](150, 2).to(dtype), pointer([130, 20])
    with use_backend("triton"):
        for k in (3, 70) if dtype == torch.float64 else (3,):  # the interpreter is slow to sort many keys
            assert_found(knn(x, k, ptr, return_distance=True), definition(x, k, ptr.tolist()))


@interpreted
@pytest.mark.parametrize("cloud", ["uniform", "lattice", "outlier", "duplicates"])
@pytest.mark.parametrize("loop", [True, False])
def test_small_clouds_in_tiles_of_a_gpu(monkeypatch, cloud, loop):
    """Several blocks of pairs, of which those below the diagonal are copied, and few clouds at one time."""
    module = importlib.import_module("geodl.ops.triton.knn_small")
    choose, on_gpu = module.tile, SimpleNamespace(is_cuda=True)
    monkeypatch.setattr(
        module, "DISTANCE_TILES", module.Tiles({512: module.Tile(rows=4, channels=16, warps=4)})
    )
    monkeypatch.setattr(module, "tile", lambda table, x, *sizes: choose(table, on_gpu, *sizes))
    monkeypatch.setattr(module, "MOST_DISTANCES", 2 * 48 * 48)
    x, ptr = CLOUDS[cloud](107, 5), pointer([40, 0, 20, 47])
    with use_backend("triton"):
        assert_found(
            knn(x, 7, ptr, loop=loop, return_distance=True), definition(x, 7, ptr.tolist(), loop=loop)
        )


@interpreted
@pytest.mark.parametrize("cloud", ["uniform", "lattice", "outlier", "duplicates"])
def test_along_a_curve(monkeypatch, cloud):
    """Points sorted, in small tiles, some of which are left out; with queries, and without the points themselves."""
    module = importlib.import_module("geodl.ops.triton.knn")
    monkeypatch.setattr(importlib.import_module("geodl.ops.triton.curve"), "MANY", 1)
    monkeypatch.setattr(module, "is_small", lambda *_: False)
    monkeypatch.setattr(module, "tile", lambda *_: module.Tile(rows=4, channels=16, warps=4))
    x, ptr = CLOUDS[cloud](60, 2), pointer([40, 0, 20])
    queries, query_ptr = CLOUDS[cloud](9, 2), pointer([5, 1, 3])
    with use_backend("triton"):
        found = knn(x, 3, ptr, loop=False, return_distance=True)
        asked = knn(x, 4, ptr, queries, query_ptr, return_distance=True)
    assert_found(found, definition(x, 3, ptr.tolist(), loop=False))
    assert_found(asked, definition(x, 4, ptr.tolist(), queries, query_ptr.tolist()))


@NATIVE
@pytest.mark.parametrize(
    "cloud", ["uniform", "surface", "clusters", "lattice", "duplicates", "far away", "outlier"]
)
@pytest.mark.parametrize("dims", [1, 3, 8])
def test_many_points(cloud, dims):
    """Enough for a tree, or for several blocks of a matrix product; the same for any number of threads."""
    x = CLOUDS[cloud](2500, dims)
    queries = torch.cat([x[::50] + 0.01, 3 * x[:10]])
    asked = definition(x, 20, [0, 2500], queries, [0, len(queries)])
    some = torch.arange(0, 2500, 31)
    own = definition(x, 21, [0, 2500], x[some], [0, len(some)])[0]
    own = [[j for j in row if j != i][:20] for i, row in zip(some.tolist(), own, strict=True)]
    for count in (1, 2, 5):
        with threads(count), use_backend("native"):
            assert_found(knn(x, 20, queries=queries, return_distance=True), asked)
            rows = rows_of(knn(x, 20, loop=False))
            if cloud != "duplicates":
                assert [rows[i] for i in some.tolist()] == own
            else:
                assert rows == [[j for j in range(21) if j != i][:20] for i in range(2500)]


@NATIVE
@pytest.mark.parametrize("dims", [2, 8])
def test_many_neighbors(dims):
    x = CLOUDS["uniform"](2300, dims)
    queries = x[:7]
    with use_backend("native"):
        for k in (500, 2300):
            assert_found(
                knn(x, k, queries=queries, return_distance=True), definition(x, k, [0, 2300], queries, [0, 7])
            )


@every_backend
def test_queries_of_several_clouds(backend):
    x, ptr = CLOUDS["uniform"](20, 3), pointer([0, 12, 5, 3])
    queries, query_ptr = CLOUDS["uniform"](9, 3), pointer([2, 3, 0, 4])
    expected = definition(x, 4, ptr.tolist(), queries, query_ptr.tolist())
    with use_backend(backend):
        assert_found(knn(x, 4, ptr, queries, query_ptr, return_distance=True), expected)
    assert expected[0][0] == [] and len(expected[0][-1]) == 3


@every_backend
@pytest.mark.parametrize("dims", [0, 3, 5])
def test_nothing_to_find(backend, dims):
    with use_backend(backend):
        assert rows_of(knn(torch.zeros(0, dims), 3)) == []
        assert rows_of(knn(torch.zeros(0, dims), 3, torch.zeros(1, dtype=torch.int64))) == []
        assert rows_of(knn(torch.zeros(0, dims), 3, queries=torch.zeros(2, dims))) == [[], []]
        assert rows_of(knn(torch.zeros(2, dims), 3, queries=torch.zeros(0, dims))) == []
        assert rows_of(knn(torch.zeros(1, dims), 3, loop=False)) == [[]]
        assert rows_of(knn(torch.zeros(3, dims), 2)) == [[0, 1]] * 3


@every_backend
def test_a_pointer_may_be_changed_and_used_again(backend):
    """What is remembered of it is not of its old values."""
    x, ptr = torch.rand(20, 3), pointer([12, 8])
    with use_backend(backend):
        for _ in range(2):
            assert_found(
                knn(x, 4, ptr, loop=False, return_distance=True),
                definition(x, 4, ptr.tolist(), loop=False),
            )
            assert_found(knn(x, 9, ptr, return_distance=True), definition(x, 9, ptr.tolist()))
            ptr[1] = 7
        with pytest.raises(ValueError, match="ptr must ascend from 0 to the 19 rows"):
            knn(x[:19], 4, ptr)
        with torch.inference_mode():
            knn(x, 4, ptr)
        knn(x.requires_grad_(), 4, ptr)


@pytest.mark.parametrize("dims", [2, 3, 10])
def test_agrees_with_scipy(dims):
    x = torch.randn(3000, dims, dtype=torch.float64)
    distance, index = cKDTree(x.numpy()).query(x.numpy(), 12)
    neighbors, ours = knn(x, 12, return_distance=True)
    np.testing.assert_array_equal(neighbors.col.view(-1, 12), index)
    np.testing.assert_allclose(ours.view(-1, 12), distance, rtol=1e-14)


@pytest.mark.parametrize("dims", [3, 16])
def test_agrees_with_torch_cluster(dims):
    torch_cluster = pytest.importorskip("torch_cluster")
    x, batch = torch.randn(500, dims), torch.arange(5).repeat_interleave(100)
    row, col = torch_cluster.knn(x, x, 8, batch, batch)
    neighbors = knn(x, 8, pointer([100] * 5))
    assert set(zip(row.tolist(), col.tolist(), strict=True)) == set(
        zip(neighbors.row.tolist(), neighbors.col.tolist(), strict=True)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("backend", sorted(set(BACKENDS) - {"native"}))
def test_half_precision_is_measured_in_single(dtype, backend):
    x = (100 + torch.rand(20, 3)).to(dtype)
    rows, squares = definition(x.float(), 4, [0, 20])
    with use_backend(backend):
        neighbors, distance = knn(x, 4, return_distance=True)
    assert rows_of(neighbors) == rows and distance.dtype == dtype
    expected = torch.tensor(squares).double().sqrt().flatten().to(dtype)
    assert torch.equal(distance, expected)


def test_distances_carry_no_gradient_but_edges_can():
    x = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    neighbors, distance = knn(x, 3, loop=False, return_distance=True)
    assert not distance.requires_grad
    anew = (x[neighbors.row] - x[neighbors.col]).norm(dim=1)
    torch.testing.assert_close(anew.detach(), distance)
    assert torch.autograd.grad(anew.sum(), x)[0].abs().sum() > 0


@every_backend
@pytest.mark.parametrize("batched", [False, True])
def test_opcheck(backend, batched):
    ptr = pointer([6, 0, 2]) if batched else None
    with use_backend(backend):
        torch.library.opcheck(torch.ops.geodl.knn.default, (torch.rand(8, 3), ptr, None, None, 3, True))


@pytest.mark.parametrize("batched", [False, True])
def test_compiles_in_one_graph(batched):
    ptr = pointer([30, 2, 18]) if batched else None

    def edges(x):
        neighbors, distance = knn(x, 4, ptr, loop=False, return_distance=True)
        return neighbors.rowptr, neighbors.col, 2 * distance

    x = torch.rand(50, 3)
    for ours, expected in zip(torch.compile(edges, fullgraph=True)(x), edges(x), strict=True):
        assert torch.equal(ours, expected)


POINTS = torch.zeros(4, 3)
WHOLE = pointer([4])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k must be at least 1, got 0"),
        ({"x": torch.zeros(4)}, r"x must have shape \[P, D\], not \[4\]"),
        ({"x": torch.zeros(4, 3, dtype=torch.int64)}, "x must be floating point, not torch.int64"),
        ({"x": torch.full((4, 3), math.nan)}, "x must be finite, but row 0 is"),
        ({"x": torch.tensor([[0.0], [1], [math.inf], [math.nan]])}, r"row 2 is \[inf\]"),
        ({"queries": torch.full((4, 3), math.nan)}, "queries must be finite, but row 0 is"),
        ({"queries": torch.zeros(4, 2)}, r"queries must have shape \[Q, D\] = \[4, 3\], not \[4, 2\]"),
        ({"queries": POINTS.double()}, "x is torch.float32 but queries is torch.float64"),
        ({"queries": POINTS, "loop": False}, "loop=False leaves a point out of its own row"),
        ({"queries": POINTS, "ptr": WHOLE}, "need both ptr and query_ptr"),
        ({"queries": POINTS, "query_ptr": WHOLE}, "need both ptr and query_ptr"),
        ({"query_ptr": WHOLE, "ptr": WHOLE}, "query_ptr is given but queries are not"),
        ({"queries": POINTS, "query_ptr": WHOLE, "ptr": pointer([2, 2])}, "ptr has 2 clouds but query_ptr"),
        (
            {"queries": POINTS, "query_ptr": pointer([5]), "ptr": WHOLE},
            "query_ptr must ascend from 0 to the 4",
        ),
        ({"ptr": WHOLE.int()}, "ptr must be int64"),
        ({"ptr": WHOLE[:0]}, r"ptr must have shape \[B\+1\]"),
        ({"ptr": pointer([3])}, "ptr must ascend from 0 to the 4 rows of x, not from 0 to 3"),
        ({"ptr": WHOLE[:1]}, "not from 0 to 0"),
        ({"ptr": torch.tensor([1, 4])}, "not from 1 to 4"),
        ({"ptr": torch.tensor([0, 3, 2, 4])}, "and descend between"),
        ({"ptr": torch.zeros(2, dtype=torch.int64, device="meta")}, "x is on cpu but ptr is on meta"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        knn(**{"x": POINTS, "k": 2, **arguments})
