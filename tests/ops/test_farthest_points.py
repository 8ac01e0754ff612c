"""farthest_points against its definition in NumPy, bit by bit; its properties, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from geodl.ops import farthest_points, use_backend

from .devices import BACKENDS, FAST


def lattice(points: int, generator: np.random.Generator) -> np.ndarray:
    """Integer places in random order: ties everywhere."""
    side = math.ceil(points ** (1 / 3))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3), -1).reshape(-1, 3)
    return generator.permutation(grid)[:points].astype(float)


def surface(points: int, generator: np.random.Generator) -> np.ndarray:
    x = generator.normal(size=(points, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def clusters(points: int, generator: np.random.Generator) -> np.ndarray:
    centres = generator.normal(size=(5, 3))
    return centres[generator.integers(5, size=points)] + 1e-3 * generator.normal(size=(points, 3))


def duplicates(points: int, generator: np.random.Generator) -> np.ndarray:
    return generator.normal(size=(max(points // 4, 1), 3))[
        generator.integers(max(points // 4, 1), size=points)
    ]


CLOUDS = {
    "uniform": lambda points, generator: generator.uniform(size=(points, 3)),
    "surface": surface,
    "clusters": clusters,
    "lattice": lattice,
    "duplicates": duplicates,
    "collinear": lambda points, generator: np.outer(
        generator.integers(points, size=points), [1.0, 2.0, -1.0]
    ),
    "constant": lambda points, generator: np.ones((points, 3)),
    "plane": lambda points, generator: generator.normal(size=(points, 2)),
    "line": lambda points, generator: generator.normal(size=(points, 1)),
    "features": lambda points, generator: generator.normal(size=(points, 7)),
}


def by_definition(x: np.ndarray, count: int, start: int = 0) -> list[int]:
    """Squared distances in the dtype of x, coordinate by coordinate."""
    distance, unused = np.full(len(x), np.inf, x.dtype), np.ones(len(x), bool)
    samples = [start][: min(count, len(x))]
    while len(samples) < min(count, len(x)):
        unused[samples[-1]] = False
        squared = np.zeros(len(x), x.dtype)
        for coordinate in (x - x[samples[-1]]).T:
            squared += coordinate * coordinate
        distance = np.minimum(distance, squared)
        samples.append(int(np.where(unused, distance, -1).argmax()))
    return samples


def make(kind: str, points: int, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> torch.Tensor:
    return torch.tensor(scale * CLOUDS[kind](points, np.random.default_rng(points)), dtype=dtype)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("kind", CLOUDS)
def test_definition(kind, scale, dtype, backend):
    x = make(kind, 60, dtype, scale)
    with use_backend(backend):
        index, ptr = farthest_points(x, 18)
    assert index.tolist() == by_definition(x.cpu().numpy(), 18)
    assert index.dtype == torch.int64 and ptr.tolist() == [0, 18]


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", CLOUDS)
def test_tree_of_a_large_cloud(kind, dtype, backend):
    x = make(kind, 5003, dtype)
    with use_backend(backend):
        index, _ = farthest_points(x, 300, start=17)
    assert index.tolist() == by_definition(x.cpu().numpy(), 300, 17)


@pytest.mark.parametrize("kind", ["lattice", "duplicates"])
def test_every_point_of_a_large_cloud(kind):
    x = make(kind, 2200)
    index, _ = farthest_points(x, 2200)
    assert index.tolist() == by_definition(x.cpu().numpy(), 2200)


@pytest.mark.parametrize("backend", BACKENDS)
def test_packed_clouds(backend):
    """Empty clouds, single points, a count a cloud, and more than there are."""
    sizes, counts = [7, 0, 1, 30, 0, 12], [3, 4, 5, 30, 0, 0]
    ptr = torch.tensor([0, *np.cumsum(sizes)])
    x = make("lattice", sum(sizes))
    start = ptr[:-1] + torch.tensor([2, 99, 0, 29, -5, 0])
    with use_backend(backend):
        index, sample_ptr = farthest_points(x, torch.tensor(counts), ptr, start)
        at_most_four, four_ptr = farthest_points(x, 4, ptr)
    assert sample_ptr.tolist() == [0, 3, 3, 4, 34, 34, 34] and four_ptr.tolist() == [0, 4, 4, 5, 9, 9, 13]
    expected, expected_four = [], []
    for cloud, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        first = int(ptr[cloud])
        points = x[first : first + size].cpu().numpy()
        expected += [first + i for i in by_definition(points, count, int(start[cloud]) - first)]
        expected_four += [first + i for i in by_definition(points, 4)]
    assert index.tolist() == expected and at_most_four.tolist() == expected_four


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(0, 3), (0, 0), (4, 0)])
def test_nothing(shape, backend):
    with use_backend(backend):
        index, ptr = farthest_points(torch.zeros(shape), 3)
        none, none_ptr = farthest_points(torch.zeros(shape), 0)
        no_clouds, no_ptr = farthest_points(torch.zeros(0, 3), 5, torch.zeros(1, dtype=torch.int64))
    assert index.tolist() == list(range(min(3, shape[0]))) and ptr.tolist() == [0, min(3, shape[0])]
    assert none.numel() == 0 and none_ptr.tolist() == [0, 0]
    assert no_clouds.numel() == 0 and no_ptr.tolist() == [0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_distances_that_overflow_or_vanish(backend):
    """Infinite squared distances are ties, and distances of zero are duplicates."""
    for scale in (1e30, 1e-30):
        x = make("surface", 20, scale=scale)
        with np.errstate(over="ignore", under="ignore"):
            expected = by_definition(x.cpu().numpy(), 20)
        with use_backend(backend):
            assert farthest_points(x, 20)[0].tolist() == expected


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype, backend):
    x = make("uniform", 40).to(dtype)
    with use_backend(backend):
        assert torch.equal(farthest_points(x, 20)[0], farthest_points(x.float(), 20)[0])


@pytest.mark.parametrize("kind", ["uniform", "lattice", "clusters"])
def test_result_depends_on_no_thread_count(kind):
    ptr = torch.tensor([0, 3000, 3500, 8000, 8001, 8001, 10000])
    x = make(kind, 10000)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(farthest_points(x, 200, ptr)[0])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(result, results[0]) for result in results[1:])


@pytest.mark.parametrize("kind", ["uniform", "surface", "clusters", "lattice"])
def test_covers(kind):
    """Radii do not increase, and no point is farther from the samples than the last radius (Gonzalez 1985)."""
    x = make(kind, 4000, torch.float64)
    index, _ = farthest_points(x, 100)
    samples = x[index]
    assert index.unique().numel() == 100
    radii = torch.stack([(samples[:k] - samples[k]).norm(dim=1).min() for k in range(1, 100)])
    assert bool((radii.diff() <= 1e-12).all())
    assert torch.cdist(x, samples[:99]).min(1).values.max() <= radii[-1] + 1e-12
    assert torch.pdist(samples).min() >= radii[-1] - 1e-12


@pytest.mark.parametrize("points", [500, 5000])
def test_order_of_the_points_does_not_matter(points):
    """Where no two distances are equal, a permuted cloud has the same samples."""
    x = make("uniform", points)
    order = torch.randperm(points)
    index, _ = farthest_points(x, 100, start=3)
    permuted, _ = farthest_points(x[order], 100, start=int((order == 3).nonzero()))
    assert torch.equal(order[permuted], index)


def test_scaling_by_a_power_of_two_changes_nothing():
    x = make("surface", 5000)
    for scale in (2.0**-20, 2.0**30):
        assert torch.equal(farthest_points(x * scale, 300)[0], farthest_points(x, 300)[0])


@pytest.mark.parametrize("points", [1024, 5000])
def test_agrees_with_torch_cluster(points):
    torch_cluster = pytest.importorskip("torch_cluster")
    ptr = torch.tensor([0, points, points + 300])
    x = make("uniform", points + 300)
    batch = torch.repeat_interleave(torch.arange(2), ptr.diff())
    theirs = torch_cluster.fps(x, batch, ratio=0.25, random_start=False)
    ours, _ = farthest_points(x, (0.25 * ptr.diff()).ceil().long(), ptr)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_opcheck(backend):
    x = make("uniform", 12)
    ptr, sample_ptr = torch.tensor([0, 5, 12]), torch.tensor([0, 2, 5])
    with use_backend(backend):
        for total in (5, None):
            torch.library.opcheck(torch.ops.geodl.sample_farthest, (x, ptr, sample_ptr, ptr[:-1], total))


def test_compiles():
    x, ptr = make("uniform", 40).requires_grad_(), torch.tensor([0, 15, 40])

    def one(x):
        index, ptr = farthest_points(x, 10)
        return x[index].exp(), ptr

    def packed(x, ptr):
        index, ptr = farthest_points(x, 10, ptr)
        return x[index].exp(), ptr

    torch._dynamo.reset()
    compiled = torch.compile(one, fullgraph=True, backend="aot_eager")(x)
    for ours, theirs in zip(compiled, one(x), strict=True):
        torch.testing.assert_close(ours, theirs)
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = torch.compile(packed, fullgraph=True, backend="aot_eager")(x, ptr)
    for ours, theirs in zip(compiled, packed(x, ptr), strict=True):
        torch.testing.assert_close(ours, theirs)


X, PTR = torch.zeros(5, 3), torch.tensor([0, 2, 5])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X[0], 2), ValueError, r"x must have shape \[P, D\], not \[3\]"),
        ((X.long(), 2), ValueError, "x must be floating point, not torch.int64"),
        ((X, -1), ValueError, "count must not be negative, got -1"),
        ((X, torch.tensor([1, -2]), PTR), ValueError, "count must not be negative, but is for cloud 1"),
        ((X, torch.tensor([1]), PTR), ValueError, r"count must have shape \[B\] = \[2\], not \[1\]"),
        ((X, torch.tensor([1.0, 2.0]), PTR), ValueError, "count must be int64, not torch.float32"),
        ((X, 2, PTR[None]), ValueError, r"ptr must have shape \[B\+1\], not \[1, 3\]"),
        ((X, 2, PTR[:0]), ValueError, r"ptr must have shape \[B\+1\], not \[0\]"),
        ((X, 2, PTR.int()), ValueError, "ptr must be int64, not torch.int32"),
        ((X, 2, PTR.to("meta")), ValueError, "x is on cpu but ptr is on meta"),
        ((X, 2, torch.tensor([0, 2])), ValueError, "from 0 to the 5 points, not from 0 to 2"),
        ((X, 2, torch.tensor([0, 4, 2, 5])), ValueError, "not descend, but cloud 1 ends before it starts"),
        ((X, 2, PTR, 0), ValueError, "start must be a row for each of the 2 clouds, not one number"),
        ((X, 2, PTR, PTR), ValueError, r"start must have shape \[B\] = \[2\], not \[3\]"),
        ((X, 2, None, 5), IndexError, r"start\[0\] is 5, but cloud 0 has the points 0 to 4"),
        (
            (X, 2, PTR, torch.tensor([0, 1])),
            IndexError,
            r"start\[1\] is 1, but cloud 1 has the points 2 to 4",
        ),
        ((torch.tensor([[0.0], [math.nan]]), 1), ValueError, r"x must be finite, but row 1 is \[nan\]"),
        ((torch.tensor([[-math.inf], [0.0]]), 1), ValueError, r"x must be finite, but row 0 is \[-inf\]"),
    ],
)
def test_refuses(arguments, error, message, backend):
    with use_backend(backend), pytest.raises(error, match=message):
        farthest_points(*arguments)
