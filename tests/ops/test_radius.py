"""radius against its definition on clouds that are hard to search, against scipy and torch_cluster, and its errors."""

from __future__ import annotations

import importlib
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from geodl.ops import knn, radius, use_backend

from .devices import BACKENDS, FAST, INTERPRETED, device_of
from .point_clouds import CLOUDS, assert_found, pointer, rows_by_definition, rows_of, threads

every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_cloud = pytest.mark.parametrize("cloud", CLOUDS)
NATIVE = pytest.mark.skipif("native" not in BACKENDS, reason="needs the C++ extension")


def interpreted(test):
    """A test of Triton's kernels in its interpreter, which takes its time."""
    missing = "triton" not in BACKENDS or not INTERPRETED
    return pytest.mark.slow(pytest.mark.skipif(missing, reason="needs the interpreter")(test))


def definition(x, r, ptr, queries=None, query_ptr=None, most=None, loop=True):
    dtype = x.cpu().numpy().dtype.type
    with np.errstate(over="ignore", under="ignore"):
        limit = dtype(r) * dtype(r)
    most = len(x) if most is None else most
    return rows_by_definition(x, queries, ptr, ptr if query_ptr is None else query_ptr, most, limit, loop)


def typical(x):
    """A distance that occurs, so that the ball is seen to be closed."""
    return knn(x, min(12, len(x)), return_distance=True)[1].median().item()


@every_cloud
@pytest.mark.parametrize("dims", [1, 2, 3, 8, 64, 130])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ragged_batch(cloud, dims, dtype):
    ptr = pointer([0, 1, 30, 0, 70, 3])
    x = CLOUDS[cloud](104, dims).to(dtype)
    for r, most, loop in ((typical(x), None, True), (typical(x), 5, False), (math.inf, None, False)):
        expected = definition(x, r, ptr.tolist(), most=most, loop=loop)
        for backend in FAST:
            device = device_of(backend)
            with use_backend(backend):
                found = radius(
                    x.to(device), r, ptr.to(device), max_neighbors=most, loop=loop, return_distance=True
                )
            assert_found(found, expected)


@interpreted
@every_cloud
@pytest.mark.parametrize("dims", [1, 3, 20])
def test_ragged_batch_on_triton(cloud, dims):
    ptr = pointer([0, 1, 19, 0, 3])
    x = CLOUDS[cloud](23, dims).to(torch.float64 if dims == 3 else torch.float32)
    r = typical(x)
    with use_backend("triton"):
        for most, loop in ((None, False), (4, True)):
            found = radius(x, r, ptr, max_neighbors=most, loop=loop, return_distance=True)
            assert_found(found, definition(x, r, ptr.tolist(), most=most, loop=loop))


@interpreted
def test_tiles_of_a_gpu(monkeypatch):
    """Several blocks of queries and of points."""
    choose, on_gpu = importlib.import_module("geodl.ops.triton.launch").tile, SimpleNamespace(is_cuda=True)
    for name in ("knn", "radius"):
        module = importlib.import_module(f"geodl.ops.triton.{name}")
        monkeypatch.setattr(module, "tile", lambda table, x, *sizes: choose(table, on_gpu, *sizes))
    x, ptr = CLOUDS["lattice"](150, 2), pointer([130, 20])
    with use_backend("triton"):
        for most in (None, 3):
            found = radius(x, 1.0, ptr, max_neighbors=most, return_distance=True)
            assert_found(found, definition(x, 1.0, ptr.tolist(), most=most))


@interpreted
@pytest.mark.parametrize("cloud", ["lattice", "clusters", "outlier"])
def test_along_a_curve(monkeypatch, cloud):
    """Points sorted, in small tiles, some of which are left out."""
    module = importlib.import_module("geodl.ops.triton.radius")
    monkeypatch.setattr(importlib.import_module("geodl.ops.triton.curve"), "MANY", 1)
    monkeypatch.setattr(module, "tile", lambda *_: module.Tile(rows=4, channels=16, warps=4))
    x, ptr = CLOUDS[cloud](90, 3), pointer([60, 0, 30])
    queries, query_ptr = CLOUDS[cloud](9, 3), pointer([5, 1, 3])
    for r in (1.0, typical(x)):
        with use_backend("triton"):
            found = radius(x, r, ptr, loop=False, return_distance=True)
            asked = radius(x, r, ptr, queries, query_ptr, return_distance=True)
        assert_found(found, definition(x, r, ptr.tolist(), loop=False))
        assert_found(asked, definition(x, r, ptr.tolist(), queries, query_ptr.tolist()))


@NATIVE
@pytest.mark.parametrize("cloud", ["uniform", "surface", "clusters", "lattice", "far away", "outlier"])
@pytest.mark.parametrize("dims", [1, 3, 8])
def test_many_points(cloud, dims):
    """Enough for a tree, or for several blocks of a matrix product; the same for any number of threads."""
    x = CLOUDS[cloud](2500, dims)
    queries, r = x[::50].clone(), typical(x)
    for most in (None, 20):
        expected = definition(x, r, [0, 2500], queries, [0, 50], most)
        for count in (1, 2, 5):
            with threads(count), use_backend("native"):
                found = radius(x, r, queries=queries, max_neighbors=most, return_distance=True)
                assert_found(found, expected)
                rows = rows_of(radius(x, r, max_neighbors=most))
            assert rows[::50] == expected[0]


