"""What only a GPU can show: streams, CUDA graphs, nobody waits for the device, a second device, long rows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geodl.ops import Neighbors, farthest_points, from_basis, heat_diffuse, knn, radius, to_basis, use_backend

from .cases import CASES, Case, Inputs
from .point_clouds import CLOUDS
from .test_conformance import differentiable, run

if not torch.cuda.is_available():
    pytest.skip("needs a CUDA device", allow_module_level=True)

cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def many_rows(points: int = 3000, longest: int = 6000) -> Neighbors:
    """Degrees by a power law, some rows empty, one longer than any block."""
    degrees = (longest * torch.arange(1, points + 1).double() ** -0.9).long()[torch.randperm(points)]
    rowptr = torch.cat([torch.zeros(1, dtype=torch.int64), degrees.cumsum(0)])
    return Neighbors(rowptr, torch.randint(points, (int(rowptr[-1]),)), points)


def on_gpu(
    case: Case, neighbors: Neighbors, channels: int, dtype: torch.dtype, device: str = "cuda"
) -> tuple[Neighbors, Inputs]:
    inputs = case.inputs(neighbors, channels, dtype)
    return neighbors.to(device), {name: tensor.to(device) for name, tensor in inputs.items()}


@pytest.mark.parametrize("channels", [1, 64, 200])
@cases
def test_many_rows(case, channels):
    """Values and gradients on a graph that fills the device, against float64 on the CPU."""
    neighbors = many_rows()
    inputs = case.inputs(neighbors, channels, torch.float32)
    exact = {name: t.double() if t.is_floating_point() else t for name, t in inputs.items()}
    wanted = run(case, neighbors, exact)
    found = run(case, neighbors.to("cuda"), {name: tensor.to("cuda") for name, tensor in inputs.items()})
    for actual, expected in zip(found, wanted, strict=True):
        scale = 1 + float(expected.abs().max())
        torch.testing.assert_close(actual.cpu().double(), expected, rtol=0, atol=1e-4 * scale)


@cases
def test_a_stream_of_its_own_and_no_waiting(case):
    neighbors, inputs = on_gpu(case, many_rows(200, 90), 17, torch.float32)
    expected = run(case, neighbors, inputs)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(10_000_000)  # so that work on another stream would come before its inputs
        delayed = {name: tensor + 0 for name, tensor in inputs.items()}
        torch.cuda.set_sync_debug_mode("error")
        try:
            found = run(case, neighbors, delayed)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    stream.synchronize()
    for actual, wanted in zip(found, expected, strict=True):
        assert torch.equal(actual, wanted)


@cases
def test_is_captured_by_a_cuda_graph(case):
    """Replayed with other inputs, forward and backward."""
    neighbors, inputs = on_gpu(case, many_rows(200, 90), 17, torch.float32)
    leaves = differentiable(inputs)
    run(case, neighbors, inputs)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run(case, neighbors, inputs)
    with torch.no_grad():
        for leaf in leaves:
            leaf.copy_(torch.randn_like(leaf))
    graph.replay()
    torch.cuda.synchronize()
    for actual, wanted in zip(captured, run(case, neighbors, inputs), strict=True):
        torch.testing.assert_close(actual, wanted, equal_nan=True)


def points_and_spectrum() -> tuple[Tensor, ...]:
    x = torch.randn(300, 8, device="cuda")
    evecs, evals = torch.randn(300, 20, device="cuda"), torch.rand(2, 20, device="cuda")
    mass, time = torch.rand(300, device="cuda"), torch.rand(8, device="cuda")
    return x, evals, evecs, mass, time, torch.tensor([0, 120, 300], device="cuda")


@pytest.mark.parametrize("name", ["knn", "farthest_points", "spectral"])
def test_points_and_spectra_wait_for_nobody(name):
    x, evals, evecs, mass, time, ptr = points_and_spectrum()
    call = {
        "knn": lambda: knn(x, 5).col,
        "farthest_points": lambda: farthest_points(x, 20)[0],
        "spectral": lambda: (
            heat_diffuse(x, evals, evecs, mass, time, ptr)
            + from_basis(to_basis(x, evecs, mass, ptr), evecs, ptr)
        ),
    }[name]
    expected = call()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = call()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(found, expected)


@pytest.mark.parametrize("kind", ["uniform", "surface", "clusters", "lattice", "outlier"])
def test_points_of_a_large_cloud(kind):
    """Sorted along a curve, tiles left out, many programs a cloud: the same bits as on the CPU."""
    x, ptr = CLOUDS[kind](30_000, 3), torch.tensor([0, 9000, 9005, 30_000])
    queries, query_ptr = CLOUDS[kind](500, 3), torch.tensor([0, 200, 200, 500])
    r = float((x[:200, None] - x[None, :9000]).norm(dim=2).kthvalue(10).values.median())
    given = [tensor.cuda() for tensor in (x, ptr, queries, query_ptr)]
    for k, loop in ((1, True), (20, False), (40, True)):
        ours = knn(given[0], k, given[1], loop=loop, return_distance=True)
        assert_same_rows(ours, knn(x, k, ptr, loop=loop, return_distance=True))
    for search, extent in ((knn, 20), (radius, r)):
        ours = search(given[0], extent, given[1], *given[2:], return_distance=True)
        assert_same_rows(ours, search(x, extent, ptr, queries, query_ptr, return_distance=True))
    ours = radius(given[0], r, given[1], max_neighbors=16, return_distance=True)
    assert_same_rows(ours, radius(x, r, ptr, max_neighbors=16, return_distance=True))
    for dtype in (torch.float32, torch.float64):
        index, sample_ptr = farthest_points(given[0].to(dtype), 700, given[1])
        wanted, wanted_ptr = farthest_points(x.to(dtype), 700, ptr)
        assert torch.equal(index.cpu(), wanted) and torch.equal(sample_ptr.cpu(), wanted_ptr)


def assert_same_rows(ours: tuple[Neighbors, Tensor], wanted: tuple[Neighbors, Tensor]) -> None:
    assert torch.equal(ours[0].rowptr.cpu(), wanted[0].rowptr)
    assert torch.equal(ours[0].col.cpu(), wanted[0].col)
    assert torch.equal(ours[1].cpu(), wanted[1])


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs a second CUDA device")
@cases
def test_a_second_device(case):
    neighbors, inputs = on_gpu(case, many_rows(200, 90), 17, torch.float32)
    expected = run(case, neighbors, inputs)
    with use_backend("triton"):
        found = run(case, neighbors.to("cuda:1"), {name: t.to("cuda:1") for name, t in inputs.items()})
    for actual, wanted in zip(found, expected, strict=True):
        assert torch.equal(actual.cpu(), wanted.cpu())
