"""voxel_pool and voxel_neighbors against their definition in NumPy; derivatives, properties, other libraries, errors."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from geodl.ops import VoxelPool, use_backend, voxel_neighbors, voxel_pool

from .devices import BACKENDS, device_of

SIZES = {"one": [50], "ragged": [0, 17, 1, 0, 30, 2], "empty": [0, 0], "none": []}


def pack(sizes: list[int]) -> torch.Tensor:
    return torch.tensor([0, *np.cumsum(sizes, dtype=int)])


def by_definition(pos: np.ndarray, size, ptr) -> tuple[list[list[int]], list[int]]:
    """The points of every voxel, and where the voxels of each cloud begin."""
    voxels, begins = [], [0]
    for first, last in itertools.pairwise(ptr):
        cells: dict[tuple[float, ...], list[int]] = {}
        for i in range(int(first), int(last)):
            cell = tuple(float(c) for c in np.floor(pos[i].astype(np.float64) / np.float64(size)))
            cells.setdefault(cell, []).append(i)
        voxels += [cells[cell] for cell in sorted(cells)]
        begins.append(len(voxels))
    return voxels, begins


def rows(neighbors) -> list[list[int]]:
    return [part.tolist() for part in neighbors.col.split(neighbors.degree().tolist())]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("sizes", SIZES)
def test_definition(sizes, scale, dtype, backend):
    ptr = pack(SIZES[sizes])
    points = int(ptr[-1])
    pos = (scale * torch.randn(points, 3, dtype=torch.float64)).to(dtype)
    x = torch.randn(points, 4, dtype=dtype)
    voxels, begins = by_definition(pos.cpu().numpy(), scale * 0.8, ptr)
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-13}[dtype]
    with use_backend(backend):
        neighbors, voxel_ptr = voxel_neighbors(pos, scale * 0.8, ptr)
        pooled = {
            reduce: voxel_pool(x, pos, scale * 0.8, ptr, reduce) for reduce in ("mean", "sum", "max", "min")
        }
    assert rows(neighbors) == voxels and voxel_ptr.tolist() == begins
    assert all(isinstance(found, VoxelPool) for found in pooled.values())
    for reduce, (values, places, out_ptr, cluster) in pooled.items():
        expected = (
            np.stack([getattr(np, reduce)(x.cpu().numpy()[i], 0) for i in voxels])
            if voxels
            else np.zeros((0, 4))
        )
        centres = np.stack([pos.cpu().numpy()[i].mean(0) for i in voxels]) if voxels else np.zeros((0, 3))
        np.testing.assert_allclose(values.cpu(), expected, rtol=0, atol=10 * tolerance)
        np.testing.assert_allclose(places.cpu(), centres, rtol=0, atol=scale * tolerance)
        assert values.dtype == places.dtype == dtype and out_ptr.tolist() == begins
        assert all((cluster[i] == voxel).all() for voxel, i in enumerate(voxels))
        assert cluster.shape == (points,)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dims", [1, 2, 3, 6])
def test_sides_along_the_axes(dims, backend):
    pos = torch.randn(40, dims)
    size = torch.rand(dims) + 0.3
    with use_backend(backend):
        neighbors, _ = voxel_neighbors(pos, size)
    assert rows(neighbors) == by_definition(pos.cpu().numpy(), size.cpu().numpy(), [0, 40])[0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("spread", [1e3, 1e9, 1e30, 1e300])
def test_any_extent(spread, backend):
    """Cells that no 64-bit number could count; at 1e30 coordinates of different cells are not integers of int64."""
    pos = torch.randn(300, 3, dtype=torch.float64)
    pos[::3] *= spread
    pos[150:] = pos[:150] + 1e-9
    ptr = torch.tensor([0, 200, 300])
    with use_backend(backend):
        neighbors, _ = voxel_neighbors(pos, 1e-3, ptr)
    assert rows(neighbors) == by_definition(pos.cpu().numpy(), 1e-3, ptr)[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_lattice(backend):
    """Points on the faces of cells belong to the upper one; negative zero is zero; duplicates share a voxel."""
    pos = torch.tensor([-0.0, 0.0, 1.0, 2.0, -1.0, 0.5, -1e-9, 1.0])[:, None]
    with use_backend(backend):
        neighbors, ptr = voxel_neighbors(pos, 1.0)
    assert rows(neighbors) == [[4, 6], [0, 1, 5], [2, 7], [3]] and ptr.tolist() == [0, 4]


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_coordinates(backend):
    """All points of a cloud are in the one cell there is."""
    with use_backend(backend):
        neighbors, ptr = voxel_neighbors(torch.zeros(3, 0), 1.0, torch.tensor([0, 2, 2, 3]))
        nothing, _ = voxel_neighbors(torch.zeros(0, 3), 1.0)
    assert rows(neighbors) == [[0, 1], [2]] and ptr.tolist() == [0, 1, 1, 2]
    assert nothing.num_dst == 0 and nothing.num_src == 0


def test_backends_and_thread_counts_agree():
    """A cloud large enough for several passes of the radix sort, and several clouds."""
    pos = torch.randn(20000, 3)
    before = torch.get_num_threads()
    results = []
    try:
        for ptr in (pack([20000]), pack([5, 9995, 0, 10000])):
            for threads in (1, 2, 5):
                torch.set_num_threads(threads)
                for backend in BACKENDS:
                    device = device_of(backend)
                    with use_backend(backend):
                        neighbors, voxel_ptr = voxel_neighbors(pos.to(device), 0.1, ptr.to(device))
                    results.append([found.cpu() for found in (neighbors.rowptr, neighbors.col, voxel_ptr)])
            for result in results[1:]:
                assert all(torch.equal(ours, first) for ours, first in zip(result, results[0], strict=True))
            results.clear()
    finally:
        torch.set_num_threads(before)


def test_grids_are_nested():
    """A grid of twice the size merges whole voxels, and shifting by whole cells changes nothing."""
    pos = torch.randn(2000, 3, dtype=torch.float64)
    fine = voxel_neighbors(pos, 0.25)[0].t()[0].col
    coarse = voxel_neighbors(pos, 0.5)[0].t()[0].col
    pairs = torch.stack([fine, coarse]).unique(dim=1)
    assert pairs.shape[1] == fine.max() + 1
    shifted = voxel_neighbors((pos * 2**20).round() / 2**20 + 0.25 * torch.tensor([4, -8, 12]), 0.25)[0]
    assert torch.equal(shifted.col, voxel_neighbors((pos * 2**20).round() / 2**20, 0.25)[0].col)


def test_order_of_the_points_does_not_matter():
    pos, order = torch.randn(500, 3), torch.randperm(500)
    plain, permuted = voxel_pool(pos, pos, 0.5), voxel_pool(pos[order], pos[order], 0.5)
    torch.testing.assert_close(permuted.pos, plain.pos)
    assert torch.equal(permuted.cluster, plain.cluster[order])


def test_constants_are_kept():
    pos, x = torch.randn(300, 3, dtype=torch.float64), torch.full((300, 2), 3.25, dtype=torch.float64)
    pooled = voxel_pool(x, pos, 0.5)
    torch.testing.assert_close(pooled.x, torch.full_like(pooled.x, 3.25))
    assert torch.equal((pooled.pos[pooled.cluster] / 0.5).floor(), (pos / 0.5).floor())


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("reduce", ["mean", "sum", "max", "min"])
def test_derivatives(reduce, backend):
    ptr = pack([7, 0, 4])
    pos = (torch.rand(11, 2, dtype=torch.float64) * 0.8 + 0.1 + torch.randint(2, (11, 2))).requires_grad_()
    x = torch.randn(11, 3, dtype=torch.float64, requires_grad=True)

    def call(x, pos):
        return voxel_pool(x, pos, 1.0, ptr, reduce)[:2]

    with use_backend(backend):
        assert gradcheck(call, (x, pos)) and gradgradcheck(call, (x, pos))


def test_half_precision():
    pos, x = torch.randn(50, 3), torch.randn(50, 4)
    for dtype in (torch.float16, torch.bfloat16):
        pooled = voxel_pool(x.to(dtype), pos, 0.7)
        assert pooled.x.dtype == dtype and pooled.pos.dtype == torch.float32
        torch.testing.assert_close(pooled.x.float(), voxel_pool(x, pos, 0.7).x, rtol=0, atol=0.05)


def test_agrees_with_torch_cluster():
    torch_cluster = pytest.importorskip("torch_cluster")
    pos, size = torch.randn(5000, 3), torch.tensor([0.25, 0.5, 0.125])
    start = torch.full((3,), -8.0)
    theirs = torch_cluster.grid_cluster(pos, size, start, -start).unique(return_inverse=True)[1]
    ours = voxel_pool(pos, pos, size).cluster
    assert torch.stack([ours, theirs]).unique(dim=1).shape[1] == ours.max() + 1 == theirs.max() + 1


def test_agrees_with_open3d():
    open3d = pytest.importorskip(
        "open3d", reason="needs Open3D and the system's libusb", exc_type=ImportError
    )
    pos = torch.rand(5000, 3, dtype=torch.float64)
    pos = torch.cat([pos, torch.zeros(1, 3, dtype=torch.float64)])
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(pos.numpy()))
    # Open3D's grid begins half a cell below the lowest corner.
    theirs = np.asarray(cloud.voxel_down_sample(0.1).points)
    ours = voxel_pool(pos, pos + 0.05, 0.1).pos.numpy() - 0.05
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(
        ours[np.lexsort(ours.round(9).T)], theirs[np.lexsort(theirs.round(9).T)], atol=1e-12
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_opcheck(backend):
    pos, ptr = torch.randn(12, 2), torch.tensor([0, 5, 12])
    with use_backend(backend):
        torch.library.opcheck(torch.ops.geodl.group_voxels, (pos, torch.ones(2, dtype=torch.float64), ptr))


@pytest.mark.skipif(
    torch.torch_version.TorchVersion(torch.__version__) < (2, 7),
    reason="torch 2.6 asks whether a number of voxels that only the values tell is one",
)
def test_compiles():
    ptr = torch.tensor([0, 15, 40])
    x, pos = torch.randn(40, 4, requires_grad=True), torch.randn(40, 3, requires_grad=True)

    def call(x, pos):
        pooled = voxel_pool(x, pos, 0.7, ptr, "max")
        return pooled.x.exp(), pooled.pos, pooled.ptr, pooled.cluster

    torch._dynamo.reset()
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = torch.compile(call, fullgraph=True, backend="aot_eager")(x, pos)
    plain = call(x, pos)
    for ours, theirs in zip(compiled, plain, strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(
        torch.autograd.grad(compiled[0].sum() + compiled[1].square().sum(), (x, pos)),
        torch.autograd.grad(plain[0].sum() + plain[1].square().sum(), (x, pos)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


X, POS, PTR = torch.zeros(5, 2), torch.zeros(5, 3), torch.tensor([0, 2, 5])
TINY = torch.tensor([[1.0], [1e300]], dtype=torch.float64)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X, POS, 1.0, None, "median"), "reduce must be one of sum, mean, max, min, not 'median'"),
        ((X[:4], POS, 1.0), r"x must have shape \[P, C\] = \[5, 2\], not \[4, 2\]"),
        ((X[:, 0], POS, 1.0), r"x must have shape \[P, C\] = \[5, C\], not \[5\]"),
        ((X.long(), POS, 1.0), "x must be floating point, not torch.int64"),
        ((X.to("meta"), POS, 1.0), "pos is on cpu but x is on meta"),
        ((X, POS[:, 0], 1.0), r"pos must have shape \[P, D\], not \[5\]"),
        ((X, POS.long(), 1.0), "pos must be floating point, not torch.int64"),
        ((X, POS, 0.0), r"size must be positive and finite, not \[0.0, 0.0, 0.0\]"),
        ((X, POS, -1), "size must be positive and finite"),
        ((X, POS, math.nan), "size must be positive and finite"),
        (
            (X, POS, torch.tensor([1.0, math.inf, 1.0])),
            r"size must be positive and finite, not \[1.0, inf, 1.0\]",
        ),
        ((X, POS, torch.ones(2)), r"size must have shape \[D\] = \[3\], not \[2\]"),
        ((X, POS, torch.ones(3, device="meta")), "pos is on cpu but size is on meta"),
        ((X, POS, 1.0, PTR[:0]), r"ptr must have shape \[B\+1\], not \[0\]"),
        ((X, POS, 1.0, PTR.int()), "ptr must be int64, not torch.int32"),
        ((X, POS, 1.0, PTR.to("meta")), "pos is on cpu but ptr is on meta"),
        ((X, POS, 1.0, PTR[:2]), "ptr must ascend from 0 to the 5 points, not from 0 to 2"),
        ((X, POS, 1.0, torch.tensor([0, 4, 2, 5])), "not descend, but cloud 1 ends before it starts"),
        ((X[:2], torch.tensor([[0.0], [math.nan]]), 1.0), r"pos must be finite, but row 1 is \[nan\]"),
        ((X[:2], TINY, 1e-300), "size is too small: row 1 of pos divided by it is not finite"),
    ],
)
def test_refuses(arguments, message, backend):
    with use_backend(backend), pytest.raises(ValueError, match=message):
        voxel_pool(*arguments)