@every_backend
def test_queries_of_several_clouds(backend):
    x, ptr = CLOUDS["uniform"](20, 3), pointer([0, 12, 5, 3])
    queries, query_ptr = CLOUDS["uniform"](9, 3), pointer([2, 3, 0, 4])
    expected = definition(x, 0.6, ptr.tolist(), queries, query_ptr.tolist())
    with use_backend(backend):
        assert_found(radius(x, 0.6, ptr, queries, query_ptr, return_distance=True), expected)
    assert expected[0][0] == []


@every_backend
@pytest.mark.parametrize("dims", [0, 3, 5])
@pytest.mark.parametrize("most", [None, 2])
def test_nothing_to_find(backend, dims, most):
    with use_backend(backend):
        assert rows_of(radius(torch.zeros(0, dims), 1.0, max_neighbors=most)) == []
        empty = torch.zeros(1, dtype=torch.int64)
        assert rows_of(radius(torch.zeros(0, dims), 1.0, empty, max_neighbors=most)) == []
        asked = radius(torch.zeros(0, dims), 1.0, queries=torch.zeros(2, dims), max_neighbors=most)
        assert rows_of(asked) == [[], []]
        assert rows_of(radius(torch.zeros(1, dims), 1.0, loop=False, max_neighbors=most)) == [[]]
        assert rows_of(radius(torch.zeros(2, dims), 0.0, max_neighbors=most)) == [[0, 1]] * 2


@every_backend
def test_ball_is_closed(backend):
    """0.1 is no float, but the distance that is rounded to it is within it."""
    x = torch.tensor([[0.0], [0.1], [0.2]])
    with use_backend(backend):
        assert rows_of(radius(x, 0.1)) == [[0, 1], [1, 0, 2], [2, 1]]
        assert rows_of(radius(x, 0.09999)) == [[0], [1], [2]]


@pytest.mark.parametrize("dims", [2, 3, 6])
def test_agrees_with_scipy(dims):
    x = torch.rand(3000, dims, dtype=torch.float64)
    r = 0.05 * dims
    pairs = cKDTree(x.numpy()).sparse_distance_matrix(cKDTree(x.numpy()), r, output_type="coo_matrix")
    neighbors, distance = radius(x, r, return_distance=True)
    theirs = dict(zip(zip(pairs.row.tolist(), pairs.col.tolist(), strict=True), pairs.data, strict=True))
    ours = zip(neighbors.row.tolist(), neighbors.col.tolist(), strict=True)
    ours = dict(zip(ours, distance.tolist(), strict=True))
    assert ours.keys() == theirs.keys()
    np.testing.assert_allclose([ours[edge] for edge in theirs], list(theirs.values()), rtol=1e-13, atol=1e-15)


def test_agrees_with_torch_cluster():
    torch_cluster = pytest.importorskip("torch_cluster")
    x, batch = torch.rand(300, 3), torch.arange(3).repeat_interleave(100)
    row, col = torch_cluster.radius(x, x, 0.2, batch, batch, max_num_neighbors=300)
    neighbors = radius(x, 0.2, pointer([100] * 3))
    assert set(zip(row.tolist(), col.tolist(), strict=True)) == set(
        zip(neighbors.row.tolist(), neighbors.col.tolist(), strict=True)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("backend", sorted(set(BACKENDS) - {"native"}))
def test_half_precision_is_measured_in_single(dtype, backend):
    x = (100 + torch.rand(20, 3)).to(dtype)
    rows, squares = definition(x.float(), 0.6, [0, 20])
    with use_backend(backend):
        neighbors, distance = radius(x, 0.6, return_distance=True)
    assert rows_of(neighbors) == rows and distance.dtype == dtype
    assert torch.equal(distance, torch.tensor([s for row in squares for s in row]).double().sqrt().to(dtype))


@every_backend
@pytest.mark.parametrize("most", [None, 2])
def test_opcheck(backend, most):
    ptr = pointer([6, 0, 2])
    with use_backend(backend):
        torch.library.opcheck(
            torch.ops.geodl.radius.default, (torch.rand(8, 3), ptr, None, None, 0.5, most, True)
        )


def test_compiles_in_one_graph():
    def edges(x):
        neighbors, distance = radius(x, 0.3, loop=False, return_distance=True)
        return neighbors.rowptr, neighbors.col, 2 * distance

    x = torch.rand(50, 3)
    for ours, expected in zip(torch.compile(edges, fullgraph=True)(x), edges(x), strict=True):
        assert torch.equal(ours, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"r": -1.0}, "r must not be negative, got -1.0"),
        ({"r": math.nan}, "r must not be negative, got nan"),
        ({"max_neighbors": 0}, "max_neighbors must be at least 1, got 0"),
        ({"x": torch.tensor([[0.0], [math.nan]])}, r"x must be finite, but row 1 is \[nan\]"),
        ({"ptr": pointer([3])}, "ptr must ascend from 0 to the 4 rows of x, not from 0 to 3"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        radius(**{"x": torch.zeros(4, 3), "r": 1.0, **arguments})
